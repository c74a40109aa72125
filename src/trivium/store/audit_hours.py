"""The auditor's sums of usage: each hour, by whom and of what, comes to what its records come to by now, each day to
what its hours come to, as far as it is folded, and each longer span to what its halves come to.

Hours outlive the records. Those of which records may have been erased are not looked at here; `received` has them all.
By which programs calls were made is checked between spans and hours alone: records forget it.
"""

from __future__ import annotations

from collections.abc import Iterator

from trivium.store.audit_finding import Finding, Skipped, plain
from trivium.store.audit_rows import ERASED_BEFORE, TOKENS
from trivium.store.snapshot import Snapshot
from trivium.store.sql import Row


def _durations() -> Iterator[tuple[str, str, str]]:
    """(column, condition, what is added) of how long answers took: 2^17 microseconds end the first band of the first
    byte, 2^19 that of the whole answer, and each of the nine is twice as long as the one before."""
    timed = "outcome = 'success' AND ttfb_us IS NOT NULL"
    yield from (("timed", timed, "1"), ("ttfb_us", timed, "ttfb_us"), ("total_us", timed, "total_us"))
    for name, first in (("ttfb", 131_072), ("total", 524_288)):
        for band in range(9):
            least = f" AND {name}_us >= {first * 2**band // 2}" if band else ""
            most = f" AND {name}_us < {first * 2**band}" if band < 8 else ""
            yield f"{name}_{band}", f"{timed}{least}{most}", "1"


_KEYS = {
    "hour_ms": "time_ms - time_ms % 3600000",
    "operation": "operation",
    "key_id": "coalesce(key_id, '')",
    "account_id": "coalesce(account_id, '')",
    "organization_id": "coalesce(organization_id, '')",
    "project_id": "coalesce(project_id, '')",
    "api": "api",
    "public_model": "coalesce(public_model, '')",
    "provider": "coalesce(provider, '')",
    "model": """CASE WHEN model_listed = 1 THEN coalesce(provider || '/' || upstream_model, '')
        WHEN upstream_status IS NULL OR upstream_status BETWEEN 400 AND 499 THEN ''
        ELSE coalesce(provider || '/' || upstream_model, '') END""",
    "outcome": "outcome",
}
_SUMS = {
    "requests": "requests",
    "usage_unknown": "CASE WHEN upstream_status = 200 AND usage_known = 0 THEN 1 ELSE 0 END",
    **{name: name for name in TOKENS},
    "cost_nano": """cost_nano + coalesce((
        SELECT SUM(after_nano - before_nano) FROM rerates WHERE request_id = records.id), 0)""",
    "market_cost_nano": "coalesce(market_cost_nano, 0)",
    **{name: f"CASE WHEN {timed} THEN {value} ELSE 0 END" for name, timed, value in _durations()},
}
"""What an hour has of its records."""


_DIFFERENCES = f"""
    SELECT {", ".join(_KEYS)}, {", ".join(f"SUM(of_{name}), SUM({name})" for name in _SUMS)} FROM (
        SELECT {", ".join([*_KEYS, *_SUMS, *(f"0 AS of_{name}" for name in _SUMS)])} FROM usage_hours
        UNION ALL SELECT {", ".join([*_KEYS.values(), *("0" for _ in _SUMS), *_SUMS.values()])} FROM records
    ) AS both_lists WHERE hour_ms >= {ERASED_BEFORE}
    GROUP BY {", ".join(_KEYS)} HAVING {" OR ".join(f"SUM(of_{name}) <> SUM({name})" for name in _SUMS)}
"""
_ERASED = f"SELECT count(*) FROM usage_hours WHERE hour_ms < {ERASED_BEFORE}"


def hours(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """One finding for each figure of an hour."""
    for row in snapshot.rows(_DIFFERENCES):
        yield from _findings("is not the sum of its records", "usage_hours", row, len(_KEYS))
    ((erased,),) = snapshot.rows(_ERASED)
    if erased:
        yield Skipped(f"{erased:,} rows of hours whose records are erased")


_SPANS = {
    "usage_spans": (*list(_KEYS)[1:], "app"),
    "usage_spans_of_models": (*("operation", "api", "provider", "model", "public_model", "outcome", "app"),),
    "usage_spans_of_keys": (
        *("operation", "organization_id", "key_id", "account_id", "project_id", "public_model", "outcome", "app"),
    ),
}
"""Which of an hour's keys each table of spans has."""


def _unlike(table: str, keys: tuple[str, ...]) -> str:
    """Where a table of spans and what it was folded from disagree: hours for an hour and a day, else both halves."""
    names, sums = ", ".join(keys), ", ".join(f"{name}, 0" for name in _SUMS)
    folded = "FROM usage_hours h JOIN usage_folds f ON f.day_ms = h.hour_ms - h.hour_ms % 86400000"
    hours = (
        ""
        if table == "usage_spans"
        else f"UNION ALL SELECT 1, h.hour_ms, {names}, {sums} {folded} WHERE h.hour_ms < f.until_ms"
    )
    return f"""
        SELECT hours, from_ms, {names}, {", ".join(f"SUM(of_{name}), SUM({name})" for name in _SUMS)} FROM (
            SELECT hours, from_ms, {names}, {", ".join(f"0 AS of_{name}, {name}" for name in _SUMS)} FROM {table}
            {hours}
            UNION ALL SELECT 24, f.day_ms, {names}, {sums} {folded} WHERE h.hour_ms < f.until_ms
            UNION ALL SELECT 2 * s.hours, s.from_ms - s.from_ms % (7200000 * s.hours), {names}, {sums}
            FROM {table} s JOIN usage_folds f ON f.day_ms = s.from_ms AND s.hours BETWEEN 24 AND 12 * f.days
        ) AS both_lists GROUP BY hours, from_ms, {names}
        HAVING {" OR ".join(f"SUM(of_{name}) <> SUM({name})" for name in _SUMS)}
    """


def folded_spans(snapshot: Snapshot) -> Iterator[Finding]:
    """One finding for each figure of a span."""
    for table, keys in _SPANS.items():
        for row in snapshot.rows(_unlike(table, keys)):
            yield from _findings("is not the sum of its parts", table, row, 2 + len(keys))


def _findings(what: str, table: str, row: Row, keys: int) -> Iterator[Finding]:
    """Of a row with what is expected of each sum, and what was found."""
    where = " ".join(f"{value or '-'}" for value in row[:keys])
    for name, expected, found in zip(_SUMS, row[keys::2], row[keys + 1 :: 2], strict=True):
        if expected != found:
            yield Finding(what=what, where=f"{table} {where} {name}", expected=plain(expected), found=plain(found))
