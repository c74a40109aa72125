"""Usage by the hour: what records come to, added up as they are written, so that sums outlive the records.

`usage_hours` has a row for each hour (UTC) and combination of `KEYS` that occurred, and is added to in the transaction
that inserts the records, or that changes what one of them cost. Whoever writes passes each record once.

A model is named where its provider had to do with it: names that callers make up are in the records, and go with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from trivium.metering.record import Record

HOUR_MS = 3_600_000

KEYS = (
    *("hour_ms", "operation", "key_id", "account_id", "organization_id"),
    *("api", "provider", "model", "public_model", "outcome"),
)
"""In the table an empty text stands for none."""

SUMS = (
    "requests",
    "usage_unknown",
    "input_uncached_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_write_other_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nano",
    "market_cost_nano",
)

_INSERT = f"INSERT INTO usage_hours ({', '.join(KEYS + SUMS)})"
_ADD = f" ON CONFLICT ({', '.join(KEYS)}) DO UPDATE SET " + ", ".join(
    f"{name} = usage_hours.{name} + excluded.{name}" for name in SUMS
)
STATEMENT = f"{_INSERT} VALUES ({', '.join('?' * len(KEYS + SUMS))}){_ADD}"
"""Adds one of `rows` to what is there."""

COLUMNS = {
    "hour_ms": "time_ms - time_ms % 3600000",
    "key_id": "coalesce(key_id, '')",
    "account_id": "coalesce(account_id, '')",
    "organization_id": "coalesce(organization_id, '')",
    "provider": "coalesce(provider, '')",
    "model": "CASE WHEN upstream_status < 400 OR upstream_status >= 500 THEN"
    " coalesce(provider || '/' || upstream_model, '') ELSE '' END",
    "public_model": "coalesce(public_model, '')",
    "usage_unknown": "CASE WHEN upstream_status = 200 AND usage_known = 0 THEN 1 ELSE 0 END",
    "market_cost_nano": "coalesce(market_cost_nano, 0)",
}
"""What `rows` makes of a record, in SQL, where it is not a column of the same name."""

CORRECTION = (
    f"{_INSERT} SELECT {', '.join(COLUMNS.get(name, name) for name in KEYS)},"
    f" {', '.join('?' if name == 'cost_nano' else '0' for name in SUMS)} FROM records WHERE id = ?{_ADD}"
)
"""Adds nanodollars to what a record cost, by its id."""


def rows(records: Iterable[Record]) -> list[tuple[str | int, ...]]:
    """Values for `STATEMENT`, a row for each combination. They are in order, so that two gateways that add to the same
    rows wait for each other rather than for ever."""
    hours: defaultdict[tuple[str | int, ...], list[tuple[int, ...]]] = defaultdict(list)
    for record in records:
        hours[_key(record)].append(_sums(record))
    return [(*key, *map(sum, zip(*hours[key], strict=True))) for key in sorted(hours)]


def _key(record: Record) -> tuple[str | int, ...]:
    known = record.provider is not None and record.upstream_model is not None
    named = known and record.upstream_status is not None and not 400 <= record.upstream_status < 500
    return (
        record.time_ms - record.time_ms % HOUR_MS,
        record.operation,
        record.key_id or "",
        record.account_id or "",
        record.organization_id or "",
        record.api,
        record.provider or "",
        f"{record.provider}/{record.upstream_model}" if named else "",
        record.public_model or "",
        record.outcome,
    )


def _sums(record: Record) -> tuple[int, ...]:
    return (
        record.requests,
        int(record.upstream_status == 200 and not record.usage_known),
        record.input_uncached_tokens,
        record.cache_read_tokens,
        record.cache_write_5m_tokens,
        record.cache_write_1h_tokens,
        record.cache_write_other_tokens,
        record.output_tokens,
        record.reasoning_tokens,
        record.cost_nano,
        record.market_cost_nano or 0,
    )
