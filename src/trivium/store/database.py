"""The SQLite file: how it is opened, who owns it, and how its schema moves forward.

One process owns a data folder at a time, by a lock on `owner.lock`; every other program asks the owner. Connections
are `autocommit`; transactions are begun by those who write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trivium.errors import OperationError, StoreUnavailable
from trivium.metering.record import COLUMNS

_INTEGER_COLUMNS = (
    "requests",
    "time_ms",
    "status",
    "upstream_status",
    "stream",
    "in_band_error",
    "usage_known",
    "is_byok",
)

_RECORD_COLUMNS = ", ".join(
    f"{name} {'INTEGER' if name in _INTEGER_COLUMNS or name.endswith(('_tokens', '_us', '_bytes')) else 'TEXT'}"
    for name in COLUMNS[1:]
)

MIGRATIONS = (
    f"""
    CREATE TABLE records (id TEXT PRIMARY KEY, {_RECORD_COLUMNS}) WITHOUT ROWID;
    CREATE INDEX records_by_time ON records (time_ms);
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        hint TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        revoked_ms INTEGER
    );
    """,
    "ALTER TABLE keys ADD COLUMN strict INTEGER NOT NULL DEFAULT 0;",
)
"""Each entry moves the schema one version on. Entries are never edited once released."""


def connect(path: Path) -> sqlite3.Connection:
    """An open connection with durable commits. Raises StoreUnavailable."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise StoreUnavailable("The store cannot be opened.", detail=f"{path}: {error}") from error
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the schema to the newest version, or leaves it as it is. Raises StoreUnavailable, also for a database
    that is newer than this program."""
    with _whole(connection, "The store cannot be brought up to date."):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreUnavailable(
                "The store was written by a newer version of Trivium.",
                detail=f"schema {version}, this program knows {len(MIGRATIONS)}",
            )
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing. A full disk or a locked file rolls back and raises StoreUnavailable."""
    with _whole(connection, "The store cannot be written."):
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def query(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> tuple[list[str], list[Any]]:
    """The names of the columns, and all rows. Raises StoreUnavailable."""
    with _explained("The store cannot be read."):
        cursor = connection.execute(statement, values)
        return [column[0] for column in cursor.description], cursor.fetchall()


@contextlib.contextmanager
def _whole(connection: sqlite3.Connection, message: str) -> Iterator[None]:
    """Nothing stays half done, whatever goes wrong inside."""
    with _explained(message):
        try:
            yield
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def _explained(message: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(message, detail=str(error)) from error


@contextlib.contextmanager
def ownership(folder: Path) -> Iterator[None]:
    """Holds the data folder for this process. Raises OperationError while another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperationError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise OperationError(f"The data folder {folder} is in use by process {owner}.") from None
        os.truncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
