"""What a provider should have charged us, as the records say: the calls that it can be asked about, newest first."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trivium.clock import LAST_MS
from trivium.store.sql import Database
from trivium.store.usage import Moment

PAGE = 200
"""Records that are read in one go, at most."""


class ReconcileQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a provider's records, newest first. Times are milliseconds since the epoch."""

    provider: str
    since_ms: Moment = 0
    until_ms: Moment = LAST_MS
    """Excluded; with `until_id` the place of the last record of the page before."""
    until_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE)] = PAGE


class Charged(msgspec.Struct, frozen=True):
    """Of one record what can be compared. Its fields are columns; their meaning is that of `metering.record.Record`."""

    id: str
    time_ms: int
    upstream_id: str
    upstream_model: str | None
    outcome: str
    payer: str | None
    cost_nano: int
    market_cost_nano: int | None
    markup_ppm: int
    reported_cost_usd: str | None
    usage_known: int
    input_uncached_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_write_other_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    image_input_tokens: int


_LAST = "coalesce((SELECT {} FROM rerates WHERE request_id = records.id ORDER BY number DESC LIMIT 1), {})"
_NOW = {"cost_nano": _LAST.format("after_nano", "cost_nano"), "markup_ppm": _LAST.format("markup_ppm", "markup_ppm")}
"""What a call costs by the last price that it was corrected to."""
_PAGE = f"""
    SELECT {", ".join(_NOW.get(name, name) for name in Charged.__struct_fields__)} FROM records
    WHERE provider = ? AND operation = 'generate' AND upstream_id <> ''
    AND time_ms >= ? AND time_ms <= ? AND (time_ms, id) < (?, ?)
    ORDER BY time_ms DESC, id DESC LIMIT ?
"""  # the names of our own fields


def charged(database: Database, query: ReconcileQuery) -> list[Charged]:
    """Blocks. Raises StoreUnavailable."""
    before = (query.until_ms, query.until_ms, query.until_id)
    _, rows = database.query(_PAGE, (query.provider, query.since_ms, *before, query.limit))
    return [Charged(*row) for row in rows]
