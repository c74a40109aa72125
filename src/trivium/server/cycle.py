"""One request of a connection and its answer on the wire: `pipeline/call.Body` and `Reply`.

The head of an answer goes out together with what follows it, since each write is a system call that costs as much as
all checks of a caller. And nothing of the body is copied on its way here.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
from httptools import parse_url
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from trivium.errors import BodyTimeout
from trivium.pipeline.call import Headers
from trivium.server.routes import tidied

if TYPE_CHECKING:
    from trivium.server.protocol import GuardedProtocol

_LINES = bytes([*range(0x20), 0x7F])
"""Control characters: of these a head has its ends of lines, and no other."""
_BODILESS = (204, 304)
_CHUNKED, _CLOSE = (b"transfer-encoding", b"chunked"), (b"connection", b"close")
_QUERY = ord("?")
_USUAL_URL = 200
"""Bytes; longer ones are not remembered, nor queries, in which somebody's token may stand."""


class Place(msgspec.Struct, frozen=True):
    """Where a request goes."""

    path: str
    raw_path: bytes
    query: bytes


def place_of(url: bytes) -> Place:
    """Raises `httptools.HttpParserInvalidURLError`."""
    return _usual_place(url) if len(url) <= _USUAL_URL and _QUERY not in url else _place(url)


def _place(url: bytes) -> Place:
    parsed = parse_url(url)
    raw = parsed.path or b"/"  # of `http://host` (RFC 9110, section 4.2.3)
    path = raw.decode("ascii")
    return Place(tidied(unquote(path) if "%" in path else path), raw, parsed.query or b"")


_usual_place = lru_cache(512)(_place)


class Cycle:
    """A request whose headers are here."""

    __slots__ = (
        "_chunked", "_chunks", "_expects", "_flow", "_head", "_left", "_old", "_outbox", "_silent", "_transport",
        "_waiter", "_waiting", "complete", "connection", "disconnected", "headers", "keep_alive", "late", "method",
        "more_body", "place", "started",
    )  # fmt: skip
    provisional = False

    def __init__(
        self,
        connection: GuardedProtocol,
        method: str,
        place: Place,
        headers: Headers,
        *,
        keep_alive: bool,
        expects: bool = False,
        old: bool = False,
    ) -> None:
        """Names of headers are in lower case; `expects`: the client waits to be asked for the body; `old`: it speaks
        HTTP/1.0, which knows no chunks, and the connection's end is that of an answer of no told length."""
        self.connection = connection
        self.method = method
        self.place = place
        self.headers = headers
        self.keep_alive = keep_alive
        self.more_body = True
        self.disconnected = self.started = self.complete = False
        self.late = False
        """The body took too long, for which the wait for it is cancelled."""
        self._expects = expects
        self._transport = connection.transport
        self._flow = connection.flow
        self._outbox = connection.outbox
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""
        self._left: int | None = None
        """Bytes that the announced length still wants; None where none was announced."""
        self._old = old
        self._silent = method == "HEAD"
        """The answer has no body whatever is written."""
        self._chunked = False

    # What the connection tells.

    def take(self, chunk: bytes) -> None:
        """More of the body has arrived."""
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        if self._waiting > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self._wake()

    def whole(self) -> None:
        """All of the body has."""
        self.more_body = False
        self._wake()

    def lost(self) -> None:
        """The client is gone."""
        if not self.complete:
            self.disconnected = True
        self._wake()

    # Body

    async def read(self) -> tuple[bytes, bool]:
        """The next bytes of the body, and whether more may follow. Raises BodyTimeout; a client that left is a
        cancellation."""
        if self._expects and not self._transport.is_closing():
            self._outbox.put(self._transport, b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False
        if self.more_body and not self._chunks:
            await self._wait()
        if self.disconnected:
            raise asyncio.CancelledError
        body = b"".join(self._chunks)  # of one chunk: itself
        self._chunks.clear()
        self._waiting = 0
        flow = self._flow
        if flow.read_paused and self.connection.cycle is self:
            flow.resume_reading()  # or nobody would see the client leave
        return body, self.more_body

    async def _wait(self) -> None:
        if self.disconnected:
            return
        self._flow.resume_reading()
        self._waiter = self.connection.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            if not self.late:
                raise
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            raise BodyTimeout("The request's body took too long to arrive.") from None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # Reply

    async def start(self, status: int, headers: Headers) -> None:
        """Names of headers are in lower case. Without a length the answer goes out in chunks, if the client knows
        them."""
        self.connection.linger(self)
        every = [*self.connection.state.default_headers, *headers]
        left = None
        for name, value in headers:
            if name == b"content-length":
                left = int(value)
        chunked = left is None and not (self._silent or self._old) and status not in _BODILESS
        if chunked:
            every.append(_CHUNKED)
        if not self.keep_alive:
            every.append(_CLOSE)
        head = b"\r\n".join([STATUS_LINE[status].removesuffix(b"\r\n"), *map(b": ".join, every), b"", b""])
        if not _is_clean(head, 2 + len(every)):
            head = head.replace(b"\t", b" ")  # upstreams may say so within a value (RFC 9110, section 5.5)
            if not _is_clean(head, 2 + len(every)):
                raise ValueError("a header of the answer has a control character in it")
        self._head, self._left, self._chunked = head, left, chunked
        self.started = True
        self._expects = False

    async def write(self, data: bytes, last: bytes = b"") -> None:
        """The data as the answer is framed, with what stands before and behind it, in one write."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if not self.disconnected:
            self.push(data, last)

    def is_ready(self) -> bool:
        return not (self.disconnected or self._flow.write_paused)

    def push(self, data: bytes, last: bytes = b"") -> None:
        """As `write`, without waiting for a slow client."""
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        elif data:
            data = self._counted(data)
        if self._head or last:
            self._outbox.put(self._transport, self._head + data + last)
            self._head = b""
        elif data:
            self._outbox.put_piece(self._transport, data)

    async def end(self, data: bytes = b"") -> None:
        await self.write(data, b"0\r\n\r\n" if self._chunked else b"")
        if self.disconnected:
            return
        if self._left and not self._silent:
            raise RuntimeError("the answer is shorter than it was announced")
        self.complete = True
        if not self.keep_alive:
            self.connection.close()
        self.connection.answered()

    def cut(self) -> None:
        """Breaks the connection in the middle of the answer; what is written already still goes out."""
        if self._head and not self.disconnected:
            self._outbox.put(self._transport, self._head)
        self.disconnected = True
        self.connection.close()

    def _counted(self, data: bytes) -> bytes:
        if self._silent:
            return b""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("the answer is longer than it was announced")
        return data


def _is_clean(head: bytes, ends: int) -> bool:
    """Whether there are as many ends of lines as there should be, and no other control characters."""
    return len(head) - len(head.translate(None, _LINES)) == 2 * ends and head.count(b"\r\n") == ends
