"""What a crash left open is ended: by what the provider remembers, else as unknown. On SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_prices import price, vendor
from support_store import Home, rows
from support_wait import until
from trivium.clock import DAY_MS
from trivium.errors import StoreUnavailable
from trivium.metering.book import Entry, Override, PriceBook
from trivium.metering.prices import Price
from trivium.metering.record import COLUMNS
from trivium.metering.start import Start
from trivium.operations import housekeeping as housekeeping_module
from trivium.operations.housekeeping import Housekeeping
from trivium.operations.receipts import receipt_of
from trivium.policy.spending import Budget
from trivium.providers.provider import Provider
from trivium.store import owners, posting
from trivium.store.accounts import Accounts
from trivium.store.audit import verify
from trivium.store.ledger import Ledger
from trivium.store.postgres_snapshot import postgres_snapshot
from trivium.store.snapshot import sqlite_snapshot
from trivium.wire.generation import Generation, parse

NOW = 1_795_600_000_000
USD = 10**9
PRICE = price()
PLAIN = PriceBook(entries=[Entry(pattern="up/*", price=PRICE)])
TOLD = {"total_cost": 0.0021, "is_byok": False, "native_tokens_prompt": 25, "native_tokens_completion": 20}
COUNTED = {"native_tokens_prompt": 25, "native_tokens_completion": 20}
COST = 25 * 3_000 + 20 * 15_000
OWNED = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
"""It is not the database that matters here."""
SHARED = pytest.mark.parametrize("dialect", ["postgres"], indirect=True)
"""An SQLite database has one owner."""


class StandingClock:
    def __init__(self) -> None:
        self.ms = NOW
        self.set_ms = 0
        """By how much it was set forward."""

    def now_ms(self) -> int:
        return self.ms + self.set_ms

    def monotonic_ns(self) -> int:
        return (self.ms - NOW) * 1_000_000


class Remembering:
    """The providers' records by id, and who was asked for."""

    def __init__(
        self, records: dict[str, dict[str, Any]], meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`meanwhile` happens while one is asked for."""
        self._records = records
        self._meanwhile = meanwhile
        self.asked: list[str] = []

    async def find(self, provider: Provider, generation_id: str) -> Generation | None:
        self.asked.append(generation_id)
        if self._meanwhile is not None:
            await self._meanwhile()
        told = self._records.get(generation_id)
        return None if told is None else parse(json.dumps({"data": told}).encode())


def provider(**fields: Any) -> Provider:
    return msgspec.structs.replace(vendor("up"), generations="/generation?id={id}", tells_byok=True, **fields)


class Yard:
    """A database with what an earlier run of the gateway left in it."""

    def __init__(self, home: Home, folder: Path) -> None:
        self._home = home
        self._folder = folder
        self.clock = StandingClock()
        self.database = home.open()
        self._started = 0
        self._ledgers: dict[str, Ledger] = {}

    def ledger(self, owner: str) -> Ledger:
        if owner not in self._ledgers:
            self._ledgers[owner] = Ledger(self._home.open(), self.clock, owner)
        return self._ledgers[owner]

    async def account(self, **credit: Any) -> Accounts:
        ledger = self.ledger("run_0")
        accounts = Accounts(self.database, ledger, self.clock)
        await accounts.create("Acme", "organization", "acme")
        entry = {"account_id": "acme", "kind": "grant", "amount_nano": USD, "time_ms": NOW, "idempotency_key": "k"}
        await accounts.credit(posting.Entry(**{**entry, **credit}))
        return accounts

    async def left_open(
        self,
        hold: int = USD // 4,
        account: str | None = "acme",
        upstream_id: str | None = "gen-1",
        *,
        silent: bool = True,
        **fields: Any,
    ) -> Ledger:
        """A call whose gateway ended before it did, if it is silent: a while ago."""
        ledger = self.ledger(fields.pop("owner", "run_1"))
        await ledger.load()
        self._started += 1
        told = {"key_id": "key_1", "requested_model": "m", "provider": "up", "upstream_model": "m", "api": "chat"}
        pays = {"payer": "house"}
        start = Start(
            id=f"req_{self._started}",
            time_ms=NOW,
            account_id=account,
            scopes=("key:key_1",),
            hold_nano=hold,
            price_version=None,
            **{**told, **pays, **fields},
        )
        assert await ledger.start(start) is None
        if upstream_id is not None:
            ledger.seen(start.id, upstream_id)
        if silent:
            await ledger.writer.run(lambda tx: tx.execute("UPDATE owners SET seen_ms = 0"))
        await ledger.writer.flush()
        return ledger

    async def tidied(
        self,
        records: dict[str, dict[str, Any]] | None = None,
        *,
        book: PriceBook = PLAIN,
        providers: Sequence[Provider] = (provider(),),
        owner: str = "run_2",
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> Remembering:
        """Housekeeping has looked once."""
        ledger = self.ledger(owner)
        await ledger.load()
        remembering = Remembering(records or {}, meanwhile)
        named = {one.name: one for one in providers}
        parts = (self.database, ledger, lambda: book, remembering, lambda: named, self.clock)
        await Housekeeping(*parts, patience_ms=0).look()
        await ledger.writer.flush()
        return remembering

    def records(self) -> list[dict[str, Any]]:
        found = rows(self.database, f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY id")
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]

    def record(self) -> dict[str, Any]:
        (found,) = self.records()
        return found

    def balance(self) -> tuple[int, int]:
        ((balance, held),) = rows(self.database, "SELECT balance_nano, held_nano FROM accounts")
        return balance, held

    async def close(self) -> None:
        """The auditor has the last word."""
        for ledger in self._ledgers.values():
            await ledger.writer.close()
        url, file = self._home.url, self._folder / "trivium.db"
        with postgres_snapshot(url) if url else sqlite_snapshot(file) as snapshot:
            report = verify(snapshot)
        assert report.findings == 0, [check for check in report.checks if check.found]


@pytest.fixture
async def yard(home: Home, tmp_path: Path) -> AsyncIterator[Yard]:
    made = Yard(home, tmp_path)
    yield made
    await made.close()


def receipt(record: dict[str, Any], of: Price = PRICE) -> list[tuple[str, str]]:
    return [(row.what, row.usd) for row in receipt_of(record, of)]


class TestOrphans:
    async def test_the_providers_record_settles_a_call_that_nobody_saw_end(self, yard: Yard) -> None:
        await yard.account()
        await yard.left_open()
        remembering = await yard.tidied({"gen-1": TOLD})
        record = yard.record()
        assert remembering.asked == ["gen-1"]
        assert (record["outcome"], record["status"], record["error_code"]) == ("failed", 500, "gateway_ended")
        assert (record["cost_nano"], record["cost_source"], record["exposure_nano"]) == (2_100_000, "reported", 0)
        assert (record["input_uncached_tokens"], record["output_tokens"], record["flags"]) == (25, 20, "")
        assert (record["upstream_id"], record["reported_cost_usd"]) == ("gen-1", "0.0021")
        assert yard.balance() == (USD - 2_100_000, 0)
        assert receipt(record) == [("reported by the provider", "0.0021"), ("total", "0.0021")]

    @OWNED
    async def test_counts_without_a_cost_are_priced_by_the_book(self, yard: Yard) -> None:
        await yard.account()
        await yard.left_open()
        await yard.tidied({"gen-1": COUNTED})
        record = yard.record()
        assert (record["cost_nano"], record["cost_source"]) == (COST, "computed")
        assert yard.balance() == (USD - COST, 0)
        assert receipt(record) == [("input", "0.000075"), ("output", "0.0003"), ("total", "0.000375")]

    @OWNED
    @pytest.mark.parametrize(("told", "base"), [(TOLD, 2_100_000), (COUNTED, COST)], ids=["reported", "computed"])
    async def test_a_markup_is_charged_and_on_the_receipt(self, yard: Yard, told: dict[str, Any], base: int) -> None:
        await yard.account()
        await yard.left_open()
        book = PLAIN.with_overrides([Override(pattern="up/*", effective_ms=0, markup_ppm=500_000, account_id="acme")])
        await yard.tidied({"gen-1": told}, book=book)
        record = yard.record()
        assert (record["cost_nano"], record["market_cost_nano"]) == (base * 3 // 2, base)
        assert "markup" in dict(receipt(record))
        assert "rounding" not in dict(receipt(record))

    async def test_without_a_record_nothing_is_charged_and_the_exposure_is_told(self, yard: Yard) -> None:
        await yard.account()
        await yard.left_open()
        await yard.tidied()
        record = yard.record()
        assert (record["cost_nano"], record["exposure_nano"], record["hold_nano"]) == (0, USD // 4, USD // 4)
        assert (record["flags"], record["usage_known"], record["cost_source"]) == ("expired_unknown", False, None)
        assert yard.balance() == (USD, 0)

    @OWNED
    @pytest.mark.parametrize(
        ("upstream_id", "providers"),
        [
            (None, [provider()]),
            ("gen-1", []),
            ("gen-1", [msgspec.structs.replace(provider(), generations=None)]),
        ],
        ids=["no id", "no such provider", "no records there"],
    )
    async def test_who_cannot_be_asked_is_not(
        self, yard: Yard, upstream_id: str | None, providers: list[Provider]
    ) -> None:
        await yard.account()
        await yard.left_open(upstream_id=upstream_id)
        remembering = await yard.tidied({"gen-1": TOLD}, providers=providers)
        assert (remembering.asked, yard.record()["flags"]) == ([], "expired_unknown")
        assert yard.record()["model_listed"] == (1 if upstream_id else None)
        assert yard.balance() == (USD, 0)

    @OWNED
    @pytest.mark.parametrize("payer", ["byok", "free", "promotion"])
    async def test_what_costs_the_caller_nothing_costs_nothing_here_either(self, yard: Yard, payer: str) -> None:
        await yard.left_open(hold=0, account=None, payer=payer)
        await yard.tidied({"gen-1": TOLD})
        record = yard.record()
        assert (record["payer"], record["cost_nano"], record["market_cost_nano"]) == (payer, 0, 2_100_000)

    @OWNED
    async def test_where_balances_are_not_charged_the_cost_is_recorded(self, yard: Yard) -> None:
        await yard.left_open(hold=0, account=None)
        await yard.tidied({"gen-1": TOLD})
        record = yard.record()
        assert (record["account_id"], record["payer"], record["cost_nano"]) == (None, "house", 2_100_000)

    async def test_a_budget_gets_its_hold_back_and_counts_what_was_charged(self, yard: Yard) -> None:
        accounts = await yard.account()
        await accounts.set_budget(Budget(id="bud_1", scope="key:key_1", period="day", limit_nano=USD, created_ms=NOW))
        await yard.left_open()
        await yard.left_open(upstream_id=None)
        assert rows(yard.database, "SELECT spent_nano, held_nano FROM spends") == [(0, USD // 2)]
        await yard.tidied({"gen-1": TOLD})
        assert rows(yard.database, "SELECT spent_nano, held_nano FROM spends") == [(2_100_000, 0)]

    @OWNED
    async def test_a_second_look_changes_nothing(self, yard: Yard) -> None:
        await yard.account()
        await yard.left_open()
        await yard.tidied({"gen-1": TOLD})
        before = yard.records(), yard.balance()
        remembering = await yard.tidied({"gen-1": {**TOLD, "total_cost": 1}}, owner="run_3")
        assert (yard.records(), yard.balance(), remembering.asked) == (*before, [])

    @OWNED
    async def test_all_are_ended_however_many_there_are(self, yard: Yard) -> None:
        await yard.account()
        for _ in range(3):
            await yard.left_open(hold=1_000)
        ledger = yard.ledger("run_1")
        columns = "id, time_ms, owner, hold_nano, api, provider, upstream_model"
        with yard.database.transaction() as tx:
            tx.executemany(
                f"INSERT INTO starts ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(f"req_more_{n}", NOW, ledger.owner, 0, "chat", "up", "m") for n in range(150)],
            )
        remembering = await yard.tidied()
        assert len(yard.records()) == 153
        assert rows(yard.database, "SELECT count(*) FROM starts WHERE ended = 0") == [(0,)]
        assert len(remembering.asked) == 3


class TestOwners:
    async def test_a_gateways_own_calls_are_no_orphans(self, yard: Yard) -> None:
        await yard.account()
        await yard.left_open(owner="run_2")
        await yard.tidied(owner="run_2")
        assert yard.records() == []
        await yard.tidied(owner="run_3")

    @SHARED
    async def test_where_several_share_a_database_the_silent_one_is_gone_and_the_others_are_not(
        self, yard: Yard
    ) -> None:
        await yard.account()
        living = await yard.left_open(owner="run_1", silent=False)
        yard.clock.ms += owners.SILENCE_MS
        await living.is_here()
        await yard.tidied(owner="run_2")
        assert yard.records() == []
        yard.clock.ms += owners.SILENCE_MS
        await yard.tidied(owner="run_2")
        assert [record["id"] for record in yard.records()] == ["req_1"]

    @SHARED
    async def test_who_has_just_come_waits_for_the_others_to_say_that_they_live(self, yard: Yard) -> None:
        await yard.account()
        await yard.left_open(owner="run_1")
        ledger = yard.ledger("run_2")
        await ledger.load()
        housekeeping = Housekeeping(yard.database, ledger, lambda: PLAIN, Remembering({}), dict, yard.clock)
        await housekeeping.look()
        await ledger.writer.flush()
        assert yard.records() == []
        yard.clock.ms += owners.SILENCE_MS
        await housekeeping.look()
        await ledger.writer.flush()
        assert len(yard.records()) == 1

    @SHARED
    async def test_nobody_is_silent_because_the_clock_was_set_forward(self, yard: Yard) -> None:
        """As all clocks of a machine room may be, at once."""
        await yard.account()
        living = await yard.left_open(owner="run_1")
        ledger = yard.ledger("run_2")
        await ledger.load()
        housekeeping = Housekeeping(yard.database, ledger, lambda: PLAIN, Remembering({}), dict, yard.clock)
        await housekeeping.look()
        yard.clock.ms += owners.SILENCE_MS
        await living.is_here()
        yard.clock.set_ms = 2 * owners.SILENCE_MS
        await housekeeping.look()
        await living.is_here()
        yard.clock.ms += owners.SILENCE_MS - 1
        await housekeeping.look()
        await ledger.writer.flush()
        assert yard.records() == []
        yard.clock.ms += 1
        await housekeeping.look()
        await ledger.writer.flush()
        assert len(yard.records()) == 1

    @SHARED
    async def test_a_worker_ends_the_calls_of_its_lives_before_at_once_and_leaves_others_to_the_leader(
        self, yard: Yard
    ) -> None:
        await yard.account()
        await yard.left_open(owner="run_0")  # a gateway that has been silent for a while
        await yard.left_open(owner="run_1", silent=False)
        ledger = yard.ledger("run_2")
        await ledger.load()
        housekeeping = Housekeeping(yard.database, ledger, lambda: PLAIN, Remembering({}), dict, yard.clock)
        housekeeping.leads, housekeeping.ended = False, ("run_1", "run_never")
        await housekeeping.look()
        await ledger.writer.flush()
        assert [record["id"] for record in yard.records()] == ["req_2"]
        yard.clock.ms += owners.SILENCE_MS
        await housekeeping.look()
        assert len(yard.records()) == 1
        await yard.tidied(owner="run_3")
        assert len(yard.records()) == 2

    @pytest.fixture
    async def six_open(self, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Ledger:
        """Of a gateway that is silent. They are ended two at a time."""
        monkeypatch.setattr(housekeeping_module, "_TOGETHER", 2)
        await yard.account()
        for _ in range(6):
            silent = await yard.left_open(hold=1_000)
        return silent

    @SHARED
    async def test_who_ends_many_calls_is_not_silent_meanwhile(self, yard: Yard, six_open: Ledger) -> None:
        async def time_passes() -> None:
            yard.clock.ms += owners.SILENCE_MS // 3

        await yard.tidied(meanwhile=time_passes)
        assert len(yard.records()) == 6
        ((seen_ms,),) = rows(yard.database, "SELECT seen_ms FROM owners WHERE id = 'run_2'")
        assert yard.clock.ms - seen_ms < owners.SILENCE_MS

    @SHARED
    async def test_one_that_is_seen_again_meanwhile_keeps_the_rest_of_its_calls(
        self, yard: Yard, six_open: Ledger
    ) -> None:
        await yard.tidied(meanwhile=six_open.is_here)
        assert len(yard.records()) == 2
        assert rows(yard.database, "SELECT count(*) FROM owners WHERE id = 'run_1'") == [(1,)]

    @SHARED
    async def test_one_that_was_silent_says_with_its_next_call_that_it_lives(self, yard: Yard) -> None:
        await yard.account()
        living = await yard.left_open(owner="run_1")
        yard.clock.ms += owners.SILENCE_MS
        await yard.tidied(owner="run_2")
        assert rows(yard.database, "SELECT id FROM owners WHERE id = 'run_1'") == []
        await yard.left_open(owner="run_1", silent=False)
        assert living.open_calls == 2
        yard.clock.ms += owners.SILENCE_MS
        await yard.tidied(owner="run_3")
        assert len(yard.records()) == 2

    @SHARED
    async def test_two_that_find_the_same_call_end_it_once(self, yard: Yard) -> None:
        await yard.account()
        for _ in range(20):
            await yard.left_open(hold=1_000_000)
        told = {"gen-1": {**TOLD, "total_cost": 0.001}}
        await asyncio.gather(*(yard.tidied(told, owner=f"run_{n}") for n in (2, 3)))
        assert len(yard.records()) == 20
        assert yard.balance() == (USD - 20 * 1_000_000, 0)


class TestTheRest:
    async def test_credits_whose_time_is_over_go(self, yard: Yard) -> None:
        accounts = await yard.account(expires_ms=NOW + DAY_MS)
        await yard.tidied()
        assert yard.balance() == (USD, 0)
        yard.clock.ms += DAY_MS
        await yard.tidied(owner="run_3")
        assert yard.balance() == (0, 0)
        kinds = [entry["kind"] for entry in await accounts.entries("acme", 10)]
        assert kinds == ["expiry", "grant"]

    @OWNED
    async def test_each_look_writes_down_when_keys_were_used(self, yard: Yard) -> None:
        noted: list[str] = []

        async def note_uses() -> None:
            noted.append("uses")

        ledger = yard.ledger("run_2")
        housekeeping = Housekeeping(
            yard.database, ledger, lambda: PLAIN, Remembering({}), dict, yard.clock, note_uses=note_uses
        )
        for _ in range(2):
            await housekeeping.look()
        assert noted == ["uses", "uses"]
        await ledger.writer.close()

    @OWNED
    async def test_a_store_that_fails_is_waited_for(self, yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
        ledger = yard.ledger("run_2")
        housekeeping = Housekeeping(yard.database, ledger, lambda: PLAIN, Remembering({}), dict, yard.clock)
        with yard.database.transaction() as tx:
            tx.execute("ALTER TABLE owners RENAME TO gone")
        with pytest.raises(StoreUnavailable):
            await housekeeping.look()
        with caplog.at_level(logging.WARNING, "trivium.ledger"):
            running = asyncio.create_task(housekeeping.run())
            await until(lambda: "housekeeping waits for the store" in caplog.text)
        assert not running.done()
        running.cancel()
        with yard.database.transaction() as tx:
            tx.execute("ALTER TABLE gone RENAME TO owners")


async def test_a_stealth_models_call_stays_one_when_its_gateway_ends(yard: Yard) -> None:
    await yard.account()
    await yard.left_open(requested_model="house/x", public_model="house/x")
    await yard.tidied()
    assert (yard.record()["public_model"], yard.record()["told_message"]) == ("house/x", None)
