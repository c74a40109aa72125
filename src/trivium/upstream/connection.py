"""One HTTP/1.1 connection: an asyncio protocol around `httptools` that carries one exchange at a time.

    idle ──start──▶ sending ──▶ awaiting the head ──▶ body ──whole──▶ idle (released to the owner)
      └─────────────── expiry, failure, close ──────────┴───────────▶ closed (forgotten by the owner)

Rules. A byte that no exchange asked for closes the connection. One timer per connection serves every time-out, and is
re-armed only when it fires too early: setting a deadline costs a clock reading. A connection that is closed has told
its response, and its owner, exactly once.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol, cast

import httptools

from trivium.errors import UpstreamBroken, UpstreamError, UpstreamGarbage, UpstreamTimeout, UpstreamUnreachable
from trivium.upstream.client import STATUSES, Headers, UpstreamRequest, is_stale
from trivium.upstream.outbox import Outbox
from trivium.upstream.response import Http1Response

HIGH_WATER = 64 * 1024
"""Bytes that may wait for the reader; beyond, the socket is not read."""
MAX_HEADERS = 128
MAX_OVERHEAD = 64 * 1024
"""Bytes of heads, trailers and chunk extensions that may come without any body between them."""
_FRAMING = (b"transfer-encoding", b"content-length")
_CODINGS = (b"transfer-encoding", b"content-encoding")
_SMALL = 16 * 1024
"""Bytes of a request's body that are cheaper to copy than to write separately."""
_SLICE = 256 * 1024
"""Bytes of a longer body handed to the transport at a time; once it has the last of them the request counts as sent."""


class StaleConnection(UpstreamUnreachable):
    """A connection that had served before was lost just behind this request, before a byte of the answer: the request
    may be sent again."""


class Owner(Protocol):
    def release(self, connection: Connection) -> None:
        """An exchange ended well: the connection can carry another. Told at once how long it may `expect` to rest."""
        ...

    def forget(self, connection: Connection) -> None:
        """The connection is closed. Called once."""
        ...


