"""A client that reads slower than its stream comes: the upstream waits for it, and it misses nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from gateway import CALLS, CHAT, Running, running
from support_wait import until
from trivium.mock import Reply
from trivium.server.cycle import Cycle
from trivium.server.protocol import GuardedProtocol

EVENTS = 4_000
TEXT = "x" * 2_000


def asked(house: Running, path: str = "/v1/chat/completions", asking: dict[str, Any] = CHAT) -> socket.socket:
    """A connection with a small window, on which a stream was asked for."""
    body = json.dumps(asking | {"stream": True}).encode()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.connect(("127.0.0.1", house.port))
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.key}\r\nconnection: close\r\n"
    client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    client.setblocking(False)
    return client


async def settled(size: Callable[[], int]) -> int:
    """What a number comes to that grows for a while."""
    before = -1
    async with asyncio.timeout(20):
        while (now := size()) != before or not now:
            before = now
            await asyncio.sleep(0.3)
    return now


async def test_an_upstream_waits_for_a_slow_client_who_gets_every_word() -> None:
    async with running(Reply(text=[TEXT] * EVENTS)) as house:
        client = asked(house)
        waiting = await settled(lambda: sum(one.transport.get_write_buffer_size() for one in connections(house)))
        assert waiting < 1024 * 1024 < EVENTS * len(TEXT)
        loop, got = asyncio.get_running_loop(), bytearray()
        async with asyncio.timeout(30):
            while piece := await loop.sock_recv(client, 256 * 1024):
                got += piece
        client.close()
        assert (got.count(TEXT.encode()), got.count(b"[DONE]")) == (EVENTS, 1)
        record = await house.record()
    assert (record["outcome"], record["content_bytes"]) == ("success", EVENTS * len(TEXT))


async def test_a_client_that_takes_nothing_any_more_does_not_hold_its_call_for_ever() -> None:
    async with running(Reply(text=[TEXT] * EVENTS), settings="[server]\nsend_timeout = 0.5") as house:
        client = asked(house)
        await settled(lambda: sum(one.transport.get_write_buffer_size() for one in connections(house)))
        await until(lambda: not (connections(house) or house.gateway.deps.in_flight.calls))
        client.close()
        await house.upstream.wait_for_endings(1)
        record = await house.record()
    assert record["outcome"] == "aborted"


@pytest.mark.parametrize("on_abort", ["cancel", "drain"])
@pytest.mark.parametrize(("path", "asking"), [CALLS[0], CALLS[2]], ids=["relayed", "translated"])
async def test_what_still_waits_when_a_slow_client_leaves_was_not_delivered(
    path: str, asking: dict[str, Any], on_abort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed, push = bytearray(), Cycle.push

    def pushed(cycle: Cycle, data: bytes, last: bytes = b"") -> None:
        handed.extend(data)
        push(cycle, data, last)

    monkeypatch.setattr(Cycle, "push", pushed)
    piece, times = "x" * 30_000, 400
    async with running(Reply(text=[piece] * times), provider=f'apis = ["chat"]\non_abort = "{on_abort}"') as house:
        client = asked(house, path, asking)
        await settled(lambda: sum(one.transport.get_write_buffer_size() for one in connections(house)))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        record = await house.record()
    assert (record["outcome"], record["content_bytes"]) == ("aborted", len(piece) * handed.count(piece.encode()))
    assert 0 < record["content_bytes"] < len(piece) * times


def connections(house: Running) -> list[GuardedProtocol]:
    return [one for one in house.server.server_state.connections if isinstance(one, GuardedProtocol)]
