"""Clients that leave whenever they like: nothing of theirs stays behind, and each has its record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import sqlite3
import struct
from typing import Any

import aiohttp
import pytest

from gateway import CALLS, Running, running
from support_money import PRICES, customer
from support_wait import until
from trivium.mock import Reply, Usage
from trivium.server import run
from trivium.server.deps import Gateway

CLIENTS = 60


async def leave_early(house: Running, path: str, body: dict[str, Any], generator: random.Random) -> None:
    """Sends part of a request, or all of it and reads part of the answer; then closes, or resets."""
    content = json.dumps({**body, "stream": generator.random() < 0.7}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {house.key}\r\ncontent-length: {len(content)}\r\n\r\n"
    request = head.encode() + content
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    sent = len(request) if generator.random() < 0.8 else generator.randrange(1, len(request))
    writer.write(request[:sent])
    await writer.drain()
    if sent == len(request):
        for _ in range(generator.randrange(4)):
            # An answer that is complete leaves the connection open: nothing more comes.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(generator.randrange(1, 2000)), 0.3)
    if generator.random() < 0.5:
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@pytest.mark.parametrize("seed", range(3))
async def test_clients_that_leave_at_any_byte_leave_nothing_behind(seed: int) -> None:
    generator = random.Random(seed)
    reply = Reply(text=["word "] * 40, event_delay_ms=1, usage=Usage(input=3, output=40))
    async with running(reply) as house:
        tasks = len(asyncio.all_tasks())
        calls = [generator.choice(CALLS) for _ in range(CLIENTS)]
        await asyncio.gather(*(leave_early(house, path, body, generator) for path, body in calls))
        await until(lambda: not (house.gateway.deps.in_flight.calls or house.server.server_state.connections))
        await house.upstream.wait_for_endings(len(house.upstream.requests))
        records = await house.records()
        assert house.gateway.deps.in_flight.bytes == 0
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert len(records) >= len(house.upstream.requests)
        assert {record["outcome"] for record in records} <= {"aborted", "success"}
        assert all(record["total_us"] > 0 for record in records)
        # The next caller finds the house in order.
        assert (await house.post(*CALLS[0]))[0] == 200


async def test_a_gateway_that_stops_writes_down_what_it_still_reads_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the grace is as if the client had left, and answers of this provider are read to their end."""
    found: dict[str, list[Any]] = {}
    close = Gateway.close

    async def closed(gateway: Gateway) -> None:
        await close(gateway)
        with contextlib.closing(sqlite3.connect(gateway.folder / "trivium.db")) as database:
            for rows in ("outcome FROM records", "ended FROM starts", "held_nano FROM accounts WHERE id = 'acme'"):
                found[rows] = database.execute(f"SELECT {rows}").fetchall()

    monkeypatch.setattr(Gateway, "close", closed)
    monkeypatch.setattr(run, "UNWINDING", 0.1)
    settings = f'[models."up/*"]\n{PRICES}\n[billing]\nmode = "credits"\n[server]\nshutdown_grace = 1\n'
    provider = 'type = "openrouter"\nkey = "sk-or-xxxxxxxxxxxxxx"\non_abort = "drain"'
    endless = Reply(text=["word "] * 400, event_delay_ms=100, usage=Usage(input=1000, output=500), generation="gen-1")
    async with aiohttp.ClientSession() as session, running(endless, settings=settings, provider=provider) as house:
        acme = await customer(house, "5")
        asked = {**CALLS[0][1], "model": "up/m", "stream": True, "max_tokens": 600}
        url, headers = f"{house.url}{CALLS[0][0]}", {"authorization": f"Bearer {acme.key}"}
        response = await session.post(url, json=asked, headers=headers)
        assert await response.content.readany()
    assert [*found.values()] == [[("aborted",)], [(1,)], [(0,)]]
