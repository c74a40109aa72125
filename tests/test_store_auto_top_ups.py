"""The lock that keeps a card from being charged twice: by one gateway, by two at once, and after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support_clock import Ahead
from support_store import Home
from trivium.clock import DAY_MS
from trivium.errors import StoreUnavailable
from trivium.policy.payment_alerts import SILENT_MS, Trouble
from trivium.policy.payments import CENT_NANO, AutoTopUp, Event
from trivium.store import saved_cards
from trivium.store.sql import Writing
from trivium.store.store import Store


@pytest.fixture
async def stores(home: Home, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Of one gateway, or of two that share a database; with an account whose card may be charged."""
    clock = Ahead()
    made = [Store(tmp_path, clock, home.url) for _ in range(2 if home.url else 1)]
    first = made[0]
    await first.accounts.create("Acme", "organization", "acme")
    await first.ledger.writer.run(lambda tx: saved_cards.save(tx, "acme", "stripe", "cus_1", "pm_1", 1))
    await first.auto_top_ups.set(agreed(), "visa 4242", "pm_1")
    yield made
    for store in made:
        await store.close()


def agreed(**more: Any) -> AutoTopUp:
    terms = {"account_id": "acme", "enabled": True, "below_nano": 1, "cents": 1000, "month_cents": 2500}
    return AutoTopUp(**{**terms, "set_by": "ann", "changed_ms": 1, **more})


async def test_the_lock_is_taken_once(stores: list[Store]) -> None:
    claimed = await asyncio.gather(
        *(store.auto_top_ups.claim("acme", "stripe", lambda cents: cents // 100) for store in stores * 4)
    )
    (payment,) = [one for one in claimed if one is not None]
    assert (payment.asked_cents, payment.fee_cents, payment.method) == (1010, 10, "pm_1")
    for store in stores:
        assert await store.auto_top_ups.low() == []
        assert (await store.auto_top_ups.get("acme")).auto.payment_id == payment.id
        assert await store.auto_top_ups.unanswered(-1) == [payment]  # whoever comes after a crash finds the same


async def test_it_is_let_go_when_the_payment_has_ended(stores: list[Store]) -> None:
    first, last = stores[0], stores[-1]
    payment = await first.auto_top_ups.claim("acme", "stripe", lambda _: 0)
    assert payment is not None
    await first.auto_top_ups.asked(payment.id, "pi_1", None, done=True)
    paid = Event(id="evt_1", told="paid", payment=payment.id, intent="pi_1", cents=1000)
    assert [await last.payments.take(paid) for _ in range(2)] == ["taken", "known"]
    (found,) = await last.accounts.accounts("acme")
    assert found["balance_nano"] == 1000 * CENT_NANO
    assert (await last.auto_top_ups.get("acme")).auto.payment_id is None
    await first.auto_top_ups.failed(payment.id, None, "late", blames_card=True)  # what was paid stays so
    assert (await first.payments.get(payment.id)).state == "paid"


@pytest.mark.parametrize(
    "but",
    [
        {"enabled": False},
        {"below_nano": 0},
        {"not_before_ms": 2**53},
        {"month_cents": 999},
    ],
)
async def test_what_keeps_a_card_from_being_charged(stores: list[Store], but: dict[str, Any]) -> None:
    first = stores[0]
    await first.auto_top_ups.set(agreed(**but), "visa 4242", "pm_1")
    assert await first.auto_top_ups.low() == []
    assert await first.auto_top_ups.claim("acme", "stripe", lambda _: 0) is None
    assert await first.auto_top_ups.claim("acme", "other", lambda _: 0) is None


async def test_two_tellers_of_a_refusal_count_one(stores: list[Store]) -> None:
    """Stripe's answer, and its webhook."""
    first, last = stores[0], stores[-1]
    payment = await first.auto_top_ups.claim("acme", "stripe", lambda _: 0)
    assert payment is not None
    refused = Event(id="evt_1", told="failed", payment=payment.id, problem="no")
    await asyncio.gather(
        first.auto_top_ups.failed(payment.id, "pi_1", "no", blames_card=True), last.payments.take(refused)
    )
    assert (await first.auto_top_ups.get("acme")).auto.failures == 1


async def test_what_somebody_has_to_see_to(stores: list[Store]) -> None:
    first = stores[0]
    clock = first.clock
    assert isinstance(clock, Ahead)
    assert await first.alerts.payment_troubles(clock.now_ms()) == []
    payment = await first.auto_top_ups.claim("acme", "stripe", lambda _: 0)
    assert payment is not None
    await first.auto_top_ups.asked(payment.id, "pi_1", None, done=True)
    await first.payments.take(Event(id="evt_1", told="paid", payment="pay_unknown", cents=5))
    await first.payments.take(Event(id="evt_2", told="detached", method="pm_1", created_ms=clock.now_ms()))
    found = await first.alerts.payment_troubles(clock.now_ms() + SILENT_MS + 1000)
    assert sorted(found) == [
        Trouble("silent", payment.id, "The card of acme was charged a while ago."),
        Trouble("stopped", "acme", "The saved card was removed."),
        Trouble("stray", "evt_1", "There is no payment 'pay_unknown' here."),
    ]
    await first.payments.end_stray("evt_1", None, "ann")
    await first.payments.take(Event(id="evt_3", told="paid", payment=payment.id, intent="pi_1", cents=1000))
    assert [one.kind for one in await first.alerts.payment_troubles(clock.now_ms() + 2 * SILENT_MS)] == ["stopped"]


async def test_a_charge_that_was_stamped_by_a_clock_far_ahead_has_been_silent_for_long(stores: list[Store]) -> None:
    first = stores[0]
    payment = await first.auto_top_ups.claim("acme", "stripe", lambda _: 0)
    assert payment is not None
    await first.auto_top_ups.asked(payment.id, "pi_1", None, done=True)
    assert await first.alerts.payment_troubles(first.clock.now_ms() - 1000) == []
    found = await first.alerts.payment_troubles(first.clock.now_ms() - 365 * DAY_MS)
    assert [(one.kind, one.of) for one in found] == [("silent", payment.id)]


def _save(tx: Writing, at_ms: int) -> None:
    saved_cards.save(tx, "acme", "stripe", "cus_1", "pm_1", at_ms)


async def test_a_card_is_removed_here_and_told_of_as_removed_at_once(stores: list[Store]) -> None:
    """Neither waits for the other without end."""
    first, last = stores[0], stores[-1]
    for n in range(2, 12):
        at = n * 1000
        await first.ledger.writer.run(partial(_save, at_ms=at))
        await first.auto_top_ups.set(agreed(), "visa 4242", "pm_1")
        detached = Event(id=f"evt_{n}", told="detached", method="pm_1", created_ms=at)
        told = await asyncio.gather(
            first.auto_top_ups.off("acme", "ann", card=True), last.payments.take(detached), return_exceptions=True
        )
        assert not [one for one in told if isinstance(one, StoreUnavailable)]
        found = await first.auto_top_ups.get("acme")
        assert (found.auto.enabled, found.card) == (False, None)
