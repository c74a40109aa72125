"""A server that plays exact bytes, and a bench that runs one scenario on every client and every event loop.

A script is the server's side of one connection: `async def script(peer)`. When it returns the connection is closed.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Any
from unittest import mock

import pytest
import uvloop

from trivium.errors import TriviumError
from trivium.upstream.aiohttp_client import AiohttpClient
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest, UpstreamResponse
from trivium.upstream.http1 import Http1Client
from trivium.upstream.pool import PoolLimits

Script = Callable[["Peer"], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
CLIENTS: dict[str, type[Http1Client] | type[AiohttpClient]] = {"http1": Http1Client, "aiohttp": AiohttpClient}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
PATIENCE = 30.0
"""Seconds after which a scenario hangs, as far as these tests are concerned."""


class Peer:
    """The server's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.cut = asyncio.Event()
        """Set once a script that waits for it has seen the client cut the connection."""

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body."""
        head = await self.head()
        sizes = [
            int(line[15:]) for line in head.split(b"\r\n") if line.startswith((b"content-length:", b"Content-Length:"))
        ]
        return head, await self.reader.readexactly(sizes[0]) if sizes else b""

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()

    async def gone(self) -> None:
        """Returns once the client has cut the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.cut.set()

    def reset(self) -> None:
        """An RST instead of a FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Lab:
    """What a scenario works with."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.client: UpstreamClient = CLIENTS[kind]()
        self.connections: list[Peer] = []
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []

    async def equip(self, *, tls: ssl.SSLContext | None = None, limits: PoolLimits | None = None) -> None:
        """Another client of the same kind."""
        await self.client.close()
        self.client = CLIENTS[self.kind](tls=tls, limits=limits)

    async def serve(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> str:
        """Plays `script` on every connection; returns the URL."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._serving.add(task)
            peer = Peer(reader, writer)
            self.connections.append(peer)
            try:
                await script(peer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            except BaseException as error:
                self.failures.append(error)
            finally:
                writer.close()
                self._serving.discard(task)

        server = await asyncio.start_server(accepted, host, 0, ssl=tls)
        self._servers.append(server)
        name = f"[{host}]" if ":" in host else "localhost" if tls else host
        return f"{'https' if tls else 'http'}://{name}:{server.sockets[0].getsockname()[1]}/v1/x?y=z"

    async def send(self, url: str, body: bytes = b"{}", *, method: str = "POST", **timeouts: float) -> UpstreamResponse:
        headers = [(b"x-test", b"1")]
        request = UpstreamRequest(url=url, method=method, headers=headers, body=body, timeouts=Timeouts(**timeouts))
        return await self.client.send(request)

    async def fetch(self, url: str, body: bytes = b"{}", **options: Any) -> tuple[int, Headers, bytes]:
        response = await self.send(url, body, **options)
        return response.status, response.headers, await drain(response)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        await self.client.close()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


async def drain(response: UpstreamResponse) -> bytes:
    """The body to its end."""
    return b"".join([piece async for piece in pieces(response)])


async def pieces(response: UpstreamResponse) -> AsyncIterator[bytes]:
    while piece := await response.read():
        yield piece


def answer(body: bytes = b"{}", *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def plays(*answers: bytes) -> Script:
    """Answers one request per argument, in turn; then closes."""

    async def script(peer: Peer) -> None:
        for one in answers:
            await peer.request()
            await peer.say(one)

    return script


async def failure(lab: Lab, script: Script, body: bytes = b"{}", **timeouts: float) -> type[TriviumError]:
    """What a call to an upstream that plays this ends with."""
    url = await lab.serve(script)
    with pytest.raises(TriviumError) as caught:
        await lab.fetch(url, body, **timeouts)
    return caught.type


def stale_within(seconds: float) -> AbstractContextManager[Any]:
    """Within it a kept connection that ends so soon had been closed before, however busy the machine is."""
    return mock.patch.multiple("trivium.upstream.client", SOON=seconds, AT_ONCE=seconds)


def then_reset(said: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)
        await asyncio.sleep(0.02)  # or the reset overtakes it
        peer.reset()

    return script


def then_stall(said: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)
        await peer.gone()

    return script


@asynccontextmanager
async def _laboratory(kind: str) -> AsyncIterator[Lab]:
    """Fails the test for whatever is left behind: a task, an error told to the loop only, a failed script."""
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    lab = Lab(kind)
    try:
        yield lab
    finally:
        await lab.close()
    until = loop.time() + PATIENCE / 2  # for the server's own tasks
    while (left := asyncio.all_tasks() - {asyncio.current_task()}) and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    gc.collect()
    assert not (lab.failures or told or left), (lab.failures, told, left)


def scenario(test: Callable[[Lab], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the test on both clients, each on both loops."""
    return scenario_for(*CLIENTS)(test)


def scenario_for(*kinds: str) -> Callable[[Callable[[Lab], Coroutine[Any, Any, None]]], Callable[..., None]]:
    def decorate(test: Callable[[Lab], Coroutine[Any, Any, None]]) -> Callable[..., None]:
        async def run(kind: str) -> None:
            async with _laboratory(kind) as lab, asyncio.timeout(PATIENCE):  # which does not cut short what closes it
                await test(lab)

        def wrapper(kind: str, loop: str) -> None:
            with warnings.catch_warnings(action="ignore"):
                gc.collect()  # what an earlier test has left must not speak up in this one's loop
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(run(kind))

        wrapper.__name__, wrapper.__doc__, wrapper.__module__ = test.__name__, test.__doc__, test.__module__
        return pytest.mark.parametrize("kind", kinds)(pytest.mark.parametrize("loop", LOOPS)(wrapper))

    return decorate
