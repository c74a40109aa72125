"""How `http1` shares connections: warmest first, never more than the limit, first come first served."""

from __future__ import annotations

import asyncio
from math import inf
from unittest import mock
from unittest.mock import Mock

import pytest

from support_upstream import Lab, Peer, answer, drain, scenario_for, stale_within
from trivium.errors import UpstreamUnreachable
from trivium.upstream.client import UpstreamRequest
from trivium.upstream.http1 import Http1Client
from trivium.upstream.outbox import Outbox
from trivium.upstream.pool import Pool, PoolLimits, Use
from trivium.upstream.target import parse_url

pytestmark = pytest.mark.filterwarnings("error")


async def echo(peer: Peer) -> None:
    """Answers each request with its own body, as often as it is asked; a body that begins with `hold` is held."""
    while True:
        head = await peer.head()
        body = await peer.reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
        if body.startswith(b"hold"):
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            await peer.gone()
        await peer.say(answer(body))


@scenario_for("http1")
async def test_the_connection_used_last_is_used_next(lab: Lab) -> None:
    used: list[tuple[Peer, bytes]] = []

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            used.append((peer, body))
            await peer.say(answer(body))

    url = await lab.serve(script)
    await asyncio.gather(*(lab.fetch(url, body) for body in (b"a", b"b", b"c")))
    for body in (b"d", b"e", b"f"):
        await lab.fetch(url, body)
    assert len(lab.connections) == 3
    assert len({peer for peer, body in used if body in b"def"}) == 1


@scenario_for("http1")
async def test_no_more_connections_than_the_limit_are_opened_and_everyone_is_served_in_turn(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=2))
    url = await lab.serve(echo)
    served: list[bytes] = []

    async def call(body: bytes) -> None:
        served.append((await lab.fetch(url, body))[2])

    bodies = [b"%02d" % number for number in range(20)]
    await asyncio.gather(*map(call, bodies))
    assert sorted(served) == bodies
    assert len(lab.connections) == 2


@scenario_for("http1")
async def test_a_caller_who_waits_takes_over_the_place_of_a_connection_that_was_cut(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))
    url = await lab.serve(echo)
    held = await lab.send(url, b"hold")
    waiting = asyncio.create_task(lab.fetch(url, b"next"))
    await asyncio.sleep(0)
    held.close()
    assert (await waiting)[2] == b"next"
    assert len(lab.connections) == 2


@scenario_for("http1")
async def test_a_caller_who_gives_up_waiting_leaves_nothing_behind(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))
    url = await lab.serve(echo)
    held = await lab.send(url, b"hold")
    gone, late, stays = (asyncio.create_task(lab.fetch(url, body)) for body in (b"gone", b"late", b"stays"))
    await asyncio.sleep(0)
    gone.cancel()  # before its turn
    await asyncio.sleep(0)
    held.close()
    late.cancel()  # in the moment of its turn
    assert (await stays)[2] == b"stays"
    await asyncio.gather(gone, late, return_exceptions=True)
    assert (await lab.fetch(url, b"again"))[2] == b"again"


@scenario_for("http1")
async def test_callers_who_give_up_waiting_leave_the_queue_at_once(lab: Lab) -> None:
    target = parse_url(await lab.serve(echo))
    pool = Pool(target.origin, None, PoolLimits(connections=1), Outbox())
    held = await pool.acquire(1)
    first, second, third = (asyncio.create_task(pool.acquire(1)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert len(pool._queue) == 2
    pool.release(held)
    assert await first is held
    pool.release(held)
    assert await third is held
    await pool.close()


@scenario_for("http1")
async def test_a_caller_who_gives_up_connecting_leaves_nothing_behind_at_whatever_moment(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))
    url = await lab.serve(echo)
    for moment in range(20):
        call = asyncio.create_task(lab.fetch(url, b"x"))
        for _ in range(moment):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    before = len(lab.connections)
    await asyncio.gather(*(lab.fetch(url, b"x") for _ in range(5)))
    assert len(lab.connections) <= before + 1


@scenario_for("http1")
async def test_a_failed_attempt_to_connect_gives_its_place_back(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))

    async def script(peer: Peer) -> None:
        await peer.say(b"no TLS here")

    url = (await lab.serve(script)).replace("http:", "https:")
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable):
            await lab.fetch(url)


@scenario_for("http1")
async def test_an_idle_connection_expires(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(idle_seconds=0.05))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"ok"))
        await peer.gone()

    url = await lab.serve(script)
    await lab.fetch(url)
    await lab.connections[0].cut.wait()
    await lab.fetch(url)
    assert len(lab.connections) == 2


