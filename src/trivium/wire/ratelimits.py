"""The headers by which the vendors tell how far their rate limits are used up, and by which clients pace themselves
(wire notes, section 7: OpenAI's `6ms`, `17.4s`, `6m0s`; Anthropic's RFC 3339)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from trivium.canon.api import Api

Header = tuple[bytes, bytes]


class Room(msgspec.Struct, frozen=True):
    """One limit: what it is, what is left of it, and the milliseconds until all of it is free again."""

    limit: int
    remaining: int
    resets_ms: int


def headers(
    api: Api, requests: Room | None, input_tokens: Room | None, output_tokens: Room | None, now_ms: int
) -> list[Header]:
    """The headers of an answer, each limit by the name that the API's clients know; None: there is no such limit."""
    if api is Api.MESSAGES:
        named = (("requests", requests), ("input-tokens", input_tokens), ("output-tokens", output_tokens))
        return _told(named, "anthropic-ratelimit-{of}-{what}", lambda ms: _moment(now_ms + ms))
    # OpenAI has one limit for input and output together: what stops the client first is what it should know.
    tokens = min(filter(None, (input_tokens, output_tokens)), key=lambda room: room.remaining, default=None)
    return _told((("requests", requests), ("tokens", tokens)), "x-ratelimit-{what}-{of}", _duration)


def _told(named: tuple[tuple[str, Room | None], ...], pattern: str, reset: Callable[[int], str]) -> list[Header]:
    found = []
    for of, room in named:
        if room is not None:
            said = {"limit": str(room.limit), "remaining": str(room.remaining), "reset": reset(room.resets_ms)}
            found += [(pattern.format(of=of, what=what).encode(), value.encode()) for what, value in said.items()]
    return found


def _duration(ms: int) -> str:
    """As Go writes durations: `0s`, `120ms`, `17.4s`, `6m0s`."""
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _moment(ms: int) -> str:
    """The first whole second that is not before it."""
    return datetime.fromtimestamp(-(-ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
