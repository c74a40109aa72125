"""The headers by which the vendors tell how far their rate limits are used up, and by which clients pace themselves
(wire notes, section 7: OpenAI's `6ms`, `17.4s`, `6m0s`; Anthropic's RFC 3339)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from trivium.canon.api import Api
from trivium.clock import rfc3339

Header = tuple[bytes, bytes]


class Room(msgspec.Struct, frozen=True):
    """One limit: what it is, what is left of it, and the milliseconds until all of it is free again."""

    limit: int
    remaining: int
    resets_ms: int


Kind = Literal["requests", "input_tokens", "output_tokens", "concurrent"]


def headers(api: Api, rooms: Mapping[Kind, Room], now_ms: int) -> list[Header]:
    """The headers of an answer, each limit by the name that the API's clients know. None of them has a header for calls
    at once."""
    found: list[Header] = []
    if api is Api.MESSAGES:
        for kind, names in _ANTHROPIC:
            if (room := rooms.get(kind)) is not None:
                _tell(found, names, room, _moment(-(-(now_ms + room.resets_ms) // 1000)))
        return found
    if (requests := rooms.get("requests")) is not None:
        _tell(found, _OPENAI_REQUESTS, requests, _duration(requests.resets_ms))
    tokens, output = rooms.get("input_tokens"), rooms.get("output_tokens")
    # OpenAI has one limit for input and output together: what stops the client first is what it should know.
    if tokens is None or (output is not None and output.remaining < tokens.remaining):
        tokens = output
    if tokens is not None:
        _tell(found, _OPENAI_TOKENS, tokens, _duration(tokens.resets_ms))
    return found


_Names = tuple[bytes, bytes, bytes]


def _names(pattern: bytes, of: bytes) -> _Names:
    limit, remaining, reset = (pattern % {b"of": of, b"what": what} for what in (b"limit", b"remaining", b"reset"))
    return limit, remaining, reset


_OPENAI_REQUESTS = _names(b"x-ratelimit-%(what)b-%(of)b", b"requests")
_OPENAI_TOKENS = _names(b"x-ratelimit-%(what)b-%(of)b", b"tokens")
_ANTHROPIC: tuple[tuple[Kind, _Names], ...] = (
    ("requests", _names(b"anthropic-ratelimit-%(of)b-%(what)b", b"requests")),
    ("input_tokens", _names(b"anthropic-ratelimit-%(of)b-%(what)b", b"input-tokens")),
    ("output_tokens", _names(b"anthropic-ratelimit-%(of)b-%(what)b", b"output-tokens")),
)


def _tell(found: list[Header], names: _Names, room: Room, reset: bytes) -> None:
    limit, remaining, resets = names
    found += ((limit, b"%d" % room.limit), (remaining, b"%d" % room.remaining), (resets, reset))


def _duration(ms: int) -> bytes:
    """From a second on rounded up to tenths."""
    return _go(ms if ms < 1000 else -(-ms // 100) * 100)


@lru_cache(2_000)
def _go(ms: int) -> bytes:
    """As Go writes durations: `0s`, `120ms`, `17.4s`, `6m0s`."""
    if 0 < ms < 1000:
        return b"%dms" % ms
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return (f"{minutes}m{seconds}s" if minutes else f"{seconds}s").encode()


@lru_cache(1_000)
def _moment(seconds: int) -> bytes:
    return rfc3339(seconds).encode()
