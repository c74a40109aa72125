"""Who takes telemetry: a collector for OTLP and for events, and a scraper with the rules of promtool."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.core import Metric as Scraped
from prometheus_client.parser import text_string_to_metric_families

from support_wait import until

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "trivium.json"
"""For Grafana."""


class Collector:
    """Keeps what it is sent; `statuses` are its next answers, 200 when there are none left."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        """Path, headers, body."""
        self.statuses: list[int] = []

    @property
    def everything(self) -> bytes:
        return b"\n".join(body for _, _, body in self.received)

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for _, _, body in self._at("/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Metric]:
        """As they were told last."""
        (*_, (_, _, body)) = self._at("/v1/metrics")
        (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
        return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, _, body in self._at("/events") for event in json.loads(body)["events"]]

    def _at(self, path: str) -> list[tuple[str, dict[str, str], bytes]]:
        return [one for one in self.received if one[0] == path]

    async def until(self, path: str, times: int = 1) -> None:
        await until(lambda: len(self._at(path)) >= times)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.received.append((request.path, {name.lower(): value for name, value in request.headers.items()}, body))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    collecting = Collector()
    app = web.Application()
    app.router.add_post("/{path:.*}", collecting.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collecting.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collecting
    finally:
        await runner.cleanup()


def attributes(said: Iterable[Any]) -> dict[str, Any]:
    """Of a span or a data point, as plain values."""
    found = {}
    for one in said:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def scraped(text: str) -> dict[str, Scraped]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Scraped], name: str, **labels: str) -> float:
    """Of the samples that have these labels among theirs, the sum."""
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert found, f"no {name} with {labels}"
    return sum(found)


_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ABBREVIATED = re.compile(
    r"(^|_)(ms|us|ns|sec|secs|msec|milliseconds|microseconds|nanoseconds|minutes|hours|kb|mb|percent)(_|$)"
)
_TYPES = re.compile(r"(^|_)(counter|gauge|histogram|summary|metric)(_|$)")


def lint(text: str) -> list[str]:
    """What `promtool check metrics` would say of an exposition, and what a hostile label would do to it."""
    return [fault for family in scraped(text).values() for fault in (*_faults(family), *_faults_of_samples(family))]


def _faults(family: Scraped) -> Iterator[str]:
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
    rules = {
        "no help": not family.documentation,
        "not in lower snake case": not _NAME.fullmatch(family.name),
        "no base unit": bool(_ABBREVIATED.search(family.name)),
        "has its type in its name": bool(_TYPES.search(family.name)),
        "no type": family.type == "unknown",
        "a series twice": len(series) != len(set(series)),
    }
    return (f"{family.name}: {fault}" for fault, holds in rules.items() if holds)


def _faults_of_samples(family: Scraped) -> Iterator[str]:
    for sample in family.samples:
        if family.type == "counter" and not sample.name.endswith("_total"):
            yield f"{sample.name}: a counter without _total"
        if family.type == "gauge" and sample.name.endswith(("_total", "_count", "_sum", "_bucket")):
            yield f"{sample.name}: the ending of another type"
        if family.type != "histogram" and "le" in sample.labels:
            yield f"{sample.name}: the label le"
        yield from (f"{sample.name}: label {label}" for label in sample.labels if not _NAME.fullmatch(label))


def board_targets() -> Iterator[dict[str, Any]]:
    """What the panels of the Grafana dashboard ask."""
    yield from _targets(json.loads(DASHBOARD.read_text()))


def board_expressions() -> Iterator[str]:
    return (target["expr"] for target in board_targets())


def _targets(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node
        for item in node.values():
            yield from _targets(item)
    elif isinstance(node, list):
        for item in node:
            yield from _targets(item)
