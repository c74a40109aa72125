"""The store of a gateway, as the owner of the data folder opens it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support_records import record
from support_store import Home, caller, rows
from trivium.clock import SystemClock
from trivium.errors import ConfigError, StoreUnavailable
from trivium.metering.start import Start
from trivium.store.posting import Entry
from trivium.store.search import Search
from trivium.store.store import Store
from trivium.store.usage import UsageQuery


def opened(home: Home, folder: Path) -> Store:
    return Store(folder, SystemClock(), home.url)


async def test_what_was_closed_is_there_when_it_is_opened_again(bare_home: Home, tmp_path: Path) -> None:
    store = opened(bare_home, tmp_path)
    key, text = store.keys.create("laptop")
    store.ledger.end(record("a"))
    await store.close()
    again = opened(bare_home, tmp_path)
    assert await again.keys.find(text) == caller(key)
    assert [row["id"] for row in again.search(Search()).rows] == ["a"]
    assert again.usage(UsageQuery(by=("outcome",)))[0]["succeeded"] == 1
    assert again.seal_key == store.seal_key
    await again.close()


async def test_a_record_that_is_added_twice_is_kept_and_counted_once(home: Home, tmp_path: Path) -> None:
    for _ in range(2):
        store = opened(home, tmp_path)
        store.ledger.end(record("a"))
        store.ledger.end(record(f"other {id(store)}"))
        await store.close()
    database = home.open()
    assert rows(database, "SELECT count(*) FROM records WHERE id = 'a'") == [(1,)]


async def test_a_hold_is_there_at_the_next_start_though_the_gateway_died_in_the_moment_that_it_was_made(
    tmp_path: Path,
) -> None:
    dying = Store(tmp_path, SystemClock())
    account = (await dying.accounts.create("name", "organization"))["id"]
    await dying.accounts.credit(
        Entry(account_id=account, kind="grant", amount_nano=100, time_ms=1, idempotency_key="g", expires_ms=None)
    )
    start = Start(
        id="req_000000000001",
        time_ms=1,
        api="messages",
        key_id=None,
        account_id=account,
        scopes=(),
        payer="house",
        hold_nano=60,
        requested_model="m",
        provider="up",
        upstream_model="m",
        price_version=None,
    )
    assert await dying.ledger.start(start) is None
    dying.ledger.writer.stop()
    store = Store(tmp_path, SystemClock())
    assert await store.ledger.free_nano(account) == (40, 60)
    await store.close()


async def test_the_folder_is_nobody_elses(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "data", SystemClock())
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_the_use_of_a_key_waits_for_no_store_that_cannot_be_written(tmp_path: Path) -> None:
    store = Store(tmp_path, SystemClock())
    await store.keys.find(store.keys.create("laptop")[1])
    store.database._writer.execute("PRAGMA busy_timeout = 0")  # type: ignore[attr-defined]
    with closing(sqlite3.connect(tmp_path / "trivium.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(store.note_uses(), 5)
    await store.close()


async def test_it_says_what_is_wrong_with_it(home: Home, tmp_path: Path) -> None:
    store = opened(home, tmp_path)
    assert await store.problem() is None
    store.ledger.writer.failing = "disk full"
    assert await store.problem() == "disk full"
    with home.open().transaction() as tx:
        tx.execute("DROP TABLE keys")
    assert "keys" in str(await store.problem())
    await store.close()


async def test_reports_do_not_wait_for_a_writer(home: Home, tmp_path: Path) -> None:
    store = opened(home, tmp_path)
    with home.open().transaction() as tx:
        tx.execute("INSERT INTO records (id) VALUES ('half')")
        assert store.search(Search()).rows == []
    await store.close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "trivium.db", isolation_level=None)
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match="newer version"):
        Store(tmp_path, SystemClock())
    connection.close()


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in folder.glob("trivium.db*") if path.stat().st_mode & 0o077]


async def test_nobody_else_can_read_the_database(tmp_path: Path) -> None:
    (tmp_path / "trivium.db").touch(mode=0o644)
    store = Store(tmp_path, SystemClock())
    store.keys.create("a")
    assert open_to_others(tmp_path) == []
    await store.close()


class TestASharedDatabase:
    @pytest.fixture
    def dialect(self) -> str:
        return "postgres"

    async def test_gateways_with_one_pepper_admit_the_same_keys(self, home: Home, tmp_path: Path) -> None:
        first = opened(home, tmp_path / "a")
        key, text = first.keys.create("laptop")
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "pepper").write_bytes((tmp_path / "a" / "pepper").read_bytes())
        second = opened(home, tmp_path / "b")
        assert await second.keys.find(text) == caller(key)
        await first.close()
        await second.close()

    async def test_without_the_pepper_of_its_keys_there_is_no_start(self, home: Home, tmp_path: Path) -> None:
        first = opened(home, tmp_path / "a")
        first.keys.create("laptop")
        await first.close()
        with pytest.raises(StoreUnavailable, match="Copy its file `pepper`"):
            opened(home, tmp_path / "b")
        assert not (tmp_path / "b" / "pepper").exists()

    def test_without_its_library_it_is_said_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "trivium.store.postgres", None)
        with pytest.raises(ConfigError, match="the extra `postgres`"):
            Store(tmp_path, SystemClock(), "postgresql://x/y")


async def test_a_copy_of_a_database_does_not_start_without_the_pepper_of_its_keys(tmp_path: Path) -> None:
    """It would make another one, and none of its keys would open anything."""
    first = Store(tmp_path / "a", SystemClock())
    first.keys.create("laptop")
    await first.close()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "trivium.db").write_bytes((tmp_path / "a" / "trivium.db").read_bytes())
    with pytest.raises(StoreUnavailable, match="Copy its file `pepper`"):
        Store(tmp_path / "b", SystemClock())
    (tmp_path / "b" / "pepper").write_bytes((tmp_path / "a" / "pepper").read_bytes())
    await Store(tmp_path / "b", SystemClock()).close()
