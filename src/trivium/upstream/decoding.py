"""Content decoding, the same for every client: a wrapper around a response whose body is compressed.

Piece by piece, as it comes: an event that the upstream flushed is handed on at once. A body that expands beyond all
measure (a bomb), consists of next to nothing again and again, is cut short, or has a coding we do not know is
UpstreamGarbage; memory stays at one piece throughout.
"""

from __future__ import annotations

import zlib

from trivium.errors import UpstreamGarbage
from trivium.upstream.client import UpstreamResponse, Wrapped

_PIECE = 64 * 1024
_WINDOW = 16 * 1024
"""Bytes that are decompressed at a time: behind the end of a member `zlib` copies what is left of them."""
_FREE_OUTPUT = 1024 * 1024
"""Below this many bytes no ratio is looked at: short bodies of one repeated letter are harmless."""
_MAX_RATIO = 200
"""JSON compresses 5- to 20-fold; DEFLATE cannot do more than 1032-fold."""
_FREE_MEMBERS = 1000
_LEAST_MEMBER = 64
"""Bytes that further members have on average. An event of a stream is longer; empty ones are work for nothing."""
_GZIP = 16 + zlib.MAX_WBITS


class Inflater:
    """gzip (of any number of members) or deflate (with or without the zlib wrapper: servers send both)."""

    def __init__(self, coding: bytes) -> None:
        self._gzip = coding in (b"gzip", b"x-gzip")
        if not self._gzip and coding != b"deflate":
            raise UpstreamGarbage(
                "The upstream's answer is encoded in a way that was not asked for.",
                detail=f"content-encoding {coding!r}",
            )
        self._stream: zlib._Decompress | None = None
        self._input = memoryview(b"")
        self._received = 0
        self._produced = 0
        self._members = 0

    def feed(self, data: bytes) -> None:
        self._received += len(data)
        self._input = memoryview(bytes(self._input) + data)

    def take(self) -> bytes:
        """At most 64 KiB; `b""` when more input is needed."""
        while self._input:
            stream = self._stream
            if stream is None or stream.eof:
                stream = self._stream = self._begun()
            window = self._input[:_WINDOW]
            try:
                piece = stream.decompress(window, _PIECE)
            except zlib.error as error:
                raise _garbage(str(error)) from error
            self._input = self._input[len(window) - len(stream.unconsumed_tail or stream.unused_data) :]
            if piece:
                return self._counted(piece)
        return b""

    def finish(self) -> None:
        """The body has ended. Raises UpstreamGarbage unless the compressed data has, too."""
        if self._received and not (self._stream and self._stream.eof):
            raise _garbage("truncated")

    def _begun(self) -> zlib._Decompress:
        """The next member. `deflate` has one."""
        self._members += 1
        few = self._members <= _FREE_MEMBERS or self._produced >= self._members * _LEAST_MEMBER
        if not few or (self._stream is not None and not self._gzip):
            raise _garbage(f"{self._members} members of {self._produced} bytes")
        if self._gzip:
            return zlib.decompressobj(_GZIP)
        return zlib.decompressobj(zlib.MAX_WBITS if self._input[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS)

    def _counted(self, piece: bytes) -> bytes:
        self._produced += len(piece)
        if self._produced > _FREE_OUTPUT + _MAX_RATIO * self._received:
            raise _garbage(f"expands more than {_MAX_RATIO}-fold")
        return piece


class DecodedResponse(Wrapped):
    """A response seen through an Inflater."""

    def __init__(self, response: UpstreamResponse, coding: bytes) -> None:
        self._response = response
        self.headers = response.headers
        self._coding = coding
        self._inflater: Inflater | None = None

    async def read(self) -> bytes:
        try:
            return await self._read()
        except UpstreamGarbage:
            self.close()
            raise

    async def _read(self) -> bytes:
        while not (self._inflater and (piece := self._inflater.take())):
            data = await self._response.read()
            if not data:
                if self._inflater:
                    self._inflater.finish()
                return b""
            # Not before there is a body: an answer to HEAD names a coding, too.
            self._inflater = self._inflater or Inflater(self._coding)
            self._inflater.feed(data)
        return piece


def _garbage(detail: str) -> UpstreamGarbage:
    return UpstreamGarbage("The upstream's answer cannot be decompressed.", detail=f"content-encoding: {detail}")


def decoded(response: UpstreamResponse, coding: bytes | None) -> UpstreamResponse:
    """`coding` is the value of `content-encoding`, if there is one."""
    coding = coding and coding.strip().lower()
    return response if not coding or coding == b"identity" else DecodedResponse(response, coding)
