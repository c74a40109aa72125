"""A saved card that is charged when a balance runs low: once, within what was agreed, and not for ever in vain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support_clock import Ahead
from support_stripe import Shop, selling
from trivium.clock import DAY_MS
from trivium.errors import NotFound, OperationError
from trivium.operations.top_ups import TopUps
from trivium.policy.payments import ANSWERED_MS, BACK_OFF_MS, OURS_MS


def clock_of(shop: Shop) -> Ahead:
    """Of whatever decides about charges."""
    clock, parts, store = Ahead(), shop.house.gateway.payments, shop.house.gateway.store
    assert parts is not None
    store.auto_top_ups._clock = store.payments._clock = parts.top_ups._clock = clock
    return clock


async def tell_all(shop: Shop) -> None:
    """Stripe tells how each charge went."""
    await shop.tell(*(shop.stripe.told_of(intent) for intent in list(shop.stripe.intents)))


async def test_a_low_balance_is_topped_up_once() -> None:
    async with selling() as shop:
        agreed = await shop.agree()
        assert (agreed["enabled"], agreed["card"], agreed["month_charged_usd"]) == (True, "visa 4242", "0")
        await asyncio.gather(*(shop.look() for _ in range(5)))
        (charge,) = shop.charges()
        path, form, _ = shop.stripe.asked[-1]
        assert (path, form["amount"], form["payment_method"]) == ("/v1/payment_intents", "1000", "pm_card")
        under_way = await shop.agreed()
        assert under_way["payment"] == charge == form["metadata"]["trivium_payment"]
        assert await shop.entries() == [("top_up", "5")]  # what Stripe answers is no money yet
        await shop.look()
        assert len(shop.charges()) == 1

        await tell_all(shop)
        await tell_all(shop)
        assert await shop.entries() == [("top_up", "5"), ("top_up", "10")]
        told = await shop.agreed()
        assert (told["payment"], told["month_charged_usd"]) == (None, "10")
        paid = await shop.do("payments.show", payment=charge)
        assert (paid["kind"], paid["status"], paid["made_by"]) == ("auto", "paid", "operator")

        await shop.look()  # 15 USD are still less than 20
        await tell_all(shop)
        await shop.look()
        assert (len(shop.charges()), await shop.balance()) == (2, "25")


async def test_the_month_has_an_end() -> None:
    async with selling("fee_percent = 10") as shop:
        await shop.agree(below_usd="1000", month_usd="24")
        for _ in range(4):
            await shop.look()
            await tell_all(shop)
        assert (len(shop.charges()), (await shop.agreed())["month_charged_usd"]) == (2, "22")
        clock_of(shop).ahead_ms = 32 * 86_400_000
        await shop.look()
        assert len(shop.charges()) == 3


@pytest.mark.parametrize("code", ["card_declined", "authentication_required"])
async def test_a_card_that_is_refused_is_left_alone_and_then_for_good(code: str) -> None:
    async with selling() as shop:
        await shop.agree()
        clock = clock_of(shop)
        shop.stripe.cards["pm_card"] = code
        for attempt in range(1, 4):
            await shop.look()
            await tell_all(shop)  # the same once more, as Stripe does
            await shop.look()
            told = await shop.agreed()
            assert (len(shop.charges()), told["failures"], told["payment"]) == (attempt, attempt, None)
            assert code in told["problem"]
            clock.ahead_ms += BACK_OFF_MS * 4 ** (attempt - 1) + 1000
        assert not (await shop.agreed())["enabled"]
        await shop.look()
        assert len(shop.charges()) == 3
        found = {one["action"] for one in (await shop.do("changes.list"))["items"] if one["actor"] == "gateway"}
        assert {"payments.auto.off", "payments.failed", "payments.auto.charge"} <= found

        shop.stripe.cards["pm_card"] = "ok"
        await shop.do("payments.auto.set", account="acme", below_usd="20", usd="10", month_usd="100")
        await shop.look()
        assert (len(shop.charges()), (await shop.agreed())["failures"]) == (4, 0)


async def test_a_charge_of_unknown_outcome_is_asked_for_again_under_the_same_key() -> None:
    """Stripe has charged the card, and its answer was lost; so may the gateway be."""
    async with selling() as shop:
        await shop.agree()
        clock = clock_of(shop)
        shop.stripe.cards["pm_card"] = "lost"
        await shop.look()
        (first,) = set(shop.charges())
        assert (await shop.do("payments.show", payment=first))["status"] == "open"
        await shop.look()
        clock.ahead_ms += 61_000
        shop.stripe.cards["pm_card"] = "ok"
        await shop.look()
        assert set(shop.charges()) == {first}
        assert (await shop.do("payments.show", payment=first))["status"] == "pending"
        assert len(shop.stripe.intents) == 2  # the purchase, and one charge
        await tell_all(shop)
        assert await shop.balance() == "15"


async def test_nobody_asks_for_a_charge_whose_key_may_be_forgotten() -> None:
    async with selling() as shop:
        await shop.agree()
        clock = clock_of(shop)
        shop.stripe.cards["pm_card"] = "lost"
        await shop.look()
        before = len(shop.charges())
        clock.ahead_ms += ANSWERED_MS + 1000
        await shop.look()
        told = await shop.agreed()
        assert (len(shop.charges()), told["enabled"], told["payment"]) == (before, False, None)
        assert "Nobody can tell" in told["problem"]
        await tell_all(shop)  # the word of Stripe counts, however late
        assert await shop.balance() == "15"


async def test_a_clock_that_was_ahead_keeps_no_card_from_being_charged() -> None:
    """What it stamped lies a year ahead of now."""
    async with selling() as shop:
        await shop.agree(below_usd="1000", month_usd="20")
        clock = clock_of(shop)
        clock.ahead_ms = 365 * DAY_MS
        await shop.look()
        await tell_all(shop)
        shop.stripe.cards["pm_card"] = "card_declined"
        await shop.look()
        await tell_all(shop)
        assert ((await shop.agreed())["failures"], (await shop.agreed())["month_charged_usd"]) == (1, "10")

        clock.ahead_ms, shop.stripe.cards["pm_card"] = 0, "ok"
        assert (await shop.agreed())["month_charged_usd"] == "10", "nobody agreed to more in these minutes"
        for _ in range(3):
            await shop.look()
            await tell_all(shop)
        told = await shop.agreed()
        assert (told["failures"], told["month_charged_usd"], await shop.balance()) == (0, "20", "25")


async def test_of_a_charge_by_a_clock_that_was_ahead_nobody_knows_how_long_ago_it_was() -> None:
    async with selling() as shop:
        await shop.agree()
        clock = clock_of(shop)
        clock.ahead_ms, shop.stripe.cards["pm_card"] = 365 * DAY_MS, "lost"
        await shop.look()
        before = len(shop.charges())
        clock.ahead_ms, shop.stripe.cards["pm_card"] = 0, "ok"
        await shop.look()
        told = await shop.agreed()
        assert (len(shop.charges()), told["enabled"], told["payment"]) == (before, False, None)
        assert "Nobody can tell" in told["problem"]


async def test_two_gateways_charge_once() -> None:
    """Each has looked, and both find the balance low."""
    async with selling() as shop:
        await shop.agree()
        parts = shop.house.gateway.payments
        assert parts is not None
        one = parts.top_ups
        other = TopUps(one._autos, one._processor, one._settings, one._clock)
        await asyncio.gather(one.look(), other.look())
        assert len(shop.charges()) == 1


async def test_what_is_our_own_fault_is_not_held_against_the_card(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with selling() as shop:
        await shop.agree()
        clock, parts = clock_of(shop), shop.house.gateway.payments
        assert parts is not None
        processor: Any = parts.top_ups._processor
        with monkeypatch.context() as patch:
            patch.setattr(processor, "_headers", [(b"authorization", b"Bearer sk_wrong")])
            await shop.look()
        told = await shop.agreed()
        assert (told["failures"], told["enabled"], told["payment"]) == (0, True, None)
        assert "log" in told["problem"]
        assert "Key" not in told["problem"]  # which is nobody's business but the operators'
        assert "Invalid API Key" in caplog.text
        await shop.look()
        clock.ahead_ms += OURS_MS + 1000
        await shop.look()
        assert len(shop.charges()) == 1


async def test_a_card_is_removed_by_its_owner() -> None:
    async with selling() as shop:
        payment = await shop.buy("5", save=True)
        events = shop.stripe.pay(payment["session"])
        await shop.tell(*events)
        await shop.do("payments.auto.set", account="acme", below_usd="20", usd="10", month_usd="100")
        await shop.do("payments.card.remove", account="acme")
        assert shop.stripe.cards == {}
        await shop.tell(*events)  # told again: that does not bring it back
        told = await shop.agreed()
        assert (told["enabled"], told["card"]) == (False, None)
        await shop.look()
        assert shop.charges() == []
        with pytest.raises(OperationError, match="No card is saved"):
            await shop.do("payments.auto.set", account="acme", below_usd="20", usd="10", month_usd="100")
        with pytest.raises(NotFound):
            await shop.do("payments.card.remove", account="acme")

        again = await shop.buy("5", save=True)
        assert shop.stripe.asked[-1][1]["customer"] == shop.stripe.sessions[payment["session"]]["customer"]
        await shop.tell(*shop.stripe.pay(again["session"], "pm_second"))
        await shop.do("payments.auto.set", account="acme", below_usd="20", usd="10", month_usd="100")
        assert (await shop.agreed())["card"] == "visa 4242"


@contextlib.asynccontextmanager
async def anns() -> AsyncIterator[tuple[Shop, str]]:
    """A shop, and the account of a user whose balance is low and whose card may be charged."""
    async with selling() as shop:
        ann: str = (await shop.do("users.create", email="ann@example.org", name="Ann"))["id"]
        bought = await shop.buy("5", save=True, account=ann)
        await shop.tell(*shop.stripe.pay(bought["session"]))
        await shop.do("payments.auto.set", account=ann, below_usd="20", usd="10", month_usd="100")
        yield shop, ann


async def test_who_is_erased_is_charged_no_more_and_the_card_is_forgotten_here_and_there() -> None:
    async with anns() as (shop, ann):
        await shop.look()
        await tell_all(shop)
        await shop.do("retention.erase", user=ann, apply=True)
        assert shop.stripe.cards == {}
        await tell_all(shop)
        await shop.look()
        assert len(shop.charges()) == 1
        database = shop.house.gateway.store.database
        for personal in ("method FROM saved_cards", "customer FROM payments", "method FROM payments"):
            assert set(database.query(f"SELECT {personal}")[1]) == {(None,)}
        assert database.query("SELECT enabled, customer FROM auto_top_ups, saved_cards")[1] == [(0, "")]


async def test_what_nobody_knows_the_outcome_of_names_nobody_any_more_and_is_never_asked_for_again() -> None:
    async with anns() as (shop, ann):
        shop.stripe.down = True
        await shop.look()
        shop.stripe.down = False
        await shop.do("retention.erase", user=ann, apply=True)
        payments = shop.house.gateway.store.database.query("SELECT kind, state, customer, method FROM payments")[1]
        assert sorted(payments) == [("auto", "open", None, None), ("checkout", "paid", None, None)]

        shop.stripe._created += 120  # word of a card from before is of the one that was erased
        bought = await shop.buy("5", save=True, account=ann)
        await shop.tell(*shop.stripe.pay(bought["session"], "pm_second"))
        await shop.do("payments.auto.set", account=ann, below_usd="20", usd="10", month_usd="100")
        clock_of(shop).ahead_ms += 61_000
        asked = len(shop.charges())
        await shop.look()
        assert len(shop.charges()) == asked == 1


async def test_what_nobody_knows_the_outcome_of_is_not_asked_for_again_once_the_user_is_blocked() -> None:
    async with anns() as (shop, ann):
        shop.stripe.down = True
        await shop.look()
        await shop.do("users.block", users=[ann], why="fraud")
        shop.stripe.down = False
        clock_of(shop).ahead_ms += 61_000
        asked = len(shop.charges())
        await shop.look()
        assert len(shop.charges()) == asked == 1
        assert await shop.balance(ann) == "5"


async def test_a_card_is_removed_at_stripe() -> None:
    async with selling() as shop:
        await shop.agree()
        await shop.tell(shop.stripe.event("payment_method.detached", {"id": "pm_card", "customer": None}))
        told = await shop.agreed()
        assert (told["enabled"], told["card"], told["problem"]) == (False, None, "The saved card was removed.")


async def test_a_disputed_payment_ends_it() -> None:
    async with selling() as shop:
        await shop.agree()
        (intent,) = shop.stripe.intents
        await shop.tell(shop.stripe.dispute(intent, "created", "needs_response"))
        await shop.look()
        assert (shop.charges(), (await shop.agreed())["enabled"]) == ([], False)


async def test_it_is_switched_off_while_a_charge_is_under_way() -> None:
    async with selling() as shop:
        await shop.agree()
        await shop.look()
        await shop.do("payments.auto.off", account="acme")
        await tell_all(shop)
        told = await shop.agreed()
        assert (told["enabled"], told["payment"], await shop.balance()) == (False, None, "15")
        await shop.look()
        assert len(shop.charges()) == 1
        with pytest.raises(NotFound):
            await shop.do("payments.auto.off", account="acme")


async def test_what_cannot_be_agreed() -> None:
    async with selling() as shop:
        for terms, words in (
            ({"below_usd": "0"}, "more than 0"),
            ({"below_usd": "999999999999"}, "at most"),
            ({"month_usd": "9"}, "less than a single payment"),
            ({"usd": "1"}, "can be bought at once"),
        ):
            with pytest.raises(OperationError, match=words):
                await shop.agree(**terms)
        with pytest.raises(NotFound):
            await shop.do(
                "payments.auto.set", account="nobody", organization="acme", below_usd="1", usd="10", month_usd="10"
            )


async def test_where_it_is_not_allowed_no_card_is_kept() -> None:
    async with selling(auto=False) as shop:
        assert not [name for name in shop.house.gateway.operations.table if name.startswith("payments.auto")]
        with pytest.raises(OperationError, match="not allowed"):
            await shop.buy("10", save=True)
        await shop.tell(*shop.stripe.pay((await shop.buy("10"))["session"]))
        assert "customer_creation" not in shop.stripe.asked[-1][1]


async def test_money_that_goes_back_is_not_fetched_again() -> None:
    """A refund leaves the balance low, and so does a lost dispute that nobody has told of before."""
    for back in ("refund", "dispute"):
        async with selling() as shop:
            await shop.agree()
            (intent,) = shop.stripe.intents
            told = (
                shop.stripe.refund(intent, 100) if back == "refund" else shop.stripe.dispute(intent, "closed", "lost")
            )
            await shop.tell(told)
            await shop.look()
            agreed = await shop.agreed()
            assert (shop.charges(), agreed["enabled"]) == ([], False)
            assert ("refunded" if back == "refund" else "disputed") in agreed["problem"]


async def test_a_key_that_is_taken_away_does_not_end_a_charge_that_may_be_made() -> None:
    """What is refused the second time says nothing of the first: another charge would be a second one."""
    async with selling() as shop:
        await shop.agree()
        clock, parts = clock_of(shop), shop.house.gateway.payments
        assert parts is not None
        shop.stripe.cards["pm_card"] = "lost"
        await shop.look()
        (first,) = set(shop.charges())
        processor: Any = parts.top_ups._processor
        good, processor._headers = processor._headers, [(b"authorization", b"Bearer sk_revoked")]
        clock.ahead_ms += 61_000
        await shop.look()
        payment = await shop.do("payments.show", payment=first)
        assert payment["status"] == "open"
        processor._headers, shop.stripe.cards["pm_card"] = good, "ok"
        clock.ahead_ms += OURS_MS + 1000
        await shop.look()
        assert set(shop.charges()) == {first}
        assert len(shop.stripe.intents) == 2  # the purchase, and one charge
        await tell_all(shop)
        assert await shop.balance() == "15"


async def test_a_dispute_that_comes_before_anybody_knows_the_charge() -> None:
    """The answer with the charge's name was lost; so was, for hours, the gateway."""
    async with selling() as shop:
        await shop.agree()
        clock = clock_of(shop)
        shop.stripe.cards["pm_card"] = "lost"
        await shop.look()
        intent = list(shop.stripe.intents)[-1]
        await shop.tell(shop.stripe.dispute(intent, "closed", "lost"))
        shop.stripe.cards["pm_card"] = "ok"
        clock.ahead_ms += 61_000
        await shop.look()
        await shop.tell(shop.stripe.told_of(intent))
        assert await shop.entries() == [("top_up", "5"), ("top_up", "10"), ("adjustment", "-10")]
        assert not (await shop.agreed())["enabled"]


