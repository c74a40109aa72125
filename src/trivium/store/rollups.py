"""Usage by the hour: what records come to, added up as they are written, so that sums outlive the records.

`usage_hours` has a row for each hour (UTC) and combination of `KEYS` that occurred, and is added to in the transaction
that inserts the records, or that changes what one of them cost (`store/spans.py`).

A model is named where its provider had to do with it, or is known to have it: names that callers make up are in the
records, and go with them.
Programs are words of a list (`metering/apps.py`) for the same reason. Users are not named: keys know whose they are.

How long answers took is counted in bands, each twice as long as the one before, from which any share of calls can be
told without looking at calls (`store/bands.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from trivium.clock import HOUR_MS
from trivium.metering import apps
from trivium.metering.record import Record
from trivium.store import bands
from trivium.store.sql import marks

KEYS = (
    *("hour_ms", "operation", "key_id", "account_id", "organization_id", "project_id"),
    *("api", "provider", "model", "public_model", "outcome", "app"),
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
    "timed",
    "ttfb_us",
    "total_us",
    *bands.COLUMNS,
)
"""`timed` are the calls that were answered as they should be, of which it is known when: the durations are theirs."""


def adding(table: str, keys: tuple[str, ...], rows: str = "") -> str:
    """A statement that adds sums to those that a table has under the same keys: those of its values, or of `rows`."""
    source = rows or f"VALUES ({marks(keys + SUMS)})"
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    columns = ", ".join(keys + SUMS)
    return f"INSERT INTO {table} ({columns}) {source} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}"


STATEMENT = adding("usage_hours", KEYS)
"""Adds one of `rows` to what is there."""

COLUMNS = {
    "hour_ms": "time_ms - time_ms % 3600000",
    "key_id": "coalesce(key_id, '')",
    "account_id": "coalesce(account_id, '')",
    "organization_id": "coalesce(organization_id, '')",
    "project_id": "coalesce(project_id, '')",
    "provider": "coalesce(provider, '')",
    "model": "CASE WHEN model_listed = 1 OR upstream_status < 400 OR upstream_status >= 500 THEN"
    " coalesce(provider || '/' || upstream_model, '') ELSE '' END",
    "public_model": "coalesce(public_model, '')",
    "app": apps.SQL,
    "usage_unknown": "CASE WHEN upstream_status = 200 AND usage_known = 0 THEN 1 ELSE 0 END",
    "market_cost_nano": "coalesce(market_cost_nano, 0)",
    "timed": f"CASE WHEN {bands.TIMED} THEN 1 ELSE 0 END",
    "ttfb_us": f"CASE WHEN {bands.TIMED} THEN ttfb_us ELSE 0 END",
    "total_us": f"CASE WHEN {bands.TIMED} THEN total_us ELSE 0 END",
    **bands.SQL,
}
"""What `rows` makes of a record, in SQL, where it is not a column of the same name."""

KEYS_OF = f"SELECT {', '.join(COLUMNS.get(name, name) for name in KEYS)} FROM records WHERE id = ?"
"""Where a record is counted, by its id."""


def rows(records: Iterable[Record]) -> list[tuple[str | int, ...]]:
    """Values for `STATEMENT`, a row for each combination. They are in order, so that two gateways that add to the same
    rows wait for each other rather than for ever."""
    hours: defaultdict[tuple[str | int, ...], list[Record]] = defaultdict(list)
    for record in records:
        hours[key_of(record)].append(record)
    return [(*key, *_summed(hours[key])) for key in sorted(hours)]


def _summed(records: list[Record]) -> Iterable[int]:
    sums = [_sums(record) for record in records]
    timed = [record for record in records if record.ttfb_us is not None and record.outcome == "success"]
    whole = sums[0] if len(sums) == 1 else map(sum, zip(*sums, strict=True))
    return (*whole, *(bands.counted(timed) if timed else bands.NONE))


def key_of(record: Record) -> tuple[str | int, ...]:
    """Where it is counted: values of `KEYS`."""
    told = record.upstream_status is not None and not 400 <= record.upstream_status < 500
    named = (told or record.model_listed == 1) and record.provider is not None and record.upstream_model is not None
    return (
        record.time_ms - record.time_ms % HOUR_MS,
        record.operation,
        record.key_id or "",
        record.account_id or "",
        record.organization_id or "",
        record.project_id or "",
        record.api,
        record.provider or "",
        f"{record.provider}/{record.upstream_model}" if named else "",
        record.public_model or "",
        record.outcome,
        apps.app_of(record.client_app),
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
