"""The voice of OpenAI Responses.

A stream: `response.created`, `response.in_progress`, every item from `output_item.added` over its parts to
`output_item.done`, and the whole response inside the terminal event. Events are numbered from 0. The encrypted content
of a reasoning item is another when the item is added than when it is done, as it is with the vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from trivium.mock.answer import CREATED, Answer, Call
from trivium.mock.frames import frame
from trivium.mock.script import Error, FinishWord, Usage
from trivium.mock.voice import OPENAI_PING, OPENAI_REQUEST_ID, Voice, openai_error

_Event = dict[str, Any]
_Item = dict[str, Any]

_STATUS: dict[FinishWord, tuple[str, str | None]] = {
    "stop": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "tool_calls": ("completed", None),
    "content_filter": ("incomplete", "content_filter"),
    "refusal": ("completed", None),
    "pause": ("incomplete", None),
}
"""Status and reason. The dialect has no word for a pause: incomplete without a reason comes nearest."""
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Request fields that a response repeats, with the values they have when the request is silent."""


def whole(answer: Answer) -> dict[str, Any]:
    status, _ = _STATUS[answer.finish]
    return _response(answer, status, [item for item, _ in _items(answer)])


def stream(answer: Answer) -> list[bytes]:
    return _numbered(_events(answer), 0)


def fault(answer: Answer, said: Error, sent: int) -> list[bytes]:
    """`error` and `response.failed`, as recorded."""
    told = openai_error(500, said, answer.number)["error"]
    failed = {**_response(answer, "failed", []), "error": {"code": told["code"], "message": told["message"]}}
    return _numbered([{"type": "error", "error": told}, {"type": "response.failed", "response": failed}], sent)


def usage(counted: Usage, cost: float | None) -> dict[str, Any]:
    return {
        "input_tokens": counted.whole_input,
        "input_tokens_details": {"cached_tokens": counted.cache_read, "cache_write_tokens": counted.cache_write},
        "output_tokens": counted.output,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning},
        "total_tokens": counted.whole_input + counted.output,
    } | ({} if cost is None else {"cost": cost})


def _events(answer: Answer) -> Iterator[_Event]:
    begun = _response(answer, "in_progress", [])
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, (item, pieces) in enumerate(_items(answer)):
        for event in _SPOKEN[item["type"]](item, pieces):
            yield {**event, "output_index": index}
    response = whole(answer)
    yield {"type": f"response.{response['status']}", "response": response}


def _items(answer: Answer) -> Iterator[tuple[_Item, list[str]]]:
    """Each item as it is when done, and the pieces it is said in."""
    number = answer.number
    if answer.reasoning is not None:
        said = "".join(answer.reasoning)
        yield (
            {
                "id": f"rs_mock{number}",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": said}] if said else [],
                "encrypted_content": answer.signature,
            },
            answer.reasoning,
        )
    if answer.text:
        yield (
            {
                "id": f"msg_mock{number}",
                "type": "message",
                "status": _STATUS[answer.finish][0],
                "content": [_part("".join(answer.text), refused=answer.finish == "refusal")],
                "role": "assistant",
            },
            answer.text,
        )
    for n, call in enumerate(answer.calls):
        yield _function_call(call, f"mock{number}x{n}"), call.fragments


def _part(text: str, *, refused: bool) -> dict[str, Any]:
    if refused:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _function_call(call: Call, tail: str) -> _Item:
    return {
        "id": f"fc_{tail}",
        "type": "function_call",
        "status": "completed",
        "arguments": call.arguments,
        "call_id": call.id or f"call_{tail}",
        "name": call.name,
    }


def _spoken_message(item: _Item, pieces: list[str]) -> Iterator[_Event]:
    place = {"item_id": item["id"], "content_index": 0}
    part = item["content"][0]
    kind = part["type"]
    field = "refusal" if kind == "refusal" else "text"
    extra = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
    yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", "content": []}}
    yield {"type": "response.content_part.added", **place, "part": {**part, field: ""}}
    for piece in pieces:
        yield {"type": f"response.{kind}.delta", **place, "delta": piece, **extra}
    yield {"type": f"response.{kind}.done", **place, field: part[field], **extra}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "item": item}


def _spoken_call(item: _Item, pieces: list[str]) -> Iterator[_Event]:
    place = {"item_id": item["id"]}
    yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", "arguments": ""}}
    for piece in pieces:
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", "item": item}


def _spoken_reasoning(item: _Item, pieces: list[str]) -> Iterator[_Event]:
    place = {"item_id": item["id"], "summary_index": 0}
    sealed = item["encrypted_content"]
    early = sealed and sealed[: len(sealed) // 2]
    yield {"type": "response.output_item.added", "item": {**item, "summary": [], "encrypted_content": early}}
    for part in item["summary"]:
        yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
        for piece in pieces:
            yield {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "item": item}


_SPOKEN: dict[str, Callable[[_Item, list[str]], Iterator[_Event]]] = {
    "message": _spoken_message,
    "function_call": _spoken_call,
    "reasoning": _spoken_reasoning,
}


def _response(answer: Answer, status: str, output: list[_Item]) -> dict[str, Any]:
    over = status in ("completed", "incomplete")
    reason = _STATUS[answer.finish][1] if status == "incomplete" else None
    asked = answer.asked.json or {}
    return {
        "id": answer.id or f"resp_mock{answer.number}",
        "object": "response",
        "created_at": CREATED,
        "completed_at": CREATED if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": reason and {"reason": reason},
        "model": answer.model,
        "output": output,
        **{field: asked.get(field, silent) for field, silent in _ECHOED.items()},
        "usage": usage(answer.usage, answer.cost) if over and answer.usage is not None else None,
    }


def _numbered(events: Iterable[_Event], first: int) -> list[bytes]:
    return [frame({**event, "sequence_number": n}, event["type"]) for n, event in enumerate(events, first)]


RESPONSES = Voice(
    ping=OPENAI_PING, request_id=OPENAI_REQUEST_ID, whole=whole, stream=stream, error=openai_error, fault=fault
)
