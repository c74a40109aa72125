"""A Messages upstream: Anthropic's blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from support_answers import Said, cut
from support_voices_values import Event, costs, server_tools
from trivium.canon.parts import AnswerPart, Reasoning, ToolCall
from trivium.canon.usage import Usage
from trivium.wire.envelope import REDACTED


def _usage(usage: Usage) -> Event:
    return {
        "input_tokens": usage.input_uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": server_tools(usage) or None,
        "service_tier": usage.service_tier,
        **costs(usage),
    }


def stream(said: Said, rnd: Random) -> Iterator[Event]:
    usage = _usage(said.usage or Usage())
    message = {**_message(said), "content": [], "stop_reason": None, "stop_sequence": None}
    yield {
        "type": "message_start",
        "message": {**message, "usage": {**usage, "output_tokens": min(1, usage["output_tokens"])}},
    }
    for index, part in enumerate(said.parts):
        start, deltas = _block(part, rnd)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        if rnd.random() < 0.1:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    if said.error is not None:
        yield {"type": "error", "error": {"type": "overloaded_error", "message": said.error}}
        return
    stop = {"stop_reason": said.native, "stop_sequence": said.stop_sequence}
    yield {"type": "message_delta", "delta": stop, "usage": {**usage, "cache_creation": None}}
    yield {"type": "message_stop"}


def _message(said: Said) -> Event:
    return {"id": said.id, "type": "message", "role": "assistant", "model": said.model}


def _block(part: AnswerPart, rnd: Random) -> tuple[Event, list[Event]]:
    """How a block starts, and its deltas."""
    match part:
        case ToolCall():
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *cut(rnd, part.arguments))]
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}, deltas
        case Reasoning(text, _, seal):
            if seal is not None and seal.form == REDACTED:
                return {"type": "redacted_thinking", "data": seal.data}, []
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(rnd, text)]
            signature = [{"type": "signature_delta", "signature": seal.data}] if seal else []
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas + signature
        case _:
            return {"type": "text", "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in cut(rnd, part.text)
            ]


def body(said: Said) -> Event:
    stop = {"stop_reason": said.native, "stop_sequence": said.stop_sequence}
    content = [_whole_block(part) for part in said.parts]
    return {**_message(said), "content": content, **stop, "usage": _usage(said.usage or Usage())}


def _whole_block(part: AnswerPart) -> Event:
    match part:
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": json.loads(part.arguments)}
        case Reasoning(text, _, seal):
            if seal is not None and seal.form == REDACTED:
                return {"type": "redacted_thinking", "data": seal.data}
            return {"type": "thinking", "thinking": text, "signature": seal.data if seal else ""}
        case _:
            return {"type": "text", "text": part.text}
