"""What a collector receives, by OpenTelemetry's own protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support_records import record
from support_telemetry import Collector, attributes, collector
from trivium.metering.record import Outcome
from trivium.settings_telemetry import OtelSettings
from trivium.telemetry.hub import Ended
from trivium.telemetry.instruments import CALLS, DURATION, REQUESTS, Family, Histogram

otel = pytest.importorskip("trivium.telemetry.otel", reason="needs the extra otel")

FAMILIES = [
    Family(CALLS, [((), 3.0)]),
    Family(REQUESTS, [(("messages", "generate", "up", "m", "success"), 2.0)]),
    Family(DURATION, [(("messages", "up", "m", "success"), Histogram((1,) * (len(DURATION.bounds) + 1), 9.5))]),
]
GOOD = record("req_1", provider="up", upstream_model="m", outcome=Outcome.SUCCESS, queue_us=5, total_us=10)


async def sent(collecting: Collector, *records: Ended, **settings: object) -> None:
    said = OtelSettings(endpoint=collecting.url, **settings)  # type: ignore[arg-type]
    families: Sequence[Family] = FAMILIES
    telling = otel.Otel(said, {"x-team": "llm"}, "run_1", str.upper, lambda: families)
    telling.start()
    telling.take(list(records))
    await telling.close(5)


async def test_spans_arrive_with_ids_times_kinds_and_parents() -> None:
    parent = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
    failed = record("req_2", outcome=Outcome.FAILED, status=502, error_code="upstream_error", queue_us=1, provider="up")
    async with collector() as collecting:
        await sent(collecting, Ended(GOOD, parent), Ended(failed, None), metrics=False)
        server, client, other, _ = collecting.spans
    assert (server.name, client.name) == ("POST /v1/messages", "chat m")
    assert server.trace_id == client.trace_id == b"\xab" * 16
    assert server.parent_span_id == b"\xcd" * 8
    assert client.parent_span_id == server.span_id
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert server.end_time_unix_nano - server.start_time_unix_nano == 10_000
    assert client.start_time_unix_nano - server.start_time_unix_nano == 5_000
    assert attributes(client.attributes)["gen_ai.provider.name"] == "UP"
    assert other.parent_span_id == b""
    assert (other.status.code, other.status.message) == (2, "upstream_error")
    assert server.status.code == 0


async def test_metrics_arrive_with_the_conventions_names() -> None:
    async with collector() as collecting:
        await sent(collecting, traces=False)
        told = collecting.metrics
        (_, headers, _) = collecting.received[-1]
    assert headers["x-team"] == "llm"
    assert told["trivium.calls_in_progress"].gauge.data_points[0].as_double == 3
    (requests,) = told["trivium.requests"].sum.data_points
    assert told["trivium.requests"].sum.is_monotonic
    assert (requests.as_double, attributes(requests.attributes)["gen_ai.request.model"]) == (2, "m")
    duration = told["gen_ai.server.request.duration"]
    (point,) = duration.histogram.data_points
    assert (duration.unit, point.count, point.sum) == ("s", len(DURATION.bounds) + 1, 9.5)
    assert list(point.explicit_bounds) == list(DURATION.bounds)
    assert not point.HasField("min")
    assert attributes(point.attributes)["trivium.outcome"] == "success"


async def test_metrics_are_sent_again_and_again() -> None:
    async with collector() as collecting:
        said = OtelSettings(endpoint=collecting.url, traces=False, interval=0.01)
        telling = otel.Otel(said, {}, "run_1", str.upper, lambda: FAMILIES)
        telling.start()
        running = asyncio.create_task(telling.run())
        await collecting.until("/v1/metrics", 3)
        running.cancel()
        await telling.close(5)


async def test_a_collector_that_does_not_answer_keeps_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = OtelSettings(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", metrics=False)
        telling = otel.Otel(said, {}, "run_1", str.upper, list)
        telling.start()
        telling.take([Ended(GOOD, None)] * 100)
        await telling.close(0.05)
        assert telling._thread.is_alive(), "the exporter waits for ten seconds"
        connection, _ = silent.accept()
        with connection:  # answered at last, it leaves no thread behind that tries again in later tests
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await telling.close(60)
        assert not telling._thread.is_alive()


async def test_metrics_that_are_not_sent_do_not_pile_up() -> None:
    said = OtelSettings(endpoint="http://127.0.0.1:1", traces=False, interval=0.001)
    telling = otel.Otel(said, {}, "run_1", str.upper, lambda: FAMILIES)
    running = asyncio.create_task(telling.run())  # without the thread that would send them
    await asyncio.sleep(0.05)
    running.cancel()
    assert telling._queue.qsize() == 1


async def test_what_waits_is_bounded() -> None:
    telling = otel.Otel(OtelSettings(endpoint="http://127.0.0.1:1"), {}, "run_1", str.upper, list)
    for _ in range(5):
        telling.take([Ended(GOOD, None)] * 5_000)
    assert telling._queue.qsize() == 10_000
    await telling.close(5)  # of one that never began
