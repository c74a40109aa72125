"""What the seam promises, whichever client is behind it and whichever loop runs it: the good cases."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from math import inf

import pytest

from support_upstream import Lab, Peer, answer, drain, plays, scenario, stale_within
from trivium.errors import UpstreamUnreachable
from trivium.upstream.client import UpstreamRequest

pytestmark = pytest.mark.filterwarnings("error")

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@scenario
async def test_the_request_arrives_as_given_and_nothing_is_added(lab: Lab) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(answer(b"{}"))

    url = await lab.serve(script)
    headers = [(b"authorization", b"Bearer k"), (b"x-twice", b"1"), (b"x-twice", b"2")]
    await drain(await lab.client.send(UpstreamRequest(url=url, headers=headers, body=b'{"a": 1}')))
    head, body = seen[0]
    first, *lines = head.decode().lower().strip().split("\r\n")
    assert first == "post /v1/x?y=z http/1.1"
    host = "host: " + url.split("/")[2]
    assert sorted(lines) == sorted([host, "content-length: 8", "authorization: bearer k", "x-twice: 1", "x-twice: 2"])
    assert body == b'{"a": 1}'


@scenario
async def test_a_header_that_is_no_utf8_is_no_reason_to_fail(lab: Lab) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(answer(b"{}"))

    url = await lab.serve(script)
    await drain(await lab.client.send(UpstreamRequest(url=url, headers=[(b"accept", b"a\xff")], body=b"{}")))
    assert b"accept: a" in seen[0][0]


@scenario
async def test_it_is_told_when_a_request_goes_out_and_not_while_nobody_is_connected_to(lab: Lab) -> None:
    told: list[str] = []
    url = await lab.serve(plays(answer(b"{}")))
    await drain(await lab.client.send(UpstreamRequest(url=url, body=b"{}", goes_out=lambda: told.append("there"))))
    nowhere = UpstreamRequest(url="http://127.0.0.1:1/v1", body=b"{}", goes_out=lambda: told.append("nowhere"))
    with pytest.raises(UpstreamUnreachable):
        await lab.client.send(nowhere)
    assert told == ["there"]


@scenario
async def test_status_headers_and_body_arrive(lab: Lab) -> None:
    url = await lab.serve(
        plays(answer(b"no such thing", status=b"404 Not Found", headers=b"X-Id:  7 \r\nX-Empty:\r\n"))
    )
    status, headers, body = await lab.fetch(url)
    assert (status, body) == (404, b"no such thing")
    assert headers == [(b"x-id", b"7"), (b"x-empty", b""), (b"content-length", b"13")]


@scenario
async def test_a_chunked_body_is_put_together(lab: Lab) -> None:
    url = await lab.serve(plays(CHUNKED + b"3\r\nabc\r\n2;note=x\r\nde\r\n0\r\ntrailer: 1\r\n\r\n"))
    status, headers, body = await lab.fetch(url)
    assert (status, headers, body) == (200, [(b"transfer-encoding", b"chunked")], b"abcde")


@scenario
async def test_a_body_without_a_length_ends_with_the_connection(lab: Lab) -> None:
    url = await lab.serve(plays(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))
    assert (await lab.fetch(url))[2] == b"until the end"


@scenario
async def test_http_1_0_is_understood(lab: Lab) -> None:
    url = await lab.serve(plays(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    assert (await lab.fetch(url))[2] == b"ok"
    assert (await lab.fetch(url))[2] == b"ok"
    assert len(lab.connections) == 2


@scenario
async def test_statuses_without_a_body_have_none_and_the_connection_goes_on(lab: Lab) -> None:
    url = await lab.serve(plays(b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n", answer(b"x")))
    assert (await lab.fetch(url))[::2] == (204, b"")
    assert (await lab.fetch(url))[::2] == (304, b"")
    assert (await lab.fetch(url))[::2] == (200, b"x")
    assert len(lab.connections) == 1


@scenario
async def test_an_answer_to_head_has_no_body_whatever_its_length_says(lab: Lab) -> None:
    url = await lab.serve(plays(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n"))
    status, _, body = await lab.fetch(url, b"", method="HEAD")
    assert (status, body) == (200, b"")


@scenario
async def test_interim_answers_are_passed_over(lab: Lab) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    url = await lab.serve(plays(early + answer(b"final"), early + answer(b"again")))
    assert await lab.fetch(url) == (200, [(b"content-length", b"5")], b"final")
    assert (await lab.fetch(url))[2] == b"again"


@scenario
async def test_an_empty_post_says_so(lab: Lab) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.head())
        await peer.say(answer(b"x"))

    await lab.fetch(await lab.serve(script), b"")
    assert b"content-length: 0\r\n" in heads[0].lower()


@scenario
async def test_every_event_is_delivered_when_it_comes(lab: Lab) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for event in (b"one", b"two", b"six"):
            await peer.say(b"3\r\n" + event + b"\r\n")
            await read.wait()  # nothing more is sent before the client has seen this one
            read.clear()
        await peer.say(b"0\r\n\r\n")

    response = await lab.send(await lab.serve(script))
    for event in (b"one", b"two", b"six"):
        assert await response.read() == event
        read.set()
    assert await response.read() == b""
    assert await response.read() == b""


@scenario
async def test_a_byte_at_a_time_is_enough(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for byte in CHUNKED + b"5\r\nhello\r\n0\r\n\r\n":
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)

    assert (await lab.fetch(await lab.serve(script)))[2] == b"hello"


@scenario
async def test_a_connection_is_kept_for_the_next_call(lab: Lab) -> None:
    url = await lab.serve(plays(answer(b"1"), CHUNKED + b"1\r\n2\r\n0\r\n\r\n", answer(b"3")))
    assert [(await lab.fetch(url))[2] for _ in range(3)] == [b"1", b"2", b"3"]
    assert len(lab.connections) == 1


@scenario
async def test_connection_close_is_respected(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"bye", headers=b"connection: close\r\n"))
        await peer.gone()

    url = await lab.serve(script)
    assert [(await lab.fetch(url))[2] for _ in range(2)] == [b"bye", b"bye"]
    assert len(lab.connections) == 2


@scenario
async def test_a_connection_the_server_has_closed_meanwhile_is_not_used(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"once"))

    url = await lab.serve(script)
    assert (await lab.fetch(url))[2] == b"once"
    await asyncio.sleep(0.05)
    assert (await lab.fetch(url))[2] == b"once"
    assert len(lab.connections) == 2


@scenario
async def test_a_connection_that_dies_under_the_request_is_replaced_even_for_post(lab: Lab) -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            requests.append((await peer.request())[1])
            if len(requests) == 2:
                return  # read, but not a word in reply
            await peer.say(answer(b"ok"))

    url = await lab.serve(script)
    with stale_within(inf):
        assert [(await lab.fetch(url, body))[2] for body in (b"first", b"second")] == [b"ok", b"ok"]
    assert requests == [b"first", b"second", b"second"]
    assert len(lab.connections) == 2


@scenario
async def test_redirects_and_cookies_are_the_callers_business(lab: Lab) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            heads.append((await peer.request())[0])
            await peer.say(answer(b"", status=b"307 Elsewhere", headers=b"location: /there\r\nset-cookie: a=b\r\n"))

    url = (await lab.serve(script)).replace("127.0.0.1", "localhost")  # an address has no cookies anyway
    assert [(await lab.fetch(url))[0] for _ in range(2)] == [307, 307]
    assert len(heads) == 2
    assert not any(b"cookie" in head.lower() for head in heads)


@scenario
async def test_an_answer_may_come_before_the_request_is_sent_whole(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(answer(b"too large", status=b"413 Content Too Large"))
        await peer.gone()

    url = await lab.serve(script)
    status, _, body = await lab.fetch(url, bytes(32 << 20))
    assert (status, body) == (413, b"too large")
    await lab.connections[0].cut.wait()  # half a request is no beginning for the next


@scenario
async def test_large_bodies_pass_both_ways_intact(lab: Lab) -> None:
    sent = bytes(range(256)) * (32 << 12)

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body)

    status, _, received = await lab.fetch(await lab.serve(script), sent)
    assert status == 200
    assert received == sent  # 32 MiB


@scenario
async def test_an_upstream_is_held_back_by_a_reader_who_does_not_read(lab: Lab) -> None:
    pushed = 0

    async def script(peer: Peer) -> None:
        nonlocal pushed
        await peer.request()
        peer.writer.transport.set_write_buffer_limits(0)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1024):
            await peer.say(bytes(64 << 10))
            pushed += 64 << 10

    response = await lab.send(await lab.serve(script))
    held = -1
    while held != pushed:  # no event tells that it stands still
        held = pushed
        await asyncio.sleep(0.3)
    assert held < 24 << 20  # the kernel's buffers, and a little of ours
    assert len(await drain(response)) == 64 << 20


@scenario
async def test_gzip_and_deflate_are_decoded(lab: Lab) -> None:
    text = b"tokens " * 50_000
    raw = zlib.compressobj(wbits=-15)
    bodies = {
        b"gzip": gzip.compress(text),
        b"deflate": zlib.compress(text),
        b"Deflate": raw.compress(text) + raw.flush(),
    }
    for coding, body in bodies.items():
        url = await lab.serve(plays(answer(body, headers=b"content-encoding: %b\r\n" % coding)))
        assert (await lab.fetch(url))[2] == text


@scenario
async def test_compressed_events_are_delivered_when_they_come(lab: Lab) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        packer = zlib.compressobj(wbits=31)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n")
        for event in (b"one", b"two"):
            await peer.say(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))
            await read.wait()
            read.clear()
        await peer.say(packer.flush())

    response = await lab.send(await lab.serve(script))
    for event in (b"one", b"two"):
        assert await response.read() == event
        read.set()
    assert await response.read() == b""


@scenario
async def test_an_ipv6_literal_is_an_address(lab: Lab) -> None:
    url = await lab.serve(plays(answer(b"six")), host="::1")
    assert (await lab.fetch(url))[2] == b"six"


@scenario
async def test_many_calls_at_once_each_get_their_own_answer(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await peer.say(answer(body))

    url = await lab.serve(script)
    bodies = [b"%d" % number for number in range(100)]
    answers = await asyncio.gather(*(lab.fetch(url, body) for body in bodies))
    assert [body for _, _, body in answers] == bodies


@scenario
async def test_nothing_is_sent_again_that_the_upstream_may_have_worked_on(lab: Lab) -> None:
    """It would be paid for it twice. A connection that goes at once had been closed before."""
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            asked.append(body)
            if body in asked[:-1]:
                await peer.say(answer(body))
            elif body.startswith(b"gone"):
                return
            else:
                await peer.say(answer(body))

    url = await lab.serve(script)
    with stale_within(inf):
        for body in (b"first", b"gone at once", b"second"):
            assert (await lab.fetch(url, body))[2] == body
    with stale_within(0), pytest.raises(UpstreamUnreachable):
        await lab.fetch(url, b"gone late")
    assert asked == [b"first", b"gone at once", b"gone at once", b"second", b"gone late"]


@scenario
async def test_an_answer_that_nobody_asked_for_is_nobodys(lab: Lab) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.say(answer(body))
        await read.wait()
        await peer.say(answer(b"not asked for"))
        await peer.gone()

    url = await lab.serve(script)
    for body in (b"first", b"second", b"third"):
        assert (await lab.fetch(url, body))[2] == body
        read.set()
        await asyncio.sleep(0.02)  # for what comes behind
        read.clear()
    assert len(lab.connections) == 3
