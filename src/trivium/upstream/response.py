"""The body's buffer between a connection, which fills it, and the pipeline, which drains it.

It outlives its connection: once the last byte is here the connection may carry the next call while this one is read.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from trivium.errors import UpstreamError
from trivium.upstream.client import Headers, Take


class Source(Protocol):
    """What a response needs of its connection."""

    def expect(self, seconds: float) -> None:
        """The reader waits: unless bytes come in this time the response fails."""
        ...

    def drained(self) -> None:
        """The buffer is empty: more may be read from the socket."""
        ...

    def abort(self) -> None:
        """Ends the response, too."""
        ...


class Http1Response:
    """An `UpstreamResponse`. Whatever the seam does not name is for its connection."""

    __slots__ = (
        "_idle",
        "_loop",
        "_source",
        "_take",
        "_waiter",
        "buffered",
        "chunks",
        "coding",
        "failure",
        "headers",
        "status",
    )

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop, idle: float) -> None:
        self._source: Source | None = source
        """None once the connection has no more to do with it."""
        self._loop = loop
        self._idle = idle
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self.status = 0
        """0 until the headers are complete."""
        self.headers: Headers = []
        self.coding: bytes | None = None
        """The value of `content-encoding`."""
        self.chunks: list[bytes] = []
        self.buffered = 0
        self.failure: UpstreamError | None = None

    async def begin(self) -> None:
        """Returns when status and headers are there; otherwise raises, and the connection is cut."""
        try:
            while not self.status:
                if self.failure is not None:
                    raise self.failure
                await self._wait()
        except BaseException:
            self.close()
            raise

    async def read(self) -> bytes:
        chunks = self.chunks
        while not chunks:
            if self.failure is not None:
                raise self.failure
            if self._source is None:
                return b""
            self._source.expect(self._idle)
            await self._wait()
        data = b"".join(chunks)  # of one chunk: itself
        self._emptied()
        return data

    async def pump(self, take: Take) -> bytes:
        self._take = take
        try:
            return await self.read()
        finally:
            self._take = None

    def close(self) -> None:
        if self._source is not None:
            self._source.abort()

    @property
    def waiting(self) -> bool:
        return self._waiter is not None

    def wake(self) -> None:
        """There is something for the reader: a chunk, a failure, the end."""
        waiter, source = self._waiter, self._source
        if waiter is None or waiter.done():
            return
        if self._take is not None and source is not None and self.chunks:
            try:
                taken = self._take(b"".join(self.chunks))
            except Exception as error:
                waiter.set_exception(error)
                return
            if taken:  # the reader goes on waiting
                source.expect(self._idle)
                self._emptied()
                return
        waiter.set_result(None)

    def _emptied(self) -> None:
        self.chunks.clear()
        self.buffered = 0
        if self._source is not None:
            self._source.drained()

    def end(self, failure: UpstreamError | None) -> None:
        """The connection is through with it: whole, or `failure`, which a reader meets after what is buffered."""
        self.failure = failure
        self._source = None
        self.wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
