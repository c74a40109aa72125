"""Writes while little happens, and while much does."""

from __future__ import annotations

import asyncio

import pytest

from trivium.upstream import outbox
from trivium.upstream.outbox import Outbox


class Wire:
    """The sockets of all connections, in the order of what was written to them."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.now = 0.0

    def sink(self, name: str) -> Sink:
        return Sink(self, name)


class Sink:
    def __init__(self, wire: Wire, name: str) -> None:
        self._wire, self._name = wire, name
        self.closing = False

    def write(self, data: bytes) -> None:
        self._wire.written.append(f"{self._name}: {data.decode()}")

    def is_closing(self) -> bool:
        return self.closing


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Its clock stands unless it is set forward."""
    wire = Wire()
    wire.now = 100.0
    monkeypatch.setattr(outbox, "monotonic", lambda: wire.now)
    return wire


async def test_a_single_write_goes_out_at_once(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    for number in range(3):
        wire.now += 0.05
        box.put(client, b"%d" % number)
        assert wire.written[-1] == f"client: {number}"


async def test_writes_that_follow_each_other_closely_go_out_together_and_in_order(wire: Wire) -> None:
    box, client, upstream = Outbox(), wire.sink("client"), wire.sink("upstream")
    box.put(client, b"first")
    box.put(client, b"a")
    box.put(upstream, b"b")
    box.put(client, b"c")
    assert wire.written == ["client: first"]
    await asyncio.sleep(0)
    assert wire.written[1:] == ["client: a", "upstream: b", "client: c"]


async def test_a_burst_goes_out_before_what_was_scheduled_after_it(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    box.put(client, b"first")
    box.put(client, b"a")
    asyncio.get_running_loop().call_soon(wire.written.append, "closed")
    await asyncio.sleep(0)
    assert wire.written == ["client: first", "client: a", "closed"]


async def test_after_a_burst_the_next_write_waits_for_company_and_after_one_alone_it_does_not(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    for text in (b"first", b"a", b"b"):
        box.put(client, text)
    await asyncio.sleep(0)
    wire.now += 1
    box.put(client, b"alone")
    assert wire.written[-1] == "client: b"
    await asyncio.sleep(0)
    assert wire.written[-1] == "client: alone"
    wire.now += 1
    box.put(client, b"at once")
    assert wire.written[-1] == "client: at once"


async def test_flushing_leaves_nothing_behind_and_writes_nothing_twice(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    box.put(client, b"first")
    box.put(client, b"a")
    box.flush()
    assert wire.written == ["client: first", "client: a"]
    await asyncio.sleep(0)
    assert wire.written == ["client: first", "client: a"]


async def test_who_has_left_is_written_nothing_and_keeps_nobody_waiting(wire: Wire) -> None:
    box, client, other = Outbox(), wire.sink("client"), wire.sink("other")
    box.put(client, b"first")
    box.put(client, b"a")
    box.put(other, b"b")
    client.closing = True
    await asyncio.sleep(0)
    assert wire.written == ["client: first", "other: b"]


async def test_it_is_known_how_many_went_out_together(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    assert box.burst == 0
    for number in range(4):
        box.put(client, b"%d" % number)
    assert box.burst == 1
    await asyncio.sleep(0)
    assert box.burst == 3
    wire.now += 0.05
    box.put(client, b"alone")
    await asyncio.sleep(0)
    assert box.burst == 1


async def test_a_piece_of_a_stream_goes_out_at_once_whatever_else_happens(wire: Wire) -> None:
    box, client, other = Outbox(), wire.sink("client"), wire.sink("other")
    box.put(other, b"first")
    box.put_piece(client, b"a")
    box.put_piece(client, b"b")
    assert wire.written == ["other: first", "client: a", "client: b"]


async def test_a_piece_overtakes_nothing_that_waits(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    box.put(client, b"first")
    box.put(client, b"head")
    box.put_piece(client, b"a")
    assert wire.written == ["client: first"]
    await asyncio.sleep(0)
    box.put_piece(client, b"b")
    assert wire.written[1:] == ["client: head", "client: a", "client: b"]


async def test_a_piece_for_a_connection_that_has_ended_goes_nowhere(wire: Wire) -> None:
    box, client = Outbox(), wire.sink("client")
    client.closing = True
    box.put_piece(client, b"a")
    assert wire.written == []
