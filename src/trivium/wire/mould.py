"""What most events of a stream have in common: all but a text in their midst.

An event that says nothing but a piece of content has a head before the text and a tail behind it. One that has the same
head and the same tail around another text says as little: it needs no search of its own. A text is taken for one while
it has no quote, backslash or end of line in it, so that it is one JSON string and ends where the tail begins.
"""

from __future__ import annotations

import re

from trivium.wire.sse import split_events

_QUOTE, _BACKSLASH, _LF, _CR = b'"\\\n\r'
_PATIENCE = 4
"""Events that are looked at for a head and a tail, unless one fits in between: some providers number their events."""


class Mould:
    __slots__ = ("_head", "_tail", "_tried")

    def __init__(self) -> None:
        self._head = self._tail = b""
        self._tried = 0

    def learn(self, block: bytes, content: re.Pattern[bytes]) -> None:
        """Takes the last event of a block that holds nothing but pieces of content; `content` finds what they say."""
        if self._tried < _PATIENCE:
            self._tried += 1
            event = split_events(block)[-1]
            said = list(content.finditer(event))
            if len(said) == 1 and event.endswith(b"\n\n"):
                self._head, self._tail = event[: said[0].start(1)], event[said[0].end(1) :]

    def measure(self, block: bytes) -> int:
        """Bytes of text in a block whose events all fit; 0 where one does not, or says nothing."""
        head, tail = self._head, self._tail
        if not block.endswith(tail) or not head:
            return 0
        begin = len(head)
        pieces = block.split(tail)
        pieces.pop()
        for piece in pieces:
            if len(piece) <= begin or not piece.startswith(head):
                return 0
        said = b"".join([piece[begin:] for piece in pieces])
        if _QUOTE in said or _BACKSLASH in said or _LF in said or _CR in said:
            return 0
        self._tried = 0
        return len(said)
