"""Questions about the records: sums by day, model and key, and single requests."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

import msgspec

from trivium.metering.record import COLUMNS
from trivium.store.database import query as _query

GROUPS = {
    "day": "strftime('%Y-%m-%d', time_ms / 1000, 'unixepoch')",
    "model": "coalesce(provider || '/' || upstream_model, requested_model)",
    "key": "key_id",
    "api": "api",
    "provider": "provider",
    "outcome": "outcome",
}
"""What usage can be grouped by. Days are UTC."""

_SUMS = {
    "requests": "sum(requests)",
    "succeeded": "sum(requests * (outcome = 'success'))",
    "refused": "sum(requests * (outcome = 'refused'))",
    "failed": "sum(requests * (outcome = 'failed'))",
    "aborted": "sum(requests * (outcome = 'aborted'))",
    "usage_unknown": "sum(upstream_status = 200 AND NOT usage_known)",
    "input_tokens": "sum(input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"
    " + cache_write_other_tokens)",
    "input_uncached_tokens": "sum(input_uncached_tokens)",
    "cache_read_tokens": "sum(cache_read_tokens)",
    "cache_write_tokens": "sum(cache_write_5m_tokens + cache_write_1h_tokens + cache_write_other_tokens)",
    "output_tokens": "sum(output_tokens)",
    "reasoning_tokens": "sum(reasoning_tokens)",
}


Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which records, and by what they are summed. Times are milliseconds since the epoch, `until` excluded."""

    by: tuple[str, ...] = ("day", "model", "key")
    since_ms: Moment | None = None
    until_ms: Moment | None = None


class RequestQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest requests, or the one with an id."""

    id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    outcome: str | None = None


def usage(connection: sqlite3.Connection, query: UsageQuery) -> list[dict[str, Any]]:
    """A row per group with requests, outcomes and tokens. Counting calls (`count_tokens`) are not requests here."""
    groups = [f"{GROUPS[name]} AS {name}" for name in query.by]
    sums = [f"coalesce({expression}, 0) AS {name}" for name, expression in _SUMS.items()]
    where = ["operation = 'generate'"]
    values: list[int] = []
    for condition, bound in (("time_ms >= ?", query.since_ms), ("time_ms < ?", query.until_ms)):
        if bound is not None:
            where.append(condition)
            values.append(bound)
    keys = ", ".join(str(n + 1) for n in range(len(groups)))
    tail = f" GROUP BY {keys} ORDER BY {keys}" if groups else ""
    statement = f"SELECT {', '.join(groups + sums)} FROM records WHERE {' AND '.join(where)}{tail}"
    return _rows(connection, statement, values)


def requests(connection: sqlite3.Connection, query: RequestQuery) -> list[dict[str, Any]]:
    """Whole records, newest first; with an id at most one."""
    statement = f"SELECT {', '.join(COLUMNS)} FROM records"
    if query.id is not None:
        return _rows(connection, f"{statement} WHERE id = ?", [query.id])
    if query.outcome is not None:
        return _rows(
            connection, f"{statement} WHERE outcome = ? ORDER BY time_ms DESC LIMIT ?", [query.outcome, query.limit]
        )
    return _rows(connection, f"{statement} ORDER BY time_ms DESC LIMIT ?", [query.limit])


def _rows(connection: sqlite3.Connection, statement: str, values: list[Any]) -> list[dict[str, Any]]:
    names, rows = _query(connection, statement, values)
    return [dict(zip(names, row, strict=True)) for row in rows]
