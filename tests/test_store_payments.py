"""Payments in the database: whatever is delivered, in whatever order and however often, the books say the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from support_store import Home
from trivium.clock import SystemClock
from trivium.errors import NotFound
from trivium.policy.payments import CENT_NANO, Event, Payment, Told
from trivium.store.audit import verify
from trivium.store.auto_top_ups import payment_id
from trivium.store.sql import Writing
from trivium.store.store import Store


class Till:
    """The store of one gateway, or of two that share a database."""

    def __init__(self, stores: list[Store]) -> None:
        self.stores = stores
        self.store = stores[0]

    async def begin(self, account: str) -> Payment:
        await self.store.accounts.create(account, "organization", account)
        return await self.store.payments.open(
            Payment(
                id=payment_id(),
                account_id=account,
                kind="checkout",
                processor="stripe",
                asked_cents=1000,
                fee_cents=0,
                made_by="ann",
                created_ms=1,
                changed_ms=1,
            )
        )

    async def balance(self, account: str) -> int:
        (found,) = await self.store.accounts.accounts(account)
        return int(found["balance_nano"])

    async def kinds(self, account: str) -> list[str]:
        return sorted(entry["kind"] for entry in await self.store.accounts.entries(account, 100))

    def check(self) -> None:
        with self.store.snapshot() as snapshot:
            report = verify(snapshot)
        assert report.findings == 0, [one for one in report.checks if one.found]


@pytest.fixture
async def till(home: Home, tmp_path: Path) -> AsyncIterator[Till]:
    stores = [Store(tmp_path, SystemClock(), home.url) for _ in range(2 if home.url else 1)]
    yield Till(stores)
    for store in stores:
        await store.close()


MARKED: tuple[tuple[Told, int], ...] = (
    ("paid", 1000),
    ("pending", 0),
    ("expired", 0),
    ("refunded", 100),
    ("refunded", 300),
)
DISPUTE: tuple[tuple[Told, int], ...] = (("disputed", 1000), ("lost", 500))


def events_of(payment: Payment, n: int) -> list[Event]:
    """All that may be told of a payment; a dispute names its intent alone."""
    marks = [*((*one, payment.id) for one in MARKED), *((*one, None) for one in DISPUTE)]
    return [
        Event(id=f"evt_{n}_{at}", told=word, cents=cents, intent=f"pi_{n}", payment=mark)
        for at, (word, cents, mark) in enumerate(marks)
    ]


async def test_any_deliveries_leave_one_entry_for_each_payment(till: Till) -> None:
    """Duplicates, reorders and replays, by one gateway and by two at once."""
    chance = random.Random(7)
    for n in range(8):
        account = f"acct_{n}"
        payment = await till.begin(account)
        order = events_of(payment, n) * 3
        chance.shuffle(order)
        together = chance.choice((1, 3, len(order)))
        for at in range(0, len(order), together):
            await asyncio.gather(
                *(chance.choice(till.stores).payments.take(event) for event in order[at : at + together])
            )
        assert (await till.kinds(account)).count("top_up") == 1
        assert await till.balance(account) == 200 * CENT_NANO
        told = await till.store.payments.get(payment.id)
        assert (told.credited_nano, told.taken_nano, told.status) == (1000 * CENT_NANO, 800 * CENT_NANO, "lost")
    till.check()


async def test_what_is_taken_back_is_taken_from_calls_too(till: Till) -> None:
    """Memory of the one gateway that owns its database follows."""
    payment = await till.begin("acme")
    paid, *_, more, _, _ = events_of(payment, 1)
    await till.store.payments.take(paid)
    assert await till.store.ledger.free_nano("acme") == (1000 * CENT_NANO, 0)
    await till.store.payments.take(more)
    assert await till.store.ledger.free_nano("acme") == (700 * CENT_NANO, 0)
    assert await till.balance("acme") == 700 * CENT_NANO
    till.check()


async def test_a_payment_is_its_accounts_alone(till: Till) -> None:
    payment = await till.begin("acme")
    assert await till.store.payments.get(payment.id, "acme") == payment
    with pytest.raises(NotFound):
        await till.store.payments.get(payment.id, "other")
    assert await till.store.payments.page("acme", "other", 2**62, 10) == []
    assert [one for _, one in await till.store.payments.page(None, "acme", 2**62, 10)] == [payment]


async def test_a_payment_for_no_account_is_not_begun(till: Till) -> None:
    payment = await till.begin("acme")
    with pytest.raises(NotFound):
        await till.store.payments.check("nobody")
    with pytest.raises(NotFound):
        await till.store.payments.open(msgspec.structs.replace(payment, id=payment_id(), account_id="nobody"))


async def test_an_account_that_is_gone_parks_what_was_paid(till: Till) -> None:
    payment = await till.begin("acme")
    await till.store.ledger.writer.run(lambda tx: tx.execute("DELETE FROM accounts WHERE id = 'acme'"))
    paid, *_ = events_of(payment, 1)
    assert [await till.store.payments.take(paid) for _ in range(2)] == ["parked", "parked"]
    (stray,) = await till.store.payments.strays(all=False)
    assert (stray.event, stray.content) == (paid.id, paid)
    assert "acme" in stray.why


async def test_a_damaged_payment_is_found_by_the_auditor(till: Till) -> None:
    payment = await till.begin("acme")
    for event in events_of(payment, 1):
        await till.store.payments.take(event)
    for column in ("credited_nano", "taken_nano", "paid_cents"):
        broken = f"UPDATE payments SET {column} = {column} - 10000000"
        await till.store.ledger.writer.run(partial(_execute, broken))
        with till.store.snapshot() as snapshot:
            assert "payments" in [one.check for one in verify(snapshot).checks if one.found]
        mended = broken.replace("- 10000000", "+ 10000000")
        await till.store.ledger.writer.run(partial(_execute, mended))
    till.check()
    await till.store.ledger.writer.run(lambda tx: tx.execute("DELETE FROM payments"))
    with till.store.snapshot() as snapshot:
        assert verify(snapshot).findings == 4  # the entries that name it


def _execute(statement: str, tx: Writing) -> None:
    tx.execute(statement)


async def test_a_payment_and_its_dispute_are_told_of_in_the_same_moment(till: Till) -> None:
    """Neither sees the other's row before it is durable."""
    for n in range(12):
        payment = await till.begin(f"acct_{n}")
        paid, *_, lost = events_of(payment, n)
        await asyncio.gather(till.stores[0].payments.take(paid), till.stores[-1].payments.take(lost))
        assert (await till.store.payments.get(payment.id)).status == "lost"
    assert not [one for one in await till.store.payments.strays(all=True) if one.ended_ms is None]
    till.check()
