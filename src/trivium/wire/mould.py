"""What most events of a stream have in common: all but a text in their midst.

An event that says nothing but a piece of content has a head before the text and a tail behind it. One that has the same
head and the same tail around another text says as little: it needs no search of its own. A text is taken for one while
it has no quote, backslash or end of line in it, so that it is one JSON string and ends where the tail begins.
"""

from __future__ import annotations

import re

from trivium.wire.lenient import is_utf8
from trivium.wire.sse import split_events

_no_string = re.compile(rb'["\\\n\r]').search
_BACKSLASH = ord("\\")
_says = re.compile(rb'"(?:content|reasoning|reasoning_content|text|thinking)"\s*:\s*"\Z').search
"""A head behind which a text of that name begins."""
_adds_up = re.compile(rb'"(?:content|tool_calls)"\s*:\s*\[\s*[^\s\]]|"(?:usage|function_call)"\s*:\s*{').search
"""Texts in lists are put together, and stand nowhere as they are told; pieces of calls and figures may be kept in
silence, and add up."""
_MOST_AROUND = 4 * 1024
"""Bytes of head and tail, which are kept as long as the stream goes on."""
_LONGEST = 4 * 1024
"""Bytes of a text; a longer one is read like any other event, so that nobody looks far for its end."""
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

    def hopes(self) -> bool:
        """Whether events may fit, as far as those that were looked at can tell."""
        return bool(self._head) or self._tried < _PATIENCE

    def cast(self, event: bytes, said: bytes) -> bool:
        """Takes an event that says a piece of content and nothing else, if it is clear where. Without escapes every
        string in it stands there as it is, so that the only one that is this piece is where it was said."""
        quoted = b'"%b"' % said
        if len(event) - len(said) > _MOST_AROUND or _BACKSLASH in event or not event.endswith(b"\n\n"):
            return False
        if event.count(quoted) != 1 or not is_utf8(event) or _adds_up(event):
            return False
        begin = event.index(quoted) + 1
        head, tail = event[:begin], event[begin + len(said) :]
        if (head, tail) == (self._head, self._tail):
            return True
        if self._tried >= _PATIENCE or not _says(head):
            self._head = b""
            return False
        self._tried += 1
        self._head, self._tail = head, tail
        return True

    def texts(self, block: bytes, at: int) -> tuple[int, list[str]]:
        """As `run`, with what they say."""
        head, tail, said = self._head, self._tail, []
        before, behind = len(head), len(tail)
        while before and block.startswith(head, at):
            begin = at + before
            end = block.find(tail, begin, begin + _LONGEST)
            if end <= begin or _no_string(block, begin, end):
                break
            try:
                said.append(block[begin:end].decode())
            except UnicodeDecodeError:
                break
            at = end + behind
        if said:
            self._tried = 0
        return at, said

    def run(self, block: bytes, at: int = 0) -> tuple[int, int]:
        """Where those events of a block end that fit, one behind the other from there on, and the bytes of their text;
        where they begin, and 0, if there is none."""
        head, tail = self._head, self._tail
        before, behind, size = len(head), len(tail), 0
        while before and block.startswith(head, at):
            begin = at + before
            end = block.find(tail, begin, begin + _LONGEST)
            if end <= begin or _no_string(block, begin, end):
                break
            size += end - begin
            at = end + behind
        if size:
            self._tried = 0
        return at, size
