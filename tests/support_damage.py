"""Damage of every kind that wires, gateways and hostile upstreams do: to bytes, to the order of events, to values."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

_LARGEST = 200_000
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r){2}")
_NOISE = (
    b"\r", b"\n\n", b"\r\n\r\n", b"data:", b"event: error\n", b'"', b"\\", b"\\ud83d", b"\\udc00", b"\0", b"\xff", b"{",
    b"}", b"[" * 300, b"data: [DONE]\n\n", b": ping\n\n", b"\xef\xbb\xbf", b"1e999", b"-",
    b"9" * 5000, b"null", b"\xf0\x9f",
)  # fmt: skip
_NAMES = (
    "type", "index", "text", "content", "delta", "id", "name", "arguments", "input", "usage", "error", "signature",
    "output_index", "summary", "role", "tool_calls", "reasoning_details", "finish_reason", "stop_reason", "logprobs",
    "annotations", "status", "data", "cache_control", "custom", "schema", "namespace",
)  # fmt: skip
_WORDS = (
    "", "x", "text", "thinking", "redacted_thinking", "tool_use", "function", "custom", "reasoning", "function_call",
    "message", "error", "stop", "length", "refusal", "tool_calls", "completed", "in_progress", "failed", "assistant",
    "user", "system", "\ud800", "~tv1.a.b.c.d", "tvid_eA", "data:,", "data:image/png;base64,", "input_text",
    "json_schema", "url_citation", "reasoning.text", "reasoning.encrypted", "namespace", "grammar", "ephemeral", "5m",
)  # fmt: skip


def damaged_stream(data: bytes, other: bytes, rnd: Random) -> bytes:
    """A stream, once or more often; `other` is one to take events from."""
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 3, 6))):
        data = rnd.choice((_bytes, _bytes, _values, _values, _values, _order))(data, other, rnd)[:_LARGEST]
    return data


def damaged_body(data: bytes, rnd: Random) -> bytes:
    for _ in range(rnd.choice((0, 1, 1, 2, 3, 8))):
        data = rnd.choice((_bytes, _value, _value, _value, _value))(data, b"", rnd)
    return data


# Bytes.


def _bytes(data: bytes, _other: bytes, rnd: Random) -> bytes:
    at = rnd.randint(0, len(data))
    rest = at + rnd.choice((1, 2, 10, 200))
    match rnd.randrange(6):
        case 0:
            return data[:at] + bytes(byte ^ 1 << rnd.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[rest:]
        case 3:
            return data[:rest] + data[at:]
        case 4:
            return data[at:]
        case _:
            return data[:at] + rnd.choice(_NOISE) + data[at:]


# Events.


def _blocks(data: bytes) -> list[bytes]:
    """The events, each with its blank line."""
    ends = [found.end() for found in _BLANK_LINE.finditer(data)]
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True) if start < end]


def _order(data: bytes, other: bytes, rnd: Random) -> bytes:
    blocks = _blocks(data)
    if not blocks:
        return other
    at, to = rnd.randrange(len(blocks)), rnd.randrange(len(blocks))
    match rnd.randrange(6):
        case 0:
            del blocks[at]
        case 1:
            blocks.insert(to, blocks[at])
        case 2:
            blocks[at], blocks[to] = blocks[to], blocks[at]
        case 3:
            blocks[at:at] = _blocks(other)
        case 4:
            blocks[at:at] = rnd.sample(_blocks(other), min(3, len(_blocks(other))))
        case _:
            blocks[at : at + 1] *= rnd.choice((2, 50, 300))
    return b"".join(blocks)


def _values(data: bytes, _other: bytes, rnd: Random) -> bytes:
    """One event, with something odd in it."""
    blocks = _blocks(data)
    if not blocks:
        return data
    at = rnd.randrange(len(blocks))
    head, mark, said = blocks[at].partition(b"data:")
    if mark and (changed := _value(said, b"", rnd)) != said:
        blocks[at] = head + mark + b" " + changed + b"\n\n"
    return b"".join(blocks)


# Values.


def _value(data: bytes, _other: bytes, rnd: Random) -> bytes:
    """A JSON text with something odd in one place, at any depth."""
    try:
        value = json.loads(data)
        return _dump(_changed(value, rnd))
    except (ValueError, RecursionError):
        return data


def _changed(value: Any, rnd: Random) -> Any:
    spots = _spots(value)
    if not spots:
        return value
    holder, key = rnd.choice(spots)
    match rnd.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(rnd.choice(spots)[0]))
        case 1:
            holder[rnd.choice(_NAMES)] = holder[key]
        case 2 if len(spots) < 2000:
            there, name = rnd.choice(spots)
            holder[key] = copy.deepcopy(there.get(name) if isinstance(there, dict) else there[name])
        case _:
            holder[key] = rnd.choice(_ODD)(rnd)
    return value


def _dump(value: Any) -> bytes:
    said = json.dumps(value)
    return said.replace(f'"{_DEEP}"', _deep(len(said))).encode()


_DEEP = "as deep as it goes"


def _deep(number: int) -> str:
    """Nesting that no writer of JSON would write."""
    depth = 150 + number % 900
    opening, closing = (("[", "]"), ('{"a":', "}"))[depth % 2]
    return opening * depth + "1" + closing * depth


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value: what holds it, and its key."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left and len(found) < 20_000:
        holder = left.pop()
        keys = (
            list(holder) if isinstance(holder, dict) else list(range(len(holder))) if isinstance(holder, list) else []
        )
        found += [(holder, key) for key in keys]
        left += [holder[key] for key in keys]
    return found


_ODD: tuple[Callable[[Random], Any], ...] = (
    lambda rnd: None,
    lambda rnd: rnd.random() < 0.5,
    lambda rnd: rnd.choice((0, 1, 2, -1, 10**6, 2**53, 2**64, 10**30, -(10**400))),
    lambda rnd: rnd.choice((0.5, 1e300, 1e-300, float("nan"), float("inf"), -0.0)),
    lambda rnd: rnd.choice(_WORDS),
    lambda rnd: rnd.choice(_WORDS),
    lambda rnd: rnd.choice(("x", "\ud83d", '"', "\\", "{")) * rnd.choice((100, 5000, 30_000)),
    lambda rnd: _DEEP,
    lambda rnd: [],
    lambda rnd: {},
    lambda rnd: {rnd.choice(_NAMES): rnd.choice(_WORDS)},
    lambda rnd: [{rnd.choice(_NAMES): rnd.choice(_WORDS), "type": rnd.choice(_WORDS)}] * rnd.choice((1, 2, 300)),
)
