"""Copies of the store: whole, for nobody else, and looked at before they are believed."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from support_store import Home, caller, rows
from trivium.clock import SystemClock
from trivium.errors import OperationError, StoreUnavailable
from trivium.store import backup as module
from trivium.store.backup import back_up, check
from trivium.store.keys import KeyStore
from trivium.store.schema import MIGRATIONS
from trivium.store.sql import Database
from trivium.store.sqlite import SqliteDatabase


@pytest.fixture
def dialect() -> str:
    return "sqlite"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere" / "copy.db"


def keys(database: Database) -> KeyStore:
    return KeyStore(database, b"p" * 32, SystemClock())


async def test_a_copy_is_the_store_as_it_was(database: Database, target: Path) -> None:
    key, text = keys(database).create("laptop")
    back_up(database, target)
    keys(database).create("later")
    with contextlib.closing(SqliteDatabase(target)) as copy:
        assert await keys(copy).find(text) == caller(key)
        assert keys(copy).list() == [key]
        assert rows(copy, "SELECT sql FROM sqlite_master ORDER BY sql") == rows(
            database, "SELECT sql FROM sqlite_master ORDER BY sql"
        )


def test_it_is_for_nobody_else_and_nothing_lies_beside_it(database: Database, target: Path) -> None:
    size = back_up(database, target)
    assert target.stat().st_size == size
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_no_key_can_be_read_from_it(database: Database, target: Path) -> None:
    _, text = keys(database).create("laptop")
    back_up(database, target)
    assert text[3:-4].encode() not in target.read_bytes()


def test_what_is_written_meanwhile_is_there_whole_or_not_at_all(database: Database, target: Path) -> None:
    """Each transaction adds two rows."""
    enough = threading.Event()

    def write() -> None:
        n = 0
        while not enough.is_set():
            n += 1
            with database.transaction() as tx:
                for part in ("a", "b"):
                    tx.execute("INSERT INTO owners (id, seen_ms, since) VALUES (?, 1, '')", (f"{part}{n}",))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for n in range(20):
            back_up(database, target.with_name(f"{n}.db"))
    finally:
        enough.set()
        writing.join()
    counts = [check(target.with_name(f"{n}.db"))["rows"]["owners"] for n in range(20)]
    assert [count % 2 for count in counts] == [0] * 20
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


class TestNothingIsOverwritten:
    def test_a_file_that_is_there_stays(self, database: Database, target: Path) -> None:
        target.write_text("precious")
        with pytest.raises(OperationError, match="is there already"):
            back_up(database, target)
        assert target.read_text() == "precious"

    def test_nor_one_that_came_meanwhile(
        self, database: Database, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_copy", lambda place, partial: target.write_text("precious"))
        with pytest.raises(OperationError, match="is there already"):
            back_up(database, target)
        assert target.read_text() == "precious"
        assert list(target.parent.iterdir()) == [target]

    def test_nor_what_a_link_leads_to(self, database: Database, target: Path) -> None:
        target.symlink_to(target.with_name("nowhere"))
        with pytest.raises(OperationError, match="is there already"):
            back_up(database, target)

    def test_a_backup_under_way_is_left_alone(self, database: Database, target: Path) -> None:
        partial = target.with_name("copy.db.partial")
        partial.write_text("half")
        with pytest.raises(OperationError, match="another backup writes it, or one was interrupted"):
            back_up(database, target)
        assert partial.read_text() == "half"


def test_a_copy_that_fails_leaves_nothing(database: Database, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "place", str(target.with_name("no store.db")))
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        back_up(database, target)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(database: Database, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=r"nowhere.*cannot be written"):
        back_up(database, tmp_path / "nowhere" / "copy.db")


class TestCheck:
    def test_it_says_what_is_in_a_sound_copy(self, database: Database, target: Path) -> None:
        keys(database).create("a")
        back_up(database, target)
        found = check(target)
        assert found["schema"] == len(MIGRATIONS)
        assert (found["rows"]["keys"], found["rows"]["records"]) == (1, 0)
        assert list(target.parent.iterdir()) == [target]

    def test_a_copy_that_a_disk_has_damaged_is_found(self, database: Database, target: Path) -> None:
        for n in range(300):
            keys(database).create(f"key {n}")
        back_up(database, target)
        content = bytearray(target.read_bytes())
        where = content.index(b"key 150")
        content[where - 2000 : where + 2000] = b"\xff" * 4000
        target.write_bytes(content)
        with pytest.raises(OperationError, match=r"damaged|no sound copy"):
            check(target)

    def test_half_a_copy_is_found(self, database: Database, target: Path) -> None:
        back_up(database, target)
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
        with pytest.raises(OperationError, match=r"damaged|no sound copy"):
            check(target)

    def test_a_copy_of_a_newer_program_is_not_for_this_one(self, database: Database, target: Path) -> None:
        back_up(database, target)
        with contextlib.closing(sqlite3.connect(target)) as copy:
            copy.execute("PRAGMA user_version = 99")
        with pytest.raises(OperationError, match="has schema 99; this program knows 1 to"):
            check(target)

    @pytest.mark.parametrize("content", [b"", b"no database", None], ids=["empty", "text", "none"])
    def test_anything_else_is_no_copy(self, target: Path, content: bytes | None) -> None:
        if content is not None:
            target.write_bytes(content)
        with pytest.raises(OperationError):
            check(target)


def test_bodies_of_calls_are_not_in_it(database: Database, target: Path) -> None:
    secret = b"what was said in confidence" * 500
    with database.transaction() as tx:
        row = ("r", 1, "k", 9, "{}", secret)
        tx.execute("INSERT INTO captures (id, time_ms, key_id, bytes, about, request) VALUES (?, ?, ?, ?, ?, ?)", row)
    back_up(database, target)
    assert check(target)["rows"]["captures"] == 0
    assert b"in confidence" not in target.read_bytes()
    assert rows(database, "SELECT count(*) FROM captures") == [(1,)]
    assert list(target.parent.iterdir()) == [target]


class TestPostgres:
    @pytest.fixture
    def dialect(self) -> str:
        return "postgres"

    def test_it_is_told_which_program_does_it(self, home: Home, database: Database, target: Path) -> None:
        with pytest.raises(OperationError) as raised:
            back_up(database, target.with_name("my copy"))
        words = raised.value.message
        assert "pg_dump --format=custom --exclude-table-data=captures --file=" in words
        assert f"'{target.with_name('my copy')}' --dbname='user=postgres dbname=" in words
        assert list(target.parent.iterdir()) == []
