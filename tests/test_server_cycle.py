"""One request and its answer on the wire, byte by byte as a client sees them."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import CHAT, Running, running
from trivium.mock import Reply
from trivium.pipeline.call import Headers
from trivium.server.cycle import Cycle, place_of
from trivium.server.protocol import GuardedProtocol
from trivium.upstream.outbox import Outbox

BODY = json.dumps(CHAT).encode()


def post(house: Running, body: bytes = BODY, *more: bytes) -> bytes:
    """The bytes of a call."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n"
    return head % (house.key.encode(), len(body)) + b"".join(line + b"\r\n" for line in more) + b"\r\n"


async def connect(house: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", house.port)


async def test_a_whole_answer_has_its_length_and_the_connection_serves_again() -> None:
    async with running(Reply(text="one")) as house:
        reader, writer = await connect(house)
        for _ in range(2):
            writer.write(post(house) + BODY)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"transfer-encoding" not in head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert b"one" in await reader.readexactly(length)
        writer.close()


async def test_a_stream_comes_in_chunks_that_end() -> None:
    async with running(Reply(text=["a ", "b "])) as house:
        reader, writer = await connect(house)
        body = json.dumps({**CHAT, "stream": True}).encode()
        writer.write(post(house, body, b"connection: close") + body)
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert b"\r\ntransfer-encoding: chunked" in head
    assert b"\r\nconnection: close" in head
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_a_body_that_waits_to_be_asked_for_is_asked_for() -> None:
    async with running(Reply(text="Hi")) as house:
        reader, writer = await connect(house)
        writer.write(post(house, BODY, b"expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_a_body_in_many_pieces_arrives_whole() -> None:
    body = json.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 300_000}]}).encode()
    async with running(Reply(text="Hi")) as house:
        reader, writer = await connect(house)
        writer.write(post(house, body))
        for at in range(0, len(body), 10_000):
            writer.write(body[at : at + 10_000])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(house.upstream.requests[0].body) >= 300_000
        writer.close()


async def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    async with running() as house:
        reader, writer = await connect(house)
        writer.write(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head, end, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert (b"content-length: 15" in head, end, rest) == (True, b"\r\n\r\n", b"")


@pytest.mark.parametrize("header", [b"", b"connection: keep-alive\r\n", b"Proxy-Connection: keep-alive\r\n"])
async def test_old_http_is_answered_and_closed(header: bytes) -> None:
    async with running() as house:
        reader, writer = await connect(house)
        writer.write(b"GET /healthz HTTP/1.0\r\n%b\r\n" % header)
        got = await reader.read()
        writer.close()
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("header", [b"host: x", b"connection: keep-alive"])
async def test_a_stream_to_old_http_ends_with_its_connection(header: bytes) -> None:
    async with running(Reply(text=["a ", "b "])) as house:
        reader, writer = await connect(house)
        body = json.dumps({**CHAT, "stream": True}).encode()
        writer.write(post(house, body, header).replace(b"HTTP/1.1", b"HTTP/1.0") + body)
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert b"transfer-encoding" not in head
    assert b"\r\nconnection: close" in head
    assert rest.startswith(b"data: {")
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_old_http_is_not_asked_for_its_body() -> None:
    async with running(Reply(text="Hi")) as house:
        reader, writer = await connect(house)
        writer.write(post(house, BODY, b"expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(BODY)
        got = await reader.read()
        writer.close()
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_an_idle_connection_is_closed_in_time() -> None:
    async with running(settings="[server]\nkeep_alive = 1") as house:
        reader, writer = await connect(house)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b'{"status":"ok"}')
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


class Transport:
    """What is written to a client."""

    def __init__(self) -> None:
        self.written = b""
        self.writes = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Flow:
    write_paused = read_paused = False


class State:
    default_headers = ()


class Connection:
    flow = Flow()
    state = State()

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.outbox = Outbox()

    def linger(self, _: Cycle) -> None:
        pass

    def answered(self) -> None:
        self.outbox.flush()

    def close(self) -> None:
        self.outbox.flush()
        self.transport.close()


def cycle(transport: Transport) -> Cycle:
    connection = Connection(transport)
    return Cycle(connection, "POST", place_of(b"/"), [], keep_alive=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"1\r\nset-cookie: a=b")],
        [(b"x-a", b"1\nset-cookie: a=b")],
        [(b"x-a", b"1\r")],
        [(b"x-a\r\nx-b", b"1")],
        [(b"x-a", b"\0")],
        [(b"x-a", b"\x7f")],
    ],
    ids=str,
)
async def test_no_header_makes_two(headers: Headers) -> None:
    transport = Transport()
    answer = cycle(transport)
    with pytest.raises(ValueError, match="control character"):
        await answer.start(200, headers)
    assert transport.written == b""
    assert not answer.started, "another answer may be given"


async def test_a_tab_in_a_value_is_a_blank() -> None:
    transport = Transport()
    answer = cycle(transport)
    await answer.start(200, [(b"content-type", b"application/json;\tcharset=utf-8"), (b"content-length", b"0")])
    await answer.end()
    assert b"content-type: application/json; charset=utf-8\r\n" in transport.written


@pytest.mark.parametrize(
    ("status", "headers", "head"),
    [
        (204, [], b"HTTP/1.1 204 No Content\r\n\r\n"),
        (529, [(b"content-length", b"0")], b"HTTP/1.1 529 \r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_a_head_may_be_short(status: int, headers: Headers, head: bytes) -> None:
    """RFC 9112, section 4: the blank behind a status is there though no phrase follows."""
    transport = Transport()
    one = cycle(transport)
    await one.start(status, headers)
    await one.end()
    assert transport.written == head


async def test_head_and_body_go_out_together() -> None:
    transport = Transport()
    one = cycle(transport)
    await one.start(200, [(b"content-length", b"2")])
    assert transport.written == b""
    await one.end(b"Hi")
    assert transport.written == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi"


async def test_the_end_of_a_stream_goes_out_with_its_last_chunk() -> None:
    transport = Transport()
    one = cycle(transport)
    await one.start(200, [])
    await one.write(b"Hi")
    await one.end(b" you")
    assert transport.written.endswith(b"\r\n\r\n2\r\nHi\r\n4\r\n you\r\n0\r\n\r\n")
    assert transport.writes == 2


async def test_an_answer_that_breaks_before_its_body_still_tells_its_status() -> None:
    transport = Transport()
    one = cycle(transport)
    await one.start(200, [(b"content-length", b"2")])
    one.cut()
    assert (transport.written, transport.closed) == (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", True)


@pytest.mark.parametrize("body", [b"", b"H", b"Hi!"])
async def test_an_answer_is_as_long_as_it_says(body: bytes) -> None:
    one = cycle(Transport())
    await one.start(200, [(b"content-length", b"2")])
    with pytest.raises(RuntimeError):
        await one.end(body)


async def test_what_waits_is_written_before_the_transport_closes_at_the_clients_end() -> None:
    connection = Connection(Transport())
    connection.outbox._calm = False
    connection.outbox.put(connection.transport, b"Hi")
    assert connection.transport.written == b""
    GuardedProtocol.eof_received(connection)  # type: ignore[arg-type]
    assert connection.transport.written == b"Hi"
