"""The answer on its way to the client: an error, a whole body, or a stream.

Bytes go on as they came. What is looked at on the way: whether an error already has the client's shape, whether a body
is JSON at all before its status goes out, and what the meter needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from trivium.canon.events import Fault, FinishReason
from trivium.canon.fold import Answer, fold
from trivium.errors import (
    Overloaded,
    TriviumError,
    UpstreamBroken,
    UpstreamError,
    UpstreamGarbage,
    UpstreamRefusedUs,
)
from trivium.pipeline.call import GENERATE, Direct, Headers, Reply
from trivium.pipeline.forget import forget_frames
from trivium.pipeline.journey import fails_over
from trivium.pipeline.limited import with_own
from trivium.pipeline.mask import told_of
from trivium.pipeline.overlong import too_long
from trivium.pipeline.settle import Run
from trivium.pipeline.shown import check_json, hints, passed
from trivium.pipeline.stream import AT_ONCE, STREAM_HEADERS, Stream
from trivium.pipeline.tell import as_data, error_value, loss_header
from trivium.providers.provider import Provider
from trivium.providers.quirks import mending
from trivium.upstream.body import beginning
from trivium.upstream.client import Pumping, UpstreamResponse
from trivium.upstream.pause import pause_s
from trivium.wire.codec import decode_answer, plain_answer, stream_decoder
from trivium.wire.decoder import Decoder
from trivium.wire.errors import is_native
from trivium.wire.fault import ABOUT_KEY, GARBAGE, is_flagged, is_unpaid, status_of, with_kind
from trivium.wire.lenient import is_dense
from trivium.wire.overlong import overlong
from trivium.wire.relay import StreamRelay
from trivium.wire.request import Request

_BUFFERED = 1024 * 1024
"""A whole answer up to this size is read before its status goes out, so that a broken one can still become an error."""
METERED = 32 * 1024 * 1024
"""A longer whole answer passes unread and is flagged."""
_ERROR_BODY = 1024 * 1024
_ACCOUNTED = 64 * 1024
"""Less than this held for a stream is not worth counting."""

_RETRYABLE = {429, 503}
_OUT_OF_SERVICE = "The provider does not serve this gateway at the moment. Its operator has to look at it."
_FLAGGED = "The provider's content filter refused this request."
_PLAIN = (b"", b"identity")
_EVENT_STREAM = b"text/event-stream"
_NO_WORDS = (None, GARBAGE, "api_error")
"""Of errors that do not say what they are: the gateway's own code tells more."""


