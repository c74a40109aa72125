"""Amazon's binary event stream as the server-sent events that it stands for, chunk by chunk. Whatever has another
content type passes as it is.
"""

from __future__ import annotations

from trivium.errors import UpstreamGarbage
from trivium.upstream.client import UpstreamResponse, Wrapped
from trivium.wire.eventstream import FrameParser, as_text

_FRAMES = b"application/vnd.amazon.eventstream"
_CONTENT = (b"content-type", b"text/event-stream; charset=utf-8")
_OF_FRAMES = frozenset({b"content-type", b"content-length"})


def unframed(response: UpstreamResponse) -> UpstreamResponse:
    """The response; as server-sent events where it is an event stream."""
    framed = any(name == b"content-type" and value.lower().startswith(_FRAMES) for name, value in response.headers)
    return _Unframed(response) if framed else response


class _Unframed(Wrapped):
    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self._parser = FrameParser()
        self.headers = [*(header for header in response.headers if header[0] not in _OF_FRAMES), _CONTENT]

    async def read(self) -> bytes:
        while not self._parser.broken and (chunk := await self._response.read()):
            if events := self._parser.feed(chunk):
                return b"".join(map(as_text, events))
        if self._parser.broken:
            raise UpstreamGarbage("The upstream's answer cannot be read to its end.", detail=self._parser.broken)
        return b""