class Connection(asyncio.Protocol):
    __slots__ = (
        "_bodiless", "_chunks", "_complete", "_deadline", "_headers", "_heard", "_interim", "_loop", "_outbox",
        "_overhead", "_owner", "_parser", "_reading_paused", "_response", "_rested", "_reusable", "_served",
        "_since", "_timeouts", "_timer", "_timer_at", "_transport", "_unsent", "_until_close", "_upload",
        "_writing_paused", "closed", "lost",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, outbox: Outbox) -> None:
        self._loop = loop
        self._owner = owner
        self._outbox = outbox
        self.closed = False
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done once the socket is gone."""
        self._parser = httptools.HttpResponseParser(self)
        self._served = self._reusable = self._until_close = False
        self._reading_paused = self._writing_paused = False
        self._deadline = self._rested = 0.0
        self._since = loop.time()
        """When it began to wait for what it waits for: at rest, since when it is."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._response: Http1Response | None = None
        self._upload = memoryview(b"")
        """What of the request the transport has not been given yet."""

    # What the owner asks

    def start(self, head: bytes, request: UpstreamRequest) -> Http1Response:
        """Sends a request on an idle connection. The response is empty at first: await its `begin()`."""
        resting_since = self._since
        try:
            self._response = response = Http1Response(self, self._loop, request.timeouts.idle)
            self._headers: Headers = response.headers
            self._chunks: list[bytes] = response.chunks
            self._timeouts = request.timeouts
            self._bodiless = request.method == "HEAD"
            self._heard = self._interim = self._complete = self._until_close = False
            self._overhead = 0
            if request.goes_out is not None:
                request.goes_out()
            if len(request.body) <= _SMALL:
                self._outbox.put(self._transport, head + request.body)
                self.expect(self._timeouts.first_byte)
            elif len(request.body) <= _SLICE:
                self._outbox.put(self._transport, head)
                self._outbox.put(self._transport, request.body)
                self.expect(self._timeouts.first_byte)
            else:
                self._transport.write(head)
                self._upload = memoryview(request.body)
                self._pump()
            self._rested = self._since - resting_since
        except BaseException:  # nobody has the response, by which the connection would be given back
            self.abort()
            raise
        return response

    def abort(self) -> None:
        """Cuts the connection at once. May be called again."""
        if not self.closed:
            self._fail(UpstreamBroken("The answer was given up before its end."))

    def expect(self, seconds: float) -> None:
        """Unless something happens in this time the connection is given up."""
        self._since = now = self._loop.time()
        self._deadline = deadline = now + seconds
        if deadline < self._timer_at:
            self._arm(deadline)

    def drained(self) -> None:
        """The response's buffer is empty: the socket may be read again."""
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()
            return
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self._complete:
                self._fail(_garbage(error))
                return
        if self._complete:
            self._finish(response)
        else:
            self._count(response, len(data))
            if response.status:
                response.wake()

    def eof_received(self) -> None:
        if self._response is None:
            self.abort()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._upload:
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self._close(None if self._until_close and exc is None else self._loss(exc))
        del self._parser  # it refers back to us
        self.lost.set_result(None)

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._complete:  # a second answer, which nobody asked for
            self._scrap()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        if self._complete or self._response is None:
            return
        if status < 200:
            self._pass_interim(status)
            return
        if status not in STATUSES:
            raise _garbage(f"status {status}")
        named = dict(self._headers)
        if len(self._headers) > MAX_HEADERS or named.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise _garbage("too many headers, or an unknown transfer-encoding")
        if len(named) < len(self._headers) and any(_has_two(self._headers, name) for name in _CODINGS):
            raise _garbage("coded several times")
        self._until_close = named.keys().isdisjoint(_FRAMING)
        self._response.status = status
        self._response.coding = named.get(b"content-encoding")
        self._headers = []  # what follows are trailers
        if self._bodiless:
            self._complete = True
            self._scrap()

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self._complete:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()

    # Inside

    def _pass_interim(self, status: int) -> None:
        """100, 102 and 103 announce an answer. 101 would end HTTP here, and was not asked for."""
        if status < 100 or status == 101:
            raise _garbage(f"status {status}")
        self._interim = True
        self._headers.clear()

    def _scrap(self) -> None:
        """The answer is whole, and more bytes come: they go nowhere, and the connection ends here."""
        self._reusable = False
        self._headers, self._chunks = [], []

    def _count(self, response: Http1Response, size: int) -> None:
        response.buffered += size
        self._overhead = 0 if response.chunks else self._overhead + size
        if self._overhead > MAX_OVERHEAD:
            self._fail(_garbage(f"more than {MAX_OVERHEAD} bytes without a body"))
        elif response.buffered > HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _finish(self, response: Http1Response) -> None:
        self._response = None
        self._served = True
        response.end(None)
        if self._reusable and not self._upload:
            self.drained()
            self._owner.release(self)
        else:
            self.abort()

    def _fail(self, failure: UpstreamError) -> None:
        self._close(failure)
        self._transport.abort()

    def _close(self, failure: UpstreamError | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._upload = memoryview(b"")
        response, self._response = self._response, None
        if response is not None:
            response.end(failure)
        self._owner.forget(self)

    def _loss(self, exc: Exception | None) -> UpstreamError:
        detail = None if exc is None else repr(exc)  # of one that was closed in good order the message says all
        if self._response is not None and self._heard:
            return UpstreamBroken("The upstream's answer broke off.", detail=detail)
        kind = StaleConnection if self._served and self._is_unheard() else UpstreamUnreachable
        return kind("The upstream closed the connection without an answer.", detail=detail)

    def _is_unheard(self) -> bool:
        """Whether nobody can have begun to answer: the request is not out, or went to where nobody was any more. Else
        the upstream may well have worked on it, and would do so, and be paid for it, a second time."""
        return bool(self._upload) or is_stale(self._rested, self._loop.time() - self._since)

    def _pump(self) -> None:
        """Gives the transport as much of the request as it takes; `resume_writing` goes on. No task waits meanwhile, so
        an answer that comes early is read at once."""
        while self._upload and not self._writing_paused:
            piece, self._upload = self._upload[:_SLICE], self._upload[_SLICE:]
            self._transport.write(piece)
        if not self._upload:
            self._upload = memoryview(b"")  # what is left of one that was cut keeps the whole body
        self._unsent = self._measure_unsent()
        self.expect(self._timeouts.idle if self._upload else self._timeouts.first_byte)

    def _measure_unsent(self) -> int:
        return len(self._upload) + self._transport.get_write_buffer_size()

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        elif self._response is None:
            self.abort()
        else:
            self._overdue(self._response)

    def _overdue(self, response: Http1Response) -> None:
        if self._upload and self._measure_unsent() < self._unsent:
            self._unsent = self._measure_unsent()
            self.expect(self._timeouts.idle)
        elif not response.status or response.waiting:
            phase = "idle" if response.status or self._upload else "first byte"
            self._fail(UpstreamTimeout("The upstream took too long to answer.", detail=phase))


def _has_two(headers: Headers, wanted: bytes) -> bool:
    return sum(name == wanted for name, _ in headers) > 1


def _garbage(cause: Exception | str) -> UpstreamGarbage:
    """Of an error raised in one of our callbacks, `httptools` gives only the context."""
    if isinstance(cause, Exception) and isinstance(cause.__context__, UpstreamGarbage):
        return cause.__context__
    return UpstreamGarbage("The upstream's answer is not valid HTTP.", detail=str(cause))