@scenario_for("http1")
async def test_connections_beyond_the_idle_limit_are_not_kept(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(idle=1))
    url = await lab.serve(echo)
    await asyncio.gather(*(lab.fetch(url, b"x") for _ in range(3)))
    await asyncio.gather(*(lab.fetch(url, b"x") for _ in range(2)))
    assert len(lab.connections) == 4


@scenario_for("http1")
async def test_a_stale_connection_is_replaced_by_a_fresh_one_even_at_the_limit(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=3))
    restarted = False

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            if restarted and lab.connections.index(peer) < 3:
                return
            await peer.say(answer(body))

    url = await lab.serve(script)
    await asyncio.gather(*(lab.fetch(url, b"x") for _ in range(3)))
    restarted = True
    with stale_within(inf):
        assert (await lab.fetch(url, b"y"))[2] == b"y"
    assert len(lab.connections) == 4


@scenario_for("http1")
async def test_a_connection_that_is_handed_on_at_once_was_not_at_rest(lab: Lab) -> None:
    """However long its last call took: who ends it then has the next one's request."""
    await lab.equip(limits=PoolLimits(connections=1))
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        asked.append((await peer.request())[1])
        await asyncio.sleep(0.6)
        await peer.say(answer(b"ok"))
        asked.append((await peer.request())[1])

    url = await lab.serve(script)
    with mock.patch.multiple("trivium.upstream.client", RESTED=0.5, SOON=inf, AT_ONCE=0):
        told = await asyncio.gather(*(lab.fetch(url, body) for body in (b"first", b"second")), return_exceptions=True)
    assert isinstance(told[1], UpstreamUnreachable)
    assert asked == [b"first", b"second"]


@scenario_for("http1")
async def test_whoever_wants_a_fresh_connection_at_the_limit_gets_the_place_of_an_idle_one(lab: Lab) -> None:
    target = parse_url(await lab.serve(echo))
    pool = Pool(target.origin, None, PoolLimits(connections=1), Outbox())
    idle = await pool.acquire(1)
    pool.release(idle)
    fresh = await pool.acquire(1)
    assert idle.closed
    assert not fresh.closed
    await pool.close()


@scenario_for("http1")
async def test_a_finished_answer_is_read_while_its_connection_already_serves_another_call(lab: Lab) -> None:
    url = await lab.serve(echo)
    first = await lab.send(url, b"first")
    await asyncio.sleep(0.05)
    second = await lab.send(url, b"second")
    assert (await drain(first), await drain(second)) == (b"first", b"second")
    assert len(lab.connections) == 1


@scenario_for("http1")
async def test_a_closed_client_calls_nobody(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))
    url = await lab.serve(echo)
    held = await lab.send(url, b"hold")
    waiting = asyncio.create_task(lab.fetch(url))
    await asyncio.sleep(0)
    await lab.client.close()
    for call in (waiting, lab.fetch(url), lab.fetch(await lab.serve(echo))):
        with pytest.raises(UpstreamUnreachable):
            await call
    assert len(lab.connections) == 1
    held.close()


@scenario_for("http1")
async def test_what_there_is_of_connections_can_be_read(lab: Lab) -> None:
    await lab.equip(limits=PoolLimits(connections=1))
    client = lab.client
    assert isinstance(client, Http1Client)
    url = await lab.serve(echo)
    held = await lab.send(url, b"hold")
    waiting = asyncio.create_task(lab.fetch(url))
    await asyncio.sleep(0)
    ((origin, use),) = client.uses()
    assert f":{origin.port}/" in url
    assert use == Use(active=1, idle=0, waiting=1)
    waiting.cancel()
    held.close()
    await lab.fetch(url)
    ((_, use),) = client.uses()
    assert use == Use(active=0, idle=1, waiting=0)


@scenario_for("http1")
async def test_a_request_that_cannot_be_begun_gives_its_place_back(lab: Lab) -> None:
    """On a connection that is new, and on one that has served."""
    await lab.equip(limits=PoolLimits(connections=1))
    url = await lab.serve(echo)
    broken = UpstreamRequest(url=url, body=b"{}", goes_out=Mock(side_effect=MemoryError))
    for body in (b"first", b"second"):
        with pytest.raises(MemoryError):
            await lab.client.send(broken)
        assert (await lab.fetch(url, body))[2] == body
    assert len(lab.connections) == 3
