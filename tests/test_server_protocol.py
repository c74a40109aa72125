"""What the edge refuses before there is a request: headers too large or too slow, bodies that stall, no HTTP at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from unittest.mock import Mock

import pytest

from gateway import CHAT, running
from support_wait import until
from trivium.mock import Reply
from trivium.server import protocol
from trivium.server.app import App
from trivium.server.cycle import Cycle
from trivium.upstream import outbox


async def talk(port: int, *pieces: bytes) -> bytes:
    """Sends the pieces and reads until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    async with asyncio.timeout(10):
        got = await reader.read()
    writer.close()
    return got


def error_of(answer: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)["error"]


@pytest.mark.parametrize("piece_size", [200, 1_000_000])
async def test_headers_over_the_cap_are_431_however_they_come(piece_size: int) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 90) for n in range(30))
    head += b"content-length: 0\r\n\r\n"
    async with running(settings="[server]\nmax_header_bytes = 2048") as house:
        pieces = [head[n : n + piece_size] for n in range(0, len(head), piece_size)]
        status, error = error_of(await talk(house.port, *pieces))
    assert (status, error["type"], error["code"]) == (431, "invalid_request_error", "headers_too_large")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /v1/models HTTP/1.1\r\nx: " + b"a" * 3000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /v1/models?" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 431, "headers_too_large"),
        (b"POST /v1/messages?beta=true HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400, "invalid_request"),
        (b"GET http://a:b:c/v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 400, "invalid_request"),
        (b"\x16\x03\x01\x02\x00", 400, "invalid_request"),
    ],
)
async def test_what_never_becomes_a_request_leaves_a_record(sent: bytes, status: int, code: str) -> None:
    async with running(settings="[server]\nmax_header_bytes = 2048") as house:
        answer = await talk(house.port, sent)
        record = await house.record()
    assert (record["status"], record["error_code"], record["outcome"]) == (status, code, "refused")
    assert f"x-trivium-request-id: {record['id']}".encode() in answer
    assert record["client_ip"] == "127.0.0.1"


@pytest.mark.parametrize("target", [b"http://gateway", b"http://gateway?x=1"])
async def test_a_url_without_a_path_asks_for_the_first_page(target: bytes) -> None:
    async with running() as house:
        answer = await talk(house.port, b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'{"status":"ok"}')


async def test_large_bodies_do_not_count_as_headers() -> None:
    async with running(settings="[server]\nmax_header_bytes = 2048") as house:
        body = {**CHAT, "messages": [{"role": "user", "content": "x" * 100_000}]}
        assert (await house.post("/v1/chat/completions", body))[0] == 200


