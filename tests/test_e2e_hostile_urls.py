"""Hundreds of URLs that lead where they must not, in every field that a user can put a URL in: nobody is connected to.

Listeners on this machine's addresses count connections, and an audit hook hears of every one that this process tries.
One loopback address stands for the public internet; a real name server on UDP changes its answers as it is asked.
"""

from __future__ import annotations

import ipaddress
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import CALLS, CHAT
from support_names import Listeners, NameServer, name_server
from support_upstream import CLIENTS, drain
from test_pipeline_custom import Town, named, town
from trivium.errors import DestinationRefused, UrlRefused
from trivium.policy.addresses import networks
from trivium.policy.destinations import Destinations, check_hook, check_url
from trivium.upstream.client import UpstreamRequest
from trivium.upstream.guard import AddrInfo, Guard

PUBLIC = "127.0.0.9"
HERE = ("127.0.0.1", "127.0.0.2", "::1")
RULES = Destinations(allowed=networks([PUBLIC]), http=True)
SETTINGS = f'[security]\nallow_networks = ["{PUBLIC}"]\nallow_http = true\n[billing]\nmode = "credits"\n'

TARGETS = (
    *("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
)
SIXES = (
    *("::1", "::", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0001", "fe80::1", "fc00::1"),
    *("fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "2001:20::1", "100::1", "5f00::1", "64:ff9b::1"),
    *("fe80::1%25lo", "fe80::1%lo", "::1%25lo", "::1%251", "::%31", "[::1]", "::1]", "::ffff:127.0.0.1%25lo"),
)


def fours(text: str) -> Iterator[str]:
    """Ways of writing an IPv4 address, of which one at least is read as such somewhere."""
    number = int(ipaddress.IPv4Address(text))
    a, b, c, d = text.split(".")
    parts = [int(part) for part in (a, b, c, d)]
    yield from (text, f"{text}.", str(number), f"{number:#x}", f"{number:#X}", f"0{number:o}", f"{number + 2**32}")
    yield from (".".join(hex(part) for part in parts), ".".join(f"0{part:o}" for part in parts))
    yield from (".".join(f"{part:03}" for part in parts), ".".join(f"0x{part:08x}" for part in parts))
    yield from (f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}", f"{hex(parts[0])}.0{parts[1]:o}.{c}.{d}")
    yield from (text.translate({ord(one): ord(one) + 0xFEE0 for one in "0123456789"}), text.replace(".", "\u3002"))
    yield from ("".join(f"%{ord(one):02x}" for one in text), text.replace(".", "%2e"), f"{a}%00.{b}.{c}.{d}")
    high, low = number >> 16, number & 0xFFFF
    turned = number ^ 0xFFFFFFFF
    sixes = (
        *(
            f"::ffff:{high:x}:{low:x}",
            f"::ffff:{text}",
            f"::{high:x}:{low:x}",
            f"::{text}",
            f"::ffff:0:{high:x}:{low:x}",
        ),
        *(
            f"64:ff9b::{high:x}:{low:x}",
            f"64:ff9b::{text}",
            f"64:ff9b:1::{high:x}:{low:x}",
            f"2002:{high:x}:{low:x}::1",
        ),
        *(f"2001::{turned >> 16:x}:{turned & 0xFFFF:x}", f"2001:0:{high:x}:{low:x}::", f"2606:4700::5efe:{text}"),
        *(
            f"2606:4700::200:5efe:{high:x}:{low:x}",
            f"0:0:0:0:0:ffff:{text}",
            f"64:ff9b:1:{high:x}:{low >> 8:x}:{low & 255:x}00::",
        ),
    )
    yield from (f"[{six}]" for six in sixes)


def written(port: int) -> list[str]:
    """URLs that say themselves that they are bad."""
    hosts = [host for target in TARGETS for host in fours(target)]
    hosts += [f"[{six}]" for six in SIXES]
    hosts += ["localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.LocalHost", "localhost%00", "loc\u00adalhost"]
    urls = [
        f"{scheme}://{host}:{port}/v1" for host, scheme in zip(hosts, itertools.cycle(("http", "https")), strict=False)
    ]
    tricks = (
        *("http://public.example@127.0.0.1:{}/", "http://u:p@127.0.0.1:{}/", "http://127.0.0.1:{}#@public.example/"),
        *("http://127.0.0.1:{}\\@public.example/", "http://public.example\\@127.0.0.1:{}/", "http:\\\\127.0.0.1:{}/"),
        *("http:///127.0.0.1:{}/", "http:127.0.0.1:{}", "//127.0.0.1:{}/", "http://127.0.0.1:{}?x=public.example"),
        *(
            "http://127.0.0.1:{}/\r\nhost: public.example",
            "http://127.0.0.1\t:{}/",
            "http://\n127.0.0.1:{}/",
            " http://127.0.0.1:{}",
        ),
        *(
            "http://127.0.0.1:{}\0.public.example/",
            "http://127.0.0.1:{}%20/",
            "http://[127.0.0.1]:{}/",
            "http://[::1:{}/",
        ),
        *(
            "HTTP://127.0.0.1:{}/",
            "hTTps://127.0.0.1:{}",
            "ftp://127.0.0.1:{}/",
            "gopher://127.0.0.1:{}/",
            "file:///etc/passwd",
        ),
        *(
            "unix:///var/run/docker.sock",
            "data:text/plain,hi",
            "javascript:1",
            "http://0:{}/",
            "http://0.0:{}/",
            "http://127.1:{}/",
        ),
        *(
            "http://public.example:22/",
            "http://public.example:25/",
            "http://public.example:6000/",
            "http://public.example:0/",
        ),
        *(
            "http://public.example:65536/",
            "http://public.example:-1/",
            "http://public.example:{}/../../latest",
            "http://:{}/",
        ),
        *(
            "http://public.example:{}/v1#",
            "http://public.example:{}/v1?",
            "http://public..example:{}/",
            "http://.example:{}/",
        ),
    )
    return list(dict.fromkeys([*urls, *(trick.format(port) for trick in tricks)]))


def names() -> dict[str, list[tuple[str, ...]]]:
    """Names that lead to bad addresses, to good and bad ones, nowhere, or first to a good one and then to a bad one."""
    sixes = (
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "ff02::1",
    )
    bad = (*TARGETS, *sixes)
    found: dict[str, list[tuple[str, ...]]] = {f"bad{n}.example": [(address,)] for n, address in enumerate(bad)}
    found |= {f"both{n}.example": [(PUBLIC, address)] for n, address in enumerate(bad)}
    found |= {f"after{n}.example": [(address, PUBLIC)] for n, address in enumerate(bad)}
    return found


class Attempts:
    """Every connection that this process tries to open, from outside the code under test."""

    def __init__(self) -> None:
        self.to: list[tuple[str, int]] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, told: Any) -> None:
        if event == "socket.connect" and self.to is not None and isinstance(told[1], tuple):
            self.to.append((told[1][0], told[1][1]))


ATTEMPTS = Attempts()


class Street:
    def __init__(self, listeners: Listeners, server: NameServer, resolve: Any) -> None:
        self.listeners = listeners
        self.server = server
        self.resolve = resolve
        self.port = listeners.port

    def reached(self) -> int:
        """Connections that listeners on refused addresses had, or that were tried to any address on their port."""
        assert ATTEMPTS.to is not None
        tried = [address for address, port in ATTEMPTS.to if port == self.port and address != PUBLIC]
        return len(tried) + sum(self.listeners.counts[address] for address in HERE)


@asynccontextmanager
async def street(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    listeners = Listeners()
    await listeners.listen(*HERE, PUBLIC)
    async with name_server() as (server, resolve):

        async def look_up(_guard: Guard, host: str, port: int) -> Sequence[AddrInfo]:
            return await resolve(host, port)

        monkeypatch.setattr(Guard, "_look_up", look_up)
        ATTEMPTS.to = []
        try:
            yield Street(listeners, server, resolve)
        finally:
            ATTEMPTS.to = None
            listeners.close()


def test_there_are_enough_of_them() -> None:
    assert len(written(8000)) + len(names()) > 600
    assert all(_is_refused(url) for url in written(8000))


def test_none_of_them_can_be_that_of_a_channel_of_alerts_but_the_one_that_is_good_there() -> None:
    good = [url for url in written(8000) if not _is_refused(url, check_hook)]
    assert good == ["http://public.example:8000/v1?"]


def _is_refused(url: str, check: Callable[[str, Destinations], str] = check_url) -> bool:
    try:
        check(url, RULES)
    except UrlRefused as error:
        return error.message.startswith("The URL cannot be used: ")
    return False


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_client_connects_to_none_of_them_even_if_nobody_had_looked_at_them(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with street(monkeypatch) as here:
        here.server.names = names()
        client = CLIENTS[kind](guard=Guard(RULES))
        for url in [*written(here.port), *(f"http://{name}:{here.port}/v1" for name in names())]:
            with pytest.raises((DestinationRefused, ValueError)):
                await client.send(UpstreamRequest(url=url, body=b"{}", guarded=True))
        await client.close()
        assert (here.reached(), here.listeners.counts[PUBLIC]) == (0, 0)


@pytest.mark.parametrize("kind", CLIENTS)
async def test_the_listeners_would_have_heard(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same calls, but for the word `guarded`."""
    async with street(monkeypatch) as here:
        client = CLIENTS[kind](guard=Guard(RULES))
        for host in ("127.0.0.1", "127.0.0.2", "[::1]"):
            await drain(await client.send(UpstreamRequest(url=f"http://{host}:{here.port}/", body=b"{}")))
        await client.close()
        assert here.reached() == 6


@asynccontextmanager
async def settled(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Street, Town]]:
    async with street(monkeypatch) as here, town(settings=SETTINGS) as acme:
        assert ATTEMPTS.to is not None
        ATTEMPTS.to.clear()
        yield here, acme


async def keep_model(acme: Town, url: str) -> None:
    await acme.add("m", base_url=url, key="custom-key-0123", apis=["chat", "responses", "messages"])


async def keep_key(acme: Town, url: str) -> None:
    what = {"vendor": "openai", "name": "m", "credential": {"key": "own-key-0123456"}, "base_url": url}
    await acme.house.gateway.operations.perform("byok.add", {"organization": "acme"} | what)


async def drop_model(acme: Town) -> None:
    await acme.do("remove", name="m")


async def drop_key(acme: Town) -> None:
    await acme.house.gateway.operations.perform("byok.remove", {"organization": "acme", "key": "m"})


FIELDS = pytest.mark.parametrize(
    ("keep", "drop", "model"),
    [(keep_model, drop_model, "m"), (keep_key, drop_key, "openai/gpt-4o")],
    ids=["custom model", "own key"],
)


@FIELDS
async def test_none_of_them_can_be_saved(keep: Any, drop: Any, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with settled(monkeypatch) as (here, acme):
        for url in written(here.port):
            with pytest.raises(UrlRefused):
                await keep(acme, url)
        await keep(acme, f"http://{PUBLIC}:{here.port}/v1")
        await acme.post("/v1/chat/completions", named(CHAT, model))
        await drop(acme)
        assert (here.reached(), here.listeners.counts[PUBLIC]) == (0, 1)


@FIELDS
async def test_names_that_lead_to_them_are_saved_and_not_connected_to(
    keep: Any, drop: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with settled(monkeypatch) as (here, acme):
        here.server.names = names()
        told = set()
        for name, (path, body) in zip([*names(), "absent.example"], itertools.cycle(CALLS), strict=False):
            await keep(acme, f"http://{name}:{here.port}/v1")
            status, answer = await acme.post(path, named(body, model))
            assert status == 403
            told.add(answer["error"]["message"])
            await drop(acme)
        assert len(told) == 1  # who asks learns nothing of where a name leads, nor whether it is there
        assert (here.reached(), here.listeners.counts[PUBLIC]) == (0, 0)
        records = await acme.house.records()
        assert {record["error_code"] for record in records} == {"destination_refused"}
        assert not any(address in str(records) for address in ("127.0.0.9", "169.254", "fd00:", "10.0.0"))


@FIELDS
async def test_names_that_move_between_the_check_and_the_call_are_not_followed(
    keep: Any, drop: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with settled(monkeypatch) as (here, acme):
        here.server.names = {f"moves{n}.example": [(PUBLIC,), (address,)] for n, address in enumerate(HERE)}
        for name in list(here.server.names):
            await keep(acme, f"http://{name}:{here.port}/v1")
            assert (await acme.post("/v1/chat/completions", named(CHAT, model)))[0] == 200
            for _ in range(3):
                assert (await acme.post("/v1/chat/completions", named(CHAT, model)))[0] == 403
            await drop(acme)
        assert (here.reached(), here.listeners.counts[PUBLIC]) == (0, 3)
        assert len(here.server.asked) == 12


@FIELDS
async def test_redirects_into_the_house_are_not_followed(
    keep: Any, drop: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with settled(monkeypatch) as (here, acme):
        here.server.names = {"public.example": [(PUBLIC,)]}
        await keep(acme, f"http://public.example:{here.port}/v1")
        for status, host in itertools.product((301, 302, 303, 307, 308), ("127.0.0.1", "[::1]", "localhost", "0")):
            here.listeners.answer = (
                f"HTTP/1.1 {status} Go\r\nlocation: http://{host}:{here.port}/latest\r\ncontent-length: 0\r\n"
                "connection: close\r\n\r\n"
            ).encode()
            for path, body in CALLS:
                assert (await acme.post(path, named(body, model)))[0] == 502
        assert (here.reached(), here.listeners.counts[PUBLIC]) == (0, 60)
