"""What was measured as text for Prometheus, in the format that the scraper prefers, with figures of the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from trivium.telemetry.instruments import Family, Histogram, Kind

_PROCESS = ProcessCollector(registry=None)


def render(families: Sequence[Family], accept: str) -> tuple[bytes, str]:
    """Content and its type, for a scraper that accepts so much. For a thread: a large catalogue takes a while."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*map(_metric, families), *_PROCESS.collect()]))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Once:
    """A collector of what is there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _metric(family: Family) -> Metric:
    instrument, points = family
    if instrument.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
        edges = [*map(_edge, instrument.bounds), "+Inf"]
        for labels, value in points:
            assert isinstance(value, Histogram)
            histogram.add_metric(labels, list(zip(edges, accumulate(value.counts), strict=True)), value.sum)
        return histogram
    kind = CounterMetricFamily if instrument.kind is Kind.COUNTER else GaugeMetricFamily
    plain = kind(instrument.name, instrument.help, labels=instrument.labels)
    for labels, value in points:
        assert not isinstance(value, Histogram)
        plain.add_metric(labels, value)
    return plain


def _edge(bound: float) -> str:
    return repr(float(bound))
