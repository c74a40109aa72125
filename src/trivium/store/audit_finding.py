"""What the auditor's probes say, and how a statement becomes a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from trivium.store.snapshot import Snapshot


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Two things that should agree and do not. Amounts are nanodollars."""

    what: str
    where: str
    """Table and key of the row: `entries 17`."""
    expected: int | str | None = None
    found: int | str | None = None
    """None: nothing is there."""
    check: str = ""
    """The check that a probe belongs to says it."""


class Skipped(msgspec.Struct, frozen=True):
    """What could not be checked, and why."""

    what: str


Probe = Callable[[Snapshot], Iterator[Finding | Skipped]]


def asked(table: str, what: str, statement: str) -> Probe:
    """A probe that finds whatever rows the statement returns: key of the row, expected, found."""

    def probe(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
        for key, expected, found in snapshot.rows(statement):
            yield Finding(what=what, where=f"{table} {key}", expected=plain(expected), found=plain(found))

    return probe


def plain(value: Any) -> int | str | None:
    """PostgreSQL's sums are decimals; a damaged column of SQLite may hold anything."""
    if value is None or isinstance(value, int | str):
        return value
    return int(value) if isinstance(value, Decimal) else str(value)
