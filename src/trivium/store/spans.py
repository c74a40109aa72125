"""Usage by longer spans: `usage_hours` summed up once more, so that a question about months reads a few thousand rows.

A day is folded hour by hour, each in one transaction, once the hour is over: `until_ms` of its row in `usage_folds`
says up to when, and what follows is still with the hours alone. Days that are over are folded in twos, these in twos,
and so on up to 64 days: a span of 2^n days begins with a day whose number since the epoch 2^n divides, so that any
period is a handful of them. `days` of a day's row is the longest span that it lies in and that is folded.

What comes to an hour that is folded already, since a call ended late or a charge was corrected, is added to all spans
that it lies in, in the same transaction. So each span is the sum of its hours at any moment, and whoever reads spans
may read the hours instead.

The row in `usage_folds` is what a fold and a late addition wait for each other by, where several gateways write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import msgspec

from trivium.clock import DAY_MS, HOUR_MS
from trivium.metering.record import Record
from trivium.store import rollups
from trivium.store.rollups import KEYS, SUMS, adding
from trivium.store.sql import Database, Row, Writing

SETTLED_MS = 600_000
"""How long after its end an hour is folded: longer than any transaction that took it for the present one."""
LONGEST = 64
"""Days."""
_LENGTHS = tuple(1 << n for n in range(LONGEST.bit_length()))
_MOST = 50_000
"""Rows of a span's two halves: where there are more, the ledger would wait too long for the fold, and the halves do."""


class Fold(msgspec.Struct, frozen=True):
    """A table of spans, and which of `rollups.KEYS` tell its rows apart."""

    table: str
    keys: tuple[str, ...]
    hourly: bool = True
    """Whether hours are there too; else `usage_hours` has as many rows."""

    def add(self, rows: str = "") -> str:
        return adding(self.table, ("hours", "from_ms", *self.keys), rows)

    def add_hour(self) -> str:
        """For the values length in hours, beginning, hour."""
        return self._add_sums("usage_hours", "hour_ms = ?")

    def add_halves(self) -> str:
        """For the values length in hours, beginning, half the length, beginning, end."""
        return self._add_sums(self.table, "hours = ? AND from_ms >= ? AND from_ms < ?")

    def _add_sums(self, source: str, where: str) -> str:
        keys, sums = ", ".join(self.keys), ", ".join(f"sum({name})" for name in SUMS)
        return self.add(f"SELECT ?, ?, {keys}, {sums} FROM {source} WHERE {where} GROUP BY {keys} ORDER BY {keys}")

    def of(self, row: Row, hours: int) -> Row:
        """What one of `rollups.rows` adds to a span of such a length."""
        named = dict(zip(KEYS, row, strict=False))
        return (hours, row[0] - row[0] % (hours * HOUR_MS), *(named[key] for key in self.keys), *row[len(KEYS) :])

    def source(self, hours: int) -> tuple[str, str]:
        """(table with a condition, column of time) of spans of such a length; 0: of hours that are not folded."""
        if hours == 0 or (hours == 1 and not self.hourly):
            return "usage_hours WHERE 1 = 1", "hour_ms"
        return f"{self.table} WHERE hours = {hours}", "from_ms"


_CALLERS = ("organization_id", "key_id", "account_id", "project_id")
FOLDS = (
    Fold("usage_spans_of_models", ("operation", *KEYS[6:])),
    Fold("usage_spans_of_keys", ("operation", *_CALLERS, "public_model", "outcome", "app")),
    Fold("usage_spans", ("operation", *_CALLERS, *KEYS[6:]), hourly=False),
)
"""The one with the fewest rows first. Of each span an organization's rows stand together, and have what is needed to
tell whoever is not the house no market price of a stealth model."""


class Folded(NamedTuple):
    """How far a day is folded."""

    until_ms: int
    days: int


class Due(NamedTuple):
    """What can be folded: a day up to a moment, or a span of several days."""

    from_ms: int
    until_ms: int
    days: int = 1


class Span(NamedTuple):
    """A part of a period, in spans of `hours`; 0: hours that are not folded."""

    hours: int
    since: int
    until: int


_LOCK = """
    INSERT INTO usage_folds (day_ms, until_ms) VALUES (?, ?)
    ON CONFLICT (day_ms) DO UPDATE SET until_ms = usage_folds.until_ms RETURNING until_ms, days
"""
_NEWEST = "SELECT until_ms FROM usage_folds ORDER BY day_ms DESC LIMIT 1"


def count(tx: Writing, records: Sequence[Record], now_ms: int) -> None:
    """Adds records to their hours and, where those are folded, to their spans. Each record must be passed once."""
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
    folds = {day: _lock(tx, day) for day in sorted({row[0] - row[0] % DAY_MS for row in rows})}
    late = [(row, told) for row in rows if row[0] < (told := folds[row[0] - row[0] % DAY_MS]).until_ms]
    for fold in FOLDS if late else ():
        lengths = {told: _hours(fold, told.days) for _, told in late}
        tx.executemany(fold.add(), sorted(fold.of(row, hours) for row, told in late for hours in lengths[told]))


def _hours(fold: Fold, days: int) -> list[int]:
    """The lengths of all spans that an hour lies in."""
    return [*([1] if fold.hourly else []), *(24 * length for length in _LENGTHS if length <= days)]


def _lock(tx: Writing, day_ms: int) -> Folded:
    """How far the day is folded, until the transaction ends."""
    (row,) = tx.execute(_LOCK, (day_ms, day_ms))
    return Folded(*row)


