"""A body between its connection and whoever reads it."""

from __future__ import annotations

import asyncio

import pytest

from trivium.errors import Overloaded, UpstreamBroken
from trivium.upstream.response import Http1Response


class Wire:
    """The connection, as far as its response asks for anything."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def expect(self, seconds: float) -> None:
        self.asked.append(f"within {seconds:g}")

    def drained(self) -> None:
        self.asked.append("more")

    def abort(self) -> None:
        self.asked.append("abort")


def responding() -> tuple[Http1Response, Wire]:
    wire = Wire()
    return Http1Response(wire, asyncio.get_running_loop(), 30), wire


def arrive(response: Http1Response, *chunks: bytes) -> None:
    response.chunks += chunks
    response.buffered += sum(map(len, chunks))
    response.wake()


async def test_what_is_taken_as_it_comes_wakes_no_reader() -> None:
    response, wire = responding()
    taken: list[bytes] = []

    def take(chunk: bytes) -> bool:
        taken.append(chunk)
        return chunk != b"three"

    reading = asyncio.create_task(response.pump(take))
    await asyncio.sleep(0)
    arrive(response, b"on", b"e")
    arrive(response, b"two")
    await asyncio.sleep(0)
    assert (taken, response.buffered, reading.done()) == ([b"one", b"two"], 0, False)
    assert wire.asked == ["within 30", "within 30", "more", "within 30", "more"]
    arrive(response, b"three")
    arrive(response, b"four")
    assert await reading == b"threefour"
    assert taken == [b"one", b"two", b"three"]


async def test_nothing_is_taken_while_nobody_reads() -> None:
    response, _ = responding()
    reading = asyncio.create_task(response.pump(lambda chunk: chunk == b"one"))
    await asyncio.sleep(0)
    arrive(response, b"one")
    arrive(response, b"two")
    assert await reading == b"two"
    arrive(response, b"one")
    assert await response.read() == b"one"


async def test_what_taking_raises_is_the_readers() -> None:
    response, _ = responding()

    def take(chunk: bytes) -> bool:
        raise Overloaded("no room")

    reading = asyncio.create_task(response.pump(take))
    await asyncio.sleep(0)
    arrive(response, b"one")
    with pytest.raises(Overloaded):
        await reading


@pytest.mark.parametrize("failure", [None, UpstreamBroken("cut")])
async def test_the_end_is_the_readers_behind_the_last_chunk(failure: UpstreamBroken | None) -> None:
    response, _ = responding()
    reading = asyncio.create_task(response.pump(lambda _: True))
    await asyncio.sleep(0)
    response.chunks.append(b"last")
    response.end(failure)
    assert await reading == b"last"
    if failure is None:
        assert await response.pump(lambda _: True) == b""
    else:
        with pytest.raises(UpstreamBroken):
            await response.pump(lambda _: True)