async def test_who_is_blocked_is_charged_no_more() -> None:
    async with selling() as shop:
        await shop.do("users.create", id="eve", name="Eve", email="eve@bad.example")
        payment = await shop.buy("5", account="eve", save=True)
        await shop.tell(*shop.stripe.pay(payment["session"]))
        await shop.do("payments.auto.set", account="eve", below_usd="20", usd="10", month_usd="100")
        await shop.do("users.block", users=["eve"], why="stolen cards")
        await shop.look()
        assert shop.charges() == []
        await shop.do("users.unblock", user="eve")
        await shop.do("domains.block", domain="bad.example")
        await shop.look()
        assert shop.charges() == []
        await shop.do("domains.unblock", domain="bad.example")
        await shop.look()
        assert len(shop.charges()) == 1


async def test_nothing_is_asked_for_after_it_was_switched_off() -> None:
    """A charge of unknown outcome neither: if it was made, the webhook tells of it."""
    async with selling() as shop:
        await shop.agree()
        clock, shop.stripe.down = clock_of(shop), True
        await shop.look()
        (charge,) = shop.charges()
        await shop.do("payments.auto.off", account="acme")
        shop.stripe.down = False
        clock.ahead_ms += 61_000
        await shop.look()
        assert len(shop.charges()) == 1
        await shop.do("payments.auto.set", account="acme", below_usd="20", usd="10", month_usd="100")
        await shop.look()
        assert shop.charges() == [charge, charge]  # agreed anew: the same one
        await tell_all(shop)
        shop.stripe.down = True
        await shop.look()
        await shop.do("payments.auto.off", account="acme")
        clock.ahead_ms += ANSWERED_MS
        await shop.look()
        assert (len(shop.charges()), (await shop.agreed())["payment"]) == (3, None)
