"""Connections: kept alive, pipelined, left by their client, many at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from test_mock_player import EVENTS, THREE, chunks, connect, exchange, playing, request
from trivium.mock import Reply, Rule, Script, ScriptedUpstream

GET_RECORDS = b"GET /_mock/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
DELETE_RECORDS = GET_RECORDS.replace(b"GET", b"DELETE")


async def listed(upstream: ScriptedUpstream) -> list[dict[str, Any]]:
    _, body = await exchange(upstream, GET_RECORDS)
    found: list[dict[str, Any]] = msgspec.json.decode(body)["requests"]
    return found


async def test_requests_on_one_connection_are_answered_in_turn_even_if_sent_at_once() -> None:
    script = Script(
        [Rule(Reply(body="one", delay_ms=5), times=1), Rule(Reply(sse=THREE), times=1), Rule(Reply(body="3"))]
    )
    async with ScriptedUpstream(script) as upstream:
        _, answers = await exchange(upstream, request() + request() + request(headers="connection: close\r\n"))
        assert [seen.rule for seen in upstream.requests] == [0, 1, 2]

    assert answers.startswith(b"oneHTTP/1.1 200 OK\r\n")
    assert answers.endswith(b"\r\n\r\n3")


async def test_a_client_that_leaves_between_two_events_is_noticed_at_once() -> None:
    async with playing(sse=THREE, event_delay_ms=3_600_000) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request())
        await reader.readuntil(EVENTS[0])
        writer.close()
        (seen,) = await upstream.wait_for_endings(1)

    assert (seen.ending, seen.sent_events, seen.sent_bytes) == ("client_closed", 1, len(EVENTS[0]))
    assert seen.ended is not None
    assert seen.ended >= seen.arrived


async def test_a_client_that_leaves_before_the_headers_is_noticed_too() -> None:
    async with playing(delay_ms=3_600_000) as upstream:
        _, writer = await connect(upstream)
        writer.write(request())
        await upstream.wait_for_requests(1)
        writer.transport.abort()
        (seen,) = await upstream.wait_for_endings(1)

    assert (seen.ending, seen.sent_bytes) == ("client_closed", 0)


async def test_a_client_that_does_not_read_holds_the_stream_back() -> None:
    async with playing(text=["x" * 1_000_000] * 40) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request({"model": "m", "stream": True}))
        await reader.readline()
        for _ in range(200):  # Enough turns of the loop to send everything, if nothing held it back.
            await asyncio.sleep(0)
        writer.transport.abort()
        (seen,) = await upstream.wait_for_endings(1)

    assert seen.ending == "client_closed"
    assert seen.sent_events < 41


async def test_a_client_that_closes_its_sending_half_is_gone_even_if_much_is_left_to_send() -> None:
    async with playing(body="x" * 40_000_000) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request())
        await reader.readline()
        writer.write_eof()
        (seen,) = await upstream.wait_for_endings(1)
        writer.transport.abort()

    assert seen.ending == "client_closed"


async def test_hundreds_of_paced_streams_run_at_once() -> None:
    async with playing(sse=THREE, first_event_delay_ms=5, event_delay_ms=5) as upstream:
        answers = await asyncio.gather(*(exchange(upstream) for _ in range(300)))
        seen = await upstream.wait_for_endings(300)

    assert all(chunks(body) == EVENTS for _, body in answers)
    assert {request.ending for request in seen} == {"completed"}


async def test_everything_about_a_request_is_recorded() -> None:
    async with ScriptedUpstream() as upstream:
        sent = request({"model": "m"}, head="POST /v1/messages?beta=true HTTP/1.1", headers="X-Key: a\r\nx-key: b\r\n")
        await exchange(upstream, sent.replace(b"host", b"connection: close\r\nhost"))
        (seen,) = upstream.requests

    assert (seen.method, seen.path, seen.query) == ("POST", "/v1/messages", "beta=true")
    assert [value for name, value in seen.headers if name == "x-key"] == ["a", "b"]
    assert seen.header("X-Key") == "a"
    assert (seen.body, seen.json, seen.rule) == (b'{"model":"m"}', {"model": "m"}, None)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"model":"m","input":"\xff"}'], ids=["too deep", "no UTF-8"])
async def test_a_body_that_is_not_json_is_recorded_as_it_came(body: bytes) -> None:
    head = b"POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with ScriptedUpstream() as upstream:
        answer, _ = await exchange(upstream, head + body)
        (seen,) = upstream.requests

    assert answer.startswith(b"HTTP/1.1 400")
    assert (seen.body, seen.json) == (body, None)


async def test_the_records_can_be_read_and_cleared_over_http() -> None:
    async with ScriptedUpstream() as upstream:
        await exchange(upstream)
        await exchange(upstream)
        first, second = await listed(upstream)
        head, _ = await exchange(upstream, DELETE_RECORDS)
        assert await listed(upstream) == []

    assert (first["number"], second["number"], second["ending"]) == (1, 2, "completed")
    assert second["json"]["model"] == "m"
    assert head.startswith(b"HTTP/1.1 204")


async def test_a_request_that_waits_to_be_welcomed_is() -> None:
    async with playing(body="ok") as upstream:
        sent = request(headers="expect: 100-continue\r\nconnection: close\r\n")
        head, _, body = sent.partition(b"\r\n\r\n")
        reader, writer = await connect(upstream)
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).endswith(b"ok")
        writer.close()


async def test_a_body_may_come_in_chunks_and_headers_may_be_large() -> None:
    sent = (
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\nx-large: "
        + b"a" * 100_000
        + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    async with ScriptedUpstream() as upstream:
        head, _ = await exchange(upstream, sent)

        assert head.startswith(b"HTTP/1.1 200")
        assert upstream.requests[0].body == b"{}"


async def test_what_is_not_http_is_refused() -> None:
    async with ScriptedUpstream() as upstream:
        head, _ = await exchange(upstream, b"\x16\x03\x01\x02\x00\x01\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 400")
        assert upstream.requests == []


async def test_a_file_that_has_gone_is_told_to_the_client(tmp_path: Path) -> None:
    async with playing(file=str(tmp_path / "gone.json")) as upstream:
        head, body = await exchange(upstream)

    assert head.startswith(b"HTTP/1.1 500")
    assert b"cannot read its file" in body
