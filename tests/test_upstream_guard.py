"""Calls to servers that users named: only checked addresses are connected to, by both clients, again and again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support_names import Listeners, NameServer, name_server
from support_upstream import CLIENTS, Headers, drain
from test_upstream_tls import certified, trusting
from trivium.errors import DestinationRefused, UpstreamUnreachable
from trivium.policy.addresses import networks
from trivium.policy.destinations import Destinations
from trivium.upstream.client import UpstreamClient, UpstreamRequest
from trivium.upstream.guard import AddrInfo, Guard
from trivium.upstream.http1 import Http1Client
from trivium.upstream.pool import PoolLimits
from trivium.upstream.target import Origin

GOOD, BAD = "127.0.0.2", "127.0.0.1"
RULES = Destinations(allowed=networks([GOOD]), http=True)
"""One address stands for the public internet; everything else of this machine is what must not be reached."""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
both = pytest.mark.parametrize("kind", CLIENTS)


class Street:
    """A client, the names that it can look up, and the servers that there are."""

    def __init__(self, client: UpstreamClient, names: NameServer, listeners: Listeners) -> None:
        self.client = client
        self.names = names
        self.there = listeners

    async def fetch(self, host: str, *, guarded: bool = True, path: str = "/v1") -> tuple[int, Headers, bytes]:
        url = f"http://{host}:{self.there.port}{path}"
        response = await self.client.send(UpstreamRequest(url=url, body=b"{}", guarded=guarded))
        return response.status, response.headers, await drain(response)

    async def refused(self, host: str) -> DestinationRefused:
        with pytest.raises(DestinationRefused) as caught:
            await self.fetch(host)
        return caught.value


@asynccontextmanager
async def street(kind: str, rules: Destinations = RULES, limits: PoolLimits | None = None) -> AsyncIterator[Street]:
    listeners = Listeners()
    await listeners.listen(BAD, GOOD)
    async with name_server() as (names, resolve):
        client = CLIENTS[kind](guard=Guard(rules, resolve), limits=limits)
        try:
            yield Street(client, names, listeners)
        finally:
            await client.close()
            listeners.close()


@both
async def test_the_checked_address_is_connected_to_under_the_name_of_the_url(kind: str) -> None:
    async with street(kind) as here:
        here.names.names["api.example.com"] = [(GOOD,)]
        assert (await here.fetch("api.example.com"))[0] == 200
        assert f"host: api.example.com:{here.there.port}".encode() in here.there.heads[0].lower()
        assert here.there.counts == {GOOD: 1, BAD: 0}


@both
@pytest.mark.parametrize("addresses", [(BAD,), (GOOD, BAD), (BAD, GOOD), ("::1",), (GOOD, "::1"), (GOOD, "fe80::1")])
async def test_a_name_with_one_bad_address_is_refused_whole(kind: str, addresses: tuple[str, ...]) -> None:
    async with street(kind) as here:
        here.names.names["two.example.com"] = [addresses]
        error = await here.refused("two.example.com")
        assert here.there.counts == {GOOD: 0, BAD: 0}
        assert not any(address in f"{error.message} {error.detail}" for address in addresses)


@both
async def test_a_name_that_moves_is_checked_at_each_connection(kind: str) -> None:
    """DNS rebinding: good when it is checked, bad when it is connected to, had that looked it up again."""
    async with street(kind) as here:
        here.names.names["moves.example.com"] = [(GOOD,), (BAD,)]
        assert (await here.fetch("moves.example.com"))[0] == 200
        await here.refused("moves.example.com")
        assert here.names.asked == ["moves.example.com"] * 2
        assert here.there.counts == {GOOD: 1, BAD: 0}


@both
async def test_what_calls_of_the_house_have_open_is_not_used_for_a_user_s(kind: str) -> None:
    async with street(kind) as here:
        here.there.answer = ANSWER
        assert (await here.fetch(BAD, guarded=False))[0] == 200
        await here.refused(BAD)
        assert here.there.counts == {GOOD: 0, BAD: 1}


@both
async def test_who_asks_does_not_learn_whether_a_name_is_there(kind: str) -> None:
    async with street(kind) as here:
        here.names.names["there.example.com"] = [(BAD,)]
        there, absent = await here.refused("there.example.com"), await here.refused("absent.example.com")
        assert (there.message, there.code, there.status) == (absent.message, absent.code, 403)
        assert (there.detail, absent.detail) == ("there.example.com: loopback", "absent.example.com: no such name")


@both
async def test_a_redirect_into_the_house_is_an_answer_like_any_other(kind: str) -> None:
    async with street(kind) as here:
        here.names.names["sends.example.com"] = [(GOOD,)]
        to = f"http://{BAD}:{here.there.port}/latest".encode()
        for status in (b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent"):
            here.there.answer = b"HTTP/1.1 %b\r\nlocation: %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (
                status,
                to,
            )
            assert (await here.fetch("sends.example.com"))[0] == int(status[:3])
        assert here.there.counts == {GOOD: 5, BAD: 0}


@both
async def test_an_address_needs_no_name_server(kind: str) -> None:
    async with street(kind) as here:
        assert (await here.fetch(GOOD))[0] == 200
        await here.refused(BAD)
        await here.refused("[::1]")
        assert here.names.asked == []
        assert here.there.counts == {GOOD: 1, BAD: 0}


@both
async def test_plain_http_and_ports_of_other_protocols_are_refused(kind: str) -> None:
    client = CLIENTS[kind](guard=Guard())
    for url in ("http://example.com", "https://example.com:25", "https://example.com:6000"):
        with pytest.raises(DestinationRefused):
            await client.send(UpstreamRequest(url=url, guarded=True))
    await client.close()


@both
async def test_a_name_server_that_fails_is_not_a_refusal(kind: str) -> None:
    async def fails(_host: str, _port: int) -> list[AddrInfo]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    client = CLIENTS[kind](guard=Guard(resolve=fails))
    with pytest.raises(UpstreamUnreachable):
        await client.send(UpstreamRequest(url="https://example.com", guarded=True))
    await client.close()


@both
async def test_the_certificate_is_that_of_the_name(kind: str) -> None:
    """Not of the address: the TLS server name stays the URL's host."""
    asked: list[str | None] = []
    context = certified("api.example.com")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(accepted, GOOD, 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with name_server() as (names, resolve):
        names.names = {"api.example.com": [(GOOD,)], "other.example.com": [(GOOD,)]}
        client = CLIENTS[kind](guard=Guard(RULES, resolve), tls=trusting())
        request = UpstreamRequest(url=f"https://api.example.com:{port}/v1", guarded=True)
        assert await drain(await client.send(request)) == b"{}"
        with pytest.raises(UpstreamUnreachable):
            await client.send(UpstreamRequest(url=f"https://other.example.com:{port}/v1", guarded=True))
        await client.close()
    server.close()
    assert asked == ["api.example.com", "other.example.com"]


@pytest.mark.parametrize(
    "place", [("127.0.0.1", 443), ("::1", 443, 0, 0), ("fe80::1%lo", 443, 0, 1), ("2606:4700::1", 443, 0, 2), ("?", 1)]
)
async def test_odd_answers_of_a_resolver_are_refused(place: tuple[object, ...]) -> None:
    async def resolve(_host: str, _port: int) -> list[AddrInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place)]

    with pytest.raises(DestinationRefused):
        await Guard(resolve=resolve).addresses(Origin(True, "example.com", 443, True))


