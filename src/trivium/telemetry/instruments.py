"""What is measured: each instrument once, with its names for Prometheus and for OpenTelemetry.

Names and boundaries are those of OpenTelemetry's semantic conventions for generative AI where these know the thing
(`gen_ai.*`), ours elsewhere. For Prometheus they are written as its own rules have it: units and `_total` at the end.
Every label has few values, whoever calls: docs/telemetry.md says which.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

OTHER = "other"
"""What stands for all values that metrics do not tell apart."""
NONE = "none"
"""The provider and model of a call that reached none."""


class Kind(enum.StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Instrument(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    name: str
    """For Prometheus."""
    otel: str
    unit: str = "1"
    """As OpenTelemetry writes it (UCUM)."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper ones of a histogram's buckets, in its unit."""
    scale: int = 1
    """What is counted is so many times smaller than the unit, so that counts are integers."""


class Histogram(NamedTuple):
    """`counts` are those of each bucket, not of all below it; the last one has no upper bound."""

    counts: Sequence[int]
    sum: float


Point = tuple[tuple[str, ...], "float | Histogram"]
"""Values of the labels, in their order, and what was measured."""


class Family(NamedTuple):
    instrument: Instrument
    points: Iterable[Point]
    """To be read once."""


_US = 1_000_000
_NANO = 1_000_000_000
_SHORT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The conventions' boundaries for `gen_ai.server.time_to_first_token`."""
_FIRST = (*_SHORT, 20.0, 40.0)
_LONG = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
"""Those for durations, and two more: an answer may take ten minutes."""
_EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**power) for power in range(14))
_WAITS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_COUNTER, _GAUGE, _HISTOGRAM = Kind

REQUESTS = Instrument(
    name="trivium_requests_total",
    otel="trivium.requests",
    unit="{request}",
    kind=_COUNTER,
    help="Requests that ended, refused ones included.",
    labels=("api", "operation", "provider", "model", "outcome"),
)
ERRORS = Instrument(
    name="trivium_errors_total",
    otel="trivium.errors",
    unit="{error}",
    kind=_COUNTER,
    help="Requests that ended in an error, by its code.",
    labels=("api", "provider", "code"),
)
FAILED_ATTEMPTS = Instrument(
    name="trivium_failed_attempts_total",
    otel="trivium.failed_attempts",
    unit="{attempt}",
    kind=_COUNTER,
    help="Tries of a route that failed and were followed by another one's.",
    labels=("provider", "code"),
)
TOKENS = Instrument(
    name="trivium_tokens_total",
    otel="trivium.tokens",
    unit="{token}",
    kind=_COUNTER,
    help="Tokens by bucket. The buckets of the input are disjoint.",
    labels=("provider", "model", "bucket"),
)
REASONING = Instrument(
    name="trivium_reasoning_tokens_total",
    otel="trivium.reasoning_tokens",
    unit="{token}",
    kind=_COUNTER,
    help="Tokens of the output that were reasoning.",
    labels=("provider", "model"),
)
COST = Instrument(
    name="trivium_cost_usd_total",
    otel="trivium.cost",
    unit="{USD}",
    kind=_COUNTER,
    help="What callers were charged.",
    labels=("provider", "model", "payer"),
    scale=_NANO,
)
MARKET_COST = Instrument(
    name="trivium_market_cost_usd_total",
    otel="trivium.market_cost",
    unit="{USD}",
    kind=_COUNTER,
    help="What calls were worth at their providers' prices, whoever paid.",
    labels=("provider", "model", "payer"),
    scale=_NANO,
)
DURATION = Instrument(
    name="gen_ai_server_request_duration_seconds",
    otel="gen_ai.server.request.duration",
    unit="s",
    kind=_HISTOGRAM,
    help="From a request's arrival to the end of its answer.",
    labels=("api", "provider", "model", "outcome"),
    bounds=_LONG,
    scale=_US,
)
FIRST_TOKEN = Instrument(
    name="gen_ai_server_time_to_first_token_seconds",
    otel="gen_ai.server.time_to_first_token",
    unit="s",
    kind=_HISTOGRAM,
    help="From a request's arrival to the first content of its stream; successes only.",
    labels=("provider", "model"),
    bounds=_FIRST,
    scale=_US,
)
PER_TOKEN = Instrument(
    name="gen_ai_server_time_per_output_token_seconds",
    otel="gen_ai.server.time_per_output_token",
    unit="s",
    kind=_HISTOGRAM,
    help="Of a stream, for each token after the first content; successes only.",
    labels=("provider", "model"),
    bounds=_EACH,
    scale=_US,
)
TOKEN_USAGE = Instrument(
    name="gen_ai_client_token_usage",
    otel="gen_ai.client.token.usage",
    unit="{token}",
    kind=_HISTOGRAM,
    help="Tokens of a request, cached ones included; estimates too.",
    labels=("provider", "model", "type"),
    bounds=_TOKENS,
)
UPSTREAM_FIRST_BYTE = Instrument(
    name="trivium_upstream_first_byte_seconds",
    otel="trivium.upstream.first_byte",
    unit="s",
    kind=_HISTOGRAM,
    help="From the call of a provider to the head of its answer.",
    labels=("provider", "model"),
    bounds=_FIRST,
    scale=_US,
)
QUEUE = Instrument(
    name="trivium_queue_seconds",
    otel="trivium.queue",
    unit="s",
    kind=_HISTOGRAM,
    help="From a request's arrival to the call of the provider: body, checks, limits, hold, earlier attempts.",
    labels=("api",),
    bounds=_WAITS,
    scale=_US,
)