@pytest.mark.parametrize(("more", "status"), [(b"connection: close", b" 200 "), (b"x: " + b"a" * 3000, b" 431 ")])
async def test_nor_do_they_where_another_request_begins_behind_them(more: bytes, status: bytes) -> None:
    body = json.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 50_000}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n"
    async with running(settings="[server]\nmax_header_bytes = 2048") as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(head % (house.key.encode(), len(body)) + body + b"GET /he")
        assert b" 200 " in await reader.readuntil(b"\r\n")
        writer.write(b"althz HTTP/1.1\r\nhost: x\r\n" + more + b"\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"HTTP/1.1" + status in await reader.read()
        writer.close()


async def test_headers_that_do_not_end_are_408() -> None:
    async with running(settings="[server]\nheader_timeout = 0.2") as house:
        status, error = error_of(await talk(house.port, b"POST /v1/messages HTTP/1.1\r\n"))
    assert (status, error["code"]) == (408, "body_timeout")


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with running(settings="[server]\nheader_timeout = 0.2") as house:
        assert await talk(house.port) == b""


async def test_a_body_that_stalls_is_408_in_the_apis_shape_and_recorded() -> None:
    async with running(settings="[server]\nbody_timeout = 0.2") as house:
        auth = f"x-api-key: {house.key}\r\n".encode()
        head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n" + auth
        status, error = error_of(await talk(house.port, head + b"\r\n", b'{"model"'))
        record = await house.record()
    assert (status, error["message"]) == (408, "The request's body took too long to arrive.")
    assert (record["outcome"], record["status"], record["error_code"]) == ("refused", 408, "body_timeout")


async def test_what_is_not_http_is_400_in_json() -> None:
    async with running() as house:
        status, error = error_of(await talk(house.port, b"EHLO mail.example\r\n\r\n"))
    assert (status, error["type"]) == (400, "invalid_request_error")


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running(Reply(text="one", delay_ms=50), Reply(text="two")) as house:
        body = json.dumps(CHAT).encode()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n"
        request = request % (house.key.encode(), len(body))
        got = await talk(house.port, request + b"\r\n" + body + request + b"connection: close\r\n\r\n" + body)
    assert got.count(b"HTTP/1.1 200 OK") == 2


H2C = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAA")
"""What Java's HTTP client and `curl --http2` say in each request to an `http:` address."""
UPGRADE = (b"Connection: close, Upgrade", b"Upgrade: websocket")


@pytest.mark.parametrize("wish", [H2C, UPGRADE, (b"Proxy-Connection: upgrade", b"upgrade: x")])
@pytest.mark.parametrize("piece_size", [1, 100, 1_000_000])
async def test_the_body_of_a_request_that_asks_for_an_upgrade_is_its_body(
    wish: tuple[bytes, ...], piece_size: int
) -> None:
    body = json.dumps({**CHAT, "messages": [{"role": "user", "content": "GET / HTTP/1.1\r\n\r\n"}]}).encode()
    chunked = b"%x;a=b\r\n%b\r\n0\r\nx: y\r\n\r\n" % (len(body), body)
    async with running(Reply(text="one"), Reply(text="two")) as house:
        head = b"POST /v1/chat/completions HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in wish)
        head += b"x-api-key: %b\r\n" % house.key.encode()
        for asked_for in (
            head + b"content-length: %d\r\n\r\n" % len(body) + body,
            head + b"transfer-encoding: chunked\r\n\r\n" + chunked,
        ):
            sent = asked_for + b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n"
            got = await talk(house.port, *[sent[n : n + piece_size] for n in range(0, len(sent), piece_size)])
            closes = wish is UPGRADE
            assert (got.count(b"HTTP/1.1 "), got.count(b"200 OK")) == ((1, 1) if closes else (2, 2))
            assert got.endswith(b'{"status":"ok"}') is not closes
        texts = [json.loads(request.body)["messages"][0]["content"] for request in house.upstream.requests]
    assert texts == ["GET / HTTP/1.1\r\n\r\n"] * 2


async def test_requests_that_ask_for_an_upgrade_are_answered_one_behind_the_other() -> None:
    ask = b"GET %b HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in H2C) + b"\r\n"
    async with running() as house:
        got = await talk(house.port, ask % b"/healthz" * 3 + b"GET /healthz HTTP/1.0\r\n\r\n")
    assert (got.count(b"HTTP/1.1 200 OK"), got.count(b"HTTP/1.1 ")) == (4, 4)


async def test_who_asks_for_a_websocket_hears_that_there_is_none() -> None:
    ask = b"GET /v1/responses HTTP/1.1\r\nconnection: Upgrade, close\r\nupgrade: websocket\r\n\r\n"
    async with running() as house:
        assert error_of(await talk(house.port, ask))[0] == 426


@pytest.mark.parametrize("target", [b"up.example:443", b"/v1/chat/completions"])
async def test_no_tunnel_is_made_and_nothing_behind_its_head_is_a_request(target: bytes) -> None:
    async with running() as house:
        got = await talk(house.port, b"CONNECT %b HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n" % target)
    assert (error_of(got)[0], got.count(b"HTTP/1.1 ")) == (400, 1)


async def test_the_head_of_a_request_that_asks_for_an_upgrade_has_the_same_cap() -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in H2C) + b"x: " + b"a" * 1500 + b"\r\n"
    async with running(settings="[server]\nmax_header_bytes = 2048") as house:
        ends = (b"connection: close\r\n\r\n", b"y: " + b"a" * 1500 + b"\r\n\r\n")
        answers = [await talk(house.port, head, end) for end in ends]
    assert [answer.split(b" ")[1] for answer in answers] == [b"200", b"431"]