def fold(tx: Writing, due: Due) -> bool:
    """Folds the next hour of a day that has usage, or a longer span; true where nothing of it is left."""
    return _fold_hour(tx, due) if due.days == 1 else _fold_halves(tx, due)


def _fold_hour(tx: Writing, due: Due) -> bool:
    done = _lock(tx, due.from_ms).until_ms
    statement = "SELECT min(hour_ms) FROM usage_hours WHERE hour_ms >= ? AND hour_ms < ?"
    ((hour,),) = tx.execute(statement, (done, due.until_ms))
    for one in FOLDS if hour is not None else ():
        if one.hourly:
            tx.execute(one.add_hour(), (1, hour, hour))
        tx.execute(one.add_hour(), (24, due.from_ms, hour))
    reached = max(done, due.until_ms if hour is None else hour + HOUR_MS)
    tx.execute("UPDATE usage_folds SET until_ms = ? WHERE day_ms = ?", (reached, due.from_ms))
    return bool(reached >= due.until_ms)


def _fold_halves(tx: Writing, due: Due) -> bool:
    whole = range(due.from_ms, due.until_ms, DAY_MS)
    folds = {day: _lock(tx, day) for day in whole}
    if folds[due.from_ms].days >= due.days:
        return True  # another gateway's work
    for day, told in folds.items():
        end = day + DAY_MS
        hours = "SELECT 1 FROM usage_hours WHERE hour_ms >= ? AND hour_ms < ? LIMIT 1"
        if told.until_ms < end and tx.execute(hours, (told.until_ms, end)):
            return True  # there was nothing that day, and now there is
    for one in FOLDS:
        tx.execute(one.add_halves(), (24 * due.days, due.from_ms, 12 * due.days, due.from_ms, due.until_ms))
    tx.executemany(
        "UPDATE usage_folds SET until_ms = ?, days = ? WHERE day_ms = ?",
        [(day + DAY_MS, due.days, day) for day in whole],
    )
    return True


def folded(database: Database, since_ms: int, until_ms: int) -> dict[int, Folded]:
    """How far each day is folded, of those of the period that are at all. Blocks; raises StoreUnavailable."""
    statement = "SELECT day_ms, until_ms, days FROM usage_folds WHERE day_ms > ? AND day_ms < ? AND until_ms > day_ms"
    rows = database.query(f"{statement} ORDER BY day_ms", (since_ms - DAY_MS, until_ms))[1]
    return {day: Folded(until, days) for day, until, days in rows}


def due(database: Database, now_ms: int) -> list[Due]:
    """What can be folded further: days, the newest first, and then longer spans of what was folded before, the shortest
    first. Blocks; raises StoreUnavailable."""
    last = now_ms - SETTLED_MS
    last -= last % HOUR_MS
    done = folded(database, 0, last)
    used = list(_days(database, last))
    wanted = [Due(day, min(day + DAY_MS, last)) for day in used]
    found = [one for one in wanted if one.from_ms not in done or done[one.from_ms].until_ms < one.until_ms]
    return found + [one for one in _longer(done, set(used), last) if not _is_wide(database, one)]


def _longer(done: Mapping[int, Folded], used: Set[int], last: int) -> Iterator[Due]:
    """Spans that are over, and whose halves are folded as far as there was usage in them."""
    for days in _LENGTHS[1:]:
        length = days * DAY_MS
        for begin in sorted({day - day % length for day in used}):
            folds = {day: done.get(day, Folded(0, 0)) for day in range(begin, begin + length, DAY_MS)}
            ready = all(
                told.until_ms == day + DAY_MS and 2 * told.days >= days for day, told in folds.items() if day in used
            )
            if begin + length <= last and ready and folds[begin].days < days:
                yield Due(begin, begin + length, days)


def _is_wide(database: Database, one: Due) -> bool:
    statement = "SELECT count(*) FROM usage_spans WHERE hours = ? AND from_ms >= ? AND from_ms < ?"
    ((rows,),) = database.query(statement, (12 * one.days, one.from_ms, one.until_ms))[1]
    return bool(rows > _MOST)


def _days(database: Database, before_ms: int) -> Iterator[int]:
    """Those with usage, the newest first; each is found by the index of hours."""
    while True:
        ((hour,),) = database.query("SELECT max(hour_ms) FROM usage_hours WHERE hour_ms < ?", (before_ms,))[1]
        if hour is None:
            return
        before_ms = hour - hour % DAY_MS
        yield before_ms


def spans(first: int, last: int, done: Mapping[int, Folded], longest: int = LONGEST) -> list[Span]:
    """Whole hours as the longest spans of up to so many days that are folded, in their order; 0: as hours alone."""
    found: list[Span] = []

    def add(hours: int, since: int, until: int) -> None:
        if found and found[-1].hours == hours and found[-1].until == since:
            since = found.pop().since
        if since < until:
            found.append(Span(hours, since, until))

    at = first
    for day, told in done.items():
        end = min(told.until_ms, last)
        if end <= max(at, day):
            continue
        add(0, at, day)
        at, hours = max(at, day), 1
        if longest and at == day and told.until_ms == end:
            days = max(days for days in _LENGTHS if days == 1 or _fits(day, days, min(told.days, longest), last))
            hours, end = 24 * days, end if days == 1 else day + days * DAY_MS
        add(hours, at, end)
        at = end
    add(0, at, last)
    return found


def _fits(day: int, days: int, longest: int, last: int) -> bool:
    """Whether a span begins with a day and ends in time."""
    return days <= longest and day % (days * DAY_MS) == 0 and day + days * DAY_MS <= last
