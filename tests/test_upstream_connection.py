"""One connection's sense of time, on a clock that is turned by hand; what it says is tested elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from trivium.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from trivium.upstream.client import Timeouts, UpstreamRequest
from trivium.upstream.connection import Connection, StaleConnection
from trivium.upstream.outbox import Outbox
from trivium.upstream.response import Http1Response

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TIMEOUTS = Timeouts(first_byte=10, idle=4)


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """An event loop, as far as a connection needs one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def turn(self, now: float) -> None:
        while due := [timer for timer in self.timers if timer.when <= now and not timer.cancelled]:
            first = min(due, key=lambda timer: timer.when)
            first.cancelled = True
            self.now = first.when
            first.callback()
        self.now = now


class Wire:
    """A transport that takes all and sends nothing: `unsent` is what a test says it is."""

    aborted = False
    unsent = 0

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Book:
    """An owner who writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def release(self, connection: Connection) -> None:
        self.told.append("released")

    def forget(self, connection: Connection) -> None:
        self.told.append("forgotten")


class Bench:
    def __init__(self) -> None:
        self.clock, self.wire, self.book = Clock(), Wire(), Book()
        self.connection = Connection(cast(asyncio.AbstractEventLoop, self.clock), self.book, Outbox())
        self.connection.connection_made(cast(asyncio.BaseTransport, self.wire))

    def call(self, body: bytes = b"{}") -> Http1Response:
        return self.connection.start(b"", UpstreamRequest(url="http://h/", body=body, timeouts=TIMEOUTS))


def failure(response: Http1Response) -> type[Exception] | None:
    return type(response.failure) if response.failure else None


async def test_an_answer_that_does_not_begin_in_time_is_given_up() -> None:
    bench = Bench()
    response = bench.call()
    bench.clock.turn(9.9)
    assert failure(response) is None
    bench.clock.turn(10)
    assert failure(response) is UpstreamTimeout
    assert (bench.wire.aborted, bench.book.told) == (True, ["forgotten"])


async def test_one_timer_serves_a_hundred_calls() -> None:
    bench = Bench()
    for _ in range(100):
        bench.call()
        bench.clock.turn(bench.clock.now + 0.05)
        bench.connection.data_received(OK)
        bench.connection.expect(30)
    assert len(bench.clock.timers) == 1
    assert bench.book.told == ["released"] * 100


async def test_an_earlier_deadline_replaces_a_later_one() -> None:
    bench = Bench()
    bench.connection.expect(30)
    bench.connection.expect(5)
    bench.clock.turn(5)
    assert bench.wire.aborted


async def test_an_idle_connection_expires_at_its_last_deadline() -> None:
    bench = Bench()
    bench.call()
    bench.clock.turn(8)
    bench.connection.data_received(OK)
    bench.connection.expect(30)
    bench.clock.turn(37.9)
    assert not bench.wire.aborted
    bench.clock.turn(38)
    assert (bench.wire.aborted, bench.book.told) == (True, ["released", "forgotten"])


async def test_a_slow_upload_is_no_stalled_one() -> None:
    bench = Bench()
    bench.connection.pause_writing()
    bench.wire.unsent = 200_000
    response = bench.call(bytes(1 << 20))
    for second in range(0, 40, 4):
        bench.wire.unsent -= 100
        bench.clock.turn(second)
    assert failure(response) is None
    bench.clock.turn(44)
    assert failure(response) is UpstreamTimeout


async def test_the_wait_for_an_answer_begins_when_the_upload_ends() -> None:
    bench = Bench()
    bench.connection.pause_writing()
    response = bench.call(bytes(1 << 20))
    bench.clock.turn(3)
    bench.connection.resume_writing()
    bench.clock.turn(12.9)
    assert failure(response) is None
    bench.clock.turn(13)
    assert failure(response) is UpstreamTimeout


async def test_an_idle_connection_that_the_upstream_ends_is_forgotten_before_it_is_lost() -> None:
    bench = Bench()
    bench.call()
    bench.connection.data_received(OK)
    bench.connection.eof_received()
    assert bench.book.told == ["released", "forgotten"]


async def test_a_loss_is_told_once() -> None:
    bench = Bench()
    response = bench.call()
    bench.connection.abort()
    bench.connection.abort()
    bench.connection.connection_lost(None)
    assert bench.book.told == ["forgotten"]
    assert bench.connection.lost.done()
    with pytest.raises(UpstreamBroken):
        await response.read()


@pytest.mark.parametrize(
    ("rested", "waited", "kind"),
    [
        (0, 0.015, StaleConnection),
        (0, 0.025, UpstreamUnreachable),
        (0.9, 0.025, UpstreamUnreachable),
        (1, 0.025, StaleConnection),
        (25, 0.15, StaleConnection),
        (25, 0.25, UpstreamUnreachable),
    ],
)
async def test_a_connection_that_was_at_rest_and_goes_at_once_had_gone_before(
    rested: float, waited: float, kind: type[Exception]
) -> None:
    bench = Bench()
    bench.call()
    bench.clock.turn(8)  # it worked for long, and was not at rest meanwhile
    bench.connection.data_received(OK)
    bench.connection.expect(30)
    bench.clock.turn(8 + rested)
    response = bench.call()
    bench.clock.turn(8 + rested + waited)
    bench.connection.connection_lost(None)
    assert failure(response) is kind


async def test_a_request_that_is_not_out_yet_can_go_out_again_however_long_it_took() -> None:
    bench = Bench()
    bench.call()
    bench.connection.data_received(OK)
    bench.connection.pause_writing()
    response = bench.call(bytes(1 << 20))
    bench.clock.turn(3)
    bench.connection.connection_lost(None)
    assert failure(response) is StaleConnection


@pytest.mark.parametrize("heard", [b"", OK[:-1]])
async def test_a_close_in_good_order_leaves_no_more_to_say_than_that(heard: bytes) -> None:
    details = []
    for why in (None, ConnectionResetError("by peer")):
        bench = Bench()
        response = bench.call()
        bench.connection.data_received(heard)
        bench.connection.connection_lost(why)
        assert response.failure is not None
        details.append(response.failure.detail)
    assert details == [None, "ConnectionResetError('by peer')"]


@pytest.mark.parametrize("when", [0, 3, 60])
async def test_an_answer_that_waits_for_its_reader_never_grows_old(when: float) -> None:
    bench = Bench()
    response = bench.call()
    bench.connection.data_received(OK[:-1])
    bench.clock.turn(when)
    assert await response.read() == b"o"


async def test_where_the_network_cuts_the_bytes_makes_no_difference() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    said = interim + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nt: 1\r\n\r\n"
    for cut in range(len(said)):
        bench = Bench()
        response = bench.call()
        for piece in filter(None, (said[:cut], said[cut:])):
            bench.connection.data_received(piece)
        assert (response.status, response.headers) == (200, [(b"transfer-encoding", b"chunked")])
        assert (await response.read(), await response.read()) == (b"body", b"")
        assert bench.book.told == ["released"]
