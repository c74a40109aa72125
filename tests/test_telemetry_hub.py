"""Records on their way from calls to sinks."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from support_records import record
from support_wait import until
from trivium.telemetry.hub import Ended, Hub
from trivium.telemetry.logs import REQUEST


class Sink:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.request: str | None = ""

    def take(self, batch: Sequence[Ended]) -> None:
        self.request = REQUEST.get()
        self.batches.append([ended.record.id for ended in batch])


class Broken:
    def take(self, batch: Sequence[Ended]) -> None:
        raise RuntimeError("no")


async def test_what_ends_together_arrives_together_a_moment_later() -> None:
    one, other = Sink(), Sink()
    hub = Hub([one, other])
    hub.ended(record("a"), b"trace")
    hub.ended(record("b"))
    assert one.batches == []
    await until(lambda: one.batches)
    hub.ended(record("c"))
    hub.drain()  # somebody looks
    hub.drain()
    assert one.batches == other.batches == [["a", "b"], ["c"]]


async def test_what_is_done_for_many_is_done_in_nobodys_name() -> None:
    sink = Sink()
    hub = Hub([sink])
    REQUEST.set("req_1")
    hub.ended(record("a"))
    await until(lambda: sink.batches)
    assert sink.request is None


async def test_a_header_that_is_no_trace_takes_no_memory() -> None:
    kept: list[Ended] = []

    class Keeping:
        def take(self, batch: Sequence[Ended]) -> None:
            kept.extend(batch)

    hub = Hub([Keeping()])
    for header in (b"x" * 60_000, b"00-trace", None):
        hub.ended(record("a"), header)
    hub.drain()
    assert [ended.parent for ended in kept] == [None, b"00-trace", None]


async def test_a_broken_sink_harms_no_other_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    hub = Hub([Broken(), sink])
    with caplog.at_level(logging.ERROR):
        for id in "ab":
            hub.ended(record(id))
            hub.drain()
    assert sink.batches == [["a"], ["b"]]
    assert [one.getMessage() for one in caplog.records] == ["records are lost to Broken"]


async def test_who_listens_may_come_and_go() -> None:
    one, other = Sink(), Sink()
    hub = Hub([one])
    hub.ended(record("a"))
    hub.listen(other, True)
    hub.listen(other, True)
    hub.ended(record("b"))
    hub.listen(other, False)
    hub.ended(record("c"))
    hub.drain()
    assert (one.batches, other.batches) == ([["a"], ["b"], ["c"]], [["b"]])
    hub.listen(one, False)
    assert not hub.heard
