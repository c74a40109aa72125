"""The voice of OpenAI Responses.

A stream: `response.created`, `response.in_progress`, every item from `output_item.added` over its parts to
`output_item.done`, and the whole response inside the terminal event. Events are numbered from 0. The encrypted content
of a reasoning item is another when the item is added than when it is done, as it is with the vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from trivium.mock.answer import CREATED, Answer, Call
from trivium.mock.frames import frame
from trivium.mock.script import CallKind, Error, FinishWord, Usage
from trivium.mock.voice import OPENAI_PING, OPENAI_REQUEST_ID, Voice, openai_error, strung

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
_CALLS: dict[CallKind, tuple[str, str, str]] = {
    "function": ("function_call", "fc", "arguments"),
    "custom": ("custom_tool_call", "ctc", "input"),
}
"""The type of the item, the beginning of its id, the field of the arguments."""


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
    strands = [_spoken(item, pieces, index) for index, (item, pieces) in enumerate(_items(answer))]
    calls = len(strands) - len(answer.calls)
    yield from chain(*strands[:calls])
    yield from strung(strands[calls:], interleaved=answer.calls_interleaved)
    response = whole(answer)
    yield {"type": f"response.{response['status']}", "response": response}


def _items(answer: Answer) -> Iterator[tuple[_Item, list[str]]]:
    """Each item as it is when done, and the pieces it is said in."""
    number = answer.number
    if answer.reasoning is not None:
        said = "".join(answer.reasoning)
        summary = [{"type": "summary_text", "text": said}] if said else []
        yield _reasoning(f"rs_mock{number}", summary, answer.signature), answer.reasoning
    if answer.redacted is not None:
        yield _reasoning(f"rs_mock{number}r", [], answer.redacted), []
    if answer.text:
        yield (
            {
                "id": f"msg_mock{number}",
                "type": "message",
                "status": _STATUS[answer.finish][0],
                "content": [_part(answer)],
                "role": "assistant",
            },
            answer.text,
        )
    for n, call in enumerate(answer.calls):
        yield _call(call, f"mock{number}x{n}"), call.fragments


def _reasoning(item_id: str, summary: list[dict[str, Any]], sealed: str | None) -> _Item:
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def _part(answer: Answer) -> dict[str, Any]:
    text = "".join(answer.text)
    if answer.finish == "refusal":
        return {"type": "refusal", "refusal": text}
    annotations = [
        {"type": "url_citation", "end_index": len(text), "start_index": 0, "title": cited.title, "url": cited.url}
        for cited in answer.citations
    ]
    return {"type": "output_text", "annotations": annotations, "logprobs": [], "text": text}


def _call(call: Call, tail: str) -> _Item:
    kind, prefix, field = _CALLS[call.kind]
    return {
        "id": f"{prefix}_{tail}",
        "type": kind,
        "status": "completed",
        field: call.arguments,
        "call_id": call.id or f"call_{tail}",
        "name": call.name,
    } | ({} if call.namespace is None else {"namespace": call.namespace})


def _spoken(item: _Item, pieces: list[str], index: int) -> Iterator[_Event]:
    return ({**event, "output_index": index} for event in _SPOKEN[item["type"]](item, pieces))


def _spoken_message(item: _Item, pieces: list[str]) -> Iterator[_Event]:
    place = {"item_id": item["id"], "content_index": 0}
    part = item["content"][0]
    kind = part["type"]
    field = "refusal" if kind == "refusal" else "text"
    extra = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
    yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", "content": []}}
    unsaid = {**part, field: ""} | ({"annotations": []} if "annotations" in part else {})
    yield {"type": "response.content_part.added", **place, "part": unsaid}
    for piece in pieces:
        yield {"type": f"response.{kind}.delta", **place, "delta": piece, **extra}
    for n, annotation in enumerate(part.get("annotations", [])):
        added = {"annotation_index": n, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **place, **added}
    yield {"type": f"response.{kind}.done", **place, field: part[field], **extra}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "item": item}


def _spoken_call(item: _Item, pieces: list[str]) -> Iterator[_Event]:
    place = {"item_id": item["id"]}
    field = "input" if "input" in item else "arguments"
    kind = f"response.{item['type']}_{field}"
    yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", field: ""}}
    for piece in pieces:
        yield {"type": f"{kind}.delta", **place, "delta": piece}
    yield {"type": f"{kind}.done", **place, field: item[field]}
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
    "custom_tool_call": _spoken_call,
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
