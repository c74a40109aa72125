"""A secret in a stream's text that its sender spreads over several events: asterisks stand in its place.

The texts of successive events are read as one. Events go on at once unless that text ends in what begins a secret: then
those with this end wait for the next one with text, or for the end of the stream. Of a secret no more has gone by then
than what is too short to wait for. Bytes in, bytes out, as many as came in.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")
_END = re.compile(rb"\n\r?\n|\r\r")
"""Of an event."""
_TEXT = re.compile(
    rb'"(?:content|text|delta|thinking|reasoning|reasoning_content|refusal|arguments|partial_json|message)"'
    rb'\s*:\s*"((?:[^"\\]|\\.)*)"',
    re.DOTALL,
)
"""What the three APIs call the next piece of what is said."""
_BEGINNING = 8
"""Characters. Keys begin with some that are no secret (`sk-`), and texts about keys are full of those."""
_MOST = 256 * 1024
"""Bytes that may wait: as many as of half an event in `relay.py`."""
_MASK = ord("*")

_Held = tuple[bytearray, list[int]]
"""An event, and the places of its text."""


def begun(text: bytes, secrets: Iterable[tuple[bytes, bytes]]) -> int:
    """How many bytes at the end of a text may be those of a secret, each of which comes with the beginning by which it
    is told; 0 for fewer than that."""
    longest = 0
    for secret, beginning in secrets:
        at = text.find(beginning, max(0, len(text) - len(secret) + 1))
        while at >= 0 and not secret.startswith(text[at:]):
            at = text.find(beginning, at + 1)
        longest = max(longest, len(text) - at if at >= 0 else 0)
    return longest


class Spread:
    """Feed chunks as they come, then take the `rest`."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Each as it may stand in JSON."""
        self._secrets = [(secret, secret[: min(_BEGINNING, len(secret) // 2)]) for secret in secrets if len(secret) > 1]
        self._kept = max([1, *(len(secret) - 1 for secret in secrets)])
        self._half = bytearray()
        """An event that has not ended."""
        self._looked = 0
        """How much of it was searched for its end."""
        self._held: deque[_Held] = deque()
        self._size = self._waits = 0
        """Bytes in `_held`, and those of them that are text."""
        self._text = b""
        """The end of all text so far."""

    def feed(self, chunk: bytes) -> bytes:
        """What can go on now."""
        self._half += chunk
        end = self._end()
        events = bytes(self._half[:end])
        del self._half[:end]
        self._looked = len(self._half)
        out = self._gone(events) if end else b""
        return out + self.rest() if self._size + self._looked > _MOST else out

    def rest(self) -> bytes:
        """All that waits."""
        out = self._released(0) + self._half
        self._half.clear()
        self._looked = 0
        return bytes(out)

    def _end(self) -> int:
        """Where the last event ends; 0: none does."""
        first = max(0, self._looked - 3)
        return max((at + len(end) for end in _ENDS if (at := self._half.rfind(end, first)) >= 0), default=0)

    def _gone(self, events: bytes) -> bytes:
        if not self._held:  # most streams never say anything that looks like a key
            text = self._text + b"".join(_TEXT.findall(events))
            if not any(beginning in text for _, beginning in self._secrets):
                self._text = text[-self._kept :]
                return events
        said, done = [], 0
        for found in _END.finditer(events):
            said.append(self._taken(events[done : found.end()]))
            done = found.end()
        if done < len(events):
            said.append(self._taken(events[done:]))
        self._text = self._masked(self._text[-self._kept :] + b"".join(said))
        return self._released(begun(self._text, self._secrets))

    def _taken(self, event: bytes) -> bytes:
        """An event that waits, and its text."""
        places = [place for found in _TEXT.finditer(event) for place in range(*found.span(1))]
        self._held.append((bytearray(event), places))
        self._size += len(event)
        self._waits += len(places)
        return bytes(event[place] for place in places)

    def _masked(self, text: bytes) -> bytes:
        """The text without secrets, written back to the events that hold its end. In one pass: whoever sends it knows
        the secret, and may say it in every word."""
        out = text
        for secret, _ in self._secrets:
            out = out.replace(secret, bytes([_MASK]) * len(secret))
        if out != text:
            places = ((event, place) for event, places in reversed(self._held) for place in reversed(places))
            for (event, place), letter in zip(places, reversed(out), strict=False):
                event[place] = letter
        return out

    def _released(self, begun: int) -> bytes:
        """The events that need not wait for the sake of so many characters at the end."""
        out = bytearray()
        while self._held and self._waits - len(self._held[0][1]) >= begun:
            event, places = self._held.popleft()
            self._waits -= len(places)
            out += event
        self._size -= len(out)
        return bytes(out)
