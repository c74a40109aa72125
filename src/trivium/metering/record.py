"""The record of one request: one for each that was received, whatever became of it (behaviour page, section 9)."""

from __future__ import annotations

import enum

import msgspec


class Outcome(enum.StrEnum):
    SUCCESS = "success"
    REFUSED = "refused"
    """Ours: nothing was sent upstream."""
    FAILED = "failed"
    """Sent upstream and not answered as the API promises, in-band errors and cut streams included."""
    ABORTED = "aborted"
    """The client left, or the gateway was stopped, before the end."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Its fields are the columns of the record table, in order. Durations are in microseconds since the arrival."""

    id: str
    time_ms: int
    """Arrival, milliseconds since the epoch."""
    api: str
    """The client's API, by its record name; of the path where no API is certain: empty."""
    operation: str
    """`generate` or `count_tokens`."""
    outcome: str
    status: int
    """HTTP status the client got; 499 when it left before it got one."""
    key_id: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    upstream_api: str | None = None
    upstream_model: str | None = None
    answer_model: str | None = None
    """The model that the upstream says it was."""
    upstream_status: int | None = None
    upstream_id: str | None = None
    stream: bool = False
    error_code: str | None = None
    """Ours for refusals and broken calls, the upstream's own type for errors that it told."""
    error_message: str | None = None
    in_band_error: bool = False
    """The error came inside a 200 answer."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    usage_known: bool = False
    """False: no usage arrived, and the zeros below mean nothing."""
    input_uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_other_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    server_tools: str | None = None
    """JSON object of counts by tool, or null."""
    service_tier: str | None = None
    reported_cost_usd: str | None = None
    market_cost_usd: str | None = None
    is_byok: bool | None = None
    flags: str = ""
    """Space-separated words: `clamped_usage`, `malformed_events`, `unterminated`, ..."""
    losses: str | None = None
    """JSON list of [field, why], or null."""
    max_tokens: int | None = None
    queue_us: int | None = None
    """Until the upstream was called."""
    ttfb_us: int | None = None
    """Until the first byte of the answer was there."""
    first_token_us: int | None = None
    """Until the first content of a stream was there."""
    total_us: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    client_app: str | None = None
    """The first product of the User-Agent header."""
    client_ip: str | None = None
    requests: int = 1
    """How many requests the record stands for: more than one where a flood of refusals was counted together."""


COLUMNS = Record.__struct_fields__
