"""Questions about usage: sums by day, model, key and more, and single requests.

Sums of whole hours come from `usage_hours`, which outlives the records; only the parts of hours at both ends of a
period are added up from the records, and count as far as those are kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from trivium.metering.record import COLUMNS
from trivium.policy.caller import Id
from trivium.store import rollups
from trivium.store.rollups import HOUR_MS
from trivium.store.sql import Database
from trivium.store.whose import Whose, calls

GROUPS = {
    "day": "time_ms - time_ms % 86400000",
    "model": "nullif(model, '')",
    "key": "nullif(key_id, '')",
    "account": "nullif(account_id, '')",
    "organization": "nullif(organization_id, '')",
    "api": "api",
    "provider": "nullif(provider, '')",
    "outcome": "outcome",
}
"""What usage can be grouped by. Days are UTC."""
_PUBLIC_GROUPS = {
    "model": "CASE WHEN public_model <> '' THEN public_model ELSE nullif(model, '') END",
    "provider": "CASE WHEN public_model <> '' THEN NULL ELSE nullif(provider, '') END",
}
"""The same, where nobody may learn who answers as a stealth model."""

_CACHE_WRITE = "cache_write_5m_tokens + cache_write_1h_tokens + cache_write_other_tokens"
_SUMS = {
    "requests": "requests",
    "succeeded": "CASE WHEN outcome = 'success' THEN requests ELSE 0 END",
    "refused": "CASE WHEN outcome = 'refused' THEN requests ELSE 0 END",
    "failed": "CASE WHEN outcome = 'failed' THEN requests ELSE 0 END",
    "aborted": "CASE WHEN outcome = 'aborted' THEN requests ELSE 0 END",
    "usage_unknown": "usage_unknown",
    "input_tokens": f"input_uncached_tokens + cache_read_tokens + {_CACHE_WRITE}",
    "input_uncached_tokens": "input_uncached_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": _CACHE_WRITE,
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cost_nano": "cost_nano",
    "market_cost_nano": "market_cost_nano",
}
_PUBLIC_SUMS = {"market_cost_nano": "CASE WHEN public_model <> '' THEN 0 ELSE market_cost_nano END"}
"""What it is worth is as good as a name."""

_SUMMED = (*rollups.KEYS[1:], *rollups.SUMS)
_HOURS = f"SELECT hour_ms AS time_ms, {', '.join(_SUMMED)} FROM usage_hours WHERE hour_ms"
_BY_NOW = {
    "cost_nano": "cost_nano + coalesce((SELECT CAST(sum(after_nano - before_nano) AS BIGINT) FROM rerates"
    " WHERE request_id = records.id), 0)"
}
"""As `usage_hours` has it: with what was corrected since."""
_RECORDS = (
    "SELECT time_ms, "
    + ", ".join(f"{(rollups.COLUMNS | _BY_NOW).get(name, name)} AS {name}" for name in _SUMMED)
    + " FROM records WHERE time_ms"
)
_LATEST = 2**53 // HOUR_MS * HOUR_MS

Moment = Annotated[int, msgspec.Meta(ge=0, le=_LATEST)]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests, and by what they are summed. Times are milliseconds since the epoch, `until` excluded."""

    by: tuple[str, ...] = ("day", "model", "key")
    since_ms: Moment | None = None
    until_ms: Moment | None = None
    organization: Id | None = None
    user: Id | None = None


class RequestQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest requests, or the one with an id."""

    id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    outcome: str | None = None
    before: tuple[int, str] | None = None
    """Only those that came before this one: its time and id."""
    whose: Whose = Whose()


def usage(
    database: Database, query: UsageQuery, *, public: bool = False, token: str | None = None
) -> list[dict[str, Any]]:
    """A row per group with requests, outcomes, tokens and nanodollars. Counting calls (`count_tokens`) are no requests
    here. `public`: stealth models are named by their ids alone; `token` is the id of the user's tokens. Blocks; raises
    StoreUnavailable."""
    by, summed = (GROUPS | _PUBLIC_GROUPS, _SUMS | _PUBLIC_SUMS) if public else (GROUPS, _SUMS)
    groups = [f"{by[name]} AS {name}" for name in query.by]
    sums = [f"coalesce(sum({expression}), 0) AS {name}" for name, expression in summed.items()]
    spans = _spans(query.since_ms or 0, _LATEST if query.until_ms is None else query.until_ms)
    where, whose = calls(Whose(organization=query.organization, user=query.user), token)
    parts = [f"{source} >= ? AND {column} < ? AND operation = 'generate' AND {where}" for source, column, _, _ in spans]
    keys = [str(n + 1) for n in range(len(groups))]
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    # Databases disagree on where none stands; the others are in the order of their bytes.
    ordered = f" ORDER BY {', '.join(f'{key} NULLS FIRST' for key in keys)}" if keys else ""
    statement = f"SELECT {', '.join(groups + sums)} FROM ({' UNION ALL '.join(parts)}) AS parts{grouped}{ordered}"
    rows = _rows(database, statement, [value for _, _, since, until in spans for value in (since, until, *whose)])
    return [row | {"day": _day(row["day"])} if "day" in row else row for row in rows]


def requests(database: Database, query: RequestQuery, token: str | None = None) -> list[dict[str, Any]]:
    """Whole records, newest first; with an id at most one. `token` as with `usage`. Blocks; raises StoreUnavailable."""
    where, values = calls(query.whose, token)
    if query.id is not None:
        where, values = f"id = ? AND {where}", [query.id, *values]
    if query.outcome is not None:
        where, values = f"outcome = ? AND {where}", [query.outcome, *values]
    if query.before is not None:
        time_ms, id = query.before
        where, values = f"time_ms <= ? AND (time_ms < ? OR id < ?) AND {where}", [time_ms, time_ms, id, *values]
    statement = f"SELECT {', '.join(COLUMNS)} FROM records WHERE {where} ORDER BY time_ms DESC, id DESC LIMIT ?"
    return _rows(database, statement, [*values, query.limit])


def _spans(since: int, until: int) -> list[tuple[str, str, int, int]]:
    """(select, column of time, from, to) of each part of a period: whole hours, and what is left at both ends."""
    first, last = -(-since // HOUR_MS) * HOUR_MS, until // HOUR_MS * HOUR_MS
    if first >= last:
        return [(_RECORDS, "time_ms", since, until)]
    spans = [(_HOURS, "hour_ms", first, last)]
    if since < first:
        spans.append((_RECORDS, "time_ms", since, first))
    if last < until:
        spans.append((_RECORDS, "time_ms", last, until))
    return spans


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")


def _rows(database: Database, statement: str, values: list[Any]) -> list[dict[str, Any]]:
    names, rows = database.query(statement, values)
    return [dict(zip(names, row, strict=True)) for row in rows]