async def test_a_request_behind_one_whose_client_left_goes_nowhere() -> None:
    async with running(Reply(text=["w "] * 500, event_delay_ms=5), Reply(text="two")) as house:
        connection, auth = house.connect()
        body = json.dumps({**CHAT, "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
        connection.sendall((head + auth + b"\r\n" + body) * 2)
        await house.upstream.wait_for_requests(1)
        connection.close()
        outcomes = [record["outcome"] for record in await house.records()]
        assert len(house.upstream.requests) == 1
    assert outcomes == ["aborted"]


async def test_one_connection_serves_many_calls_and_leaves_nothing_behind() -> None:
    async with running(Reply(text="Hi")) as house:
        body = json.dumps(CHAT).encode()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        for _ in range(20):
            writer.write(request % (house.key.encode(), len(body)) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        assert len(house.server.server_state.tasks) == 1
        writer.close()
        await until(lambda: not house.server.server_state.tasks)
        assert len(await house.records()) == 20


def asked(key: str, body: bytes, *lines: bytes) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n"
    return head % (key.encode(), len(body)) + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


STREAM = json.dumps({**CHAT, "stream": True}).encode()


async def test_a_last_request_behind_another_is_answered_though_its_body_came_slowly() -> None:
    async with running(Reply(text="Hi", delay_ms=200)) as house:
        body = json.dumps(CHAT).encode()
        last = asked(house.key, body, b"connection: close")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(asked(house.key, body) + last[:-20])
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(last[-20:])
        async with asyncio.timeout(10):
            got = await reader.read()
        writer.close()
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Hi" in got


async def test_a_long_answer_behind_another_is_not_taken_for_an_idle_connection() -> None:
    slow = Reply(text=["w "] * 22, event_delay_ms=100)
    async with running(slow, settings="[server]\nkeep_alive = 1") as house:
        got = await talk(house.port, asked(house.key, STREAM) + asked(house.key, STREAM, b"connection: close"))
    assert got.count(b"w ") == 44
    assert got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_what_is_not_http_behind_a_request_does_not_speak_into_its_answer() -> None:
    async with running(Reply(text=["w "] * 100, event_delay_ms=10)) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(asked(house.key, STREAM))
        got = await reader.readuntil(b"w ")
        writer.write(b"\0\0\0\r\n\r\n")
        async with asyncio.timeout(10):
            got += await reader.read()
        writer.close()
        record = await house.record()
    assert got.count(b"HTTP/1.1") == 1
    assert record["outcome"] == "aborted"


@pytest.mark.parametrize(
    ("failure", "status", "code"), [(MemoryError, 503, "overloaded"), (RuntimeError, 500, "internal_error")]
)
@pytest.mark.parametrize("where", ["place_of", "Cycle"])
async def test_where_it_is_the_gateway_that_fails_the_request_is_not_blamed(
    where: str, failure: type[Exception], status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(CHAT).encode()
    async with running(Reply(text="Hi")) as house:
        with monkeypatch.context() as patched:
            patched.setattr(protocol, where, Mock(side_effect=failure))
            got = await talk(house.port, asked(house.key, body))
        record = await house.record()
    told, error = error_of(got)
    assert (told, error["code"], b"\r\nretry-after: 1\r\n" in got) == (status, code, status == 503)
    assert (record["status"], record["error_code"], record["api"]) == (status, code, "chat_completions")


async def test_nor_is_one_whose_body_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Reply(text="Hi")) as house:
        with monkeypatch.context() as patched:
            patched.setattr(Cycle, "take", Mock(side_effect=MemoryError))
            status, error = error_of(await talk(house.port, asked(house.key, json.dumps(CHAT).encode())))
        record = await house.record()
    assert (status, error["code"], record["outcome"]) == (503, "overloaded", "aborted")


async def test_a_body_longer_than_it_says_is_told_so() -> None:
    async with running(Reply(text="Hi", delay_ms=300)) as house:
        body = json.dumps(CHAT).encode()
        status, error = error_of(await talk(house.port, asked(house.key, body) + b"more of it"))
    assert (status, error["type"]) == (400, "invalid_request_error")


async def test_a_client_that_leaves_is_seen_though_its_question_was_long() -> None:
    async with running(Reply(text="Hi", delay_ms=60_000)) as house:
        body = json.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 300_000}]}).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(asked(house.key, body))
        await house.upstream.wait_for_requests(1)
        writer.close()
        record = await house.record()
    assert record["outcome"] == "aborted"


