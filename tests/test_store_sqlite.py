"""The SQLite file: opened for nobody else, durable, and of use again after whatever went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivium.errors import StoreUnavailable
from trivium.store.migrations import migrate
from trivium.store.sqlite import SqliteDatabase

ROW = "INSERT INTO keys (id, hash, name, hint, created_ms) VALUES (?, ?, 'n', 'h', 1)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trivium.db"


@pytest.fixture
def opened(file: Path) -> Iterator[SqliteDatabase]:
    with contextlib.closing(SqliteDatabase(file, patience=0.01)) as database:
        migrate(database)
        yield database


@contextlib.contextmanager
def another_program(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as connection:
        yield connection


def add(database: SqliteDatabase, id: str) -> None:
    with database.transaction() as tx:
        tx.execute(ROW, (id, id.encode()))


def ids(database: SqliteDatabase) -> list[str]:
    return [id for (id,) in database.query("SELECT id FROM keys ORDER BY id")[1]]


def test_commits_are_durable_and_readers_do_not_wait(opened: SqliteDatabase) -> None:
    assert opened.query("PRAGMA journal_mode")[1] == [("wal",)]
    with opened.transaction() as tx:
        assert tx.execute("PRAGMA synchronous") == [(2,)]


def test_a_file_that_is_not_in_its_place_any_more_is_noticed(file: Path, opened: SqliteDatabase) -> None:
    """Everything would seem well, and all that was written be gone at the next start."""
    add(opened, "a")
    aside = file.rename(file.with_name("aside.db"))
    for _ in "missing", "another":
        with pytest.raises(StoreUnavailable, match="cannot be written") as raised:
            add(opened, "b")
        assert raised.value.detail == f"{file} was deleted, moved or replaced while it was in use"
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            asyncio.run(opened.ask("SELECT 1"))
        assert not opened.log.keep([("req_1",)])
        file.touch()
    aside.rename(file)
    add(opened, "c")
    assert ids(opened) == ["a", "c"]


def test_nobody_else_can_read_it(file: Path, opened: SqliteDatabase) -> None:
    add(opened, "a")
    assert {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {
        "trivium.db": 0o600,
        "trivium.db-wal": 0o600,
        "trivium.db-shm": 0o600,
    }


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, None], ids=["text", "folder"])
def test_what_is_no_database_is_unavailable_and_named(file: Path, content: bytes | None) -> None:
    file.write_bytes(content) if content else file.mkdir()
    with pytest.raises(StoreUnavailable) as raised:
        SqliteDatabase(file)
    assert str(file) in str(raised.value.detail)


async def test_while_another_program_holds_the_file_nothing_is_written_and_everything_is_read(
    opened: SqliteDatabase, file: Path
) -> None:
    add(opened, "before")
    with another_program(file) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute(ROW, ("half", b"half"))
        with pytest.raises(StoreUnavailable) as raised:
            add(opened, "mine")
        assert "locked" in str(raised.value.detail)
        assert ids(opened) == ["before"]
        assert await opened.ask("SELECT id FROM keys") == [("before",)]
        other.execute("ROLLBACK")
    add(opened, "after")
    assert ids(opened) == ["after", "before"]


def test_without_memory_it_is_unavailable_and_nothing_is_wrong_with_what_was_written(opened: SqliteDatabase) -> None:
    with pytest.raises(StoreUnavailable) as raised, opened.transaction() as tx:
        tx.execute(ROW, ("half", b"half"))
        raise MemoryError  # as `sqlite3` does for SQLITE_NOMEM
    assert raised.value.detail == "out of memory"
    add(opened, "after")
    assert ids(opened) == ["after"]


async def test_readers_do_not_wait_for_our_own_writer(opened: SqliteDatabase) -> None:
    with opened.transaction() as tx:
        tx.execute(ROW, ("half", b"half"))
        assert ids(opened) == []
        assert await opened.ask("SELECT id FROM keys") == []


def test_a_full_disk_rolls_back_and_once_there_is_room_it_goes_on(opened: SqliteDatabase) -> None:
    with opened.transaction() as tx:
        ((pages,),) = tx.execute("PRAGMA page_count")
        tx.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreUnavailable, match="cannot be written") as raised:
        add(opened, "k" * 100_000)
    assert "full" in str(raised.value.detail)
    opened._writer.execute("PRAGMA max_page_count = 1000000")
    add(opened, "k" * 100_000)
    assert len(ids(opened)) == 1


def test_a_transaction_that_somebody_else_ended_is_unavailable_and_the_next_one_is_not(opened: SqliteDatabase) -> None:
    with pytest.raises(StoreUnavailable), opened.transaction() as tx:
        tx.execute("ROLLBACK")
    add(opened, "a")
    assert ids(opened) == ["a"]


def test_two_threads_that_write_take_turns(opened: SqliteDatabase) -> None:
    with opened.transaction() as tx:
        waiting = threading.Thread(target=add, args=(opened, "second"))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        tx.execute(ROW, ("first", b"first"))
        assert ids(opened) == []
    waiting.join()
    assert ids(opened) == ["first", "second"]


def test_a_file_that_vanished_among_the_rows_is_unavailable(opened: SqliteDatabase) -> None:
    for n in range(100):
        add(opened, f"{n:03}")
    steps = iter(range(3))
    opened._reader.set_progress_handler(lambda: next(steps, None) is None, 100)
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        ids(opened)
