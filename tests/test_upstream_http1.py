"""Where `http1` is stricter, or surer, than the seam asks for: what a library of leniencies lets through ends here."""

from __future__ import annotations

import asyncio

import pytest

from support_upstream import Lab, Peer, answer, failure, scenario_for, then_reset, then_stall
from trivium.errors import UpstreamBroken, UpstreamGarbage, UpstreamTimeout

pytestmark = pytest.mark.filterwarnings("error")

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@scenario_for("http1")
async def test_a_reset_within_the_head_is_broken(lab: Lab) -> None:
    assert await failure(lab, then_reset(HEAD)) is UpstreamBroken


@scenario_for("http1")
async def test_an_upstream_that_only_announces_an_answer_is_a_time_out(lab: Lab) -> None:
    said = then_stall(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await failure(lab, said, first_byte=0.1) is UpstreamTimeout


@scenario_for("http1")
async def test_bad_framing_after_a_good_beginning_is_garbage(lab: Lab) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"3\r\none\r\n")
        await read.wait()
        await peer.say(b"three\r\n")
        await peer.gone()

    response = await lab.send(await lab.serve(script))
    assert await response.read() == b"one"
    read.set()
    with pytest.raises(UpstreamGarbage):
        await response.read()


@scenario_for("http1")
async def test_what_no_sound_server_sends_is_garbage(lab: Lab) -> None:
    for said in (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 099 Early\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding:\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"content-encoding: gzip\r\ncontent-encoding: identity\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"x: y\ncontent-length: 0\r\n\r\n",
        HEAD + b"x: y\r\n  z\r\ncontent-length: 0\r\n\r\n",
        HEAD + b" x: y\r\ncontent-length: 0\r\n\r\n",
        CHUNKED + b"1 \r\n.\r\n0\r\n\r\n",
        CHUNKED + b"1\r\n.\n0\r\n\r\n",
        CHUNKED + b"1\r\n.\r\n0\r\nx: y\n\r\n",
        CHUNKED + b"1\r\n.\r\n0\r\nx: \x01\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
        CHUNKED + b"1;" + b"x" * 100_000,
        CHUNKED + b"1\r\n.\r\n0\r\n" + b"x: y\r\n" * 100_000,
    ):
        assert await failure(lab, then_stall(said)) is UpstreamGarbage, said[:40]


@scenario_for("http1")
async def test_bytes_beyond_the_answer_end_the_connection(lab: Lab) -> None:
    for surplus in (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", b"HTTP/1.1", b"?", b"12345"):
        url = await lab.serve(then_stall(answer(b"ok") + surplus))
        assert await lab.fetch(url) == (200, [(b"content-length", b"2")], b"ok")
        await lab.connections[-1].cut.wait()


@scenario_for("http1")
async def test_bytes_on_an_idle_connection_end_it(lab: Lab) -> None:
    idle = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"ok"))
        await idle.wait()
        await peer.say(answer(b"unasked"))
        await peer.gone()

    url = await lab.serve(script)
    assert (await lab.fetch(url))[2] == b"ok"
    idle.set()
    await lab.connections[0].cut.wait()
    assert (await lab.fetch(url))[2] == b"ok"
    assert len(lab.connections) == 2


@scenario_for("http1")
async def test_a_request_is_not_sent_again_once_a_byte_of_the_answer_came(lab: Lab) -> None:
    requests = 0

    async def script(peer: Peer) -> None:
        nonlocal requests
        for said in (answer(b"ok"), b"H"):
            await peer.request()
            requests += 1
            await peer.say(said)
        await asyncio.sleep(0.02)
        peer.reset()

    url = await lab.serve(script)
    await lab.fetch(url)
    with pytest.raises(UpstreamBroken):
        await lab.fetch(url)
    assert requests == 2
