"""The voice of OpenAI Chat Completions.

A stream: the role first, reasoning, text or refusal, its annotations, every tool call begun by index, id and name and
followed by its arguments in fragments, the finish reason, the usage in a chunk without choices if it was asked for,
`[DONE]`.

Reasoning is `reasoning_content`, as with most vendors; where there is something opaque to say, it is what OpenRouter
makes of Anthropic's: `reasoning` and `reasoning_details`, the signature in a fragment of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivium.mock.answer import CREATED, Answer, Call
from trivium.mock.frames import frame
from trivium.mock.script import CallKind, Error, FinishWord, Usage
from trivium.mock.voice import OPENAI_PING, OPENAI_REQUEST_ID, Voice, openai_error, strung

_DONE = b"data: [DONE]\n\n"

_FINISH: dict[FinishWord, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
}
_ARGUMENTS: dict[CallKind, str] = {"function": "arguments", "custom": "input"}
_OPENROUTER = {"content": "", "role": "assistant"}
"""What OpenRouter repeats in every delta of reasoning."""


def whole(answer: Answer) -> dict[str, Any]:
    refused = answer.finish == "refusal"
    text = "".join(answer.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused or (answer.calls and not text) else text,
        "refusal": text if refused else None,
        "annotations": _annotations(answer),
        **_reasoning(answer),
    }
    if answer.calls:
        message["tool_calls"] = [
            _call(call, _call_id(answer, n), call.arguments) for n, call in enumerate(answer.calls)
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
    for delta in _reasoning_deltas(answer):
        yield delta, None
    for piece in answer.text:
        yield {channel: piece}, None
    if answer.citations:
        yield {"annotations": _annotations(answer)}, None
    strands = [_call_parts(call, n, _call_id(answer, n)) for n, call in enumerate(answer.calls)]
    for part in strung(strands, interleaved=answer.calls_interleaved):
        yield {"tool_calls": [part]}, None
    yield {}, _FINISH[answer.finish]


def _reasoning(answer: Answer) -> dict[str, Any]:
    said = None if answer.reasoning is None else "".join(answer.reasoning)
    if not answer.signature:
        thought = {} if said is None else {"reasoning_content": said}
        return thought if answer.redacted is None else {**thought, "reasoning_details": [_encrypted(answer)]}
    text = {"text": said} if said else {}
    details = [_detail("reasoning.text", {**text, "signature": answer.signature}, 0)]
    return {
        "reasoning": said or None,
        "reasoning_details": details if answer.redacted is None else [*details, _encrypted(answer)],
    }


def _reasoning_deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    for piece in answer.reasoning or []:
        if answer.signature:
            details = [_detail("reasoning.text", {"text": piece}, 0)]
            yield {**_OPENROUTER, "reasoning": piece, "reasoning_details": details}
        else:
            yield {"reasoning_content": piece}
    if answer.signature:
        yield {**_OPENROUTER, "reasoning_details": [_detail("reasoning.text", {"signature": answer.signature}, 0)]}
    if answer.redacted is not None:
        yield {**_OPENROUTER, "reasoning": None, "reasoning_details": [_encrypted(answer)]}


def _encrypted(answer: Answer) -> dict[str, Any]:
    return _detail("reasoning.encrypted", {"data": answer.redacted}, 1 if answer.signature else 0)


def _detail(kind: str, said: dict[str, Any], index: int) -> dict[str, Any]:
    return {"type": kind, **said, "format": "anthropic-claude-v1", "index": index}


def _annotations(answer: Answer) -> list[dict[str, Any]]:
    end = len("".join(answer.text))
    return [
        {
            "type": "url_citation",
            "url_citation": {"end_index": end, "start_index": 0, "title": cited.title, "url": cited.url},
        }
        for cited in answer.citations
    ]


def _call(call: Call, call_id: str, said: str) -> dict[str, Any]:
    signed = {"extra_content": {"google": {"thought_signature": call.thought_signature}}}
    return {
        "id": call_id,
        "type": call.kind,
        call.kind: {"name": call.flat_name, _ARGUMENTS[call.kind]: said},
    } | ({} if call.thought_signature is None else signed)


def _call_parts(call: Call, index: int, call_id: str) -> Iterator[dict[str, Any]]:
    yield {"index": index, **_call(call, call_id, "")}
    for fragment in call.fragments:
        yield {"index": index, call.kind: {_ARGUMENTS[call.kind]: fragment}}


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
