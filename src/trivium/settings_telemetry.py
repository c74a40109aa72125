"""Settings of what operators see of a running gateway (docs/telemetry.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trivium.patterns import matching

Url = Annotated[str, matching(r"^https?://[!-.0-?A-~]+(/[!-~]*)?\Z", "a URL that begins with https:// or http://")]
"""Without a user."""
Pause = Annotated[float, msgspec.Meta(gt=0, le=3600)]
"""Seconds."""


class PrometheusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry.prometheus]`: `/metrics`."""

    enabled: bool = True
    """Whether anything is counted for it. On the gateway's port it is shown to admin credentials of the house alone."""
    listen: Annotated[str, matching(r"^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):[0-9]{1,5}\Z", "HOST:PORT")] | None = None
    """`HOST:PORT`: a listener of its own, which asks nobody who he is, in place of the gateway's port."""


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry.events]`: records as they end, posted to an HTTP service. Best effort."""

    url: Url
    headers: dict[str, str] = {}
    """Sent with each batch. Values may be `env:NAME` or `file:PATH`."""
    format: Literal["json", "ndjson"] = "json"
    batch: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """Events that are sent together at most."""
    interval: Pause = 5
    """Seconds that an event waits for others at most."""
    queue: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    """Events that may wait; beyond it the oldest are dropped, and counted."""
    timeout: Pause = 10
    omit: tuple[str, ...] = (
        *("client_ip", "client_country", "tls_fingerprint"),
        *("prompt_prefix", "system_prompt_prefix"),
    )
    """Columns of the record that are left out."""


class OtelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry.otel]`: traces and metrics over OTLP/HTTP. What is not said here, the variables of OpenTelemetry's
    own specification say (`OTEL_EXPORTER_OTLP_...`, `OTEL_RESOURCE_ATTRIBUTES`)."""

    endpoint: Url | None = None
    """Of the collector; `/v1/traces` and `/v1/metrics` are appended."""
    headers: dict[str, str] = {}
    """Values may be `env:NAME` or `file:PATH`."""
    traces: bool = True
    metrics: bool = True
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Part of the traces that begin here; those that a client began are kept where the client keeps them."""
    interval: Pause = 30
    """Seconds between two exports of metrics."""
    service_name: str = "trivium"
    propagate: tuple[str, ...] = ()
    """Providers that are told the trace of a call (`traceparent`), by name."""


class TelemetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry]`."""

    max_models: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 200
    """Models that metrics tell apart; further ones are `other`."""
    prometheus: PrometheusSettings = PrometheusSettings()
    events: EventSettings | None = None
    otel: OtelSettings | None = None
