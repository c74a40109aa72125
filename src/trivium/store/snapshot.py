"""A whole database as it stood at one moment, read from end to end without holding it in memory.

For the auditor: a connection of its own that cannot write, and one transaction for all of its questions. Writers do not
wait for it; SQLite cannot shorten its log while it lasts.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from trivium.errors import StoreUnavailable
from trivium.store.sql import Row


class Snapshot(Protocol):
    def rows(self, statement: str) -> Iterator[Row]:
        """The rows of a statement, as they are asked for. Raises StoreUnavailable, also between two rows."""
        ...


class SqliteSnapshot:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str) -> Iterator[Row]:
        with _explained():
            yield from self._connection.execute(statement)


@contextlib.contextmanager
def sqlite_snapshot(path: Path) -> Iterator[SqliteSnapshot]:
    """Of a file, whether somebody writes it or not. Raises StoreUnavailable."""
    with _explained():
        connection = _begun(path)
    with contextlib.closing(connection):
        yield SqliteSnapshot(connection)


def _begun(path: Path) -> sqlite3.Connection:
    """A backup in a folder that cannot be written has no room for the index of its log, and changes for nobody."""
    try:
        return _opened(path, "mode=ro")
    except sqlite3.OperationalError:
        if os.access(path.parent, os.W_OK):
            raise
        return _opened(path, "immutable=1")


def _opened(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable("The store cannot be read.", detail=str(error)) from error
