"""Spans and metrics over OTLP/HTTP, by OpenTelemetry's own SDK (the extra `otel`).

A thread of its own makes the spans and sends both: no call waits for a collector. What waits for the thread is bounded;
records beyond that leave no trace. Retries, compression and certificates are the SDK's, with its variables.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as OtelHistogram
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from trivium import __version__
from trivium.settings_telemetry import OtelSettings
from trivium.telemetry.hub import Ended
from trivium.telemetry.instruments import OTEL_LABELS, Family, Histogram, Instrument, Kind, Point
from trivium.telemetry.trace import Semantic, Span, spans_of

_LOG = logging.getLogger("trivium.telemetry")
_SCOPE = "trivium"
_MOST_WAITING = 10_000
"""Records."""
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class Otel:
    """A sink. `start` the thread; `run` has metrics sent until it is cancelled; `close` sends what is left."""

    def __init__(
        self,
        settings: OtelSettings,
        headers: Mapping[str, str],
        instance: str,
        semantic: Semantic,
        families: Callable[[], Sequence[Family]],
    ) -> None:
        """`instance` names this gateway among others; `families` are the metrics of the moment."""
        self._settings = settings
        self._families = families
        self._semantic = semantic
        self._queue: SimpleQueue[Ended | Sequence[Family] | None] = SimpleQueue()
        """Records, metrics, and at last None."""
        self._unsent = False
        """There are metrics that are not sent yet."""
        self._began_ns = time.time_ns()
        self._resource = Resource.create(
            {"service.name": settings.service_name, "service.version": __version__, "service.instance.id": instance}
        )
        to = settings.endpoint.rstrip("/") if settings.endpoint else None
        sent = dict(headers) or None
        self._traces = (
            _Traces(OTLPSpanExporter(endpoint=to and f"{to}/v1/traces", headers=sent), self._resource)
            if settings.traces
            else None
        )
        self._metrics = (
            OTLPMetricExporter(endpoint=to and f"{to}/v1/metrics", headers=sent) if settings.metrics else None
        )
        self._thread = threading.Thread(target=self._work, name="trivium-otel", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, batch: Sequence[Ended]) -> None:
        if self._traces is not None and self._queue.qsize() < _MOST_WAITING:
            for ended in batch:
                self._queue.put(ended)

    async def run(self) -> None:
        while self._metrics is not None:
            await asyncio.sleep(self._settings.interval)
            self._add_metrics()

    async def close(self, seconds: float) -> None:
        """Waits for a collector as long as that."""
        if self._metrics is not None:
            self._add_metrics()
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, seconds)

    def _add_metrics(self) -> None:
        """While the last ones are not sent yet, newer ones would only wait behind them."""
        if not self._unsent:
            self._unsent = True
            self._queue.put(self._families())

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                if isinstance(work, Ended):
                    self._trace(work)
                elif self._metrics is not None:
                    self._unsent = False
                    self._metrics.export(self._data(work))
            except Exception:
                _LOG.exception("telemetry was not sent")
        if self._traces is not None:
            self._traces.close()

    def _trace(self, ended: Ended) -> None:
        assert self._traces is not None
        for span in spans_of(ended.record, ended.parent, self._settings.sample, self._semantic):
            self._traces.add(span)

    def _data(self, families: Sequence[Family]) -> MetricsData:
        now = time.time_ns()
        metrics = [metric for family in families for metric in _metrics(family, self._began_ns, now)]
        scope = ScopeMetrics(InstrumentationScope(_SCOPE, __version__), metrics, schema_url="")
        return MetricsData([ResourceMetrics(self._resource, [scope], schema_url="")])


class _Ids(IdGenerator):
    """Ours are known before."""

    trace_id = span_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Traces:
    """Spans into the SDK's queue, which sends them in batches."""

    def __init__(self, exporter: OTLPSpanExporter, resource: Resource) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_SCOPE, __version__)

    def add(self, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = span.trace_id, span.span_id
        made = self._tracer.start_span(
            span.name,
            context=_context(span),
            kind=SpanKind.CLIENT if span.client else SpanKind.SERVER,
            attributes=dict(span.attributes),
            start_time=span.start_ns,
        )
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.end_ns)

    def close(self) -> None:
        self._provider.shutdown()


def _context(span: Span) -> Context:
    """Of the parent. Whether a trace is kept was decided before: all that come here are."""
    if span.parent_id is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED)
    parent = SpanContext(span.trace_id, span.parent_id, is_remote=span.remote, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _metrics(family: Family, began_ns: int, now_ns: int) -> Iterator[Metric]:
    """One, or none where nothing was measured."""
    instrument, points = family
    kept = [_data_point(instrument, point, began_ns, now_ns) for point in points]
    data: Any
    if instrument.kind is Kind.HISTOGRAM:
        data = OtelHistogram(kept, _CUMULATIVE)
    elif instrument.kind is Kind.COUNTER:
        data = Sum(kept, _CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(kept)
    if kept:
        yield Metric(name=instrument.otel, description=instrument.help, unit=instrument.unit, data=data)


def _data_point(instrument: Instrument, point: Point, began_ns: int, now_ns: int) -> Any:
    labels, value = point
    named = zip(instrument.labels, labels, strict=True)
    attributes = {OTEL_LABELS.get(label, f"trivium.{label}"): str(said) for label, said in named}
    if not isinstance(value, Histogram):
        return NumberDataPoint(attributes, began_ns, now_ns, value)
    return HistogramDataPoint(
        attributes,
        began_ns,
        now_ns,
        count=sum(value.counts),
        sum=value.sum,
        bucket_counts=value.counts,
        explicit_bounds=instrument.bounds,
        min=None,  # type: ignore[arg-type] # optional in the protocol, and nobody knows it
        max=None,  # type: ignore[arg-type]
    )
