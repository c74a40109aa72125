"""What becomes of a payment by what is told of it, in whatever order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.payments import (
    BACK_OFF_MS,
    CENT_NANO,
    OURS_MS,
    AutoTopUp,
    Event,
    Payment,
    after,
    fee_cents,
    released,
)

OPEN = Payment(
    id="pay_1",
    account_id="acme",
    kind="checkout",
    processor="stripe",
    asked_cents=1050,
    fee_cents=50,
    made_by="ann",
    created_ms=1,
    changed_ms=1,
)
PAID = Event(id="evt_paid", told="paid", cents=1050, intent="pi_1")
FACTS = (
    PAID,
    Event(id="evt_pending", told="pending"),
    Event(id="evt_failed", told="failed", problem="no"),
    *(Event(id=f"evt_{cents}", told="refunded", cents=cents) for cents in (1, 350, 1050)),
    Event(id="evt_open", told="disputed", cents=1050),
    Event(id="evt_won", told="won", cents=1050),
    Event(id="evt_lost", told="lost", cents=400),
)


def told(*events: Event) -> Payment:
    payment = OPEN
    for event in events:
        payment = after(payment, event, 2)
    return payment


@given(st.lists(st.sampled_from(FACTS), max_size=12), st.randoms())
def test_the_order_of_what_is_told_does_not_matter(events: list[Event], random: object) -> None:
    """Nor how often it is. Only of what was not paid the last word may differ."""
    events = [PAID, *events]
    shuffled = [*events, *events[:3]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = told(*events), told(*shuffled)
    assert msgspec.structs.replace(one, changed_ms=0) == msgspec.structs.replace(other, changed_ms=0)


@given(st.lists(st.sampled_from(FACTS), max_size=12))
def test_no_more_is_taken_back_than_was_credited(events: list[Event]) -> None:
    before = OPEN
    for event in events:
        payment = after(before, event, 2)
        assert 0 <= payment.taken_nano <= payment.credited_nano <= 1000 * CENT_NANO
        assert payment.credited_nano >= before.credited_nano
        assert payment.taken_nano >= before.taken_nano
        assert after(payment, event, 3) is payment
        before = payment


@pytest.mark.parametrize(
    ("events", "status", "credited", "taken"),
    [
        ((), "open", 0, 0),
        ((FACTS[1],), "pending", 0, 0),
        ((FACTS[2],), "failed", 0, 0),
        ((FACTS[2], PAID), "paid", 1000, 0),
        ((PAID, FACTS[2]), "paid", 1000, 0),
        ((PAID, FACTS[4]), "partly refunded", 1000, 334),  # 350 of 1050 are a third, to the cent above
        ((PAID, FACTS[5]), "refunded", 1000, 1000),
        ((FACTS[5], PAID), "refunded", 1000, 1000),
        ((PAID, FACTS[6]), "disputed", 1000, 0),
        ((PAID, FACTS[6], FACTS[7]), "paid", 1000, 0),
        ((PAID, FACTS[8]), "lost", 1000, 381),
        ((PAID, FACTS[8], FACTS[5]), "lost", 1000, 1000),
    ],
)
def test_what_a_payment_is(events: tuple[Event, ...], status: str, credited: int, taken: int) -> None:
    payment = told(*events)
    assert payment.status == status
    assert (payment.credited_nano, payment.taken_nano) == (credited * CENT_NANO, taken * CENT_NANO)


def test_another_sum_of_what_was_paid_changes_nothing() -> None:
    assert told(PAID, Event(id="evt_other", told="paid", cents=9999)) == told(PAID)


def test_a_payment_that_the_fee_eats_up_credits_nothing() -> None:
    assert told(Event(id="e", told="paid", cents=30)).credited_nano == 0


@pytest.mark.parametrize(
    ("cents", "percent", "flat", "fee"), [(1000, 0, 0, 0), (1000, 5.5, 30, 85), (1001, 5.5, 0, 55), (999, 0.05, 0, 0)]
)
def test_fees(cents: int, percent: float, flat: int, fee: int) -> None:
    assert fee_cents(cents, percent, flat) == fee


AGREED = AutoTopUp(
    account_id="acme",
    enabled=True,
    below_nano=1,
    cents=1000,
    month_cents=5000,
    payment_id="pay_1",
    set_by="ann",
    changed_ms=1,
)


def test_a_card_that_is_refused_rests_longer_each_time() -> None:
    failed, auto, pauses = told(FACTS[2]), AGREED, []
    for _ in range(3):
        auto = released(auto, failed, 0, 3, blames_card=True)
        pauses.append(auto.not_before_ms)
        assert (auto.payment_id, auto.problem) == (None, "no")
    assert (pauses, auto.enabled) == ([BACK_OFF_MS, 4 * BACK_OFF_MS, 16 * BACK_OFF_MS], False)
    good = released(msgspec.structs.replace(auto, enabled=True), told(PAID), 7, 3, blames_card=True)
    assert (good.failures, good.not_before_ms, good.problem, good.enabled) == (0, 0, None, True)


def test_what_is_not_the_cards_fault_is_not_counted() -> None:
    auto = released(AGREED, told(FACTS[2]), 5, 1, blames_card=False)
    assert (auto.failures, auto.not_before_ms, auto.enabled) == (0, 5 + OURS_MS, True)
