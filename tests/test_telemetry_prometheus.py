"""The exposition as a scraper reads it."""

from __future__ import annotations

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from support_telemetry import lint, scraped, value
from trivium.telemetry import instruments
from trivium.telemetry.instruments import DURATION, REQUESTS, Family, Histogram, Instrument, Kind
from trivium.telemetry.prometheus import render

ALL = [one for one in vars(instruments).values() if isinstance(one, Instrument)]


def point(instrument: Instrument) -> Family:
    labels = tuple(f'{name} "\\\n}} x' for name in instrument.labels)
    if instrument.kind is Kind.HISTOGRAM:
        return Family(instrument, [(labels, Histogram([1] * (len(instrument.bounds) + 1), 2.5))])
    return Family(instrument, [(labels, 3)])


def test_every_instrument_passes_the_rules_of_promtool_even_with_hostile_labels() -> None:
    content, kind = render([point(one) for one in ALL], "")
    assert kind.startswith("text/plain; version=0.0.4")
    assert lint(content.decode()) == []
    assert {one.name.removesuffix("_total") for one in ALL} <= scraped(content.decode()).keys()


def test_the_rules_find_what_they_look_for() -> None:
    bad = (
        "# HELP x_ms_gauge Bad.\n# TYPE x_ms_gauge gauge\nx_ms_gauge 1\nx_ms_gauge 1\n"
        '# TYPE XTotal counter\nXTotal 1\n# HELP y_count Y.\n# TYPE y_count gauge\ny_count{le="1"} 1\n'
    )
    assert len(lint(bad)) >= 6


def test_names_are_unique_on_both_sides() -> None:
    assert len({one.name for one in ALL}) == len({one.otel for one in ALL}) == len(ALL)


def test_buckets_add_up_to_the_count() -> None:
    counts = (1, 2, *[0] * (len(DURATION.bounds) - 3), 4)
    family = Family(DURATION, [(("messages", "up", "m", "success"), Histogram((*counts, 8), 99.5))])
    families = scraped(render([family], "")[0].decode())
    name = DURATION.name
    assert value(families, f"{name}_bucket", le="0.01") == 1
    assert value(families, f"{name}_bucket", le="0.02") == 3
    assert value(families, f"{name}_bucket", le="327.68") == 7
    assert value(families, f"{name}_bucket", le="+Inf") == value(families, f"{name}_count") == 15
    assert value(families, f"{name}_sum") == 99.5


def test_who_prefers_openmetrics_gets_it() -> None:
    content, kind = render([point(REQUESTS)], "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    read: list[Metric] = list(read_openmetrics(content.decode()))  # type: ignore[no-untyped-call]
    assert "trivium_requests" in {family.name for family in read}


def test_the_process_tells_of_itself() -> None:
    families = scraped(render([], "")[0].decode())
    assert value(families, "process_resident_memory_bytes") > 1_000_000
