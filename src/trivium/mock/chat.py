"""The voice of OpenAI Chat Completions.

A stream: the role first, reasoning (as `reasoning_content`), text or refusal, every tool call begun by index, id and
name and followed by its arguments in fragments, the finish reason, the usage in a chunk without choices if it was asked
for, `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivium.mock.answer import CREATED, Answer, Call
from trivium.mock.frames import frame
from trivium.mock.script import Error, FinishWord, Usage
from trivium.mock.voice import OPENAI_PING, OPENAI_REQUEST_ID, Voice, openai_error

_DONE = b"data: [DONE]\n\n"

_FINISH: dict[FinishWord, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
}


def whole(answer: Answer) -> dict[str, Any]:
    refused = answer.finish == "refusal"
    text = "".join(answer.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused or (answer.calls and not text) else text,
        "refusal": text if refused else None,
        "annotations": [],
    }
    if answer.reasoning is not None:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(answer, n),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for n, call in enumerate(answer.calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.finish]}
    told = {} if answer.usage is None else {"usage": usage(answer.usage, answer.cost)}
    return {**_head(answer, "chat.completion"), "choices": [choice], **told}


def stream(answer: Answer) -> list[bytes]:
    return [*map(frame, _chunks(answer)), _DONE]


def fault(answer: Answer, said: Error, _sent: int) -> list[bytes]:
    return [frame(openai_error(500, said, answer.number))]


def usage(counted: Usage, cost: float | None) -> dict[str, Any]:
    return {
        "prompt_tokens": counted.whole_input,
        "completion_tokens": counted.output,
        "total_tokens": counted.whole_input + counted.output,
        "prompt_tokens_details": {
            "cached_tokens": counted.cache_read,
            "cache_write_tokens": counted.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counted.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    } | ({} if cost is None else {"cost": cost})


def _chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    telling = answer.asked.include_usage and answer.usage is not None
    head = _head(answer, "chat.completion.chunk")
    untold = {"usage": None} if telling else {}
    for delta, finish in _deltas(answer):
        yield {
            **head,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            **untold,
        }
    if telling and answer.usage is not None:
        yield {**head, "choices": [], "usage": usage(answer.usage, answer.cost)}


def _deltas(answer: Answer) -> Iterator[tuple[dict[str, Any], str | None]]:
    channel = "refusal" if answer.finish == "refusal" else "content"
    yield {"role": "assistant", "content": None if answer.calls and not answer.text else "", "refusal": None}, None
    for piece in answer.reasoning or []:
        yield {"reasoning_content": piece}, None
    for piece in answer.text:
        yield {channel: piece}, None
    for n, call in enumerate(answer.calls):
        for part in _call_parts(call, _call_id(answer, n)):
            yield {"tool_calls": [{"index": n, **part}]}, None
    yield {}, _FINISH[answer.finish]


def _call_parts(call: Call, call_id: str) -> Iterator[dict[str, Any]]:
    yield {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    for fragment in call.fragments:
        yield {"function": {"arguments": fragment}}


def _call_id(answer: Answer, n: int) -> str:
    return answer.calls[n].id or f"call_mock{answer.number}x{n}"


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": answer.id or f"chatcmpl-mock{answer.number}",
        "object": kind,
        "created": CREATED,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }


CHAT = Voice(
    ping=OPENAI_PING, request_id=OPENAI_REQUEST_ID, whole=whole, stream=stream, error=openai_error, fault=fault
)
