"""The mature library behind the same seam: the one to fall back on, and the yardstick for `http1`.

A thin mapping: aiohttp adds no header of its own, keeps no cookies, follows no redirect, and its exceptions end here.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from contextvars import ContextVar
from math import inf
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from trivium.errors import UpstreamBroken, UpstreamError, UpstreamGarbage, UpstreamTimeout, UpstreamUnreachable
from trivium.upstream.client import STATUSES, Headers, Timeouts, UpstreamRequest, UpstreamResponse, is_stale
from trivium.upstream.decoding import decoded
from trivium.upstream.guard import Guard
from trivium.upstream.pool import PoolLimits
from trivium.upstream.target import Origin, parse_url, render_head
from trivium.upstream.tls import client_context, context_of

_SLICE = 64 * 1024
_Found = list[ResolveResult]
_RESTED: ContextVar[float | None] = ContextVar("rested", default=None)
"""Seconds that the connection of this call had been without one before; None of a new one."""
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header has (RFC 9110, section 5.5): aiohttp lets it pass, and nobody can be sent it."""
_FOREIGN = (aiohttp.ClientError, TimeoutError, RuntimeError)
"""A closed session or connection is a RuntimeError."""


class AiohttpClient:
    """An `UpstreamClient`. Belongs to the event loop in which it first sends."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, limits: PoolLimits | None = None, guard: Guard | None = None
    ) -> None:
        self._tls = tls or client_context()
        self._limits = limits or PoolLimits()
        self._guard = guard or Guard()
        self._session: aiohttp.ClientSession | None = None
        self._guarded: aiohttp.ClientSession | None = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Raises like `Http1Client.send`."""
        target = parse_url(request.url, request.guarded, request.network)
        render_head(request, target)  # for its ValueErrors
        tls = context_of(request.network) or self._tls
        if request.guarded:
            self._guard.check(target.origin)  # aiohttp looks no address up that is written as one
            session = self._guarded = self._guarded or self._open_session(_Guarded(self._guard))
        else:
            session = self._session = self._session or self._open_session()
        while True:
            attempt = SimpleNamespace(sent=inf, goes_out=request.goes_out)
            try:
                response = await session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=[(name.decode(), value.decode("utf-8", "replace")) for name, value in request.headers],
                    data=_Body(request.body, request.timeouts.idle) if request.body else None,
                    timeout=_timeouts(request.timeouts),
                    allow_redirects=False,
                    ssl=tls,
                    proxy=request.network.proxy if request.network is not None else None,
                    trace_request_ctx=attempt,
                )
            except aiohttp.ServerDisconnectedError as error:
                # A stale connection leaves the pool by this, so that a fresh one's turn comes.
                rested = _RESTED.get()
                stale = rested is not None and is_stale(rested, time.monotonic() - attempt.sent)
                if stale and isinstance(error.message, str):
                    continue
                raise _mapped(error, UpstreamUnreachable) from error
            except _FOREIGN as error:
                raise _mapped(error, UpstreamUnreachable) from error
            return _adapted(response, request.timeouts.idle)

    async def close(self) -> None:
        for session in (self._session, self._guarded):
            if session is not None:
                await session.close()
        self._guard.close()

    def _open_session(self, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_note_sending)
        return aiohttp.ClientSession(
            connector=_Connector(
                ssl=self._tls,
                limit=0,
                limit_per_host=self._limits.connections,
                keepalive_timeout=self._limits.idle_seconds,
                resolver=resolver,
                use_dns_cache=resolver is None,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
            auto_decompress=False,
            trace_configs=[tracing],
        )


class _Connector(aiohttp.TCPConnector):
    """Knows how long connections have been at rest, and gives out none on which something has come meanwhile: that
    would be the next call's answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._resting: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()
        """Since when."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None
            since = self._resting.get(protocol)
            if since is None or not protocol.should_close:
                break
            connection.close()
        _RESTED.set(None if since is None else time.monotonic() - since)
        connection.add_callback(lambda: self._resting.__setitem__(protocol, time.monotonic()))
        return connection


class _Guarded(AbstractResolver):
    """Looks names up as the guard lets us."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> _Found:  # noqa: ARG002
        return [
            ResolveResult(hostname=host, host=info[4][0], port=port, family=info[0], proto=info[2], flags=_NUMERIC)
            for info in await self._guard.addresses(Origin(secure=True, host=host, port=port, guarded=True))
        ]

    async def close(self) -> None:
        """The guard is the client's to close."""


class AiohttpResponse:
    def __init__(self, response: aiohttp.ClientResponse, idle: float) -> None:
        self._response = response
        self._idle = idle
        self.headers: Headers = [(name.lower(), value) for name, value in response.raw_headers]

    @property
    def status(self) -> int:
        return self._response.status

    async def read(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle):
                return await self._response.content.readany()
        except _FOREIGN as error:
            self.close()
            raise _mapped(error, UpstreamBroken) from error

    def close(self) -> None:
        self._response.close()


class _Body(aiohttp.Payload):
    """The request's body, piece by piece, so that an upstream which stops reading is noticed."""

    def __init__(self, body: bytes, idle: float) -> None:
        super().__init__(body)
        self._size = len(body)
        self._idle = idle

    async def write(self, writer: AbstractStreamWriter) -> None:
        body = memoryview(self._value)
        for start in range(0, len(body), _SLICE):
            async with asyncio.timeout(self._idle):
                await writer.write(body[start : start + _SLICE])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value, encoding, errors)


def _timeouts(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=timeouts.connect, sock_read=timeouts.first_byte)


def _adapted(response: aiohttp.ClientResponse, idle: float) -> UpstreamResponse:
    # aiohttp's own timer goes off when nobody reads, and does not when a body's framing breaks (3.14): ours takes over.
    if response.connection is not None and response.connection.protocol is not None:
        response.connection.protocol.read_timeout = None
        response.connection.protocol.start_timeout()
    if response.status not in STATUSES or any(_CONTROL.search(value) for _, value in response.raw_headers):
        response.close()
        detail = f"status {response.status}, or a control character in a header"
        raise UpstreamGarbage("The upstream's answer is not valid HTTP.", detail=detail)
    adapted = AiohttpResponse(response, idle)
    return decoded(adapted, dict(adapted.headers).get(b"content-encoding"))


async def _note_sending(
    _session: aiohttp.ClientSession, context: Any, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    context.trace_request_ctx.sent = time.monotonic()
    if context.trace_request_ctx.goes_out is not None:
        context.trace_request_ctx.goes_out()


def _mapped(error: Exception, otherwise: type[UpstreamError]) -> UpstreamError:
    """The one place where aiohttp's exceptions become ours. Its order matters: some are of several kinds."""
    detail = str(getattr(error, "message", error))  # a `repr` shows the request's headers, and with them its key
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("The upstream took too long to answer.", detail=detail)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return UpstreamUnreachable("The upstream cannot be reached.", detail=f"the proxy answered: {error.status}")
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamGarbage("The upstream's answer is not valid HTTP.", detail=detail)
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        otherwise = UpstreamBroken  # the message is as much of a head as had come
    return otherwise("The upstream cannot be reached, or is no longer.", detail=detail)
