"""A whole PostgreSQL database as it stood at one moment (`snapshot.py`), read through cursors that the server keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import count

import psycopg

from trivium.errors import StoreUnavailable
from trivium.store.sql import Row
from trivium.store.sqlite import READING

_BATCH = 2_000
"""Rows that are fetched at once."""


class PostgresSnapshot:
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._names = count(1)

    def rows(self, statement: str) -> Iterator[Row]:
        """One that fails leaves those after it unharmed."""
        name = f"audit_{next(self._names)}"
        with _explained(), self._connection.transaction(), self._connection.cursor(name) as cursor:
            cursor.itersize = _BATCH
            yield from cursor.execute(statement)


@contextlib.contextmanager
def postgres_snapshot(url: str) -> Iterator[PostgresSnapshot]:
    """A connection of its own, without a limit of time. Raises StoreUnavailable."""
    with _explained():
        connection = psycopg.connect(url, application_name="trivium verify", connect_timeout=3)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with contextlib.closing(connection), _explained(), connection.transaction():
        yield PostgresSnapshot(connection)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(READING, detail=str(error)) from error