class Exchange:
    """One upstream answer and where it goes. The client has had nothing of it while `reply.started` is false."""

    __slots__ = ("_api", "_call", "_provider", "_reply", "_request", "_response", "_run", "_shape", "_told")

    _BUFFERS = _BUFFERED
    """Bytes of a whole answer that are read before any of it goes out."""
    _CUTS = False
    """Blanks before an answer, which are signs of life, do not go on: what goes on unread could not be rewritten."""
    _SECRET = False
    """Nothing that the upstream itself says beside its answer may be told."""

    def __init__(
        self, request: Request, provider: Provider, response: UpstreamResponse, reply: Reply, run: Run
    ) -> None:
        self._call = call = run.call
        self._request = request
        self._provider = provider
        self._response = response
        self._reply = reply
        self._run = run
        self._api = (run.upstream_api or call.api).shape
        """What the upstream speaks."""
        self._shape = call.api.shape
        """What the client does."""
        self._told = dict(reversed(response.headers))
        """The upstream's headers; of several with one name the first."""

    async def relay(self) -> None:
        """Passes the answer on. Raises TriviumError where the client has had nothing of it yet."""
        if self._provider.generations is not None:
            self._run.knows(self._header(b"x-generation-id").decode("latin-1"))
        try:
            await self._run.deps.turn
            if self._response.status >= 300:
                await self._relay_error()
            elif self._header(b"content-type").lower().startswith(_EVENT_STREAM):
                await self._relay_named()
            else:
                await self._relay_unnamed(await self._response.read())
        finally:
            self._response.close()

    async def _relay_error(self) -> None:
        body = await self._read_some()
        status = self._provider.meant(self._response.status, body)
        told = fold(decode_answer(self._api, body, self._provider.conventions))
        self._run.answer = told = with_kind(told, self._header(b"x-amzn-errortype"))
        said = told.error.message if told.error and body.strip() else body[:500].decode(errors="replace").strip()
        message = said or f"The upstream answered with status {status}."
        failure = self._failure(status, message, told.error)
        if self._reply.provisional and fails_over(failure):
            raise failure
        as_said = status == self._response.status
        if status < 400 or not as_said or isinstance(failure, UpstreamRefusedUs) or not self._is_native(body):
            word = (told.error.code or told.error.type) if told.error and as_said else None
            if word not in _NO_WORDS and type(failure) is UpstreamError and failure.code == UpstreamError.code:
                failure.code = word
            raise failure
        own = told.error and type(failure) is UpstreamError and (told.error.code or told.error.type)
        self._run.told = (own or failure.code, message)
        await self._start(status, [(b"content-length", b"%d" % len(body))])
        await self._end(body)

    def _is_native(self, body: bytes) -> bool:
        return self._api is self._shape and not self._SECRET and is_native(self._api, body)

    @property
    def _is_ours(self) -> bool:
        """The house's own account was called."""
        run = self._run
        return run.own is None and (run.target is None or run.target.custom is None)

    def _failure(self, status: int, message: str, fault: Fault | None) -> UpstreamError:
        """The upstream's error as ours. What concerns the operator's own credential and account is not the caller's."""
        if fault is not None and (found := overlong(fault, status)) is not None:
            return too_long(found, self._run, detail=message)
        flagged = status == 403 and fault is not None and is_flagged(fault)
        unpaid = fault is not None and self._is_ours and is_unpaid(fault, self._provider.kind)
        if not flagged and (status in ABOUT_KEY or unpaid):
            return UpstreamRefusedUs(_OUT_OF_SERVICE, detail=message, retry_after=60)
        failure = UpstreamError(_FLAGGED if flagged else message, detail=message)
        failure.code = "content_flagged" if flagged else failure.code
        failure.status = status if status >= 400 else 502
        failure.retry_after = self._retry_after(fault) if status in _RETRYABLE else None
        failure.hints = hints(self._response.headers)
        return failure

    async def _read_some(self) -> bytes:
        """What is there of a short body, an error's as a rule: a broken one still says something."""
        body, broken = await beginning(self._response, _ERROR_BODY)
        if broken:
            self._run.flags.append("error_body_broken")
        return body

    async def _relay_whole(self, chunk: bytes) -> None:
        while self._CUTS and chunk.isspace():
            chunk = await self._response.read()
        body = bytearray()
        while chunk:
            body += chunk
            self._run.hold(len(body))
            if len(body) > self._BUFFERS or (body.isspace() and not self._reply.provisional):
                await self._pass_whole(body)
                return
            chunk = await self._response.read()
        whole = bytes(body)
        if self._call.operation is GENERATE and (answer := plain_answer(self._shape, whole)):
            self._run.told_whole(answer)
        else:
            check_json(whole)
            self._meter_whole(whole)
        self._check_fault(self._run.answer)
        await self._run.deps.turn
        whole = await self._shown(whole)
        await self._start(self._response.status, [(b"content-length", b"%d" % len(whole)), *self._cost_header()])
        await self._end(whole)

    async def _shown(self, body: bytes) -> bytes:
        """What the client gets of a whole answer."""
        mend = mending(self._provider.quirks, self._shape)
        return mend.whole(body) if mend else body

    async def _pass_whole(self, body: bytearray) -> None:
        """A long answer, or one that begins with keep-alive blanks: it goes on while it comes."""
        await self._start(self._response.status, self._length())
        await self._write(bytes(body))
        # Of an answer that breaks off nobody can read more than how long it is.
        self._run.delivers(len(body.lstrip()))
        try:
            while chunk := await self._response.read():
                if body:
                    self._copy(body, chunk)
                await self._write(chunk)
                so_far = self._run.content_bytes
                self._run.delivers(so_far + len(chunk if so_far else chunk.lstrip()))
        except UpstreamError as error:
            forget_frames(error)
            self._run.error = error
            self._reply.cut()
            return
        self._meter_whole(bytes(body))
        await self._end()

    def _length(self) -> Headers:
        """How long a body is that goes on as it came: none that was compressed, nor one that lost its first blanks."""
        length, coding = self._header(b"content-length"), self._header(b"content-encoding").strip().lower()
        return [(b"content-length", length)] if length.isdigit() and not self._CUTS and coding in _PLAIN else []

    def _copy(self, body: bytearray, chunk: bytes) -> None:
        """Adds to the meter's copy, or gives it up where there is no room for it: the answer itself goes on."""
        body += chunk
        try:
            self._run.hold(len(body) if len(body) <= METERED else 0)
        except Overloaded:
            body.clear()
        if len(body) > METERED or not body:
            body.clear()
            self._run.hold(0)

    def _meter_whole(self, body: bytes) -> None:
        if not body or is_dense(body):
            self._run.flags.append("unmetered")
            self._run.delivers(len(body) or self._run.response_bytes)
        elif self._call.operation is GENERATE:
            self._run.told_whole(fold(decode_answer(self._shape, body, self._provider.conventions)))

    async def _relay_named(self) -> None:
        """Some servers say of a whole answer that it is a stream."""
        first = None if self._request.stream else await self._first(None)
        if first is not None and first.lstrip().startswith(b"{"):
            await self._relay_whole(first)
        else:
            await self._relay_stream(first)

    def _relay_unnamed(self, first: bytes) -> Coroutine[None, None, None]:
        """Some servers send a stream under another content type, or under none."""
        if self._request.stream and first.lstrip().startswith((b"data:", b"event:", b":")):
            return self._relay_stream(first)
        return self._relay_whole(first)

    async def _first(self, chunk: bytes | None) -> bytes:
        """The first chunk, if it has not been read yet."""
        chunk = await self._response.read() if chunk is None else chunk
        if not chunk:
            raise UpstreamBroken("The upstream's stream ended before it began.")
        return chunk

    async def _relay_stream(self, chunk: bytes | None) -> None:
        meter = self._meter(stream_decoder(self._shape, self._provider.conventions))
        # An upstream that ends before its first byte is still an error with a status of its own.
        first = await self._first(chunk)
        await self._start(self._response.status, STREAM_HEADERS, stream=True)
        try:
            await self._pass_stream(meter, first)
        except (UpstreamError, Overloaded) as error:
            if self._reply.provisional:
                raise
            answer = meter.answer()
            if answer.finish is not FinishReason.UNKNOWN and not meter.unterminated:
                # All of the answer was there, or its error was; that the connection then failed is nobody's business.
                await self._end(meter.close())
                self._run.delivers(meter.content_bytes)
            else:
                await self._end_broken(meter, error)
        finally:
            self._note(meter)

    def _meter(self, decoder: Decoder) -> StreamRelay:
        mend = mending(self._provider.quirks, self._shape)
        return StreamRelay(self._shape, decoder, hide_usage=not self._request.wants_usage, mend=mend)

    async def _pass_stream(self, meter: StreamRelay, chunk: bytes) -> None:
        held = 0
        read = self._reader(meter)
        while chunk:
            out = meter.go_on() if meter.rest else meter.feed(chunk)
            held = self._account(meter, held)
            if self._reply.provisional:
                self._check_fault(meter.answer())
            if out:
                await self._write(out)
                self._run.delivers(meter.content_bytes)
            if meter.rest:
                await asyncio.sleep(0)
            else:
                chunk = await read()
        if rest := meter.close():
            await self._write(rest)
        self._run.delivers(meter.content_bytes)
        if meter.unterminated:
            raise UpstreamBroken("The upstream ended the stream before the answer was complete.")
        await self._end_told(meter)

    def _reader(self, meter: StreamRelay) -> Callable[[], Coroutine[None, None, bytes]]:
        """What gives the next chunk. Where both ends can, most chunks go on as they come, and nobody is woken for them:
        that would take as long as all that is done with one."""
        reply, response, run, asks = self._reply, self._response, self._run, self._provider.generations is not None
        if not (isinstance(reply, Direct) and isinstance(response, Pumping)):
            return response.read

        def take(chunk: bytes) -> bool:
            if meter.holds() or len(chunk) > AT_ONCE or not reply.is_ready():
                return False
            out = meter.feed(chunk)
            while meter.rest:
                out += meter.go_on()
            if asks or run.first_token_us is None:
                self._account(meter, 0)
            if out:
                run.response_bytes += len(out)
                reply.push(out)
            return True

        async def pump() -> bytes:
            try:
                return await response.pump(take)
            finally:
                run.delivers(meter.content_bytes)

        return pump

    def _check_fault(self, answer: Answer | None) -> None:
        """Raises UpstreamError for one that nobody has heard of: others may answer, or it is about the house alone."""
        if answer is not None and answer.error is not None:
            failure, all_of_it = self._from_fault(answer.error), self._is_ours and not answer.parts
            if self._reply.provisional or (all_of_it and isinstance(failure, UpstreamRefusedUs)):
                raise failure

    def _from_fault(self, fault: Fault) -> UpstreamError:
        """An error inside a 200 answer, with the status that it would have had outside."""
        if fault.type == GARBAGE:
            return UpstreamGarbage("The upstream's answer is not what its API promises.", detail=fault.message)
        failure = self._failure(status_of(fault), fault.message, fault)
        if type(failure) is UpstreamError:
            failure.code = fault.code or fault.type
        return failure

    async def _end_told(self, stream: Stream) -> None:
        """The end of a good stream, with a comment on its cost where that is wanted."""
        self._run.answer = stream.answer()
        cost = self._run.cost_usd()
        await self._end(b": x-trivium-cost-usd %b\n\n" % cost.encode() if cost else b"")

    def _cost_header(self) -> Headers:
        cost = self._run.cost_usd()
        return [(b"x-trivium-cost-usd", cost.encode())] if cost else []

    def _account(self, stream: Stream, held: int) -> int:
        """Notes the first token, and what a stream holds: `held` is what it was accounted for so far."""
        run, now = self._run, stream.held
        if run.first_token_us is None and (stream.content_began or stream.content_bytes):
            run.first_token_us = run.elapsed_us()
        if self._provider.generations is not None:
            run.knows(run.generation_id() or stream.answer().id)
        if now == held or max(now, held) <= _ACCOUNTED:
            return held
        run.hold(now)
        return now

    async def _end_broken(self, meter: Stream, error: TriviumError) -> None:
        """The client learns of it in its own API's way, unless half an event has gone out already."""
        forget_frames(error)
        self._run.error = error
        told = told_of(error, self._run)
        said = meter.failure(error_value(self._call, told))
        if said is None:
            self._reply.cut()
        else:
            self._run.told = (told.code, told.message)
            await self._end(said)

    def _note(self, meter: Stream) -> None:
        self._run.answer = answer = meter.answer()
        if answer.error is not None and self._run.error is None:
            failure = self._from_fault(answer.error)
            self._run.error = failure if isinstance(failure, UpstreamRefusedUs) else None
        for flag, raised in (("malformed_events", meter.malformed), ("unmetered", meter.oversized)):
            if raised:
                self._run.flags.append(flag)

    async def _start(self, status: int, headers: Headers, *, stream: bool = False) -> None:
        shown = with_own(self._passed(stream), self._run.limited)
        if self._run.losses and not self._SECRET:
            shown.append((b"x-trivium-loss", loss_header(self._run.losses)))
        if status in _RETRYABLE and not self._header(b"retry-after"):
            fault = self._run.answer.error if self._run.answer else None
            shown.append((b"retry-after", b"%d" % self._retry_after(fault)))
        self._run.status = status
        await self._reply.start(status, [*shown, *headers, (b"x-trivium-request-id", self._call.id.encode())])

    def _passed(self, stream: bool) -> Headers:
        """What of the upstream's headers the client gets."""
        return as_data(passed(self._response.headers), stream=stream)

    async def _write(self, data: bytes) -> None:
        self._run.response_bytes += len(data)
        await self._reply.write(data)

    async def _end(self, data: bytes = b"") -> None:
        self._run.response_bytes += len(data)
        await self._reply.end(data)

    def _retry_after(self, fault: Fault | None) -> int:
        """Seconds; 1 where the upstream does not say."""
        told = pause_s(self._response.headers, self._run.deps.clock.now_ms(), fault)
        return 1 if told is None else told

    def _header(self, name: bytes) -> bytes:
        return self._told.get(name, b"")
