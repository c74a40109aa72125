"""All records, stretch by stretch: of millions, one statement would take longer than a database may be asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trivium.store.sql import Database, Row

RECORDS = 100_000
"""In one stretch; a database reads them in some tenths of a second."""
WITHIN = "id > ? AND id <= ?"
"""The condition for a stretch."""
_END = "SELECT id FROM records WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"
_LAST = "SELECT max(id) FROM records WHERE id > ?"

Stretch = tuple[str, str]
"""Ids of records: the values for `WITHIN`."""


def stretches(database: Database, after: str = "") -> Iterator[Stretch]:
    """Those of the records behind an id, in the order of their ids. Blocks; raises StoreUnavailable."""
    while True:
        ended = database.query(_END, (after, RECORDS - 1))[1]
        ((end,),) = ended or database.query(_LAST, (after,))[1]
        if end is None:
            return
        yield after, end
        after = end


def each(database: Database, statement: str, values: Sequence[Any] = ()) -> Iterator[Row]:
    """What a statement that begins with `WITHIN` finds, stretch by stretch: sums have to be added. Blocks; raises
    StoreUnavailable."""
    for stretch in stretches(database):
        yield from database.query(statement, (*stretch, *values))[1]


def first(database: Database, statement: str, values: Sequence[Any] = (), after: str = "") -> list[Row]:
    """What it finds in the first stretch behind an id in which there is something. Blocks; raises StoreUnavailable."""
    for stretch in stretches(database, after):
        if found := database.query(statement, (*stretch, *values))[1]:
            return found
    return []
