"""What is half done when whoever asked for it leaves is done: the database and what memory believes agree."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from support_store import Home
from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.operations.operations import Operations
from trivium.policy.payments import Event, Payment
from trivium.settings_idempotency import IdempotencySettings
from trivium.store import unbroken
from trivium.store.call_answers import call_answers
from trivium.store.sql import Writing
from trivium.store.store import Store

USD = 10**9


class House:
    """An account that has called, with a key that has."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.operations = Operations(store)

    async def settle(self) -> None:
        await self.store.ledger.load()
        await self.perform("accounts.create", name="Acme", id="acme")
        await self.perform("credits.grant", account="acme", usd="1", idempotency_key="first")
        made = await self.perform("keys.create", name="laptop", account="acme")
        self.key, self.key_id = made["key"], made["id"]
        await self.store.keys.find(self.key)
        await self.store.ledger._account("acme")

    async def perform(self, operation: str, **arguments: Any) -> Any:
        return await self.operations.perform(operation, arguments)

    async def left(self, work: Coroutine[Any, Any, Any]) -> None:
        """Somebody asks for it, and leaves when the writing thread is at it, which goes on behind a call."""
        begun, called, transaction = threading.Event(), threading.Event(), self.store.database.transaction

        @contextlib.contextmanager
        def held() -> Iterator[Writing]:
            begun.set()
            called.wait(30)
            with transaction() as tx:
                yield tx

        await self.store.ledger.writer.flush()
        with mock.patch.object(self.store.database, "transaction", held):
            asking = asyncio.create_task(work)
            assert await asyncio.to_thread(begun.wait, 30)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await self.store.keys.find(self.key)  # before it is durable
            called.set()
            await unbroken.ended()

    async def spendable(self) -> int:
        """What calls may spend, which has to be what the database says."""
        free, _ = await self.store.ledger.free_nano("acme")
        ((balance,),) = await self.store.database.ask("SELECT balance_nano FROM accounts WHERE id = 'acme'")
        assert free == balance
        return free


@pytest.fixture
async def house(home: Home, tmp_path: Path) -> AsyncIterator[House]:
    store = Store(tmp_path, SystemClock(), home.url)
    house = House(store)
    await house.settle()
    yield house
    await store.close()


async def test_a_key_is_revoked_for_calls_too(house: House) -> None:
    await house.left(house.perform("keys.revoke", key=house.key_id))
    assert await house.store.keys.find(house.key) is None


@pytest.mark.parametrize(
    ("operation", "arguments", "left"),
    [
        ("credits.grant", {"usd": "2", "idempotency_key": "second"}, 3 * USD),
        ("credits.adjust", {"usd": "-0.5", "note": "a mistake", "idempotency_key": "third"}, USD // 2),
    ],
)
async def test_credits_can_be_spent_as_they_are(
    house: House, operation: str, arguments: dict[str, Any], left: int
) -> None:
    await house.left(house.perform(operation, account="acme", **arguments))
    assert await house.spendable() == left


async def test_a_budget_counts(house: House) -> None:
    scope = f"key:{house.key_id}"
    await house.left(house.perform("budgets.set", scope=scope, period="day", usd="1"))
    assert await house.store.ledger.counts([scope])


async def test_what_was_paid_can_be_spent_though_the_processor_hangs_up(house: House) -> None:
    now = house.store.clock.now_ms()
    payment = Payment(
        id="pay_1", account_id="acme", kind="checkout", processor="stripe", asked_cents=5000, fee_cents=0,
        made_by="ann", created_ms=now, changed_ms=now,
    )  # fmt: skip
    await house.store.payments.open(payment)
    event = Event(id="evt_1", told="paid", payment="pay_1", intent="pi_1", cents=5000, created_ms=now)
    await house.left(house.store.payments.take(event))
    assert await house.spendable() == 51 * USD


async def test_a_store_closes_behind_it(tmp_path: Path) -> None:
    store = Store(tmp_path, SystemClock())
    house = House(store)
    await house.settle()
    asking = asyncio.create_task(house.perform("keys.revoke", key=house.key_id))
    await asyncio.sleep(0)
    asking.cancel()
    await store.close()
    again = Store(tmp_path, SystemClock())
    assert (await again.database.ask("SELECT revoked_ms FROM keys"))[0][0] is not None
    await again.close()


def _claim(house: House) -> Coroutine[Any, Any, Any]:
    answers = call_answers(house.store.ledger.writer, house.store.clock, IdempotencySettings())
    assert answers is not None
    return answers.place("tv-a", "key", b"POST").claim()


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda house: house.perform("keys.revoke", key=house.key_id), id="change"),
        pytest.param(lambda house: house.store.ledger.expire("acme"), id="expiry"),
        pytest.param(_claim, id="claim"),
    ],
)
async def test_that_it_fails_behind_whoever_left_is_no_news(
    work: Callable[[House], Coroutine[Any, Any, Any]],
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Everybody whom a store that is away concerns is told so; nobody is left to be told here."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    left = threading.Event()

    def away() -> None:
        left.wait(10)
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(house.store.database, "transaction", away)
        asking = asyncio.create_task(work(house))
        while not house.store.ledger.writer.backlog:  # noqa: ASYNC110 # counted by the code under test
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        del asking
        left.set()
        with contextlib.suppress(StoreUnavailable):  # a claim that has failed by now leaves nothing to write
            await house.store.ledger.writer.flush()
        await unbroken.ended()
    await asyncio.sleep(0)
    gc.collect()
    assert "the store cannot be written" in caplog.text
    assert told == []


async def test_but_a_bug_is(caplog: pytest.LogCaptureFixture) -> None:
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def stumble() -> None:
        await waiting
        raise ZeroDivisionError

    asking = asyncio.create_task(unbroken.unbroken(stumble()))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking], timeout=30)
    waiting.set_result(None)
    await unbroken.ended()
    await asyncio.sleep(0)
    (logged,) = caplog.records
    assert (logged.levelname, logged.exc_info is not None) == ("ERROR", True)
