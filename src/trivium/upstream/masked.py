"""An answer in which a secret does not appear, whatever its sender writes: asterisks stand in its place, as many.

What is at the end of a chunk and could be the beginning of the secret waits for the next one. Of streams the texts of
their events are looked at as one besides (`wire/spread.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from trivium.errors import UpstreamError
from trivium.providers.credential import masked, spellings
from trivium.upstream.client import UpstreamResponse, Wrapped
from trivium.wire.spread import Spread, begun


class MaskedResponse(Wrapped):
    def __init__(self, response: UpstreamResponse, secrets: Sequence[bytes]) -> None:
        self._response = response
        self._spellings = spellings(secrets)
        self._beginnings = [(spelling, spelling[:1]) for spelling in self._spellings]
        self._waiting = b""
        self.headers = [(name, masked(value, self._spellings)) for name, value in response.headers]
        told = next((value for name, value in response.headers if name == b"content-type"), b"")
        self._spread = Spread(self._spellings) if told.lower().startswith(b"text/event-stream") else None
        self._broken: UpstreamError | None = None

    async def read(self) -> bytes:
        if self._spread is None:
            return await self._read()
        if self._broken is not None:
            raise self._broken
        try:
            while chunk := await self._read():
                if ready := self._spread.feed(chunk):
                    return ready
        except UpstreamError as error:
            if not (rest := self._spread.rest()):
                raise
            self._broken = error
            return rest
        return self._spread.rest()

    async def _read(self) -> bytes:
        while chunk := await self._response.read():
            text = masked(self._waiting + chunk, self._spellings)
            end = len(text) - begun(text, self._beginnings)
            self._waiting = text[end:]
            if end:
                return text[:end]
        last, self._waiting = self._waiting, b""
        return last


class ReadResponse(Wrapped):
    """An `UpstreamResponse` whose body has been looked at already."""

    def __init__(self, response: UpstreamResponse, body: bytes) -> None:
        self._response = response
        self._body = body
        self.headers = response.headers

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body or await self._response.read()
