"""Amazon's binary event stream (`application/vnd.amazon.eventstream`), in which Bedrock sends Messages streams.

A frame is: total length, headers length, CRC-32 of these two (4 bytes each, big-endian), headers, payload, CRC-32 of
all before it. The payload is `{"bytes": <base64 of one event's JSON>, "p": <padding>}`. Frames come out as server-sent
events, so that nobody else need know of them; an exception frame comes out as an `error` event. Behind a frame whose
checksum is wrong nothing more is read: where the next one begins is then anyone's guess.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec

from trivium.wire.fault import GARBAGE
from trivium.wire.lenient import dump, mapping, parse, text
from trivium.wire.sse import LIMIT, ServerSentEvent

_PRELUDE = 12
_SMALLEST = _PRELUDE + 4
_STRING = 7
_SIZED = (6, _STRING)
"""Types of header values, bytes and strings, that carry their own length."""
_WIDTHS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type, for the others."""
_TYPES = {
    "modelTimeoutException": "timeout_error",
    "serviceUnavailableException": "overloaded_error",
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
}
"""What the Messages API calls an exception, by which its clients decide whether to try again; others are `api_error`.
Exceptions: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html."""


def is_frame(data: bytes) -> bool:
    """Whether the data begins with a frame: its prelude's checksum is right."""
    return len(data) >= _SMALLEST and zlib.crc32(data[:8]) == int.from_bytes(data[8:12], "big")


class _Named(msgspec.Struct):
    type: str = ""


_named = msgspec.json.Decoder(_Named)


def as_text(event: ServerSentEvent) -> bytes:
    """The event as it would have been sent: the JSON byte for byte, named by its `type`, by which Anthropic's SDKs tell
    events apart."""
    name = event.event or _name(event.data)
    # JSON has no line breaks but those between its tokens.
    data = b"\ndata: ".join(event.data.splitlines())
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data) if name else b"data: %b\n\n" % data


def _name(data: bytes) -> str:
    try:
        name = _named.decode(data).type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return name if name.isidentifier() else ""


def unframed(data: bytes) -> bytes:
    """A whole event stream as the server-sent events that it stands for."""
    parser = FrameParser()
    return b"".join(map(as_text, parser.feed(data) + parser.close()))


class FrameParser:
    """Feed chunks as they come, then `close`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        """Bytes; a longer frame is none."""
        self._buffer = bytearray()
        self.broken = ""
        """What is wrong with the last frame, if the rest cannot be read."""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        found: list[ServerSentEvent] = []
        if self.broken:
            return found
        self._buffer += chunk
        start = 0
        while len(self._buffer) - start >= _SMALLEST:
            end = start + int.from_bytes(self._buffer[start : start + 4], "big")
            if not self._credible(start, end):
                return self._end_early(found, "a frame of the event stream has a wrong length or checksum")
            if len(self._buffer) < end:
                break
            frame = bytes(self._buffer[start:end])
            if zlib.crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
                return self._end_early(found, "a frame of the event stream has a wrong checksum")
            found.extend(_event(frame))
            start = end
        del self._buffer[:start]
        return found

    def close(self) -> list[ServerSentEvent]:
        """The end of the stream. A frame cut short is left out; the decoder sees that the answer has no end."""
        self._buffer.clear()
        return [_error(GARBAGE, GARBAGE, self.broken)] if self.broken else []

    def _credible(self, start: int, end: int) -> bool:
        return _SMALLEST <= end - start <= self._limit and is_frame(bytes(self._buffer[start : start + _SMALLEST]))

    def _end_early(self, found: list[ServerSentEvent], why: str) -> list[ServerSentEvent]:
        self.broken = why
        self._buffer.clear()
        return found


def _error(type: str, code: str, message: str) -> ServerSentEvent:
    """The error event of the Messages API, which the Chat and Responses decoders understand as well."""
    body = dump({"type": "error", "error": {"type": type, "message": message, "code": code}})
    return ServerSentEvent("error", body.encode())


def _thrown(word: str, message: str) -> ServerSentEvent:
    return _error(_TYPES.get(word, "api_error"), word, message)


def _event(frame: bytes) -> list[ServerSentEvent]:
    """The one event of a frame, or none for frames that carry no part of the answer."""
    split = _PRELUDE + int.from_bytes(frame[4:8], "big")
    headers = _headers(frame[_PRELUDE : min(split, len(frame) - 4)])
    payload = _payload(frame[split:-4])
    kind = headers.get(":message-type", "event")
    if kind == "exception":
        message = text(payload.get("message")) or text(payload.get("Message"))
        return [_thrown(headers.get(":exception-type", kind), message)]
    if kind == "error":
        return [_thrown(headers.get(":error-code", kind), headers.get(":error-message", ""))]
    try:
        data = base64.b64decode(text(payload.get("bytes")))
    except ValueError:
        data = b"the payload is not base64"
    return [ServerSentEvent(None, data)] if data else []


def _payload(data: bytes) -> dict[str, Any]:
    try:
        return mapping(parse(data))
    except ValueError:
        return {}


def _headers(data: bytes) -> dict[str, str]:
    """The string headers; reading stops at the first that cannot be read."""
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        name = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
        kind = data[at] if at < len(data) else -1
        at += 1
        if kind in _WIDTHS:
            at += _WIDTHS[kind]
            continue
        if kind not in _SIZED:
            break
        size = int.from_bytes(data[at : at + 2], "big")
        at += 2
        if kind == _STRING:
            headers[name.decode("utf-8", "replace")] = data[at : at + size].decode("utf-8", "replace")
        at += size
    return headers