LOOP_LAG = Instrument(
    name="trivium_event_loop_lag_seconds",
    otel="trivium.event_loop.lag",
    unit="s",
    kind=_HISTOGRAM,
    help="How late the event loop was for a timer, four times a second.",
    bounds=_WAITS,
)
CALLS = Instrument(
    name="trivium_calls_in_progress",
    otel="trivium.calls_in_progress",
    unit="{call}",
    kind=_GAUGE,
    help="Calls that are being answered.",
)
HELD_BYTES = Instrument(
    name="trivium_in_flight_bytes",
    otel="trivium.in_flight",
    unit="By",
    kind=_GAUGE,
    help="Bytes of requests and answers that calls hold in memory.",
)
OPEN_STARTS = Instrument(
    name="trivium_ledger_open_calls",
    otel="trivium.ledger.open_calls",
    unit="{call}",
    kind=_GAUGE,
    help="Calls that were started in the ledger and have not ended.",
)
BACKLOG = Instrument(
    name="trivium_ledger_backlog",
    otel="trivium.ledger.backlog",
    unit="{operation}",
    kind=_GAUGE,
    help="Holds, ends and other changes that are not written yet.",
)
LEDGER_LAG = Instrument(
    name="trivium_ledger_lag_seconds",
    otel="trivium.ledger.lag",
    unit="s",
    kind=_GAUGE,
    help="Age of the oldest record that is not written yet.",
)
STORE_FAILING = Instrument(
    name="trivium_store_failing",
    otel="trivium.store.failing",
    kind=_GAUGE,
    help="1 while the store cannot be written.",
)
ROUTE_CALLS = Instrument(
    name="trivium_route_calls",
    otel="trivium.route.calls",
    unit="{call}",
    kind=_GAUGE,
    help="Calls of models with several routes in the last ten minutes, of a route and of a provider as a whole.",
    labels=("route",),
)
ROUTE_ERRORS = Instrument(
    name="trivium_route_error_ratio",
    otel="trivium.route.error_ratio",
    kind=_GAUGE,
    help="Part of these that failed.",
    labels=("route",),
)
ROUTE_STATE = Instrument(
    name="trivium_route_state",
    otel="trivium.route.state",
    kind=_GAUGE,
    help="1 for the state of a route: well, resting, or half_open, where a call looks whether it answers again.",
    labels=("route", "state"),
)
REFUSING = Instrument(
    name="trivium_provider_refusing",
    otel="trivium.provider.refusing",
    kind=_GAUGE,
    help="1 for a provider that refuses the house's own account, until it answers again.",
    labels=("provider",),
)
POOL = Instrument(
    name="trivium_pool_connections",
    otel="trivium.pool.connections",
    unit="{connection}",
    kind=_GAUGE,
    help="Connections to providers.",
    labels=("provider", "state"),
)
POOL_WAITING = Instrument(
    name="trivium_pool_waiting_calls",
    otel="trivium.pool.waiting",
    unit="{call}",
    kind=_GAUGE,
    help="Calls that wait for a connection.",
    labels=("provider",),
)
EVENTS = Instrument(
    name="trivium_telemetry_events_total",
    otel="trivium.telemetry.events",
    unit="{event}",
    kind=_COUNTER,
    help="Events for the HTTP service, by what became of them.",
    labels=("result",),
)
DASHBOARD_LOST = Instrument(
    name="trivium_dashboard_lost_total",
    otel="trivium.dashboard.lost",
    unit="{process}",
    kind=_COUNTER,
    help="Processes of the dashboard that ended by themselves, or hung and were killed.",
    labels=("how",),
)
CAPTURES = Instrument(
    name="trivium_captures_total",
    otel="trivium.captures",
    unit="{call}",
    kind=_COUNTER,
    help="Calls whose bodies were to be kept, by what became of them.",
    labels=("result",),
)
CAPTURES_WAITING = Instrument(
    name="trivium_captures_waiting_bytes",
    otel="trivium.captures.waiting",
    unit="By",
    kind=_GAUGE,
    help="Bytes of such bodies in memory.",
)
BUILD = Instrument(
    name="trivium_build_info",
    otel="trivium.build.info",
    kind=_GAUGE,
    help="1, with the gateway's version.",
    labels=("version",),
)

OTEL_LABELS = {
    "provider": "trivium.provider",
    "model": "gen_ai.request.model",
    "type": "gen_ai.token.type",
    "code": "error.type",
    "version": "service.version",
}
"""What the conventions call a label; the others are `trivium.LABEL`."""
