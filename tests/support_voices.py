"""The three APIs' upstreams: an answer as a stream, in the order and with the habits of the vendors, and as a body.

Written from the wire notes and nothing of ours, so that decoders and encoders are held against a second opinion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import support_voices_chat
import support_voices_messages
import support_voices_responses
from support_answers import Said
from support_streams import compact
from support_voices_values import Event
from trivium.canon.api import Api


def stream(said: Said, rnd: Random, end: bytes = b"\n") -> bytes:
    """The bytes of the stream."""
    lines = [*_STREAMS[said.api](said, rnd)]
    blocks = [one if isinstance(one, str) else f"data: {_dump(one, rnd)}" for one in lines]
    if said.api is not Api.CHAT:
        blocks = [f"event: {one['type']}\n{block}" for one, block in zip(lines, blocks, strict=True)]
    return b"".join(block.encode().replace(b"\n", end) + end * 2 for block in blocks)


def body(said: Said) -> bytes:
    """The bytes of the whole answer."""
    return compact(_number(_BODIES[said.api](said))).encode()


def _dump(value: Event, rnd: Random) -> str:
    return json.dumps(_number(value), ensure_ascii=rnd.random() < 0.3)


def _number(value: Any) -> Any:
    """Costs as numbers."""
    if isinstance(value, dict):
        return {key: _number(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_number(inner) for inner in value]
    return value if isinstance(value, str | int | float | None) else float(value)


_STREAMS: dict[Api, Callable[[Said, Random], Iterator[Any]]] = {
    Api.CHAT: support_voices_chat.stream,
    Api.MESSAGES: support_voices_messages.stream,
    Api.RESPONSES: support_voices_responses.stream,
}
_BODIES: dict[Api, Callable[[Said], Event]] = {
    Api.CHAT: support_voices_chat.body,
    Api.MESSAGES: support_voices_messages.body,
    Api.RESPONSES: support_voices_responses.body,
}
