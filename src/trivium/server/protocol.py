"""uvicorn's HTTP protocol with the guards it lacks: caps on header bytes and on the time that headers and bodies take,
errors in our shapes, and word of a client that left.

Time is watched by one sweep a second over all connections (`sweep`), so that a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trivium import ids
from trivium.errors import BodyTimeout, HeadersTooLarge, RequestError
from trivium.pipeline.deps import Now
from trivium.server.routes import api_of
from trivium.settings import ServerSettings
from trivium.wire.errors import ErrorValue, render

BODY_DEADLINE = 10
"""A whole body may take this many times the longest silence within it."""


class Phase(enum.Enum):
    IDLE = enum.auto()
    """Between requests; uvicorn's keep-alive timer watches."""
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    """The request is here whole."""


class GuardedProtocol(HttpToolsProtocol):
    """One client connection. `running` is the task of the request being answered, set by the app."""

    now: Now
    """Set by a subclass, one for each server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.running: asyncio.Task[Any] | None = None
        self.body_late = False
        self._phase = Phase.HEAD
        self._since = self._touched = self.loop.time()
        self._head_bytes = 0
        self._incoming = 0
        self._lingers = False
        self.url = b""

    # What uvicorn and the parser call.

    def data_received(self, data: bytes) -> None:
        self._touched = self.loop.time()
        self._incoming = len(data)
        if self._phase is Phase.HEAD:
            self._head_bytes += self._incoming
        super().data_received(data)
        if self._phase is Phase.HEAD and self._head_bytes > self.now.deps.settings.max_header_bytes:
            self._reject(_headers_too_large(self.now.deps.settings))

    def on_message_begin(self) -> None:
        if self._phase is not Phase.HEAD:
            self._phase = Phase.HEAD
            self._since = self._touched
            self._head_bytes = self._incoming
        super().on_message_begin()
        self.scope["trivium.connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._phase = Phase.BODY
        self._since = self._touched
        settings = self.now.deps.settings
        if self._head_bytes > settings.max_header_bytes and _size(self.headers) > settings.max_header_bytes:
            self._reject(_headers_too_large(settings))
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = Phase.DONE
        if self.cycle is not None:
            super().on_message_complete()
        if self._lingers:
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is Phase.DONE:
            self._phase = Phase.IDLE

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.running is not None:
            self.running.cancel()

    def send_400_response(self, msg: str) -> None:
        self._reject(RequestError(f"{msg.rstrip('.')}: it is not HTTP/1.1."))

    # What we add.

    def sweep(self, now: float) -> None:
        """Ends what takes too long."""
        settings = self.now.deps.settings
        if self._phase is Phase.HEAD and now - self._since > settings.header_timeout:
            self._reject(BodyTimeout("The request's headers took too long.")) if self._incoming else self.drop()
        elif self._phase is Phase.BODY and not self.flow.read_paused:
            silent = now - self._touched > settings.body_timeout
            if silent or now - self._since > settings.body_timeout * BODY_DEADLINE:
                self._end_late_body()
        elif self._phase is Phase.DONE and self.running is None and now - self._touched > settings.keep_alive:
            # The answer went out before the body had come; uvicorn's keep-alive timer has given up on it by then.
            self.drop()

    def linger(self) -> None:
        """An answer begins before the body is here. To close behind it would reset the connection, and the client might
        never read the answer: what still comes is read and forgotten first, within the body's time limits."""
        if self._phase is Phase.BODY and not self.cycle.keep_alive:
            self.cycle.keep_alive = True
            self._lingers = True

    def drop(self) -> None:
        """Breaks the connection in the middle of an answer; what is written already still goes out."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def _end_late_body(self) -> None:
        if self.running is None:
            self.drop()
        elif not self.body_late:
            self.body_late = True
            self.running.cancel()

    def _reject(self, error: RequestError) -> None:
        """For what never becomes a request: no record, since there is nothing to say of it."""
        path = self.url.decode("latin-1")
        request_id = ids.request_id()
        value = ErrorValue(status=error.status, code=error.code, message=error.message, request_id=request_id)
        body = render(api_of(path, dict(self.headers or ())), value)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nx-trivium-request-id: %b\r\n"
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[error.status] + head % (len(body), request_id.encode()))
            self.transport.write(b"connection: close\r\n\r\n" + body)
        self.drop()


def _headers_too_large(settings: ServerSettings) -> HeadersTooLarge:
    return HeadersTooLarge(f"The request's headers are larger than {settings.max_header_bytes} bytes.")


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
