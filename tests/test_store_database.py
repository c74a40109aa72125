"""The file: opened, owned by one process, moved forward, written all or nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivium import ids
from trivium.clock import SystemClock
from trivium.errors import OperationError, StoreUnavailable
from trivium.store import database
from trivium.store.database import MIGRATIONS, connect, migrate, ownership, transaction
from trivium.store.keys import ApiKey, KeyStore

HOLD = """
import sys, pathlib
from trivium.store.database import ownership
with ownership(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""
ROW = "INSERT INTO keys (id, hash, name, hint, created_ms) VALUES (?, ?, ?, 'h', ?)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trivium.db"


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    opened = connect(file)
    migrate(opened)
    yield opened
    opened.close()


def version(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def impatient(file: Path) -> sqlite3.Connection:
    """A connection that waits for no lock."""
    return sqlite3.connect(file, isolation_level=None, timeout=0)


def test_commits_are_durable_and_readers_do_not_wait(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_new_file_gets_the_newest_schema_and_keeps_it(connection: sqlite3.Connection) -> None:
    assert version(connection) == len(MIGRATIONS)
    migrate(connection)
    assert version(connection) == len(MIGRATIONS)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"records", "keys"} <= tables


def test_an_old_file_is_moved_forward_with_what_it_holds(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(ROW, ("k", b"1", "n", 1))
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE keys ADD COLUMN note TEXT;"))
    migrate(connection)
    assert version(connection) == len(MIGRATIONS) + 1
    assert connection.execute("SELECT id, note FROM keys").fetchall() == [("k", None)]


def test_keys_of_the_first_schema_still_open_with_the_newest(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pepper, opened = b"p" * 32, connect(file)
    with monkeypatch.context() as before:
        before.setattr(database, "MIGRATIONS", MIGRATIONS[:1])
        migrate(opened)
    assert version(opened) == 1
    with transaction(opened) as writing:
        for id, text in (("key_live", "tv-live"), ("key_ended", "tv-ended")):
            writing.execute(ROW, (id, ids.key_hash(pepper, text), id, 1))
        writing.execute("UPDATE keys SET revoked_ms = 2 WHERE id = 'key_ended'")
    migrate(opened)
    assert version(opened) == len(MIGRATIONS)
    keys = KeyStore(opened, pepper, SystemClock())
    live = ApiKey(id="key_live", name="key_live", hint="h", created_ms=1)
    assert keys.find("tv-live") == live
    assert not live.strict
    assert (keys.find("tv-ended"), keys.is_known("tv-ended")) == (None, True)
    assert keys.list()[1] == live
    made, text = keys.create("new", strict=True)
    assert keys.find(text) == made
    opened.close()


def test_a_file_of_a_newer_program_is_refused_in_words_and_left_alone(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match="newer version") as raised:
        migrate(connection)
    assert "99" in str(raised.value.detail)
    assert version(connection) == 99


class TestMigrationsThatCannotBeMade:
    def test_a_bad_one_leaves_the_schema_as_it_was(
        self, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bad = "CREATE TABLE half (x); ALTER TABLE nobody ADD COLUMN y;"
        monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, bad))
        with pytest.raises(StoreUnavailable):
            migrate(connection)
        assert version(connection) == len(MIGRATIONS)
        assert not connection.in_transaction
        assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None

    def test_a_locked_file_is_unavailable(self, file: Path) -> None:
        holding, waiting = impatient(file), impatient(file)
        holding.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            migrate(waiting)


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, None], ids=["text", "folder"])
def test_what_is_no_database_is_unavailable_and_named(file: Path, content: bytes | None) -> None:
    file.write_bytes(content) if content else file.mkdir()
    with pytest.raises(StoreUnavailable) as raised:
        connect(file)
    assert str(file) in str(raised.value.detail)


class TestTransaction:
    def test_all_is_there_or_nothing(self, connection: sqlite3.Connection) -> None:
        with pytest.raises(StoreUnavailable), transaction(connection) as writing:
            writing.execute(ROW, ("a", b"1", "n", 1))
            writing.execute(ROW, ("b", b"1", "n", 1))
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == (0,)
        with transaction(connection) as writing:
            writing.execute(ROW, ("a", b"1", "n", 1))
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == (1,)

    def test_a_locked_file_is_unavailable_and_says_so(self, connection: sqlite3.Connection, file: Path) -> None:
        connection.execute("BEGIN IMMEDIATE")
        waiting = impatient(file)
        with pytest.raises(StoreUnavailable) as raised, transaction(waiting):
            pass
        assert "locked" in str(raised.value.detail)
        connection.execute("COMMIT")
        with transaction(waiting):
            pass

    def test_a_full_disk_rolls_back(self, connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(StoreUnavailable, match="cannot be written") as raised, transaction(connection) as writing:
            writing.execute(ROW, ("k", b"1", "n" * 100_000, 1))
        assert "full" in str(raised.value.detail)
        assert not connection.in_transaction

    def test_whatever_goes_wrong_inside_the_file_does_not_stay_locked(
        self, connection: sqlite3.Connection, file: Path
    ) -> None:
        with pytest.raises(OverflowError), transaction(connection) as writing:
            writing.execute(ROW, ("k", b"1", "n", 2**63))
        with transaction(impatient(file)):
            pass


class TestOwnership:
    def test_a_folder_has_one_owner_at_a_time(self, tmp_path: Path) -> None:
        with ownership(tmp_path):
            with pytest.raises(OperationError) as raised, ownership(tmp_path):
                pass
            assert raised.value.message == f"The data folder {tmp_path} is in use by process {os.getpid()}."
        with ownership(tmp_path):
            pass

    def test_the_folder_is_made_for_nobody_else(self, tmp_path: Path) -> None:
        with ownership(tmp_path / "a" / "b"):
            assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
            assert (tmp_path / "a" / "b" / "owner.lock").stat().st_mode & 0o777 == 0o600

    def test_another_process_is_named_and_its_death_frees_the_folder(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"mine\n"
            with pytest.raises(OperationError, match=f"in use by process {other.pid}"), ownership(tmp_path):
                pass
            other.send_signal(signal.SIGKILL)
        with ownership(tmp_path):
            pass

    def test_a_folder_that_cannot_be_made_is_said_in_words(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for impossible in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(OperationError, match="file"), ownership(impossible):
                pass
