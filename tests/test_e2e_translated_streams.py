"""Translated streams on the wire: first words at once, signs of life in silences, large answers, clients that do not
read and clients that leave."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import aiohttp
import pytest

from gateway import CALLS, Running
from support_sdks import WAYS
from support_translated import ACROSS, APIS, OTHERS, PATHS, before
from support_wait import until
from test_e2e_aborts import leave_early
from trivium.mock import Reply, ToolCall, Usage

ALIVE = {"chat": ": keep-alive", "responses": ": keep-alive", "messages": 'event: ping\ndata: {"type":"ping"}'}
ENDS = {"chat": "data: [DONE]", "responses": "event: response.completed", "messages": "event: message_stop"}
BODIES = dict(zip(APIS, (body for _, body in CALLS), strict=True))
USAGE = Usage(input=50, cache_read=4, output=9)


@pytest.mark.parametrize("upstream", APIS)
async def test_silences_of_the_upstream_are_filled_and_no_sdk_minds(upstream: str) -> None:
    reply = Reply(text="one two", first_event_delay_ms=150, event_delay_ms=40, usage=USAGE)
    settings = "[server]\nstream_keep_alive = 0.03"
    async with before(upstream, reply, judged=False, settings=settings) as (_, on):
        ways = [f"{client}-{kind}" for client in OTHERS[upstream] for kind in ("stream", "helper")]
        seen = await asyncio.gather(*(WAYS[way](on, "m") for way in ways))
    assert {(way, *answer) for way, answer in zip(ways, seen, strict=True)} == {
        (way, "one two", 54, 4, 9) for way in ways
    }


@pytest.mark.parametrize(("client", "upstream"), ACROSS)
@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "in the middle of it"])
async def test_a_silence_is_filled_as_long_as_it_lasts(client: str, upstream: str, begun: bool) -> None:
    alive = f"{ALIVE[client]}\n\n"
    events = {"responses": 5}.get(upstream, 4) if begun else 0
    reply = Reply(text=["First", " and", " last"], abort="stall", abort_after_events=events)
    async with before(upstream, reply, settings="[server]\nstream_keep_alive = 0.03") as (house, _):
        said = await _heard(house, client, *(["First"] if begun else []), alive, alive)
        assert said.startswith(2 * alive) is not begun
        assert ALIVE["messages" if client != "messages" else "chat"] not in said


async def _heard(house: Running, client: str, *awaited: str) -> str:
    """A stream until these have come, one behind the other."""
    said, at, headers = "", 0, {"x-api-key": house.key}
    async with (
        asyncio.timeout(30),
        aiohttp.ClientSession() as session,
        session.post(house.url + PATHS[client], json={**BODIES[client], "stream": True}, headers=headers) as answer,
    ):
        for one in awaited:
            while (found := said.find(one, at)) < 0:
                said += (await answer.content.readany()).decode()
            at = found + len(one)
    return said


async def _streamed(house: Running, client: str, **extra: Any) -> str:
    status, said, _ = await house.post(PATHS[client], {**BODIES[client], "stream": True, **extra})
    assert status == 200
    return str(said)


@pytest.mark.parametrize("upstream", APIS)
async def test_a_stream_of_an_upstream_that_speaks_in_time_is_the_answer_and_its_end(upstream: str) -> None:
    async with before(upstream, Reply(text="one two", event_delay_ms=5), judged=False) as (house, _):
        for client in OTHERS[upstream]:
            said = await _streamed(house, client)
            assert ALIVE[client] not in said
            assert ENDS[client] in said.removesuffix("\n\n").rpartition("\n\n")[2]


async def test_a_failure_behind_a_sign_of_life_is_told_in_the_stream() -> None:
    """The status has gone out with the first sign of life."""
    reply = Reply(text="never said", first_event_delay_ms=300, abort="reset", abort_after_events=1)
    for client, upstream in (("chat", "messages"), ("responses", "chat"), ("messages", "responses")):
        settings = "[server]\nstream_keep_alive = 0.001"
        async with before(upstream, reply, settings=settings) as (house, on):
            with pytest.raises(Exception, match="upstream"):
                await WAYS[f"{client}-helper"](on, "m")
            record = await house.record()
        assert (record["outcome"], record["status"]) == ("failed", 200)


@pytest.mark.parametrize(("client", "upstream"), ACROSS)
async def test_the_first_words_are_passed_on_while_the_upstream_is_still_speaking(client: str, upstream: str) -> None:
    reply = Reply(text=["First", " and", " last"], abort="stall", abort_after_events={"responses": 5}.get(upstream, 4))
    async with before(upstream, reply) as (house, _):
        reader, writer = await _asked(house, client)
        async with asyncio.timeout(30):
            assert b"First" in await reader.readuntil(b"First")
        left = time.time()
        writer.close()
        (ended,) = await house.upstream.wait_for_endings(1)
        record = await house.record()
    assert ended.ending == "client_closed"
    # The upstream's answer is cut at once: nobody pays for words that nobody reads.
    assert (ended.ended or 0) - left < 10
    assert (record["outcome"], record["status"]) == ("aborted", 200)
    assert record["first_token_us"] < record["total_us"]


async def _asked(house: Running, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection on which a stream was asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    content = json.dumps({**BODIES[client], "stream": True}).encode()
    head = (
        f"POST {PATHS[client]} HTTP/1.1\r\nhost: x\r\nx-api-key: {house.key}\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("when", ["before-headers", "before-words"])
async def test_a_client_that_leaves_before_the_first_word_ends_the_upstreams_work(when: str) -> None:
    reply = Reply(abort="stall") if when == "before-headers" else Reply(abort="stall", abort_after_events=0)
    for client, upstream in (("chat", "messages"), ("responses", "chat"), ("messages", "responses")):
        async with before(upstream, reply) as (house, _):
            _, writer = await _asked(house, client)
            await house.upstream.wait_for_requests(1)
            await asyncio.sleep(0.02)
            writer.close()
            (ended,) = await house.upstream.wait_for_endings(1)
            record = await house.record()
        assert ended.ending == "client_closed"
        assert (record["outcome"], record["status"]) == ("aborted", 499)


CLIENTS = 40


@pytest.mark.parametrize("upstream", APIS)
async def test_clients_that_leave_at_any_byte_leave_nothing_behind(upstream: str) -> None:
    generator = random.Random(upstream)
    calls = [ToolCall("f", {"word": "word " * 9}), ToolCall("f", {"word": "word " * 9})]
    reply = Reply(reasoning="Hm. " * 9, text=["word "] * 20, tool_calls=calls, event_delay_ms=1, usage=USAGE)
    settings = "[server]\nstream_keep_alive = 0.001"
    async with before(upstream, reply, judged=False, settings=settings) as (house, _):
        tasks = len(asyncio.all_tasks())
        asked = [(PATHS[client], BODIES[client]) for client in OTHERS[upstream]]
        chosen = [generator.choice(asked) for _ in range(CLIENTS)]
        await asyncio.gather(*(leave_early(house, path, body, generator) for path, body in chosen))
        await until(lambda: not (house.gateway.deps.in_flight.calls or house.server.server_state.connections))
        await house.upstream.wait_for_endings(len(house.upstream.requests))
        records = await house.records()
        assert house.gateway.deps.in_flight.bytes == 0
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert len(records) >= len(house.upstream.requests)
        assert {record["outcome"] for record in records} <= {"aborted", "success"}
        # The next caller finds the house in order.
        assert (await house.post(*asked[0]))[0] == 200


# Large answers.

PIECE = 'Grüße, \u2028 \\ " 三 😀. ' * 50
MANY = 4000
"""Of pieces: more than 5 MB."""


@pytest.mark.parametrize("upstream", APIS)
async def test_large_answers_arrive_whole_and_streamed(upstream: str) -> None:
    reply = Reply(text=[PIECE] * MANY, usage=USAGE)
    text = PIECE * MANY
    assert len(text.encode()) > 5_000_000
    async with before(upstream, reply, judged=False) as (house, on):
        for client in OTHERS[upstream]:
            assert (await WAYS[client](on, "m")).text == text
            assert _text(await _streamed(house, client)) == text
        assert house.gateway.deps.in_flight.bytes == 0
        assert {record["outcome"] for record in await house.records()} == {"success"}


def _text(said: str) -> str:
    """What the deltas of a stream add up to."""
    pieces = []
    for line in said.split("\n"):
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        if "choices" in event:
            pieces += [choice["delta"].get("content") or "" for choice in event["choices"]]
        elif event["type"] == "response.output_text.delta":
            pieces.append(event["delta"])
        elif event["type"] == "content_block_delta":
            pieces.append(event["delta"]["text"])
    return "".join(pieces)


@pytest.mark.parametrize("upstream", APIS)
async def test_large_arguments_of_calls_arrive(upstream: str) -> None:
    """Interleaved, and full of what looks like the end of an object."""
    calls = [ToolCall("f", {"text": "{a}b}" * 4000, "n": n}) for n in range(2)]
    async with before(upstream, Reply(tool_calls=calls, calls_interleaved=True), judged=False) as (house, _):
        for client in OTHERS[upstream]:
            started = time.process_time()
            said = await _streamed(house, client)
            assert time.process_time() - started < 3
            for call in calls:
                assert json.dumps(call.arguments).replace(" ", "")[1:100] in _arguments(said)


def _arguments(said: str) -> str:
    pieces = []
    for line in said.split("\n"):
        event = json.loads(line[6:]) if line.startswith("data: {") else {}
        if "choices" in event:
            deltas = [call for choice in event["choices"] for call in choice["delta"].get("tool_calls", [])]
            pieces += [call["function"]["arguments"] for call in deltas]
        elif event.get("type") == "response.function_call_arguments.delta":
            pieces.append(event["delta"])
        elif event.get("type") == "content_block_delta":
            pieces.append(event["delta"]["partial_json"])
    return "".join(pieces)


@pytest.mark.parametrize(
    ("client", "upstream"), [("chat", "messages"), ("responses", "chat"), ("messages", "responses")]
)
async def test_a_client_that_does_not_read_holds_the_upstream_back(client: str, upstream: str) -> None:
    size = 64 * 1024
    reply = Reply(text=["x" * size] * 800)
    async with before(upstream, reply) as (house, _):
        reader, writer = await _asked(house, client)
        await reader.readexactly(1000)
        await asyncio.sleep(0.6)
        held = house.gateway.deps.in_flight.bytes
        writer.close()
        (ended,) = await house.upstream.wait_for_endings(1)
        record = await house.record()
    # What the kernel's buffers take, and no more.
    assert ended.sent_bytes < 24 * 1024 * 1024
    # A response repeats its text at the end: that much is kept.
    assert held < (24 if client == "responses" else 1) * 1024 * 1024
    assert record["outcome"] == "aborted"
