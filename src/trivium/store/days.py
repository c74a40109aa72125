"""Usage by the day: `usage_hours` summed up once more, so that a question about months reads a few thousand rows.

A day is folded hour by hour, each in one transaction, once the hour is over: `until_ms` of its row in `usage_folds`
says up to when, and what follows is still with the hours alone. What comes to an hour that is folded already, since a
call ended late or a charge was corrected, is added to the day in the same transaction. So the days are the sum of their
hours at any moment, and whoever reads them may read the hours instead.

The row in `usage_folds` is what a fold and a late addition wait for each other by, where several gateways write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from trivium.metering.record import Record
from trivium.store import rollups
from trivium.store.rollups import DAY_MS, HOUR_MS, KEYS, SUMS, adding
from trivium.store.sql import Database, Row, Writing

SETTLED_MS = 600_000
"""How long after its end an hour is folded: longer than any transaction that took it for the present one."""


class Fold(msgspec.Struct, frozen=True):
    """A table of days, and which of `rollups.KEYS` tell its rows apart."""

    table: str
    keys: tuple[str, ...]

    def add(self, rows: str = "") -> str:
        return adding(self.table, ("day_ms", *self.keys), rows)

    def add_hour(self) -> str:
        """For the values day, hour."""
        keys, sums = ", ".join(self.keys), ", ".join(f"sum({name})" for name in SUMS)
        return self.add(f"SELECT ?, {keys}, {sums} FROM usage_hours WHERE hour_ms = ? GROUP BY {keys} ORDER BY {keys}")

    def of(self, row: Row) -> Row:
        """What one of `rollups.rows` adds."""
        named = dict(zip(KEYS, row, strict=False))
        return (row[0] - row[0] % DAY_MS, *(named[key] for key in self.keys), *row[len(KEYS) :])


FOLDS = (
    Fold("usage_days_of_models", ("operation", *KEYS[6:])),
    Fold("usage_days_of_keys", ("operation", *KEYS[2:6], "outcome", "app")),
    Fold("usage_days", KEYS[1:]),
)
"""The one with the fewest rows first."""

_LOCK = """
    INSERT INTO usage_folds (day_ms, until_ms) VALUES (?, ?)
    ON CONFLICT (day_ms) DO UPDATE SET until_ms = usage_folds.until_ms RETURNING until_ms
"""
_NEWEST = "SELECT until_ms FROM usage_folds ORDER BY day_ms DESC LIMIT 1"


def count(tx: Writing, records: Sequence[Record], now_ms: int) -> None:
    """Adds records to their hours and, where those are folded, to their days. Each record must be passed once."""
    new: list[Row] = rollups.rows(records)
    tx.executemany(rollups.STATEMENT, new)
    newest = tx.execute(_NEWEST)
    # An hour that is over may be folded by somebody at this moment; one that is not is, where the clock went back.
    before = max(now_ms - now_ms % HOUR_MS, newest[0][0] if newest else 0)
    if new and new[0][0] < before:
        _add_late(tx, [row for row in new if row[0] < before])


def correct(tx: Writing, nano: int, request_id: str) -> None:
    """Adds nanodollars to what a record cost."""
    for keys in tx.execute(rollups.KEYS_OF, (request_id,)):
        row = (*keys, *(nano if name == "cost_nano" else 0 for name in SUMS))
        tx.execute(rollups.STATEMENT, row)
        _add_late(tx, [row])


def _add_late(tx: Writing, rows: Sequence[Row]) -> None:
    until = {day: _lock(tx, day) for day in sorted({row[0] - row[0] % DAY_MS for row in rows})}
    if late := [row for row in rows if row[0] < until[row[0] - row[0] % DAY_MS]]:
        for fold in FOLDS:
            tx.executemany(fold.add(), sorted(map(fold.of, late)))


def _lock(tx: Writing, day_ms: int) -> int:
    """Up to when the day is folded, until the transaction ends."""
    ((until,),) = tx.execute(_LOCK, (day_ms, day_ms))
    return int(until)


def fold(tx: Writing, day_ms: int, until_ms: int) -> bool:
    """Folds the next hour of a day that has usage; true where the day is then folded up to `until_ms`."""
    done = _lock(tx, day_ms)
    statement = "SELECT min(hour_ms) FROM usage_hours WHERE hour_ms >= ? AND hour_ms < ?"
    ((hour,),) = tx.execute(statement, (done, until_ms))
    if hour is not None:
        for one in FOLDS:
            tx.execute(one.add_hour(), (day_ms, hour))
    reached = max(done, until_ms if hour is None else hour + HOUR_MS)
    tx.execute("UPDATE usage_folds SET until_ms = ? WHERE day_ms = ?", (reached, day_ms))
    return bool(reached >= until_ms)


def folded(database: Database, since_ms: int, until_ms: int) -> dict[int, int]:
    """Up to when each day is folded, of those within the period that are at all. Blocks; raises StoreUnavailable."""
    statement = "SELECT day_ms, until_ms FROM usage_folds WHERE day_ms >= ? AND day_ms < ? AND until_ms > day_ms"
    return {row[0]: row[1] for row in database.query(f"{statement} ORDER BY day_ms", (since_ms, until_ms))[1]}


def due(database: Database, now_ms: int) -> list[tuple[int, int]]:
    """(day, up to when) of each day that can be folded further, the newest first. Blocks; raises StoreUnavailable."""
    last = now_ms - SETTLED_MS
    last -= last % HOUR_MS
    done = folded(database, 0, last)
    wanted = [(day, min(day + DAY_MS, last)) for day in _days(database, last)]
    return [(day, until) for day, until in wanted if done.get(day, 0) < until]


def _days(database: Database, before_ms: int) -> Iterator[int]:
    """Those with usage, the newest first; each is found by the index of hours."""
    while True:
        ((hour,),) = database.query("SELECT max(hour_ms) FROM usage_hours WHERE hour_ms < ?", (before_ms,))[1]
        if hour is None:
            return
        before_ms = hour - hour % DAY_MS
        yield before_ms
