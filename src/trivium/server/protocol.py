"""uvicorn's HTTP protocol with the guards it lacks: caps on header bytes and on the time that headers and bodies take,
errors in our shapes, and word of a client that left.

Time is watched by one sweep a second over all connections (`sweep`), so that a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Any
from urllib.parse import unquote

from httptools import parse_url
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trivium import ids
from trivium.errors import BodyTimeout, HeadersTooLarge, RequestError
from trivium.pipeline.deps import Now
from trivium.server.cycle import Cycle
from trivium.server.routes import api_of
from trivium.settings import ServerSettings
from trivium.wire.errors import ErrorValue, render

BODY_DEADLINE = 10
"""A whole body may take this many times the longest silence within it."""


class Phase(enum.Enum):
    IDLE = enum.auto()
    """Between requests."""
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    """The request is here whole."""


class GuardedProtocol(HttpToolsProtocol):
    """One client connection. `running` is the task of the request being answered, set by the app."""

    cycle: Cycle
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

    def on_headers_complete(self) -> None:
        self._phase = Phase.BODY
        self._since = self._touched
        settings = self.now.deps.settings
        if self._head_bytes > settings.max_header_bytes and _size(self.headers) > settings.max_header_bytes:
            self._reject(_headers_too_large(settings))
            return
        self._describe()
        before, self.cycle = self.cycle, self._new_cycle()
        self.scope["trivium.cycle"] = self.cycle  # type: ignore[typeddict-unknown-key]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # pipelined
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        self._phase = Phase.DONE
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()
        if self._lingers:
            self.transport.close()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._phase is Phase.DONE:
            self._phase = Phase.IDLE
            self._since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

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
        if self._phase is Phase.IDLE and now - self._since > settings.keep_alive:
            self.transport.close()
        elif self._phase is Phase.HEAD and now - self._since > settings.header_timeout:
            self._reject(BodyTimeout("The request's headers took too long.")) if self._incoming else self.drop()
        elif self._phase is Phase.BODY and not self.flow.read_paused:
            silent = now - self._touched > settings.body_timeout
            if silent or now - self._since > settings.body_timeout * BODY_DEADLINE:
                self._end_late_body()
        elif self._phase is Phase.DONE and self.running is None and now - self._touched > settings.keep_alive:
            # The answer went out before the body had come.
            self.drop()

    def linger(self) -> None:
        """An answer begins before the body is here. To close behind it would reset the connection, and the client might
        never read the answer: what still comes is read and forgotten first, within the body's time limits."""
        if self._phase is Phase.BODY and not self.cycle.keep_alive:
            self.cycle.keep_alive = True
            self._lingers = True

    def drop(self) -> None:
        """Breaks the connection, in the middle of an answer where there is one."""
        if self.cycle is not None:
            self.cycle.cut()
        self.transport.close()

    def _describe(self) -> None:
        """Says in the scope what is asked for."""
        version, url = self.parser.get_http_version(), parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""

    def _new_cycle(self) -> Cycle:
        return Cycle(
            self,
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

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
