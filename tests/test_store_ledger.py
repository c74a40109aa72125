"""The ledger: holds before the call, one end after it, and balances that are always the sum of their entries.

Every test runs on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgspec
import psycopg
import pytest

from support_store import Home, rows
from support_wait import until
from trivium.clock import HOUR_MS, Clock
from trivium.errors import NotFound, OperationError, StoreUnavailable
from trivium.metering.prices import FREE, Quote
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.policy.spending import Budget, Period, Refusal
from trivium.store import ledger as ledger_module
from trivium.store import owners, usage
from trivium.store.accounts import Accounts, Correction
from trivium.store.calls import SPENT
from trivium.store.ledger import Ledger
from trivium.store.ops import Act
from trivium.store.posting import Entry, start_row, write_starts
from trivium.store.sql import Database, Row, Writing

USD = 10**9
NOW = 1_795_600_000_000
DAY = 86_400_000
_numbers = itertools.count(1)


class TestClock:
    """A clock that stands until it is told."""

    __test__ = False

    def __init__(self) -> None:
        self.ms = NOW
        self.ns = 0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ns(self) -> int:
        return self.ns

    def pass_ms(self, ms: int) -> None:
        self.ms += ms
        self.ns += ms * 1_000_000


def correction_of(id: str, account: str | None, before: float, after: float) -> Correction:
    """What a call cost, and what it does by a later price, in USD."""
    costs = {"before_nano": round(before * USD), "after_nano": round(after * USD)}
    return Correction(request_id=id, account_id=account, price_version="pr_2", **costs)


class House:
    """A ledger at work, and what an operator can do with it."""

    def __init__(self, database: Database, clock: Clock, owner: str = "run_1") -> None:
        self.database = database
        self.clock = clock
        self.ledger = Ledger(database, clock, owner)
        self.accounts = Accounts(database, self.ledger, clock)

    async def account(self, usd: float = 0, *, expires_ms: int | None = None) -> str:
        id: str = (await self.accounts.create("name", "organization"))["id"]
        if usd:
            await self.grant(id, usd, expires_ms=expires_ms)
        return id

    async def grant(self, account: str, usd: float, *, expires_ms: int | None = None, key: str | None = None) -> bool:
        return await self.accounts.credit(self.entry(account, usd, expires_ms=expires_ms, key=key))

    def entry(self, account: str, usd: float, *, expires_ms: int | None = None, key: str | None = None) -> Entry:
        return Entry(
            account_id=account,
            kind="grant",
            amount_nano=round(usd * USD),
            time_ms=self.clock.now_ms(),
            idempotency_key=key or f"key {next(_numbers)}",
            expires_ms=expires_ms,
        )

    async def budget(self, scope: str, usd: float, period: Period = "day") -> None:
        await self.accounts.set_budget(
            Budget(
                id=f"bud_{next(_numbers)}",
                scope=scope,
                period=period,
                limit_nano=round(usd * USD),
                created_ms=self.clock.now_ms(),
            )
        )

    async def start(self, account: str | None, usd: float, *, scopes: tuple[str, ...] = ()) -> str | Refusal:
        """The id of a call that may go on, or why it may not."""
        start = call(account, usd, scopes=scopes, time_ms=self.clock.now_ms())
        return await self.ledger.start(start) or start.id

    async def started(self, account: str | None, usd: float, *, scopes: tuple[str, ...] = ()) -> str:
        id = await self.start(account, usd, scopes=scopes)
        assert isinstance(id, str), id
        return id

    async def refused(self, account: str | None, usd: float, *, scopes: tuple[str, ...] = ()) -> Refusal:
        refusal = await self.start(account, usd, scopes=scopes)
        assert isinstance(refusal, Refusal)
        return refusal

    def end(self, id: str, account: str | None, usd: float = 0) -> None:
        self.ledger.end(outcome(id, account, round(usd * USD)))

    async def balance(self, account: str) -> tuple[float, float]:
        """What there is, and what of it is held, in USD."""
        (found,) = await self.accounts.accounts(account)
        return found["balance_nano"] / USD, found["held_nano"] / USD

    async def entries(self, account: str) -> list[tuple[str, float, str]]:
        found = await self.accounts.entries(account, 1000)
        return [(row["kind"], row["amount_nano"] / USD, row["flags"]) for row in reversed(found)]


def call(account: str | None, usd: float, *, scopes: tuple[str, ...] = (), time_ms: int = NOW) -> Start:
    return Start(
        id=f"req_{next(_numbers):012d}",
        time_ms=time_ms,
        api="chat_completions",
        key_id="key_1",
        account_id=account,
        scopes=scopes,
        payer="house",
        hold_nano=round(usd * USD),
        requested_model="m",
        provider="up",
        upstream_model="m",
        price_version=None,
    )


def outcome(id: str, account: str | None, cost_nano: int = 0, **more: Any) -> Record:
    return Record(
        id=id,
        time_ms=NOW,
        api="chat_completions",
        operation="generate",
        outcome="success",
        status=200,
        account_id=account,
        cost_nano=cost_nano,
        **more,
    )


def _fail() -> Any:
    raise StoreUnavailable("The store cannot be written.")


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def house(home: Home, clock: TestClock) -> AsyncIterator[House]:
    made = House(home.open(), clock)
    await made.ledger.load()
    yield made
    await made.ledger.writer.close()


class TestHolds:
    async def test_a_hold_outlives_its_gateway_when_the_call_may_go_on(self, house: House, home: Home) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.25)
        elsewhere = home.open()
        owners.take_in(elsewhere, NOW)
        assert rows(elsewhere, "SELECT hold_nano, ended FROM starts WHERE id = ?", id) == [(USD // 4, 0)]
        assert rows(elsewhere, "SELECT held_nano FROM accounts WHERE id = ?", account) == [(USD // 4,)]

    @pytest.mark.parametrize("writes_before_it_dies", [False, True])
    async def test_what_the_next_run_finds_in_the_log_it_takes_in_once(
        self, home: Home, clock: TestClock, tmp_path: Path, writes_before_it_dies: bool
    ) -> None:
        if home.url is not None:
            pytest.skip("the database has it at once")
        dying = House(home.open(), clock)
        await dying.ledger.load()
        await dying.budget("key:k", 1)
        account = await dying.account(1)
        ended, open_one = [await dying.started(account, 0.25, scopes=("key:k",)) for _ in range(2)]
        log = next(tmp_path.rglob("*-holds"))  # noqa: ASYNC240 # a test
        kept = log.read_bytes()
        dying.end(ended, account, 0.1)
        if writes_before_it_dies:
            await dying.ledger.writer.flush()
        dying.ledger.writer.stop()
        for _ in range(2):
            log.write_bytes(kept)
            after = House(home.open(), clock, "run_2")
            owners.take_in(after.database, clock.now_ms())
        (gone,) = await owners.gone(after.database, "run_2", clock.now_ms() + owners.SILENCE_MS)
        found = [orphan.start.id for orphan in await owners.orphans(after.database, gone)]
        held = rows(after.database, "SELECT held_nano FROM spends")
        if writes_before_it_dies:
            assert (found, held, await after.balance(account)) == ([open_one], [(USD // 4,)], (0.9, 0.25))
        else:
            assert (found, held, await after.balance(account)) == ([ended, open_one], [(USD // 2,)], (1, 0.5))

    async def test_what_the_system_alone_remembers_is_flushed_before_the_log_goes(
        self, home: Home, clock: TestClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dying = House(home.open(), clock)
        database = dying.database
        if database.log is None:
            pytest.skip("the database has it at once")
        await dying.ledger.load()
        start = call(None, 0.25)
        await dying.ledger.start(start)
        await dying.ledger.writer.flush()
        dying.ledger.writer.stop()
        with database.transaction() as tx:
            tx.execute("DELETE FROM owners")
        monkeypatch.setattr(database.log, "read", lambda: [start_row(start, "run_1", ())])
        owners.take_in(database, NOW)
        assert rows(database, "SELECT id FROM owners") == [("run_1",)], "nothing is flushed unless something is written"

    @pytest.mark.parametrize("other", [lambda row: row[:-1], lambda row: (*row, "later")], ids=["earlier", "later"])
    def test_what_another_version_left_in_the_log_is_taken_in(
        self, home: Home, other: Callable[[Row], Row], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = home.open()
        if database.log is None:
            pytest.skip("the database has it at once")
        row = start_row(call(None, 0.25), "run_1", (("bud_1", NOW),))
        monkeypatch.setattr(database.log, "read", lambda: [other(row)])
        owners.take_in(database, NOW)
        assert rows(database, "SELECT id, hold_nano, owner FROM starts") == [(row[0], USD // 4, "run_1")]
        assert rows(database, "SELECT held_nano FROM spends") == [(USD // 4,)]

    async def test_one_whose_account_is_not_here_ends_as_others_do(self, house: House) -> None:
        """As the log of another database leaves it beside a restored one."""
        start = call("acct_elsewhere", 0.25)
        with house.database.transaction() as tx:
            write_starts(tx, [start_row(start, "run_elsewhere", ())])
        await house.ledger.adopt(start, ())
        house.end(start.id, start.account_id, 0)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT ended FROM starts") == [(1,)]

    async def test_a_call_that_is_over_at_once_is_charged_what_it_cost_and_may_cost_more(self, house: House) -> None:
        await house.budget("key:k", 5)
        account = await house.account(2)
        for cost in (0.25, 1.25):
            house.end(await house.started(account, 0.25, scopes=("key:k",)), account, cost)
        assert await house.balance(account) == (0.5, 0)
        assert await house.entries(account) == [("grant", 2, ""), ("charge", -0.25, ""), ("charge", -1.25, "overrun")]
        assert rows(house.database, "SELECT spent_nano, held_nano FROM spends") == [(3 * USD // 2, 0)]
        assert rows(house.database, "SELECT hold_nano, ended FROM starts") == [(USD // 4, 1)] * 2

    async def test_a_record_that_nothing_can_say_ends_its_call_and_is_told_in_the_log(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        account = await house.account(1)
        id = await house.started(account, 1)
        house.ledger.end(outcome(id, account, USD // 4, error_message="cut \ud83d"))
        assert await house.balance(account) == (1, 0)
        assert "cut \\ud83d" in caplog.text
        assert await house.started(account, 1)

    async def test_what_cannot_be_recorded_does_not_begin(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        account = await house.account(1)
        with monkeypatch.context() as patched:
            patched.setattr(house.database, "transaction", _fail)
            house.end(await house.started(account, 0), account)
            with pytest.raises(StoreUnavailable):
                await house.ledger.writer.flush()
            with pytest.raises(StoreUnavailable):
                await house.started(account, 0.25)
        assert await house.started(account, 1)

    async def test_the_end_frees_what_was_held_and_charges_what_it_cost(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.25)
        house.end(id, account, 0.1)
        assert await house.balance(account) == (0.9, 0)
        assert await house.entries(account) == [("grant", 1, ""), ("charge", -0.1, "")]
        assert rows(house.database, "SELECT ended FROM starts") == [(1,)]
        assert rows(house.database, "SELECT id, cost_nano FROM records") == [(id, USD // 10)]

    @pytest.fixture
    def forgetful(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        """No account stays in memory for its own sake."""
        if home.url is not None:
            pytest.skip("nothing stays in memory where several gateways write")
        monkeypatch.setattr(ledger_module, "_REMEMBERED", 0)

    @pytest.mark.usefixtures("forgetful")
    async def test_an_account_that_is_let_go_of_while_a_call_of_it_waits_is_one_account_all_the_same(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = await house.account(1)
        await house.budget("key:key_1", 5)
        house.end(await house.started(account, 0), account)
        ask, asked, told = house.database.ask, asyncio.Event(), asyncio.Event()

        async def slowly(statement: str, values: Sequence[Any] = ()) -> list[Row]:
            if statement == SPENT:
                asked.set()
                await told.wait()
            return await ask(statement, values)

        monkeypatch.setattr(house.database, "ask", slowly)
        waiting = asyncio.create_task(house.start(account, 0.8, scopes=("key:key_1",)))
        await asyncio.wait_for(asked.wait(), 30)
        await house.ledger.forget_idle()
        another = asyncio.create_task(house.start(account, 0.8))
        await asyncio.sleep(0)
        told.set()
        found = await asyncio.gather(waiting, another)
        assert [type(one) for one in found].count(Refusal) == 1
        assert await house.balance(account) == (1, 0.8)

    @pytest.mark.usefixtures("forgetful")
    async def test_an_account_is_not_let_go_of_while_a_call_of_it_goes_on(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0)
        await house.ledger.forget_idle()
        await house.started(account, 0)
        house.end(id, account, 0.4)
        assert (await house.refused(account, 0.8)).free == round(0.6 * USD)

    async def test_no_hold_is_there_without_its_owner_though_the_first_could_not_be_written(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = await house.account(1)
        real = house.database.transaction

        @contextlib.contextmanager
        def undone() -> Iterator[Writing]:
            with real() as tx:
                yield tx
                _fail()

        with monkeypatch.context() as patched, pytest.raises(StoreUnavailable):
            patched.setattr(house.database, "transaction", undone)
            if house.database.log is not None:
                patched.setattr(house.database.log, "keep", lambda _: False)
            await house.started(account, 0.25)
        await house.accounts.credit(house.entry(account, 1))
        id = await house.started(account, 0.25)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT count(*) FROM owners WHERE id = 'run_1' AND since <= ?", id) == [(1,)]

    async def test_no_hold_is_there_without_the_price_that_it_names(
        self, house: House, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = await house.account(1)
        house.ledger.priced(Quote(price=FREE, version="pr_1", source="config", provider="up", model="m"))
        named = msgspec.structs.replace(call(account, 0.25), price_version="pr_1")
        with monkeypatch.context() as patched, pytest.raises(StoreUnavailable):
            patched.setattr(house.database, "transaction", _fail)
            await house.ledger.start(named)
        await house.ledger.start(msgspec.structs.replace(named, id="req_again"))
        assert rows(home.open(), "SELECT version FROM prices") == [("pr_1",)]

    async def test_a_call_that_moves_brings_the_price_that_it_names_now(self, house: House) -> None:
        """A gateway that dies after it leaves nothing that names a price which is not there."""
        id = await house.started(await house.account(1), 0.25)
        house.ledger.priced(Quote(price=FREE, version="pr_2", source="config", provider="b", model="two"))
        house.ledger.moved(id, "b", "two", "pr_2", "house", None)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT provider, price_version FROM starts") == [("b", "pr_2")]
        assert rows(house.database, "SELECT version FROM prices") == [("pr_2",)]

    async def test_a_call_that_is_over_before_its_start_was_written_is_written_whole(self, house: House) -> None:
        account = await house.account(1)
        await house.budget("key:key_1", 5)
        id = await house.started(account, 0, scopes=("key:key_1",))
        house.end(id, account, 0.1)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT id, ended, account_id FROM starts") == [(id, 1, account)]
        assert rows(house.database, "SELECT id, cost_nano FROM records") == [(id, USD // 10)]
        assert rows(house.database, "SELECT spent_nano, held_nano FROM spends") == [(USD // 10, 0)]
        assert await house.entries(account) == [("grant", 1, ""), ("charge", -0.1, "overrun")]
        assert await house.balance(account) == (0.9, 0)

    @pytest.mark.parametrize("charged", [True, False])
    async def test_a_brief_call_is_counted_once_though_nobody_knows_whether_it_was_written(
        self, house: House, monkeypatch: pytest.MonkeyPatch, charged: bool
    ) -> None:
        account = await house.account(1) if charged else None
        await house.budget("key:key_1", 5)
        real = house.database.transaction

        @contextlib.contextmanager
        def silenced() -> Iterator[Writing]:
            """Commits, and says that it could not."""
            with real() as tx:
                yield tx
            monkeypatch.setattr(house.database, "transaction", real)
            _fail()

        id = await house.started(account, 0, scopes=("key:key_1",))
        house.end(id, account, 0.1)
        monkeypatch.setattr(house.database, "transaction", silenced)
        with pytest.raises(StoreUnavailable):
            await house.ledger.writer.flush()
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT id, ended FROM starts") == [(id, 1)]
        assert rows(house.database, "SELECT spent_nano, held_nano FROM spends") == [(USD // 10, 0)]
        assert rows(house.database, "SELECT requests, cost_nano FROM usage_hours") == [(1, USD // 10)]
        charges = rows(house.database, "SELECT amount_nano FROM entries WHERE kind = 'charge'")
        assert charges == ([(-USD // 10,)] if charged else [])

    async def test_a_call_that_came_to_nothing_leaves_no_entry(self, house: House) -> None:
        account = await house.account(1)
        house.end(await house.started(account, 1), account)
        assert await house.balance(account) == (1, 0)
        assert await house.entries(account) == [("grant", 1, "")]

    async def test_what_an_end_frees_is_there_for_the_very_next_call(self, house: House) -> None:
        account = await house.account(1)
        for _ in range(20):
            house.end(await house.started(account, 1), account)

    async def test_a_refusal_says_what_was_needed_and_what_is_there(self, house: House) -> None:
        account = await house.account(1)
        await house.started(account, 0.75)
        refusal = await house.refused(account, 0.5)
        assert (refusal.needed, refusal.free, refusal.held) == (USD // 2, USD // 4, 3 * USD // 4)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT count(*) FROM starts") == [(1,)]

    async def test_a_thousand_at_once_get_exactly_what_there_is(self, house: House) -> None:
        account = await house.account(1)
        answers = await asyncio.gather(*(house.start(account, 0.01) for _ in range(1000)))
        admitted = [answer for answer in answers if isinstance(answer, str)]
        assert len(admitted) == 100
        assert await house.balance(account) == (1, 1)
        for id in admitted:
            house.end(id, account, 0.01)
        assert await house.balance(account) == (0, 0)

    async def test_a_cost_beyond_the_hold_is_charged_and_flagged(self, house: House) -> None:
        account = await house.account(1)
        house.end(await house.started(account, 0.5), account, 1.5)
        assert await house.balance(account) == (-0.5, 0)
        assert (await house.entries(account))[-1] == ("charge", -1.5, "overrun")
        refusal = await house.refused(account, 0.01)
        assert refusal.free == -USD // 2

    async def test_a_call_without_a_hold_is_not_waited_for_and_ends_all_the_same(self, house: House) -> None:
        id = await house.started(None, 0)
        house.end(id, None)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT id, ended FROM starts") == [(id, 1)]

    async def test_a_client_that_leaves_while_its_hold_is_written_holds_nothing(self, house: House) -> None:
        account = await house.account(1)
        start = call(account, 0.5)
        task = asyncio.create_task(house.ledger.start(start))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        house.ledger.end(outcome(start.id, account))
        assert await house.balance(account) == (1, 0)
        assert rows(house.database, "SELECT count(*) FROM starts WHERE ended = 0") == [(0,)]

    async def test_what_an_end_frees_is_free_at_once_whatever_waits_for_a_transaction_of_its_own(
        self, house: House
    ) -> None:
        account = await house.account(1)
        first = await house.started(account, 1)
        house.ledger.writer.add(Act(lambda tx: None, urgent=False, alone=True))
        house.end(first, account)
        house.end(await house.started(account, 1), account)
        assert await house.balance(account) == (1, 0)

    async def test_a_call_that_there_is_no_memory_for_holds_nothing(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = await house.account(1)
        with monkeypatch.context() as patched, pytest.raises(MemoryError):
            patched.setattr(ledger_module, "OpenCall", Mock(side_effect=MemoryError))
            await house.start(account, 1)
        assert await house.ledger.free_nano(account) == (USD, 0)

    async def test_an_account_that_is_not_there_is_no_account_with_nothing(self, house: House) -> None:
        if house.database.shared:
            refusal = await house.refused("acct_gone", 0.1)
            assert refusal.free == 0
        else:
            with pytest.raises(StoreUnavailable, match="account"):
                await house.start("acct_gone", 0.1)

    async def test_a_record_that_is_handed_over_twice_is_charged_once(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        for _ in range(3):
            house.end(id, account, 0.5)
            await asyncio.sleep(0.005)
        assert await house.balance(account) == (0.5, 0)
        assert rows(house.database, "SELECT count(*), sum(requests) FROM records") == [(1, 1)]
        assert rows(house.database, "SELECT sum(requests), sum(cost_nano) FROM usage_hours") == [(1, USD // 2)]


class TestBudgets:
    async def test_a_budget_counts_what_is_spent_and_what_is_held(self, house: House) -> None:
        await house.budget("key:k", 1)
        house.end(await house.started(None, 0.5, scopes=("key:k",)), None, 0.4)
        await house.started(None, 0.5, scopes=("key:k",))
        refusal = await house.refused(None, 0.2, scopes=("key:k",))
        assert refusal.budget is not None
        assert (refusal.budget.scope, refusal.free, refusal.held) == ("key:k", USD // 10, USD // 2)
        assert await house.ledger.lacks(USD // 5, None, ("key:k",), NOW) == refusal
        assert await house.ledger.lacks(USD // 10, None, ("key:k",), NOW) is None
        assert await house.started(None, 0.1, scopes=("key:k",))

    async def test_what_was_held_for_a_call_is_held_no_more_once_it_is_spent(self, house: House) -> None:
        await house.budget("key:k", 1)
        id = await house.started(None, 0.5, scopes=("key:k",))
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT spent_nano, held_nano FROM spends") == [(0, USD // 2)]
        house.end(id, None, 0.25)
        await house.ledger.writer.flush()
        assert rows(house.database, "SELECT spent_nano, held_nano FROM spends") == [(USD // 4, 0)]

    async def test_the_narrowest_of_several_decides_and_the_balance_is_left_alone(self, house: House) -> None:
        account = await house.account(10)
        await house.budget("key:k", 5)
        await house.budget("user:u", 1, "month")
        refusal = await house.refused(account, 2, scopes=("key:k", "user:u"))
        assert refusal.budget is not None
        assert refusal.budget.scope == "user:u"
        assert await house.ledger.lacks(2 * USD, account, ("key:k", "user:u"), NOW) == refusal
        assert await house.ledger.lacks(11 * USD, account, ("key:k",), NOW) == await house.refused(account, 11)
        assert await house.balance(account) == (10, 0)
        assert await house.started(account, 2, scopes=("key:k",))

    async def test_a_new_day_is_a_new_budget(self, house: House, clock: TestClock) -> None:
        await house.budget("key:k", 1)
        house.end(await house.started(None, 1, scopes=("key:k",)), None, 1)
        await house.refused(None, 1, scopes=("key:k",))
        clock.pass_ms(DAY)
        assert await house.started(None, 1, scopes=("key:k",))

    async def test_a_budget_of_nothing_allows_what_costs_nothing(self, house: House) -> None:
        await house.budget("key:k", 0)
        await house.refused(None, 0.000000001, scopes=("key:k",))
        assert await house.started(None, 0, scopes=("key:k",))

    async def test_a_thousand_at_once_get_exactly_what_there_is(self, house: House) -> None:
        await house.budget("key:k", 1)
        answers = await asyncio.gather(*(house.start(None, 0.01, scopes=("key:k",)) for _ in range(1000)))
        assert sum(isinstance(answer, str) for answer in answers) == 100

    async def test_a_budget_that_was_removed_refuses_no_more(self, house: House) -> None:
        await house.budget("key:k", 0)
        ((id,),) = rows(house.database, "SELECT id FROM budgets")
        await house.accounts.end_budget(id)
        assert await house.started(None, 1, scopes=("key:k",))
        with pytest.raises(OperationError, match="no budget"):
            await house.accounts.end_budget(id)

    async def test_a_budget_takes_the_place_of_the_one_before(self, house: House) -> None:
        await house.budget("key:k", 0)
        await house.budget("key:k", 1)
        assert await house.started(None, 1, scopes=("key:k",))
        assert [row["limit_nano"] for row in await house.accounts.budgets()] == [USD]

    async def test_a_period_that_a_clock_far_ahead_began_hides_none_of_now(
        self, house: House, clock: TestClock
    ) -> None:
        await house.budget("key:k", 1)
        house.end(await house.started(None, 0.5, scopes=("key:k",)), None, 0.5)
        clock.ms += 400 * DAY
        house.end(await house.started(None, 1, scopes=("key:k",)), None, 1)
        clock.ms = NOW
        (told,) = await house.accounts.budgets()
        assert (told["window_ms"], told["spent_nano"]) == (NOW - NOW % DAY, 0.5 * USD)

    async def test_a_budget_that_is_removed_and_set_again_counts_on(self, house: House) -> None:
        await house.budget("key:k", 1)
        house.end(await house.started(None, 1, scopes=("key:k",)), None, 1)
        ((id,),) = rows(house.database, "SELECT id FROM budgets")
        await house.accounts.end_budget(id)
        await house.budget("key:k", 2)
        assert [(row["id"], row["spent_nano"]) for row in await house.accounts.budgets()] == [(id, USD)]
        assert (await house.refused(None, 1.5, scopes=("key:k",))).free == USD
        assert await house.started(None, 1, scopes=("key:k",))

    async def test_what_the_house_has_set_others_lower_and_take_back_up_to_that(self, house: House) -> None:
        async def limited(usd: int, *, by_house: bool) -> None:
            said = Budget(id=f"bud_{usd}", scope="key:k", period="day", limit_nano=usd * USD, created_ms=NOW)
            await house.accounts.set_budget(said, house=by_house)

        for most in (4, 8):
            await limited(most, by_house=True)
            for usd in (2, most):
                await limited(usd, by_house=False)
                assert [row["limit_nano"] for row in await house.accounts.budgets()] == [usd * USD]
            with pytest.raises(OperationError, match=f"set this budget to {most} USD"):
                await limited(most + 1, by_house=False)

    async def test_of_several_budgets_of_one_period_the_next_that_is_set_leaves_one(self, house: House) -> None:
        with house.database.transaction() as tx:
            twins = [(f"bud_{n}", "key:k", "day", n, n) for n in range(2)]
            tx.executemany(
                "INSERT INTO budgets (id, scope, period, limit_nano, created_ms) VALUES (?, ?, ?, ?, ?)", twins
            )
        await house.budget("key:k", 1)
        assert [(row["id"], row["limit_nano"]) for row in await house.accounts.budgets()] == [("bud_0", USD)]
        told = "SELECT action, target FROM changes WHERE action LIKE 'budgets.%' ORDER BY seq"
        assert rows(house.database, told) == [("budgets.set", "bud_0"), ("budgets.remove", "bud_1")]
        assert await house.started(None, 1, scopes=("key:k",))


class TestCredits:
    async def test_what_expires_first_is_used_first(self, house: House, clock: TestClock) -> None:
        account = await house.account(5)
        await house.grant(account, 1, expires_ms=NOW + 2 * DAY)
        await house.grant(account, 1, expires_ms=NOW + DAY)
        house.end(await house.started(account, 1.5), account, 1.5)
        await house.ledger.writer.flush()
        left = rows(house.database, "SELECT expires_ms, remaining_nano FROM lots ORDER BY expires_ms")
        assert left == [(NOW + DAY, 0), (NOW + 2 * DAY, USD // 2)]
        clock.pass_ms(3 * DAY)
        await house.ledger.expire(account)
        assert (await house.entries(account))[-1] == ("expiry", -0.5, "")
        assert await house.balance(account) == (5, 0)

    async def test_credits_whose_time_is_over_admit_nobody(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        await house.started(account, 0.25)
        clock.pass_ms(DAY)
        refusal = await house.refused(account, 0.5)
        assert refusal.free == 0
        assert (await house.entries(account))[-1] == ("expiry", -0.75, "")

    async def test_what_a_call_holds_outlives_its_day_until_the_call_ends(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        id = await house.started(account, 0.25)
        clock.pass_ms(DAY)
        await house.ledger.expire(account)
        house.end(id, account, 0.125)
        assert await house.balance(account) == (0.125, 0)
        clock.pass_ms(2000)
        await house.refused(account, 0.01)
        assert await house.balance(account) == (0, 0)
        assert [kind for kind, _, _ in await house.entries(account)] == ["grant", "expiry", "charge", "expiry"]

    async def test_of_credits_that_expire_together_what_is_held_stays(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        await house.grant(account, 1, expires_ms=NOW + DAY)
        await house.started(account, 1.5)
        clock.pass_ms(DAY)
        await house.ledger.expire(account)
        assert await house.balance(account) == (1.5, 1.5)
        assert (await house.entries(account))[2:] == [("expiry", -0.5, "")]

    async def test_credits_that_come_while_calls_are_made_expire_as_others_do(
        self, house: House, clock: TestClock
    ) -> None:
        account = await house.account(1)
        house.end(await house.started(account, 1), account, 1)
        for days in (1, 2):
            await house.grant(account, 1, expires_ms=NOW + days * DAY)
        clock.pass_ms(DAY)
        assert (await house.refused(account, 2)).free == USD

    async def test_of_several_credits_each_has_its_own_day(self, house: House, clock: TestClock) -> None:
        account = await house.account()
        for days in (3, 1, 2):
            await house.grant(account, 1, expires_ms=NOW + days * DAY)
        for left in (2, 1, 0):
            clock.pass_ms(DAY)
            assert (await house.refused(account, 3)).free == left * USD

    async def test_credits_expire_once(self, house: House, clock: TestClock) -> None:
        account = await house.account(5)
        await house.grant(account, 1, expires_ms=NOW + DAY)
        clock.pass_ms(DAY)
        for _ in range(2):
            await house.ledger.expire(account)
        assert await house.balance(account) == (5, 0)
        assert [kind for kind, _, _ in await house.entries(account)] == ["grant", "grant", "expiry"]

    async def test_a_call_over_its_day_is_paid_with_what_expires_whoever_looks_meanwhile(
        self, house: House, clock: TestClock
    ) -> None:
        quiet, busy = await house.account(3), await house.account(3)
        for account in (quiet, busy):
            await house.grant(account, 0.0625, expires_ms=NOW + DAY)
        calls = {account: await house.started(account, 0.125) for account in (quiet, busy)}
        clock.pass_ms(DAY)
        house.end(await house.started(busy, 0.125), busy)
        for account, id in calls.items():
            house.end(id, account, 0.03125)
        clock.pass_ms(2000)
        for account in (quiet, busy):
            await house.ledger.expire(account)
            assert await house.balance(account) == (3, 0)
            assert (await house.entries(account))[-2:] == [("charge", -0.03125, ""), ("expiry", -0.03125, "")]

    async def test_what_a_call_keeps_of_expired_credits_admits_no_other(self, house: House, clock: TestClock) -> None:
        account = await house.account(1)
        await house.grant(account, 0.5, expires_ms=NOW + DAY)
        id = await house.started(account, 0.25)
        clock.pass_ms(DAY)
        assert (await house.refused(account, 1.125)).free == USD
        other = await house.started(account, 1)
        for ended in (id, other):
            house.end(ended, account, 0.125)
        await house.ledger.expire(account)
        assert await house.balance(account) == (1, 0)

    async def test_nor_does_what_a_call_kept_that_has_ended_while_others_hold(
        self, house: House, clock: TestClock
    ) -> None:
        account = await house.account(0.75)
        await house.grant(account, 0.5, expires_ms=NOW + DAY)
        one = await house.started(account, 0.25)
        clock.pass_ms(DAY)
        await house.ledger.expire(account)
        other = await house.started(account, 0.75)
        house.end(one, account, 0)
        assert (await house.refused(account, 0.25)).free == 0
        house.end(other, account, 0.75)
        await house.ledger.expire(account)
        assert await house.balance(account) == (0, 0)

    async def test_calls_that_follow_each_other_use_up_no_expired_credits(self, house: House, clock: TestClock) -> None:
        account = await house.account()
        await house.grant(account, 1, expires_ms=NOW + DAY)
        going = [await house.started(account, 0.125) for _ in range(4)]
        clock.pass_ms(DAY)
        for id in going:
            await house.refused(account, 0.125)
            house.end(id, account, 0)
            clock.pass_ms(1)
        assert (await house.refused(account, 0.125)).free == 0

    async def test_many_calls_at_the_moment_of_expiry_all_see_it(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        await house.grant(account, 0.5)
        await house.started(account, 0.01)
        clock.pass_ms(DAY)
        answers = await asyncio.gather(*(house.start(account, 0.01) for _ in range(100)))
        assert sum(isinstance(answer, str) for answer in answers) == 50

    async def test_they_are_told_as_gone_from_the_very_moment_on(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        for ms, gone in ((DAY - 1, 0), (1, USD)):
            clock.pass_ms(ms)
            (told,) = await house.accounts.accounts(account)
            assert told["expired_nano"] == gone

    async def test_a_clock_that_is_set_forward_expires_nothing(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        clock.ms += 400 * DAY
        id = await house.started(account, 1)
        (told,) = await house.accounts.accounts(account)
        assert told["expired_nano"] == 0
        house.end(id, account, 0)

    async def test_it_is_believed_once_it_has_been_so_for_an_hour(self, house: House, clock: TestClock) -> None:
        account = await house.account(1, expires_ms=NOW + DAY)
        clock.ms += 2 * DAY
        house.end(await house.started(account, 1), account, 0)
        clock.pass_ms(HOUR_MS)
        await house.refused(account, 1)

    async def test_new_credits_first_cover_what_is_owed(self, house: House, clock: TestClock) -> None:
        account = await house.account(1)
        house.end(await house.started(account, 1), account, 1.5)
        await house.grant(account, 2, expires_ms=NOW + DAY)
        assert rows(house.database, "SELECT remaining_nano FROM lots") == [(3 * USD // 2,)]
        clock.pass_ms(DAY)
        await house.ledger.expire(account)
        assert await house.balance(account) == (0, 0)

    async def test_the_same_credit_under_the_same_key_is_given_once(self, house: House) -> None:
        account = await house.account()
        assert await house.grant(account, 5, key="payment 1")
        assert not await house.grant(account, 5, key="payment 1")
        assert await house.balance(account) == (5, 0)
        with pytest.raises(OperationError, match="used for another"):
            await house.grant(account, 6, key="payment 1")
        other = await house.account()
        with pytest.raises(OperationError, match="used for another"):
            await house.grant(other, 5, key="payment 1")

    async def test_duplicates_at_once_are_given_once(self, house: House) -> None:
        account = await house.account()
        made = await asyncio.gather(*(house.grant(account, 5, key="payment 1") for _ in range(20)))
        assert sum(made) == 1
        assert await house.balance(account) == (5, 0)

    async def test_credits_count_once_for_a_first_call_that_comes_as_they_are_written(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = await house.account()
        begun, written, transaction = threading.Event(), threading.Event(), house.database.transaction

        @contextlib.contextmanager
        def told() -> Iterator[Writing]:
            begun.set()
            with transaction() as tx:
                yield tx
            written.set()

        monkeypatch.setattr(house.database, "transaction", told)
        granting = asyncio.create_task(house.grant(account, 1))
        while not begun.is_set():  # noqa: ASYNC110 # a thread sets it
            await asyncio.sleep(0)
        written.wait(30)
        await house.started(account, 0.25)
        await granting
        assert (await house.refused(account, 1)).free == 0.75 * USD

    async def test_credits_count_for_calls_at_once(self, house: House) -> None:
        account = await house.account(0.1)
        await house.refused(account, 1)
        await house.grant(account, 1)
        assert await house.started(account, 1)

    @pytest.mark.parametrize("usd", [0.0, 2e8, -2e8])
    async def test_amounts_that_are_none_are_refused(self, house: House, usd: float) -> None:
        account = await house.account()
        with pytest.raises(OperationError, match="amount"):
            await house.grant(account, usd)

    async def test_credits_for_nobody_or_of_yesterday_are_refused(self, house: House) -> None:
        with pytest.raises(OperationError, match="no account"):
            await house.grant("acct_gone", 1)
        with pytest.raises(OperationError, match="expired"):
            await house.grant(await house.account(), 1, expires_ms=NOW)


class TestWhatTheDatabaseDoesNotTake:
    async def test_a_call_ends_and_frees_its_hold_all_the_same(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        await house.budget("key:key_1", 1)
        account = await house.account(1)
        id = await house.started(account, 0.75, scopes=("key:key_1",))
        house.ledger.end(outcome(id, account, 10**20, hold_nano=3 * USD // 4))
        await house.ledger.writer.flush()
        assert await house.balance(account) == (1, 0)
        assert await house.started(account, 1, scopes=("key:key_1",))
        (row,) = rows(house.database, f"SELECT cost_nano, hold_nano, flags FROM records WHERE id = '{id}'")
        assert row == (0, 3 * USD // 4, "unstorable")
        assert '"cost_nano":100000000000000000000' in caplog.text

    async def test_further_sums_that_cannot_be_made_cost_no_record(
        self, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        counted: list[str] = []

        def count(_: object, records: Sequence[Record]) -> None:
            if any(one.cost_nano == USD // 2 for one in records):
                raise OverflowError("too much")
            counted.extend(one.id for one in records)

        monkeypatch.setattr(house.ledger, "_also", count)
        account = await house.account(2)
        odd, plain = [await house.started(account, 0.75) for _ in range(2)]
        house.end(odd, account, 0.5)
        house.end(plain, account, 0.25)
        await house.ledger.writer.flush()
        assert await house.balance(account) == (1.25, 0)
        found = rows(house.database, "SELECT id, cost_nano, flags FROM records")
        assert sorted(found) == sorted([(odd, USD // 2, ""), (plain, USD // 4, "")])
        assert plain in counted and odd not in counted
        assert "record not stored" not in caplog.text


class TestCorrections:
    async def test_a_refund_gives_back_no_more_than_was_charged(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        await house.accounts.refund(id, USD // 5, "sorry")
        assert await house.balance(account) == (0.7, 0)
        with pytest.raises(OperationError, match=r"0\.3 USD"):
            await house.accounts.refund(id, USD // 2, None)
        await house.accounts.refund(id, None, None)
        assert await house.balance(account) == (1, 0)
        with pytest.raises(OperationError, match="nothing to refund"):
            await house.accounts.refund(id, None, None)
        with pytest.raises(NotFound, match="no request 'req_gone'"):
            await house.accounts.refund("req_gone", None, None)

    async def test_a_new_price_is_booked_once_for_each_request(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        correction = correction_of(id, account, 0.5, 0.1)
        assert await house.accounts.correct([correction, correction]) == 1
        assert await house.accounts.correct([correction]) == 0
        assert await house.balance(account) == (0.9, 0)
        assert (await house.entries(account))[-1] == ("adjustment", 0.4, "")
        again = msgspec.structs.replace(correction, before_nano=USD // 10, after_nano=USD // 5)
        assert await house.accounts.correct([again]) == 1
        assert await house.balance(account) == (0.8, 0)

    async def test_the_very_next_call_finds_what_a_correction_has_left(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        for before, after, free in ((0.5, 0.75, 0.25), (0.75, 0.125, 0.875)):
            correction = correction_of(id, account, before, after)
            assert await house.accounts.correct([correction]) == 1
            assert (await house.refused(account, 1)).free == free * USD

    async def test_a_refund_that_is_asked_for_twice_can_be_spent_once(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 1)
        house.end(id, account, 1)
        for made in (True, False):
            assert (await house.accounts.refund(id, None, None, key="once"))[1] is made
        assert (await house.refused(account, 2)).free == USD

    async def test_a_dearer_price_may_overdraw_an_account_and_says_so(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        await house.started(account, 0.3)
        dearer = correction_of(id, account, 0.5, 1)
        assert await house.accounts.correct([dearer]) == 1
        assert await house.balance(account) == (0, 0.3)
        assert (await house.entries(account))[-1] == ("adjustment", -0.5, "overrun")

    async def test_what_is_not_known_any_more_is_not_corrected(self, house: House) -> None:
        """Its budgets and its sums could not be found: money and usage would tell different things."""
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        await house.ledger.writer.flush()
        await house.ledger.writer.run(lambda tx: tx.execute("DELETE FROM records WHERE id = ?", (id,)))
        dearer = correction_of(id, account, 0.5, 1)
        assert await house.accounts.correct([dearer]) == 0
        assert await house.balance(account) == (0.5, 0)
        assert rows(house.database, "SELECT 1 FROM rerates") == []

    async def test_usage_tells_what_calls_cost_by_now(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        corrected = correction_of(id, account, 0.5, 0.1)
        await house.accounts.correct([corrected])
        spans: list[dict[str, Any]] = [
            {},
            {"since_ms": house.clock.now_ms() - 1000, "until_ms": house.clock.now_ms() + 1000},
        ]
        for span in spans:
            (row,) = usage.usage(house.database, usage.UsageQuery(by=("account",), **span))
            assert (row["account"], row["requests"], row["cost_nano"]) == (account, 1, USD // 10)

    async def test_what_was_refunded_is_not_given_back_once_more(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        await house.accounts.refund(id, 2 * USD // 5, None)
        cheaper = correction_of(id, account, 0.5, 0)
        assert await house.accounts.correct([cheaper]) == 1
        assert await house.balance(account) == (1, 0)
        assert (await house.entries(account))[-1] == ("adjustment", 0.1, "")

    async def test_a_refund_counts_once_whatever_later_prices_say(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0.5)
        house.end(id, account, 0.5)
        await house.accounts.refund(id, 2 * USD // 5, None)
        for before, after, balance in ((0.5, 0.25, 1), (0.25, 0.5, 0.9), (0.5, 0.1, 1), (0.1, 0.6, 0.8)):
            correction = correction_of(id, account, before, after)
            assert await house.accounts.correct([correction]) == 1
            assert await house.accounts.correct([correction]) == 0
            assert await house.balance(account) == (balance, 0)
            (row,) = await asyncio.to_thread(usage.usage, house.database, usage.UsageQuery(by=("account",)))
            assert row["cost_nano"] == round(after * USD)  # refunds do not change what calls cost

    async def test_what_cost_nothing_at_first_can_be_refunded_once_it_did(self, house: House) -> None:
        account = await house.account(1)
        id = await house.started(account, 0)
        house.end(id, account, 0)
        correction = correction_of(id, account, 0, 0.5)
        assert await house.accounts.correct([correction]) == 1
        assert (await house.accounts.refund(id, None, None))[0].amount_nano == USD // 2
        assert await house.balance(account) == (1, 0)

    async def test_a_correction_takes_no_credits_that_have_expired(self, house: House, clock: TestClock) -> None:
        account = await house.account()
        await house.grant(account, 5, expires_ms=clock.now_ms() + 1000)
        id = await house.started(account, 1)
        house.end(id, account, 1)
        await house.ledger.writer.flush()
        clock.ms += 2000
        clock.ns += 2000 * 10**6
        correction = correction_of(id, account, 1, 3)
        assert await house.accounts.correct([correction]) == 1
        assert (await house.entries(account))[-2:] == [("expiry", -4, ""), ("adjustment", -2, "overrun")]

    async def test_corrections_that_take_nothing_keep_nobody_waiting(self, house: House) -> None:
        account = await house.account(2)
        id = await house.started(account, 1)
        house.end(id, account, 1)
        await house.accounts.refund(id, None, None)
        dearer = correction_of(id, account, 0.5, 1)
        cheaper = msgspec.structs.replace(dearer, before_nano=USD, after_nano=USD // 2)
        for one in (cheaper, dearer):
            correcting = asyncio.create_task(house.accounts.correct([one]))
            while not correcting.done():
                house.end(await house.started(account, 1.5), account)
            assert await correcting == 1

    async def test_budgets_follow_a_correction(self, house: House) -> None:
        await house.budget("key:k", 1)
        id = await house.started(None, 1, scopes=("key:k",))
        house.end(id, None, 1)
        await house.ledger.writer.flush()
        await house.refused(None, 0.5, scopes=("key:k",))
        correction = correction_of(id, None, 1, 0.5)
        assert await house.accounts.correct([correction]) == 1
        assert await house.started(None, 0.5, scopes=("key:k",))


class TestAfterACrash:
    async def test_the_next_run_finds_what_was_left_open_and_ends_it(self, home: Home, clock: TestClock) -> None:
        before = House(home.open(), clock)
        await before.ledger.load()
        await before.budget("key:k", 1)
        account = await before.account(1)
        id = await before.started(account, 0.75, scopes=("key:k",))
        before.ledger.seen(id, "gen-1")
        await before.ledger.writer.flush()
        await before.ledger.writer.close()

        after = House(home.open(), clock, "run_2")
        await after.ledger.load()
        await after.refused(account, 0.5)
        (gone,) = await owners.gone(after.database, "run_2", clock.now_ms() + owners.SILENCE_MS)
        (orphan,) = await owners.orphans(after.database, gone)
        assert (orphan.start.id, orphan.start.hold_nano, orphan.upstream_id) == (id, 3 * USD // 4, "gen-1")
        await after.ledger.adopt(orphan.start, orphan.windows)
        after.end(id, account)
        assert await after.balance(account) == (1, 0)
        assert await after.started(account, 1, scopes=("key:k",))
        assert await owners.orphans(after.database, gone) == []
        await after.ledger.writer.run(lambda tx: owners.bury(tx, gone, 2**62))
        assert await owners.gone(after.database, "run_2", clock.now_ms() + owners.SILENCE_MS) == []
        await after.ledger.writer.close()

    async def test_what_was_left_open_keeps_its_credits_beyond_their_day(self, home: Home, clock: TestClock) -> None:
        before = House(home.open(), clock)
        await before.ledger.load()
        account = await before.account(1, expires_ms=NOW + DAY)
        await before.started(account, 0.25)
        await before.ledger.writer.flush()
        await before.ledger.writer.close()

        after = House(home.open(), clock, "run_2")
        await after.ledger.load()
        await after.started(account, 0.5)
        clock.pass_ms(DAY)
        await after.ledger.expire(account)
        assert await after.balance(account) == (0.75, 0.75)
        await after.ledger.writer.close()

    async def test_what_a_living_gateway_has_open_is_no_orphan(self, home: Home, clock: TestClock) -> None:
        here = House(home.open(), clock)
        await here.ledger.load()
        await here.ledger.is_here()
        await here.started(await here.account(1), 0.5)
        await here.ledger.writer.flush()
        other = home.open()
        found = await owners.gone(other, "run_2", NOW + owners.SILENCE_MS - 1)
        assert len(found) == (0 if other.shared else 1)
        (gone,) = await owners.gone(other, "run_2", NOW + owners.SILENCE_MS)
        assert len(await owners.orphans(other, gone)) == 1
        await here.ledger.writer.close()

    async def test_starts_from_before_the_oldest_open_one_are_not_looked_through(self, house: House) -> None:
        account = await house.account(1)
        first, second, third = [await house.started(account, 0.1) for _ in range(3)]
        assert await since(house) == first
        house.end(first, account)
        await house.ledger.is_here()
        assert await since(house) == second
        house.end(second, account)
        house.end(third, account)
        await house.ledger.is_here()
        assert await since(house) > third

    async def test_a_clock_that_is_set_back_hides_no_start(self, house: House) -> None:
        await house.ledger.is_here()
        late = await since(house)
        early = await house.started(await house.account(1), 0.1)
        assert early < late
        assert await since(house) == early

    async def test_a_start_that_comes_while_the_owner_says_that_it_lives_is_not_hidden(self, house: House) -> None:
        account = await house.account(1)
        await house.started(account, 0.1)
        for _ in range(20):
            saying = asyncio.create_task(house.ledger.is_here())
            id = await house.started(account, 0.001)
            await saying
            assert await since(house) <= id
            house.end(id, account)


class TestTwoGateways:
    """On one database, with calls of the same accounts."""

    @pytest.fixture
    async def houses(self, home: Home, clock: TestClock) -> AsyncIterator[list[House]]:
        if home.url is None:
            pytest.skip("one process owns the file")
        with psycopg.connect(home.url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET deadlock_timeout = '50ms'")
        made = [House(home.open(), clock, f"run_{number}") for number in (1, 2)]
        for house in made:
            await house.ledger.load()
        yield made
        for house in made:
            await house.ledger.writer.close()

    async def test_they_never_wait_for_each_other_in_a_circle(
        self, houses: list[House], caplog: pytest.LogCaptureFixture
    ) -> None:
        accounts = [await houses[0].account(100) for _ in range(4)]
        for account in accounts:
            await houses[0].budget(f"account:{account}", 100)
        for house in houses:
            await house.ledger.load()

        async def calls(house: House, caller: int) -> None:
            for number in range(30):
                account = accounts[(caller + number * (1 + caller)) % len(accounts)]
                house.ledger.end(outcome(f"req_{next(_numbers):012d}", account, key_id="key_1"))  # it was refused
                house.end(await house.started(account, 0.01, scopes=(f"account:{account}",)), account, 0.01)

        async def grants(house: House) -> None:
            for number in range(20):
                await house.grant(accounts[number % len(accounts)], 1)

        working = [calls(house, caller) for house in houses for caller in range(8)]
        await asyncio.gather(*working, *map(grants, houses))
        for house in houses:
            await house.ledger.writer.flush()
        assert not caplog.messages
        balances = [await houses[0].balance(account) for account in accounts]
        assert sum(balance for balance, _ in balances) == pytest.approx(440 - 2 * 8 * 30 * 0.01)
        assert {held for _, held in balances} == {0}

    async def test_a_circle_with_somebody_else_is_left_by_beginning_again(
        self, houses: list[House], home: Home, caplog: pytest.LogCaptureFixture
    ) -> None:
        house = houses[0]
        first, second = sorted([await house.account(1), await house.account(1)])
        assert home.url
        async with await psycopg.AsyncConnection.connect(home.url) as stranger:
            wanted = "UPDATE accounts SET name = name WHERE id = %s"
            await stranger.execute("SET deadlock_timeout = '1min'")  # who sees the circle first is the one to break it
            await stranger.execute(wanted, (second,))
            starting = asyncio.gather(house.started(first, 0.5), house.started(second, 0.5))
            await until(lambda: waits(house))
            await stranger.execute(wanted, (first,))
        assert len(await starting) == 2
        assert any("made again: " in message for message in caplog.messages)
        assert [await house.balance(id) for id in (first, second)] == [(1, 0.5)] * 2

    async def test_an_act_that_waits_for_somebody_holds_nothing_of_calls(
        self, houses: list[House], home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        house = houses[0]
        account = await house.account(1)
        house.ledger.end(outcome("req_first", None, key_id="key_1"))
        await house.ledger.writer.flush()
        monkeypatch.setattr(house.ledger.writer, "flush", AsyncMock())  # so that both come to the writer at once
        assert home.url
        async with await psycopg.AsyncConnection.connect(home.url) as stranger:
            await stranger.execute("UPDATE accounts SET name = name WHERE id = %s", (account,))
            house.ledger.end(outcome("req_second", None, key_id="key_1"))
            granting = asyncio.create_task(house.grant(account, 1))
            await until(lambda: waits(house))
            await stranger.execute("UPDATE usage_hours SET requests = requests")
        assert await granting
        assert not caplog.messages


async def waits(house: House) -> bool:
    """Whether somebody waits for somebody else's row."""
    return bool(rows(house.database, "SELECT 1 FROM pg_locks WHERE NOT granted"))


async def since(house: House) -> str:
    await house.ledger.writer.flush()
    ((id,),) = rows(house.database, "SELECT since FROM owners WHERE id = ?", house.ledger.owner)
    return str(id)
