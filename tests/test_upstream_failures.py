"""What the seam promises when things go wrong, whichever client is behind it and whichever loop runs it."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest

from support_upstream import Lab, Peer, answer, drain, failure, plays, scenario, then_reset, then_stall
from trivium.errors import TriviumError, UpstreamBroken, UpstreamGarbage, UpstreamTimeout, UpstreamUnreachable
from trivium.upstream.client import UpstreamRequest
from trivium.upstream.pool import PoolLimits

pytestmark = pytest.mark.filterwarnings("error")

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SIZED = HEAD + b"content-length: 10\r\n\r\n"


@scenario
async def test_a_refused_connection_is_unreachable(lab: Lab) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(UpstreamUnreachable):
            await lab.fetch(f"http://127.0.0.1:{sock.getsockname()[1]}/")


@scenario
async def test_an_unknown_name_is_unreachable(lab: Lab) -> None:
    with pytest.raises(UpstreamUnreachable):
        await lab.fetch("http://nowhere.invalid/", connect=60)  # for which a resolver may take its time


@scenario
async def test_a_reset_or_an_end_before_the_answer_is_unreachable(lab: Lab) -> None:
    assert await failure(lab, then_reset(b"")) is UpstreamUnreachable
    assert await failure(lab, plays(b"")) is UpstreamUnreachable
    assert len(lab.connections) == 2  # what fails on a fresh connection is not tried again


@scenario
async def test_an_end_within_the_head_is_broken(lab: Lab) -> None:
    assert await failure(lab, plays(HEAD + b"x: y\r\n")) is UpstreamBroken


@scenario
async def test_an_end_or_a_reset_within_the_body_is_broken_and_what_came_is_delivered(lab: Lab) -> None:
    for ends in (plays, then_reset):
        for said in (SIZED + b"12345", CHUNKED + b"5\r\n12345\r\n", CHUNKED + b"a\r\n12345"):
            response = await lab.send(await lab.serve(ends(said)))
            assert await response.read() == b"12345"
            with pytest.raises(UpstreamBroken):
                await response.read()


@scenario
async def test_what_is_not_http_is_garbage(lab: Lab) -> None:
    for said in (
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 two hundred\r\n\r\n",
        *(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status for status in (600, 999)),
        HEAD + b"content-length: ten\r\n\r\n",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        *(HEAD + b"x: a%cb\r\ncontent-length: 2\r\n\r\nok" % control for control in b"\0\x01\r\x1b\x7f"),
        CHUNKED + b"five\r\n12345\r\n0\r\n\r\n",
        CHUNKED + b"5\r\n12345678\r\n0\r\n\r\n",
    ):
        assert await failure(lab, then_stall(said)) is UpstreamGarbage, said


@scenario
async def test_a_status_of_no_known_name_is_one(lab: Lab) -> None:
    for status in (200, 299, 488, 599):
        said = b"HTTP/1.1 %d\r\ncontent-length: 2\r\n\r\nok" % status
        assert (await lab.fetch(await lab.serve(plays(said))))[0] == status


@scenario
async def test_a_head_beyond_measure_is_garbage(lab: Lab) -> None:
    for said in (
        HEAD + b"x: " + bytes(100_000).replace(b"\0", b"y"),
        HEAD + b"".join(b"x-%d: y\r\n" % number for number in range(1_000)) + b"\r\n",
    ):
        assert await failure(lab, then_stall(said)) is UpstreamGarbage, said[:20]


@scenario
async def test_compressed_garbage_bombs_and_stumps_are_garbage(lab: Lab) -> None:
    whole = gzip.compress(b"tokens " * 1000)
    bodies = {b"gzip": (whole[:-9], b"not gzip at all", gzip.compress(bytes(64 << 20))), b"br": (b"\x0b\x02\x80",)}
    for coding, stumps in bodies.items():
        for stump in stumps:
            said = answer(stump, headers=b"content-encoding: %b\r\n" % coding)
            assert await failure(lab, plays(said)) is UpstreamGarbage, (coding, stump[:20])


@scenario
async def test_an_upstream_that_never_answers_is_a_time_out(lab: Lab) -> None:
    for said in (b"", HEAD):
        assert await failure(lab, then_stall(said), first_byte=0.1) is UpstreamTimeout


@scenario
async def test_an_upstream_that_falls_silent_is_a_time_out_and_is_let_go(lab: Lab) -> None:
    response = await lab.send(await lab.serve(then_stall(CHUNKED + b"3\r\none\r\n")), idle=0.1)
    assert await response.read() == b"one"
    with pytest.raises(UpstreamTimeout):
        await response.read()
    await lab.connections[0].cut.wait()


@scenario
async def test_a_slow_upstream_is_no_silent_one(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for _ in range(12):
            await asyncio.sleep(0.1)
            await peer.say(b"1\r\n.\r\n")
        await peer.say(b"0\r\n\r\n")

    _, _, body = await lab.fetch(await lab.serve(script), idle=1, first_byte=1)
    assert body == b"............"


@scenario
async def test_a_reader_may_take_longer_than_the_upstream(lab: Lab) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"3\r\none\r\n")
        await go_on.wait()
        await peer.say(b"3\r\ntwo\r\n0\r\n\r\n")

    response = await lab.send(await lab.serve(script), idle=0.5)
    assert await response.read() == b"one"
    await asyncio.sleep(0.7)
    go_on.set()
    assert await drain(response) == b"two"


@scenario
async def test_an_upstream_that_stops_taking_the_request_is_a_time_out(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    assert await failure(lab, script, bytes(32 << 20), idle=0.2) is UpstreamTimeout


@scenario
async def test_a_peer_that_does_not_finish_the_handshake_is_a_time_out(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    url = (await lab.serve(script)).replace("http:", "https:")
    with pytest.raises(UpstreamTimeout):
        await lab.fetch(url, connect=0.1)


@scenario
async def test_waiting_for_a_free_connection_counts_as_connecting(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))
    url = await lab.serve(then_stall(SIZED))
    response = await lab.send(url)
    with pytest.raises(UpstreamTimeout):
        await lab.send(url, connect=0.1)
    response.close()
    (await lab.send(url)).close()


@scenario
async def test_a_request_that_would_be_two_is_refused(lab: Lab) -> None:
    url = await lab.serve(plays(answer()))
    for headers in ([(b"x", b"a\r\nb: c")], [(b"x\n", b"a")], [(b"x", b"\0")], [(b"Content-Length", b"9")]):
        with pytest.raises(ValueError, match="header"):
            await lab.client.send(UpstreamRequest(url=url, headers=headers))
    for broken in (url + "\r\nx: y", url + " HTTP/1.1", "ftp://example.com/", "/v1/x", "http://user@example.com/"):
        with pytest.raises(ValueError, match="URL"):
            await lab.client.send(UpstreamRequest(url=broken))
    assert lab.connections == []


@scenario
async def test_cancelling_a_call_cuts_the_connection(lab: Lab) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    call = asyncio.create_task(lab.send(await lab.serve(script)))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await lab.connections[0].cut.wait()


@scenario
async def test_cancelling_an_upload_cuts_the_connection(lab: Lab) -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(1 << 20)
        begun.set()
        await peer.gone()

    call = asyncio.create_task(lab.send(await lab.serve(script), bytes(32 << 20)))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await lab.connections[0].cut.wait()


@scenario
async def test_cancelling_a_handshake_cuts_the_connection(lab: Lab) -> None:
    greeted = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(5)
        greeted.set()
        await peer.gone()

    call = asyncio.create_task(lab.send((await lab.serve(script)).replace("http:", "https:")))
    await greeted.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await lab.connections[0].cut.wait()


@scenario
async def test_closing_an_unfinished_answer_cuts_the_connection_at_once(lab: Lab) -> None:
    response = await lab.send(await lab.serve(then_stall(CHUNKED + b"3\r\none\r\n")))
    assert await response.read() == b"one"
    response.close()
    response.close()
    await lab.connections[0].cut.wait()
    with pytest.raises(TriviumError):
        await response.read()


@scenario
async def test_closing_an_answer_during_cancellation_cuts_the_connection(lab: Lab) -> None:
    async def relay(url: str) -> None:
        response = await lab.send(url)
        reading.set()
        try:
            await drain(response)
        finally:
            response.close()

    reading = asyncio.Event()
    call = asyncio.create_task(relay(await lab.serve(then_stall(CHUNKED))))
    await reading.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await lab.connections[0].cut.wait()


@scenario
async def test_closing_a_finished_answer_keeps_the_connection(lab: Lab) -> None:
    url = await lab.serve(plays(answer(b"1"), answer(b"2")))
    for expected in (b"1", b"2"):
        response = await lab.send(url)
        assert await drain(response) == expected
        response.close()
    assert len(lab.connections) == 1


@scenario
async def test_closing_the_client_closes_every_connection(lab: Lab) -> None:
    url = await lab.serve(then_stall(answer(b"idle")))
    busy = await lab.serve(then_stall(SIZED))
    await lab.fetch(url)
    response = await lab.send(busy)
    await lab.client.close()
    for peer in lab.connections:
        await peer.cut.wait()
    with pytest.raises(TriviumError):
        await response.read()