async def test_half_a_request_behind_one_that_is_answered_does_not_end_that_answer() -> None:
    slow = Reply(text="Hi", delay_ms=2_500)
    async with running(slow, settings="[server]\nheader_timeout = 0.2") as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(asked(house.key, json.dumps(CHAT).encode()) + b"POST /v1/messages HTTP/1.1\r\n")
        async with asyncio.timeout(10):
            first, _, second = (await reader.read()).partition(b"HTTP/1.1 408")
        writer.close()
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"body_timeout" in second


@pytest.mark.parametrize("more", [b"connection: close", b"no header"])
async def test_what_waits_to_be_written_goes_out_before_a_connection_is_closed(
    monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(outbox, "_SOON", math.inf)  # so that every write waits for company
    async with running(Reply(text="Hi")) as house:
        got = await talk(house.port, asked(house.key, json.dumps(CHAT).encode(), more))
    assert got.startswith(b"HTTP/1.1 200 OK" if b":" in more else b"HTTP/1.1 400 Bad Request")
    assert got.endswith(b"}")


async def test_a_client_that_still_writes_its_headers_can_read_why_they_are_refused() -> None:
    """To close the connection with something of it unread would reset it."""
    async with running(settings="[server]\nmax_header_bytes = 2048\nkeep_alive = 1") as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 3000)
        begin = await reader.readexactly(12)
        for _ in range(20):
            writer.write(b"a" * 100_000)
            await writer.drain()
        writer.write(b"\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(10):
            answer = begin + await reader.read()
            with contextlib.suppress(ConnectionError):
                while True:  # but not for ever
                    writer.write(b"a: b\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
        writer.close()
        assert len(await house.records()) == 1
    assert error_of(answer)[0] == 431
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_trailers_without_end_are_cut_off() -> None:
    async with running(settings="[server]\nmax_header_bytes = 2048") as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: tv-wrong\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        assert b"401" in await reader.read(1000)
        writer.write(b"0\r\n")
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"a: b\r\n" * 50)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        writer.close()


async def test_streams_of_one_client_do_not_end_with_anothers_departure() -> None:
    async with running(Reply(text=["w "] * 20, event_delay_ms=10)) as house:
        staying = asyncio.create_task(house.post("/v1/chat/completions", {**CHAT, "stream": True}))
        connection, auth = house.connect()
        body = json.dumps({**CHAT, "stream": True}).encode()
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body))
        connection.sendall(auth + b"\r\n" + body)
        await house.upstream.wait_for_requests(2)
        connection.close()
        status, got, _ = await staying
        outcomes = sorted(record["outcome"] for record in await house.records())
    assert (status, got.count("w ")) == (200, 20)
    assert outcomes == ["aborted", "success"]


async def test_a_connection_whose_body_came_after_its_answer_does_not_stay_for_ever() -> None:
    async with running(settings="[server]\nkeep_alive = 1\nbody_timeout = 5") as house:
        head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: tv-wrong\r\ncontent-length: 10\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(head)
        assert b"401" in await reader.read(1000)
        writer.write(b"0123456789")
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("key", ["tv-wrong", None])
async def test_a_client_that_closes_still_reads_an_answer_that_comes_before_its_body(key: str | None) -> None:
    async with running(settings="[server]\nmax_body_bytes = 1000000") as house:
        size = 4_000_000 if key is None else 900_000
        head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {key or house.key}\r\nconnection: close\r\n"
        got = await talk(house.port, head.encode() + b"content-length: %d\r\n\r\n" % size, b" " * size)
    status, error = error_of(got)
    assert (status, error["type"]) == ((413, "request_too_large") if key is None else (401, "authentication_error"))


async def test_what_fails_beside_all_calls_is_a_500_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(App, "_look_up", fails)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):  # the log has it, which no other test's may
        async with running() as house:
            status, error = error_of(await talk(house.port, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"))
    assert (status, error["code"]) == (500, "internal_error")
    assert "ZeroDivision" not in error["message"]
