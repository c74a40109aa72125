"""The voice of Anthropic Messages.

A stream: `message_start` with the input's usage, the blocks one after another with contiguous indexes, one `ping`
behind the first block's start (where the vendor has it), `message_delta` with the stop reason and the final usage,
`message_stop`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from trivium.mock.answer import Answer, Call, fragments
from trivium.mock.frames import frame
from trivium.mock.script import Citation, Error, FinishWord, Usage
from trivium.mock.voice import Voice

_STOP: dict[FinishWord, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status; every other from 500 on is an `api_error`, the rest `invalid_request_error`."""


class _Block(NamedTuple):
    start: dict[str, Any]
    deltas: list[dict[str, Any]]
    whole: dict[str, Any]


def whole(answer: Answer) -> dict[str, Any]:
    told = (
        {}
        if answer.usage is None
        else {"usage": {**_first_usage(answer.usage, answer.usage.output, answer.cost), **_thought(answer.usage)}}
    )
    return {**_head(answer), "content": [block.whole for block in _blocks(answer)], **_stop(answer), **told}


def stream(answer: Answer) -> list[bytes]:
    return [frame(event, event["type"]) for event in _events(answer)]


def error(status: int, said: Error, number: int) -> dict[str, Any]:
    kind = said.type or _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": said.message}, "request_id": f"req_mock{number}"}


def fault(answer: Answer, said: Error, _sent: int) -> list[bytes]:
    return [frame(error(500, said, answer.number), "error")]


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    untold = {} if answer.usage is None else {"usage": _first_usage(answer.usage, min(1, answer.usage.output), None)}
    blank: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**_head(answer), **blank, **untold}}
    for index, block in enumerate(_blocks(answer)):
        yield {"type": "content_block_start", "index": index, "content_block": block.start}
        if index == 0:
            yield {"type": "ping"}
        for delta in block.deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    told = {} if answer.usage is None else {"usage": _last_usage(answer.usage, answer.cost)}
    yield {"type": "message_delta", "delta": _stop(answer), **told}
    yield {"type": "message_stop"}


def _blocks(answer: Answer) -> Iterator[_Block]:
    if answer.reasoning is not None:
        yield _thinking(answer.reasoning, answer.signature or "")
    if answer.redacted is not None:
        redacted = {"type": "redacted_thinking", "data": answer.redacted}
        yield _Block(redacted, [], redacted)
    if answer.text:
        yield _text(answer.text, [_location(cited) for cited in answer.citations])
    for n, call in enumerate(answer.calls):
        yield _tool_use(call, call.id or f"toolu_mock{answer.number}x{n}")


def _thinking(pieces: list[str], signature: str) -> _Block:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    return _Block(
        {"type": "thinking", "thinking": "", "signature": ""},
        [*deltas, {"type": "signature_delta", "signature": signature}],
        {"type": "thinking", "thinking": "".join(pieces), "signature": signature},
    )


def _text(pieces: list[str], citations: list[dict[str, Any]]) -> _Block:
    """Like the vendor: citations come before the text they are about."""
    cited = [{"type": "citations_delta", "citation": citation} for citation in citations]
    return _Block(
        {**({"citations": []} if citations else {}), "type": "text", "text": ""},
        [*cited, *({"type": "text_delta", "text": piece} for piece in pieces)],
        {**({"citations": citations} if citations else {}), "type": "text", "text": "".join(pieces)},
    )


def _location(cited: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "cited_text": cited.title,
        "url": cited.url,
        "title": cited.title,
        "encrypted_index": "mock",
    }


def _tool_use(call: Call, call_id: str) -> _Block:
    """Like the vendor: an empty fragment first, and no other when the input is `{}`."""
    named = {"type": "tool_use", "id": call_id, "name": call.flat_name}
    arguments = call.arguments
    if call.kind == "custom":
        arguments = msgspec.json.encode({"input": arguments}).decode()
    said = [] if arguments == "{}" else fragments(arguments)
    return _Block(
        {**named, "input": {}},
        [{"type": "input_json_delta", "partial_json": fragment} for fragment in ["", *said]],
        {**named, "input": _parsed(arguments)},
    )


def _parsed(arguments: str) -> Any:
    """Broken JSON stays a string: a whole answer has no other way to say it."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id or f"msg_mock{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
    }


def _stop(answer: Answer) -> dict[str, Any]:
    reason = _STOP[answer.finish] if answer.stop_sequence is None else "stop_sequence"
    details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": answer.stop_sequence, "stop_details": details}


def _first_usage(counted: Usage, output: int, cost: float | None) -> dict[str, Any]:
    return {
        **_counts(counted, output, cost),
        "cache_creation": {
            "ephemeral_5m_input_tokens": counted.cache_write_5m,
            "ephemeral_1h_input_tokens": counted.cache_write_1h,
        },
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _last_usage(counted: Usage, cost: float | None) -> dict[str, Any]:
    return {**_counts(counted, counted.output, cost), **_thought(counted)}


def _thought(counted: Usage) -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": counted.reasoning}} if counted.reasoning else {}


def _counts(counted: Usage, output: int, cost: float | None) -> dict[str, Any]:
    return {
        "input_tokens": counted.input,
        "cache_creation_input_tokens": counted.cache_write,
        "cache_read_input_tokens": counted.cache_read,
        "output_tokens": output,
    } | ({} if cost is None else {"cost": cost})


MESSAGES = Voice(
    ping=frame({"type": "ping"}, "ping"),
    request_id="request-id",
    whole=whole,
    stream=stream,
    error=error,
    fault=fault,
)
