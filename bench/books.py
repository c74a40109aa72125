"""What Trivium's store says about the calls of a run: their records, what these metered, holds and charges.

It is read beside the running gateway, by statements that share no code with it: what it says of itself is what is
doubted.
"""
# ruff: noqa: S608 # statements are made of our own ids

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE = 5.0
"""Seconds in which what is missing may still be written, on a machine that has other things to do."""

Ask = Callable[[str], Sequence[tuple[Any, ...]]]
"""Answers a statement that SQLite and PostgreSQL both know."""


class Written(NamedTuple):
    records: int
    """Of calls that succeeded; the rest is about these."""
    tokens: int
    charged_nano: int
    settled_holds: int
    spent_nano: int
    """Of budgets, by all calls."""
    held_nano: int = 0
    """The same, still."""


class Books:
    """From now on: ids of requests begin with the millisecond in which these arrived."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._since = f"id >= 'req_{time.time_ns() // 1_000_000 + 1:012x}'"
        self._spent = self._spends()[0]

    def written(self) -> Written:
        records, tokens, charged = self._figures(
            "SELECT count(*), sum(input_uncached_tokens + cache_read_tokens + output_tokens), sum(cost_nano)"
            f" FROM records WHERE {self._since} AND outcome = 'success'"
        )
        (settled,) = self._figures(f"SELECT count(*) FROM starts WHERE {self._since} AND ended = 1 AND hold_nano > 0")
        spent, held = self._spends()
        return Written(records, tokens, charged, settled, spent - self._spent, held)

    def unlike(self, should: Written) -> dict[str, str]:
        """What is not as it should be, in words, once there was time enough."""
        until = time.monotonic() + PATIENCE
        while (found := self.written()) != should and time.monotonic() < until:
            time.sleep(0.05)
        pairs = zip(Written._fields, found, should, strict=True)
        return {f"store's {name}": f"{here}, not {there}" for name, here, there in pairs if here != there}

    def _spends(self) -> list[int]:
        return self._figures("SELECT sum(spent_nano), sum(held_nano) FROM spends")

    def _figures(self, statement: str) -> list[int]:
        return [int(figure or 0) for figure in self._ask(statement)[0]]


def sqlite(path: Path) -> Ask:
    """Of a file that a gateway has open."""

    def ask(statement: str) -> Sequence[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(statement).fetchall()

    return ask


def postgres(url: str) -> Ask:
    """Of a server's database."""
    import psycopg  # noqa: PLC0415 # only with the extra `postgres`

    def ask(statement: str) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute(statement.encode()).fetchall()

    return ask
