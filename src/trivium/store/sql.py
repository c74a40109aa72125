"""What the store asks of a database, whichever it is: statements with `?` for values, reads, and transactions.

Statements are written once, in words that SQLite and PostgreSQL both know. One thread at a time writes. Every failure
of the database itself is `StoreUnavailable`; a value that it does not take (a second row with one key, a number beyond
64 bits) is a `ValueError` or `OverflowError`, which no retry mends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from typing import Any, Protocol

from trivium.errors import StoreUnavailable

Row = tuple[Any, ...]


class Undone(StoreUnavailable):
    """The database broke off a transaction since it and others waited for each other in a circle, it for others for too
    long, or it changed what others had changed since it looked. Made again it may well succeed."""


class Unseen(StoreUnavailable):
    """Whether a transaction became durable nobody knows: the database was lost at its end."""


class Writing(Protocol):
    """An open transaction: all of it becomes durable at its end, or nothing does."""

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows that the statement returns; none where it returns none."""
        ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """How many rows were changed."""
        ...

    def take_turn(self) -> None:
        """Waits for the other processes' transactions that have taken theirs; they wait for the end of this one. What
        is read from here on nobody else changes who takes a turn too."""
        ...


class Log(Protocol):
    """What is durable before the database has it. For the one thread that writes."""

    def keep(self, rows: Sequence[Row]) -> bool:
        """Whether they are durable now; if not, the database has to take them."""
        ...

    def clear(self) -> None:
        """The database has all that was kept."""
        ...

    def read(self) -> list[Row]:
        """What an earlier run kept, and the database may not have. Raises StoreUnavailable."""
        ...


class Database(Protocol):
    """One database, open. Raises StoreUnavailable."""

    dialect: str
    """`sqlite` or `postgres`."""
    shared: bool
    """Other processes write it too, so that what memory holds may be out of date."""
    place: str
    """Where it is, without secrets: a path, or an address as PostgreSQL's tools take it."""

    @property
    def log(self) -> Log | None:
        """Where holds are durable before the database has them; None where others have to see them at once."""
        ...

    def transaction(self) -> AbstractContextManager[Writing]:
        """For the one thread that writes; waits for the disk."""
        ...

    def migration(self) -> AbstractContextManager[Writing]:
        """A transaction that may take as long as it needs, before the database is put to use. Raises Undone where
        somebody else keeps what it needs."""
        ...

    def query(self, statement: str, values: Sequence[Any] = ()) -> tuple[list[str], list[Row]]:
        """The names of the columns, and all rows. Blocks; beside the writer, which it does not wait for."""
        ...

    async def ask(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Rows, without holding up the event loop for longer than a look-up in a file takes."""
        ...

    def close(self) -> None: ...


def insert(tx: Writing, into: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], behind: str = "") -> None:
    """Adds rows to a table; `behind` stands at the end of the statement. Columns of which no row says anything are left
    out of it: for each None `sqlite3` looks in three places for what it could become, which takes longer than to bind
    three words. Two columns at least have to say something."""
    if not rows:
        return
    said = [column[0] is not None or column.count(None) < len(column) for column in zip(*rows, strict=True)]
    if not all(said):
        pick = itemgetter(*compress(range(len(columns)), said))
        columns, rows = pick(columns), [*map(pick, rows)]
    tx.executemany(_inserting(into, tuple(columns), behind), rows)


@lru_cache(256)
def _inserting(into: str, columns: tuple[str, ...], behind: str) -> str:
    return f"INSERT INTO {into} ({', '.join(columns)}) VALUES ({marks(columns)}) {behind}"


def marks(values: Collection[object]) -> str:
    """A `?` for each of the values of a statement."""
    return ", ".join("?" * len(values))
