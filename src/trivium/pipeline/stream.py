"""A stream on its way to the client: what is asked of it, and how much of it is done at once.

An upstream may say a lot in small events, and some ten microseconds for each add up: between parts of it all others
have their turn.
"""

from __future__ import annotations

from typing import Protocol

from trivium.canon.fold import Answer
from trivium.wire.errors import ErrorValue

AT_ONCE = 16 * 1024
"""Bytes that pass without a turn of others in between where nobody is woken for them."""
BITE = 64 * 1024
"""Bytes that are translated at once."""
STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class Stream(Protocol):
    """A stream on its way to the client, as bytes in and bytes out."""

    @property
    def malformed(self) -> int: ...

    @property
    def oversized(self) -> bool: ...

    @property
    def content_began(self) -> bool: ...

    @property
    def content_bytes(self) -> int:
        """Of content in the events that went to the client."""
        ...

    @property
    def held(self) -> int:
        """Bytes in memory."""
        ...

    def answer(self) -> Answer: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def failure(self, error: ErrorValue) -> bytes | None:
        """The end of a stream that failed; None where only cutting the connection is left."""
        ...
