"""The answer of an upstream that speaks another API than the client, on its way to the client.

An answer may come as a stream though a whole one was asked for, and the other way round: both are events, and the
client gets what it asked for. Before anything was said an error is an HTTP error, also one that came inside a 200;
after that it is the end of the stream as the client's API has it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from trivium.errors import Overloaded, UpstreamBroken, UpstreamError, UpstreamGarbage
from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.relay import METERED, Exchange
from trivium.pipeline.settle import Run
from trivium.pipeline.stream import BITE, STREAM_HEADERS
from trivium.pipeline.tell import REQUEST_IDS, request_id_name
from trivium.providers.provider import Provider
from trivium.upstream.client import UpstreamResponse
from trivium.wire.request import Request
from trivium.wire.translate import StreamTranslation, Translation

_GRACE = 1.0
"""Seconds that a stream may go on behind its terminal event."""
_UNFINISHED_GRACE = 10.0
"""Seconds that usage and terminal event may take behind the finish."""
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


class TranslatedExchange(Exchange):
    """One upstream answer and where it goes, through a translation."""

    def __init__(  # noqa: PLR0917
        self,
        request: Request,
        provider: Provider,
        response: UpstreamResponse,
        reply: Reply,
        run: Run,
        way: Translation,
    ) -> None:
        super().__init__(request, provider, response, reply, run)
        self._way = way
        self._silence = run.deps.settings.stream_keep_alive
        self._lock = asyncio.Lock()
        self._told_at = 0.0
        self._last_at = 0.0
        """When a stream that has said its last is taken for ended."""

    async def relay(self) -> None:
        try:
            await super().relay()
        finally:
            self._run.answer_losses = self._way.losses()

    async def _relay_whole(self, chunk: bytes) -> None:
        body = await self._read_whole(chunk)
        if self._request.stream:
            stream = self._stream()
            last = stream.whole(body)
            self._note(stream)
            await self._end_stream(stream, last)
        else:
            await self._tell_whole(body)

    async def _read_whole(self, chunk: bytes) -> bytes:
        body = bytearray()
        while chunk:
            body += chunk
            self._run.hold(2 * len(body))  # and the answer made of it
            if len(body) > METERED:
                raise UpstreamGarbage("The upstream's answer is too long to be translated.")
            chunk = await self._response.read()
        return bytes(body)

    async def _tell_whole(self, body: bytes, *, streamed: bool = False) -> None:
        said, answer = self._way.whole(body, self._provider.conventions, streamed=streamed)
        self._run.told_whole(answer)
        if answer.error is not None:
            raise self._from_fault(answer.error)
        await self._start(200, [_JSON, (b"content-length", b"%d" % len(said)), *self._cost_header()])
        await self._end(said)

    async def _relay_stream(self, chunk: bytes | None) -> None:
        if not self._request.stream:
            await self._tell_whole(await self._read_whole(await self._first(chunk)), streamed=True)
            return
        stream = self._stream()
        try:
            async with self._kept_alive(stream):
                await self._pass_translated(stream, await self._first(chunk))
        except (UpstreamError, Overloaded) as error:
            if not self._reply.started:
                raise
            await self._end_early(stream, error)
        finally:
            self._note(stream)

    def _stream(self) -> StreamTranslation:
        return self._way.stream(self._provider.conventions)

    async def _pass_translated(self, stream: StreamTranslation, chunk: bytes) -> None:
        held = 0
        while chunk:
            out = stream.feed(chunk[:BITE])
            held = self._account(stream, held)
            if held > METERED:
                raise UpstreamGarbage("The upstream's answer is too long to be translated.")
            if out:
                await self._tell(out)
                self._run.delivers(stream.content_bytes)
            if stream.fault:
                raise self._from_fault(stream.fault)
            if chunk := chunk[BITE:]:
                await asyncio.sleep(0)
            else:
                chunk = await self._next(stream)
        await self._end_stream(stream, stream.close())

    async def _end_stream(self, stream: StreamTranslation, last: bytes) -> None:
        """The answer came to its end, or it broke off."""
        if stream.unterminated:
            raise UpstreamBroken("The upstream ended the stream before the answer was complete.")
        if last or not stream.fault:
            await self._tell(last)
            self._run.delivers(stream.content_bytes)
        if stream.fault:
            raise self._from_fault(stream.fault)
        await self._end_told(stream)

    async def _end_early(self, stream: StreamTranslation, error: UpstreamError | Overloaded) -> None:
        """The connection failed. Where all of the answer was there, that is nobody's business; an event that came
        without its blank line may still tell an error."""
        fault = stream.fault
        if fault is None and (stream.ended or stream.finished):
            last, fault = stream.close(), stream.fault
            if fault is None:
                await self._end(last)
                self._run.delivers(stream.content_bytes)
                return
            await self._tell(last)
            self._run.delivers(stream.content_bytes)
            error = self._from_fault(fault)
        await self._end_broken(stream, error)

    async def _next(self, stream: StreamTranslation) -> bytes:
        """More of the stream; none where it has said its last and does not end."""
        if not (stream.ended or stream.finished):
            return await self._response.read()
        now = asyncio.get_running_loop().time()
        self._last_at = self._last_at or now + _UNFINISHED_GRACE
        if stream.ended:
            self._last_at = min(self._last_at, now + _GRACE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._last_at):
                return await self._response.read()
        return b""

    async def _tell(self, said: bytes) -> None:
        async with self._lock:
            if not self._reply.started:
                await self._start(200, [_EVENTS, *STREAM_HEADERS])
            self._told_at = asyncio.get_running_loop().time()
            await self._write(said)

    @contextlib.asynccontextmanager
    async def _kept_alive(self, stream: StreamTranslation) -> AsyncIterator[None]:
        """While it lasts, silences of the upstream are filled in the client's dialect."""
        task = asyncio.create_task(self._fill_silences(stream))
        try:
            yield
        finally:
            task.cancel()

    async def _fill_silences(self, stream: StreamTranslation) -> None:
        clock = asyncio.get_running_loop().time
        self._told_at = clock()
        while True:
            await asyncio.sleep(self._told_at + self._silence - clock())
            if clock() - self._told_at >= self._silence:
                await self._tell(stream.ping())

    def _passed(self, stream: bool) -> Headers:
        """The upstream's id of the request, or ours, under the name by which the client's SDK knows it; no content
        type."""
        own = request_id_name(self._call.api)
        passed = [
            (own if name in REQUEST_IDS else name, value)
            for name, value in super()._passed(stream)
            if name != b"content-type"
        ]
        return passed if any(name == own for name, _ in passed) else [*passed, (own, self._call.id.encode())]
