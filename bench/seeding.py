"""Stores with many rows, written past the gateway: through SQL, into the tables that the store itself has made.

A gateway must not be running on the data folder.
"""
# ruff: noqa: S608 # statements are made of the tables' own columns

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trivium import ids
from trivium.policy.caller import Limits

_DAYS_MS = 60 * 86_400_000
"""Over which records are spread."""
_WIDE = 10**9
_MOST_AT_ONCE = 500_000
"""Rows of a transaction."""


def keys(data: Path, count: int, known: int) -> list[str]:
    """So many keys more, each with a limit of requests; the texts of `known` of them, spread evenly."""
    pepper, every = (data / "pepper").read_bytes(), max(1, count // known)
    texts: list[str] = []

    def rows() -> Iterator[tuple[bytes, str, str, str, int, str, str]]:
        limits, scopes = msgspec.json.encode(Limits(requests_per_minute=_WIDE)).decode(), "{}"
        for number in range(count):
            digest = os.urandom(32)
            if number % every == 0:
                texts.append(ids.new_api_key())
                digest = ids.key_hash(pepper, texts[-1])
            yield digest, f"key_{number:016}", f"customer {number}", "abcd", number, scopes, limits

    with contextlib.closing(sqlite3.connect(data / "trivium.db")) as database, database:
        database.executemany(
            "INSERT INTO keys (hash, id, name, hint, created_ms, strict, scopes, limits)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
            rows(),
        )
    return texts


def records(data: Path, count: int) -> None:
    """So many records and their starts more, each like the newest that the gateway wrote, over the last 60 days."""
    with contextlib.closing(sqlite3.connect(data / "trivium.db", isolation_level=None)) as database:
        # Until the gateway opens it again: nothing of this needs to outlive a power cut.
        for words in ("journal_mode=MEMORY", "synchronous=OFF", "cache_size=-200000"):
            database.execute(f"PRAGMA {words}")
        first_ms = round(time.time() * 1000) - _DAYS_MS
        for table in ("records", "starts"):
            _copies(database, table, count, first_ms)


def _copies(database: sqlite3.Connection, table: str, count: int, first_ms: int) -> None:
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    moment = f"({first_ms} + i * {_DAYS_MS} / {max(count, 1)})"
    own = {"id": f"printf('req_%012x%016x', {moment}, i)", "time_ms": moment}
    values = ", ".join(own.get(column, column) for column in columns)
    statement = (
        "WITH RECURSIVE numbers(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < ?)"
        f" INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {values} FROM numbers, (SELECT * FROM {table} ORDER BY id DESC LIMIT 1)"
    )
    for begin in range(0, count, _MOST_AT_ONCE):
        database.execute(statement, (begin, min(begin + _MOST_AT_ONCE, count)))