async def test_no_addresses_are_no_way_around() -> None:
    async def resolve(_host: str, _port: int) -> list[AddrInfo]:
        return []

    with pytest.raises(DestinationRefused):
        await Guard(resolve=resolve).addresses(Origin(True, "example.com", 443, True))


async def test_the_system_s_own_names_are_checked_as_well() -> None:
    guard = Guard(Destinations(allowed=networks(["127.0.0.0/8"])))
    try:
        # what `getaddrinfo` makes of it is checked, also where it reads addresses that nobody else would
        with pytest.raises(DestinationRefused):
            await guard.addresses(Origin(True, "127.1", 443, True))
        for host in ("localhost", "ip6-localhost", socket.gethostname()):
            with pytest.raises(DestinationRefused):
                await Guard().addresses(Origin(True, host, 443, True))
    finally:
        guard.close()


async def test_names_of_strangers_that_hang_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    free = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = socket.getaddrinfo

    def slow(host: str, *args: object, **options: object) -> object:
        if host.startswith("slow"):
            asyncio.run_coroutine_threadsafe(free.wait(), loop).result(5)
            raise socket.gaierror(socket.EAI_NONAME, "no")
        return real(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    guard = Guard()
    hanging = [asyncio.create_task(guard.addresses(Origin(True, f"slow{n}.example", 443, True))) for n in range(64)]
    try:
        await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(str, 1), 20) == "1"
    finally:
        free.set()
        await asyncio.gather(*hanging, return_exceptions=True)
        guard.close()


async def test_servers_that_nobody_calls_any_more_are_forgotten() -> None:
    client = Http1Client(guard=Guard(Destinations(http=True)))
    for number in range(2000):
        with pytest.raises(DestinationRefused):
            await client.send(UpstreamRequest(url=f"http://127.0.0.1:{2100 + number}", guarded=True))
    assert len(client._pools) <= 512
    await client.close()
