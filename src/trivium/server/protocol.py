"""One client's connection: HTTP/1.1 by `httptools`, for uvicorn's server, with caps on header bytes and on the time
that headers and bodies take, errors in our shapes, and word of a client that left.

Time is watched by one sweep a second over all connections (`sweep`), so that a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_remote_addr, is_ssl
from uvicorn.server import ServerState

from trivium import ids
from trivium.errors import BodyTimeout, TriviumError
from trivium.pipeline.call import Headers
from trivium.pipeline.deps import Now
from trivium.server.cycle import Cycle, place_of
from trivium.server.routes import api_of
from trivium.server.unread import headers_too_large, record_of_unread, why_unread
from trivium.upstream.outbox import Outbox
from trivium.wire.errors import ErrorValue, render

_CONNECTION = frozenset((b"connection", b"proxy-connection"))
_NOTED = _CONNECTION | {b"expect"}
BODY_DEADLINE = 10
"""A whole body may take this many times the longest silence within it."""

_LOG = logging.getLogger("trivium.server")


class Phase(enum.Enum):
    IDLE = enum.auto()
    """Between requests."""
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    """The request is here whole."""


_IDLE, _HEAD, _BODY, _DONE = Phase
"""As in `canon/api.py`."""


class GuardedProtocol(asyncio.Protocol):
    """A connection. One task answers its requests, one by one; it is cancelled when the client leaves."""

    __slots__ = (
        "_answering", "_asked", "_bodiless", "_expects", "_head_bytes", "_headers", "_incoming", "_lingers", "_over",
        "_parser", "_phase", "_pipeline", "_says_connection", "_since", "_task", "_touched", "_unread", "_unread_since",
        "_url", "client", "cycle", "flow", "loop", "secure", "state", "transport",
    )  # fmt: skip
    now: Now
    outbox: Outbox
    app: Callable[[Cycle], Awaitable[None]]
    """All three set by a subclass, one for each server."""
    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,  # noqa: ARG002
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """What uvicorn says to a protocol of its own."""
        self.loop = _loop or asyncio.get_running_loop()
        self.state = server_state
        self._parser = self._new_parser()
        self._pipeline: deque[Cycle] = deque()
        """Requests that are to be answered."""
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[None] | None = None
        """What the task waits for between requests."""
        self._answering: Cycle | None = None
        """The request that is being answered."""
        self.cycle: Cycle | None = None
        """The one that came last."""
        self._phase = _HEAD
        self._since = self._touched = self.loop.time()
        self._head_bytes = 0
        self._bodiless = 0
        """Bytes behind a head that brought nothing of a body: trailers, extensions of chunks."""
        self._incoming = 0
        self._unread = 0
        """Bytes that waited for the client at the last sweep, and since when they have been as many."""
        self._unread_since = 0.0
        self._lingers = False
        self._over = False
        """The connection's last word has been said: what still comes is forgotten."""
        self._url = b""
        self._headers: Headers = []
        self._expects = False
        self._says_connection = False
        """Without saying so, HTTP/1.0 does not keep one."""

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.flow = FlowControl(self.transport)
        self.client = get_remote_addr(self.transport)
        self.secure = is_ssl(self.transport)
        self.state.connections.add(self)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._touched = self.loop.time()
        self._incoming = len(data)
        if self._phase is _HEAD:
            self._head_bytes += self._incoming
        self._bodiless += self._incoming
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._pass_over_upgrade(memoryview(data)[upgrade.args[0] :])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reject(why_unread(error))
            return
        overhead = self._head_bytes if self._phase is _HEAD else self._bodiless
        most = self.now.deps.settings.max_header_bytes
        if overhead > most and self._phase in (_HEAD, _BODY):
            self._reject(headers_too_large(most))

    def eof_received(self) -> None:
        """The transport is closed behind what was written to it: there will be no further request."""
        self.outbox.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections.discard(self)
        for cycle in (self._answering, *self._pipeline, self.cycle):
            if cycle is not None:
                cycle.lost()
        if self._answering is not None and self._task is not None:
            self._task.cancel()
        elif self._asked is not None:
            self._asked.cancel()
        self.flow.resume_writing()  # behind the cancellation: whoever has waited to write knows that nobody is there
        if exc is None:
            self.transport.close()
        # Both refer back to us, and what goes in circles stays until the collector comes, which is seldom.
        del self._parser
        self.cycle = None

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._phase is not _HEAD and not self._over:
            # Of what came with the request before most may be its body.
            self._head_bytes = self._incoming if self._phase is _IDLE else 0
            self._phase = _HEAD
            self._since = self._touched
        self._url = b""
        self._headers = []
        self._expects = self._says_connection = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not _HEAD:
            return  # a trailer
        name = name.lower()
        if name in _NOTED:
            self._note(name, value)
        self._headers.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name != b"expect":
            self._says_connection = True
        elif value.lower() == b"100-continue":
            self._expects = True

    def on_headers_complete(self) -> None:
        parser = self._parser
        if self._over or parser.should_upgrade():
            return  # the head comes again, where it is an upgrade
        settings = self.now.deps.settings
        most = settings.max_header_bytes
        if (self._head_bytes > most or self._incoming > most) and self._head_size() > most:
            self._phase = _DONE
            self._reject(headers_too_large(most))
            return
        self._phase = _BODY
        self._since = self._touched
        self._bodiless = 0
        before = self.cycle
        kept = parser.should_keep_alive()
        # The version's text is made for each request, and most tell which it is without.
        old = parser.get_http_version() != "1.1" if self._says_connection else not kept
        self.cycle = cycle = Cycle(
            self,
            parser.get_method().decode("ascii"),
            place_of(self._url),
            self._headers,
            keep_alive=kept and not old,
            expects=self._expects and not old,
            old=old,
        )
        self._pipeline.append(cycle)
        if before is None or before.complete:
            self._begin()
        else:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._bodiless = 0
        if self.cycle is not None and not self.cycle.complete:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        if self._phase is _HEAD:
            return  # the head comes again
        self._phase = _DONE
        if self.cycle is not None and not self.cycle.complete:
            self.cycle.whole()
        if self._lingers:
            self.close()

    # What the server and the answers ask.

    def shutdown(self) -> None:
        """The server ends: nothing more is answered than what is being answered."""
        if self.cycle is None or self.cycle.complete:
            self.close()
        else:
            self.cycle.keep_alive = False

    def sweep(self, now: float) -> None:
        """Ends what takes too long."""
        settings = self.now.deps.settings
        if self._is_unread(now, settings.send_timeout):
            self.transport.abort()  # to close it would wait for the client, too
        elif self._phase is _IDLE:
            if self._answering is None and now - self._since > settings.keep_alive:
                self.close()
        elif self._phase is _HEAD:
            if self._answering is not None or now - self._since <= settings.header_timeout:
                return
            self._reject(BodyTimeout("The request's headers took too long.")) if self._incoming else self.drop()
        elif self._phase is _BODY and not self.flow.read_paused:
            silent = now - self._touched > settings.body_timeout
            if silent or now - self._since > settings.body_timeout * BODY_DEADLINE:
                self._end_late_body()
        elif self._phase is _DONE and self._answering is None and now - self._touched > settings.keep_alive:
            # The answer went out before the body had come.
            self.drop()

    def answered(self) -> None:
        """The answer has been written."""
        self.state.total_requests += 1
        if self._phase is _DONE and not self._pipeline:
            self._phase = _IDLE
        self._since = self._touched = self.loop.time()  # what follows could not come, or was not looked at, before
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._pipeline:
            self._begin()

    def linger(self, cycle: Cycle) -> None:
        """An answer begins, maybe before the body is here. To close behind it would then reset the connection, and the
        client might never read the answer: what still comes is read and forgotten first, within the body's time
        limits."""
        if self._phase is _BODY and cycle is self.cycle and not cycle.keep_alive:
            cycle.keep_alive = True
            self._lingers = True

    def drop(self) -> None:
        """Breaks the connection, in the middle of an answer where there is one."""
        if (cycle := self._answering or self.cycle) is not None:
            cycle.cut()
        self.close()

    def close(self) -> None:
        """Ends the connection behind what was written to it."""
        self.outbox.flush()
        self.transport.close()

    # Inside

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # A request may come behind one that said it was the last: it is not answered, and no reason to refuse that one.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _pass_over_upgrade(self, rest: memoryview) -> None:
        """Nothing is upgraded, so that a body is framed as ever (RFC 9110, section 7.8), but the parser takes what
        follows for another protocol's. Another one hears the head again without the wish, and then the rest. Raises
        HttpParserError, and HttpParserUpgrade for CONNECT, which is nothing but that wish."""
        while True:
            old, self._parser = self._parser, self._new_parser()
            lines = [b"%b %b HTTP/%b" % (old.get_method(), self._url, old.get_http_version().encode())]
            lines += [b"%b: %b" % one for one in self._headers if one[0] not in _CONNECTION]
            if not old.should_keep_alive():
                lines.append(b"connection: close")
            self._parser.feed_data(b"\r\n".join([*lines, b"", b""]))
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            else:
                return

    def _head_size(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _begin(self) -> None:
        """There is a request to be answered."""
        if self._task is None:
            self._task = task = self.loop.create_task(self._serve())
            self.state.tasks.add(task)
            task.add_done_callback(self.state.tasks.discard)
        elif self._asked is not None and not self._asked.done():
            self._asked.set_result(None)

    async def _serve(self) -> None:
        """A task for each request would cost as much as reading its JSON."""
        try:
            while True:
                while self._pipeline:
                    await self._answer(self._pipeline.popleft())
                    if self.transport.is_closing():
                        return
                self._asked = self.loop.create_future()
                await self._asked
        except asyncio.CancelledError:
            # The client left, between requests or while an error was on its way to it; or the gateway stops.
            if not self.transport.is_closing():
                self.drop()
        finally:
            self._task = None

    async def _answer(self, cycle: Cycle) -> None:
        """Its record is written by the end, however that comes. Raises CancelledError where an error was on its way to
        a client that left."""
        self._answering = cycle
        try:
            await self.app(cycle)
            if not (cycle.complete or cycle.disconnected):
                self.drop()  # the gateway stops, and has cut the call
        except Exception:
            _LOG.exception("%s %s", cycle.method, cycle.place.path)
            if not cycle.started:
                self._tell(TriviumError("The gateway failed. The error has been logged."), cycle)
            self.drop()
        finally:
            self._answering = None

    def _is_unread(self, now: float, longest: float) -> bool:
        """Whether the client has taken nothing for so long of what waits for it."""
        waiting = self.transport.get_write_buffer_size()
        if waiting != self._unread or not waiting:
            self._unread, self._unread_since = waiting, now
        return now - self._unread_since > longest

    def _end_late_body(self) -> None:
        cycle = self._answering
        if cycle is None or cycle is not self.cycle or self._task is None:
            self.drop()
        elif not cycle.late:
            cycle.late = True
            self._task.cancel()

    def _reject(self, error: TriviumError) -> None:
        """For what never becomes a request. It is said where no answer is due, or the only one that is has not begun:
        most likely that request is what went wrong, and its record says so; else this is the only record."""
        due = [one for one in (self._answering, *self._pipeline) if one is not None]
        if not due or (len(due) == 1 and not due[0].started):
            id = self._tell(error, None)
            if not due:
                deps = self.now.deps
                deps.keep(record_of_unread(id, deps.clock.now_ms(), self._url, error, self.client))
                if self._phase is not _BODY:
                    self._end_talk()
                    return
        self.drop()

    def _end_talk(self) -> None:
        """As `linger`, for what never became a request: a client that still writes would not read the answer behind a
        reset."""
        self._over, self._phase = True, _DONE
        self.outbox.flush()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _tell(self, error: TriviumError, cycle: Cycle | None) -> str:
        """Returns the id that the answer has."""
        path = cycle.place.path if cycle is not None else self._url.decode("latin-1")
        headers = cycle.headers if cycle is not None else self._headers
        request_id = ids.request_id()
        value = ErrorValue(status=error.status, code=error.code, message=error.message, request_id=request_id)
        body = render(api_of(path, dict(headers)), value)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nx-trivium-request-id: %b\r\n"
        if error.retry_after is not None:
            head += b"retry-after: %d\r\n" % error.retry_after
        if not self.transport.is_closing():
            self.outbox.put(self.transport, STATUS_LINE[error.status] + head % (len(body), request_id.encode()))
            self.outbox.put(self.transport, b"connection: close\r\n\r\n" + body)
        return request_id
