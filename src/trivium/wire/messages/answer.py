"""A whole Messages body, answer or error, into canonical events."""

from __future__ import annotations

from trivium.canon import conventions as named
from trivium.canon.events import Event
from trivium.canon.usage import Conventions
from trivium.wire.messages.stream import StreamDecoder


def decode_answer(body: bytes, conventions: Conventions = named.DEFAULT) -> list[Event]:
    """What the body says; a body that is no answer is one Fault. Never raises."""
    return StreamDecoder(conventions).whole(body)
