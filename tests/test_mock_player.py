"""Pace, framing and misbehaviour, seen from a bare socket."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from trivium.mock import Reply, Rule, Script, ScriptedUpstream

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
EVENTS = [b"data: 1\n\n", b"data: 22\n\n", b"data: 333\n\n"]
THREE = "".join(event.decode() for event in EVENTS)


def playing(**reply: Any) -> ScriptedUpstream:
    return ScriptedUpstream(Script([Rule(Reply(**reply))]))


def request(said: Any = None, *, head: str = "POST /v1/chat/completions HTTP/1.1", headers: str = "") -> bytes:
    body = msgspec.json.encode(said or {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    return f"{head}\r\nhost: x\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


async def connect(upstream: ScriptedUpstream) -> Peer:
    target = urlsplit(upstream.url)
    assert target.hostname and target.port
    return await asyncio.open_connection(target.hostname, target.port)


async def exchange(upstream: ScriptedUpstream, sent: bytes | None = None) -> tuple[bytes, bytes]:
    """Head and body of what comes back until the other side closes."""
    reader, writer = await connect(upstream)
    writer.write(sent or request(headers="connection: close\r\n"))
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head, body


def chunks(body: bytes) -> list[bytes]:
    """The chunks of a chunked body that is whole."""
    found = []
    while body != b"0\r\n\r\n":
        size, _, body = body.partition(b"\r\n")
        found.append(body[: int(size, 16)])
        assert body[int(size, 16) :].startswith(b"\r\n")
        body = body[int(size, 16) + 2 :]
    return found


async def test_a_stream_is_one_chunk_for_each_event() -> None:
    async with playing(sse=THREE) as upstream:
        head, body = await exchange(upstream)
        (seen,) = await upstream.wait_for_endings(1)

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding: chunked" in head
    assert chunks(body) == EVENTS
    assert (seen.ending, seen.sent_events, seen.sent_bytes) == ("completed", 3, len(THREE))


async def test_a_whole_answer_says_its_length() -> None:
    async with playing(body="12345", status=529) as upstream:
        head, body = await exchange(upstream)

    assert head.startswith(b"HTTP/1.1 529 \r\n")
    assert b"content-length: 5" in head
    assert body == b"12345"


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks() -> None:
    async with playing(sse=THREE) as upstream:
        head, body = await exchange(upstream, request(head="POST /v1/responses HTTP/1.0"))

    assert b"chunked" not in head
    assert body == THREE.encode()


async def test_a_head_request_gets_no_body() -> None:
    async with playing(body="12345") as upstream:
        head, body = await exchange(
            upstream, request(head="HEAD /v1/chat/completions HTTP/1.1", headers="connection: close\r\n")
        )

    assert head.startswith(b"HTTP/1.1 404")
    assert body == b""


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_stream_is_cut_anew(size: int) -> None:
    async with playing(sse=THREE, chunk_bytes=size) as upstream:
        _, body = await exchange(upstream)
        (seen,) = await upstream.wait_for_endings(1)

    cut = chunks(body)
    assert b"".join(cut) == THREE.encode()
    assert {len(piece) for piece in cut[:-1]} <= {size}
    assert seen.sent_events == 3


async def test_gzip_goes_out_piece_by_piece() -> None:
    async with playing(sse=THREE, gzip=True) as upstream:
        head, body = await exchange(upstream)

    assert b"content-encoding: gzip" in head
    assert gzip.decompress(b"".join(chunks(body))) == THREE.encode()


@pytest.mark.parametrize(
    ("path", "ping"),
    [("/v1/messages", b'event: ping\ndata: {"type":"ping"}\n\n'), ("/v1/responses", b": keep-alive\n\n")],
)
async def test_pings_fill_the_rests_of_a_stream(path: str, ping: bytes) -> None:
    async with playing(sse=THREE, first_event_delay_ms=12, event_delay_ms=8, ping_every_ms=5) as upstream:
        sent = request(head=f"POST {path} HTTP/1.1", headers="connection: close\r\n")
        _, body = await exchange(upstream, sent)

    assert chunks(body) == [ping, ping, EVENTS[0], ping, EVENTS[1], ping, EVENTS[2]]


async def test_a_delayed_stream_still_comes_whole() -> None:
    async with playing(sse=THREE, delay_ms=1, first_event_delay_ms=1, event_delay_ms=1) as upstream:
        _, body = await exchange(upstream)

    assert chunks(body) == EVENTS


async def test_close_after_events_leaves_the_body_without_its_end() -> None:
    async with playing(sse=THREE, abort_after_events=2) as upstream:
        _, body = await exchange(upstream)
        (seen,) = await upstream.wait_for_endings(1)

    assert body == b"9\r\ndata: 1\n\n\r\na\r\ndata: 22\n\n\r\n"
    assert (seen.ending, seen.sent_events) == ("aborted", 2)


async def test_close_after_no_event_leaves_the_headers_alone() -> None:
    async with playing(sse=THREE, abort_after_events=0) as upstream:
        head, body = await exchange(upstream)

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


async def test_close_after_bytes_cuts_inside_a_chunk() -> None:
    async with playing(sse=THREE, abort_after_bytes=12) as upstream:
        _, body = await exchange(upstream)
        (seen,) = await upstream.wait_for_endings(1)

    assert body == b"9\r\ndata: 1\n\n\r\na\r\ndat"
    assert (seen.sent_events, seen.sent_bytes) == (1, 12)


async def test_close_after_bytes_cuts_a_whole_answer_short_of_its_length() -> None:
    async with playing(body="12345", abort_after_bytes=3) as upstream:
        head, body = await exchange(upstream)

    assert b"content-length: 5" in head
    assert body == b"123"


@pytest.mark.parametrize("after", [{"abort_after_events": 1}, {"abort_after_bytes": 9}, {"abort_after_events": 99}])
async def test_end_leaves_a_stream_short_but_in_good_order(after: dict[str, int]) -> None:
    async with playing(sse=THREE, abort="end", **after) as upstream:
        _, body = await exchange(upstream)
        (seen,) = await upstream.wait_for_endings(1)

    assert chunks(body) == EVENTS[: 3 if after.get("abort_after_events") == 99 else 1]
    assert seen.ending == "aborted"


async def test_end_inside_an_event_or_a_body_is_in_good_order_too() -> None:
    async with playing(sse=THREE, abort="end", abort_after_bytes=12) as upstream:
        assert chunks((await exchange(upstream))[1]) == [EVENTS[0], b"dat"]
    async with playing(body="12345", abort="end", abort_after_bytes=3) as upstream:
        head, body = await exchange(upstream)
        assert b"content-length: 3" in head
        assert body == b"123"


async def test_a_reset_is_a_reset() -> None:
    async with playing(sse=THREE, abort="reset", abort_after_events=1) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request())
        with pytest.raises(ConnectionResetError):
            while await reader.read(1):
                pass
        (seen,) = await upstream.wait_for_endings(1)

    assert (seen.ending, seen.sent_events) == ("aborted", 1)


async def test_an_abort_alone_comes_in_place_of_an_answer() -> None:
    async with playing(abort="close") as upstream:
        assert await exchange(upstream) == (b"", b"")
    async with playing(abort="reset") as upstream:
        with pytest.raises(ConnectionResetError):
            await exchange(upstream)


async def test_a_stall_lasts_until_the_client_leaves() -> None:
    async with playing(sse=THREE, abort="stall", abort_after_events=2) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request())
        await reader.readuntil(EVENTS[1])
        assert upstream.requests[0].ending is None
        writer.close()
        (seen,) = await upstream.wait_for_endings(1)

    assert (seen.ending, seen.sent_events) == ("client_closed", 2)


async def test_headers_can_lie_about_the_length() -> None:
    async with playing(body="12345", headers={"Content-Length": "9"}) as upstream:
        head, body = await exchange(upstream, request())
    assert b"content-length: 9" in head
    assert body == b"12345"

    async with playing(sse=THREE, headers={"content-length": ""}) as upstream:
        head, body = await exchange(upstream, request())
    assert b"length" not in head
    assert b"chunked" not in head
    assert body == THREE.encode()


async def test_a_scripted_connection_close_is_kept() -> None:
    async with playing(body="12345", headers={"connection": "close"}) as upstream:
        assert (await exchange(upstream, request()))[1] == b"12345"


async def test_garbage_goes_out_in_place_of_http() -> None:
    async with playing(raw="SSH-2.0-OpenSSH\r\n\r\nwhat?") as upstream:
        assert await exchange(upstream, request()) == (b"SSH-2.0-OpenSSH", b"what?")


async def test_a_hand_written_answer_can_trickle_and_break_inside_its_head() -> None:
    async with playing(raw="HTTP/1.1 200 OK\r\nx: 1", chunk_bytes=1, abort="reset", abort_after_bytes=15) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request())
        assert await reader.readexactly(15) == b"HTTP/1.1 200 OK"
        with pytest.raises(ConnectionResetError):
            await reader.read()
