"""The store of a data folder, as its owner opens it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.metering.record import Record
from trivium.store.reports import RequestQuery, UsageQuery
from trivium.store.store import Store


def record(id: str) -> Record:
    return Record(id=id, time_ms=1, api="messages", operation="generate", outcome="success", status=200)


async def test_what_was_closed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "data", SystemClock())
    key, text = store.keys.create("laptop")
    store.records.add(record("a"))
    await store.close()
    again = Store(tmp_path / "new" / "data", SystemClock())
    assert again.keys.find(text) == key
    assert [row["id"] for row in again.requests(RequestQuery())] == ["a"]
    assert again.usage(UsageQuery(by=("outcome",)))[0]["succeeded"] == 1
    await again.close()


async def test_the_folder_is_nobody_elses(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", SystemClock())
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_it_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path, SystemClock())
    assert store.problem() is None
    store.records.failing = "disk full"
    assert store.problem() == "disk full"
    sqlite3.connect(tmp_path / "trivium.db").execute("DROP TABLE keys")
    assert "no such table" in str(store.problem())
    await store.close()


async def test_reports_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = Store(tmp_path, SystemClock())
    holding = sqlite3.connect(tmp_path / "trivium.db", isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    holding.execute("INSERT INTO records (id) VALUES ('half')")
    assert store.requests(RequestQuery()) == []
    holding.execute("ROLLBACK")
    holding.close()
    await store.close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "trivium.db", isolation_level=None)
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match="newer version"):
        Store(tmp_path, SystemClock())


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in folder.glob("trivium.db*") if path.stat().st_mode & 0o077]


async def test_nobody_else_can_read_the_database(tmp_path: Path) -> None:
    (tmp_path / "trivium.db").touch(mode=0o644)
    store = Store(tmp_path, SystemClock())
    store.keys.create("a")
    assert open_to_others(tmp_path) == []
    await store.close()
