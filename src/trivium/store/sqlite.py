"""The store in one SQLite file: durable commits (WAL, `synchronous=FULL`), and reads that wait for no writer.

Three connections: one writes, one answers reports in whatever thread asks, one answers look-ups on the event loop, so
that a long report holds up neither a commit nor a request.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trivium.errors import StoreUnavailable
from trivium.store.hold_log import HoldLog, place_of
from trivium.store.sql import Row, Writing

_PATIENCE = 2.0
"""Seconds that a writer or a report waits for a lock that another program holds on the file."""
_LOOK_UP_PATIENCE = 0.1
"""The same on the event loop, where everybody waits."""

WRITING = "The store cannot be written."
READING = "The store cannot be read."


class SqliteDatabase:
    """A file that one process writes. Raises StoreUnavailable when it cannot be opened."""

    dialect = "sqlite"
    shared = False

    def __init__(self, path: Path, *, patience: float = _PATIENCE) -> None:
        """`patience` is how many seconds to wait for a foreign lock."""
        self.path = path
        self.place = str(path)
        self.log = HoldLog(path.with_name(f"{path.name}-holds"), self._is_in_place)
        self._writer = _connect(path, patience)
        self._reader = _connect(path, patience)
        self._asker = _connect(path, min(patience, _LOOK_UP_PATIENCE))
        self._file = place_of(path)
        self._one_writes = threading.Lock()
        self._one_reads = threading.Lock()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Writing]:
        """All or nothing. A full disk or a locked file rolls back and raises StoreUnavailable."""
        with self._one_writes, _explained(WRITING):
            self._look(WRITING)
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield _Transaction(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                raise

    migration = transaction

    def query(self, statement: str, values: Sequence[Any] = ()) -> tuple[list[str], list[Row]]:
        with self._one_reads, _explained(READING):
            cursor = self._reader.execute(statement, values)
            return [column[0] for column in cursor.description], cursor.fetchall()

    async def ask(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Answers inline: a look-up in a file takes less time than handing it to a thread."""
        self._look(READING)
        with _explained(READING):
            return self._asker.execute(statement, values).fetchall()

    def _look(self, message: str) -> None:
        """What is written into a file that is not in its place any more is gone at the next start. With a log beside
        the file SQLite does not look by itself (`SQLITE_READONLY_DBMOVED` is for the other ways to write)."""
        if not self._is_in_place():
            raise StoreUnavailable(message, detail=f"{self.path} was deleted, moved or replaced while it was in use")

    def _is_in_place(self) -> bool:
        return place_of(self.path) == self._file

    def close(self) -> None:
        self.log.close()
        for connection in (self._asker, self._reader, self._writer):
            connection.close()


class _Transaction:
    """`Writing` over a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        return max(0, self._connection.executemany(statement, rows).rowcount)

    def take_turn(self) -> None:
        """Nobody else writes while the transaction is open."""


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    try:
        # What SQLite lays beside the file has the file's mode.
        path.touch(mode=0o600)
        path.chmod(0o600)
        with contextlib.ExitStack() as failing:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=patience)
            failing.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            failing.pop_all()
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable("The store cannot be opened.", detail=f"{path}: {error}") from error
    return connection


@contextlib.contextmanager
def _explained(message: str) -> Iterator[None]:
    """What is wrong with the values of a statement is not the database's failure, and no retry mends it."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        raise ValueError(str(error)) from error
    except (sqlite3.Error, MemoryError) as error:  # the latter is how `sqlite3` says SQLITE_NOMEM
        raise StoreUnavailable(message, detail=str(error) or "out of memory") from error
