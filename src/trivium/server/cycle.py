"""One request of a connection and its answer: what uvicorn's cycle does, said to `pipeline/call.Body` and `Reply`.

Two things are other than there. The head of an answer goes out together with what follows it, since each write is a
system call that costs as much as all checks of a caller. And nothing of the body is copied on its way here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from trivium.errors import BodyTimeout
from trivium.pipeline.call import Headers

if TYPE_CHECKING:
    from trivium.server.protocol import GuardedProtocol

_LINES = bytes([*range(0x20), 0x7F])
"""Control characters: of these a head has its ends of lines, and no other."""
_BODILESS = (204, 304)


class Cycle(RequestResponseCycle):
    """A request whose headers are here."""

    provisional = False

    def __init__(self, connection: GuardedProtocol, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.connection = connection
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._head = b""
        self._left: int | None = None
        """Bytes that the announced length still wants; None where none was announced."""
        self._silent = False
        """The answer has no body whatever is written: its request was HEAD."""

    @property
    def started(self) -> bool:
        return self.response_started

    def take(self, chunk: bytes) -> None:
        """More of the body has arrived."""
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        if self._waiting > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    async def read(self) -> tuple[bytes, bool]:
        """The next bytes of the body, and whether more may follow. Raises BodyTimeout; a client that left is a
        cancellation."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if self.more_body and not self._chunks:
            await self._wait()
        self.message_event.clear()
        if self.disconnected:
            raise asyncio.CancelledError
        body = b"".join(self._chunks)  # of one chunk: itself
        self._chunks.clear()
        self._waiting = 0
        return body, self.more_body

    async def _wait(self) -> None:
        self.flow.resume_reading()
        try:
            await self.message_event.wait()
        except asyncio.CancelledError:
            if not self.connection.body_late:
                raise
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            raise BodyTimeout("The request's body took too long to arrive.") from None

    async def start(self, status: int, headers: Headers) -> None:
        """Names of headers are in lower case. Without a length the answer goes out in chunks."""
        self.connection.linger()
        self.response_started = True
        self.waiting_for_100_continue = False
        self._silent = self.scope["method"] == "HEAD"
        lines = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            if name == b"content-length":
                self._left = int(value)
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self._left is None and not self._silent and status not in _BODILESS:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        ends = 2 + len(headers) + len(self.default_headers) + (not self.keep_alive) + bool(self.chunked_encoding)
        if len(head) - len(head.translate(None, _LINES)) != 2 * ends or head.count(b"\r\n") != ends:
            raise ValueError("a header of the answer has a control character in it")
        self._head = head

    async def write(self, data: bytes, last: bytes = b"") -> None:
        """The data as the answer is framed, with what stands before and behind it, in one write."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        elif data:
            data = self._counted(data)
        if self._head or last:
            data, self._head = self._head + data + last, b""
        if data:
            self.transport.write(data)

    async def end(self, data: bytes = b"") -> None:
        await self.write(data, b"0\r\n\r\n" if self.chunked_encoding else b"")
        if self.disconnected:
            return
        if self._left and not self._silent:
            raise RuntimeError("the answer is shorter than it was announced")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def cut(self) -> None:
        """Breaks the connection in the middle of the answer; what is written already still goes out."""
        if self._head and not self.disconnected:
            self.transport.write(self._head)
        self.disconnected = True
        self.transport.close()

    def _counted(self, data: bytes) -> bytes:
        if self._silent:
            return b""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("the answer is longer than it was announced")
        return data
