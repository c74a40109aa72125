"""Server-sent events from bytes, cut anywhere. (The WHATWG "event stream" format, and what gateways make of it.)

Lines end in LF, CRLF or a lone CR and in nothing else: U+2028 and its kin are legal inside JSON. A CR at the end of a
chunk ends its line at once, and an LF that opens the next chunk belongs to it. Every byte is looked at a constant
number of times whatever the chunks, and nothing beyond `limit` bytes of one event is kept.
"""

from __future__ import annotations

import re

import msgspec

LIMIT = 32 * 1024 * 1024
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|\Z))")
_BOM = b"\xef\xbb\xbf"
_LINE = 40
"""Bytes that a line takes besides its own."""


class ServerSentEvent(msgspec.Struct, frozen=True):
    event: str | None
    """The `event:` field; None when there was none."""
    data: bytes
    """The `data:` lines, joined by LF."""


class SseParser:
    """Feed chunks as they come, then `close`. Events without a `data:` line are no events."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.dropped = 0
        """Events larger than the limit, left out."""
        self._limit = limit
        self._rest = bytearray()
        self._after_cr = False
        self._first = True
        self._event: str | None = None
        self._data: list[bytes] = []
        self._size = 0

    @property
    def held(self) -> int:
        """Bytes of an unfinished event that are kept."""
        return self._size + len(self._rest)

    def is_between(self) -> bool:
        """Whether what comes next begins an event, and is not the first of the stream."""
        return not (self._rest or self._data or self._size or self._after_cr or self._first) and self._event is None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        if not chunk:
            return []
        lines = chunk.splitlines()
        if self._after_cr and chunk.startswith(b"\n"):
            del lines[0]
        self._after_cr = chunk.endswith(b"\r")
        rest = b"" if chunk.endswith((b"\n", b"\r")) else lines.pop()
        found: list[ServerSentEvent] = []
        if lines:
            lines[0] = self._finish_line(lines[0])
            for line in lines:
                self._take(line, found)
        self._keep(rest)
        return found

    def close(self) -> list[ServerSentEvent]:
        """The end of the stream: an unterminated last event is an event."""
        found: list[ServerSentEvent] = []
        self._take(self._finish_line(b""), found)
        self._dispatch(found)
        return found

    def _keep(self, piece: bytes) -> None:
        """The piece of a line that goes on. Too much of it spoils the event, and the line reads as a comment."""
        if not piece:
            return
        if self._size + len(self._rest) + len(piece) <= self._limit:
            self._rest += piece
        else:
            self._rest[:] = b":"
            self._size = self._limit + 1

    def _finish_line(self, end: bytes) -> bytes:
        if not self._rest:
            return end
        self._keep(end)
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _take(self, line: bytes, found: list[ServerSentEvent]) -> None:
        if self._first:
            # Gateways keep a connection alive with blanks before they know that they will stream.
            line = line.removeprefix(_BOM).lstrip(b" ")
            self._first = not line
        if not line:
            self._dispatch(found)
        elif line.startswith(b"data:") or line == b"data":
            self._size += len(line) + _LINE
            if self._size <= self._limit:
                self._data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
        elif line.startswith(b"event:"):
            self._event = line[6:].decode("utf-8", "replace").removeprefix(" ")

    def _dispatch(self, found: list[ServerSentEvent]) -> None:
        if self._size > self._limit:
            self.dropped += 1
        elif self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            found.append(ServerSentEvent(self._event, data))
        self._event = None
        self._data = []
        self._size = 0


def last_end(data: bytes | bytearray, start: int) -> int:
    """Where the last whole event ends; 0 if none does."""
    end = data.rfind(b"\n\n", start) + 2
    if data.find(b"\r", start) >= 0:
        end = max([end if end > 1 else 0, *(match.end() for match in _END.finditer(data, start))])
    return end if end > 1 else 0


def event_end(block: bytes, start: int, *, has_cr: bool) -> int:
    """Where the event ends that begins there, or the block. `has_cr`: lines may end in a CR."""
    if has_cr:
        match = _END.search(block, start)
        return match.end() if match else len(block)
    end = block.find(b"\n\n", start) + 2
    return end if end > 1 else len(block)


def data_begin(block: bytes, start: int, *, has_cr: bool) -> int:
    """Where the first event begins, from there on, that may have data: what stands before is comments, blank lines,
    names. The end of the block where none has any."""
    data = block.find(b"data", start)
    if data < 0:
        return len(block)
    if has_cr:
        return max((match.end() for match in _END.finditer(block, start, data)), default=start)
    end = block.rfind(b"\n\n", start, data) + 2
    return end if end > 1 else start


def split_events(block: bytes) -> list[bytes]:
    """The events of a block, each with the blank line that ends it."""
    if b"\r" not in block:
        pieces = block.split(b"\n\n")
        last = pieces.pop()
        events = [piece + b"\n\n" for piece in pieces]
        return [*events, last] if last else events
    events, start = [], 0
    for match in _END.finditer(block):
        events.append(block[start : match.end()])
        start = match.end()
    return [*events, block[start:]] if start < len(block) else events
