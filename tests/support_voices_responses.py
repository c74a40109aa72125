"""A Responses upstream: OpenAI's items, each said once in pieces and once as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from support_answers import Said, cut
from support_voices_values import Event, argument_of, costs, server_tools
from trivium.canon.events import FinishReason
from trivium.canon.parts import AnswerPart, Citation, Reasoning, Refusal, Text, ToolCall, ToolKind
from trivium.canon.usage import Usage


def _usage(usage: Usage) -> Event:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
        "server_tool_use_details": server_tools(usage),
        **costs(usage),
    }


def _response(said: Said, status: str, output: list[Event]) -> Event:
    done = status not in ("in_progress", "failed")
    return {
        "id": said.id,
        "object": "response",
        "created_at": 1,
        "model": said.model,
        "status": status,
        "error": {"code": "server_error", "message": said.error} if status == "failed" else None,
        "incomplete_details": {"reason": said.native} if status == "incomplete" else None,
        "output": output,
        "usage": _usage(said.usage) if said.usage and done else None,
        "service_tier": said.usage.service_tier if said.usage and done else "auto",
    }


def _items(parts: tuple[AnswerPart, ...]) -> list[Event]:
    """Messages, reasoning, calls. Texts and refusals side by side share a message."""
    items: list[Event] = []
    for part in parts:
        last = items[-1] if items else {}
        if isinstance(part, Text | Refusal) and last.get("type") == "message":
            last["content"].append(_content(part))
        else:
            items.append(_item(part, len(items)))
    return items


def _item(part: AnswerPart, at: int) -> Event:
    match part:
        case ToolCall():
            kind = "custom_tool_call" if part.kind is ToolKind.CUSTOM else "function_call"
            named = {"namespace": part.namespace} if part.namespace else {}
            call = {"call_id": part.id, "name": part.name, argument_of(part): part.arguments, **named}
            return {"id": f"fc_{at}", "type": kind, "status": "completed", **call}
        case Reasoning(text, _, seal):
            summary = [{"type": "summary_text", "text": text}] if text else []
            sealed = {"encrypted_content": seal.data} if seal else {}
            return {"id": f"rs_{at}", "type": "reasoning", "summary": summary, **sealed}
        case _:
            content = [_content(part)]
            return {
                "id": f"msg_{at}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": content,
            }


def _content(part: Text | Refusal) -> Event:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [_note(page) for page in part.citations]}


def _note(page: Citation) -> Event:
    places = {"start_index": page.start, "end_index": page.end}
    return {"type": "url_citation", "url": page.url, "title": page.title, **places}


def _status(said: Said) -> str:
    return "incomplete" if said.finish in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER) else "completed"


def stream(said: Said, rnd: Random) -> Iterator[Event]:
    for number, event in enumerate(_events(said, rnd)):
        yield {**event, "sequence_number": number}


def _events(said: Said, rnd: Random) -> Iterator[Event]:
    yield {"type": "response.created", "response": _response(said, "in_progress", [])}
    yield {"type": "response.in_progress", "response": _response(said, "in_progress", [])}
    output = _items(said.parts)
    for at, item in enumerate(output):
        yield from _told(item, at, rnd)
    if said.error is not None:
        yield {"type": "error", "code": "server_error", "message": said.error, "param": None}
        yield {"type": "response.failed", "response": _response(said, "failed", output)}
        return
    status = _status(said)
    yield {"type": f"response.{status}", "response": _response(said, status, output)}


def _told(item: Event, at: int, rnd: Random) -> Iterator[Event]:
    where = {"output_index": at, "item_id": item["id"]}
    blank = {name: _BLANKS.get(name, value) for name, value in item.items()}
    yield {"type": "response.output_item.added", "output_index": at, "item": blank}
    if "call_id" in item:
        name = "function_call_arguments" if item["type"] == "function_call" else "custom_tool_call_input"
        member = "arguments" if "arguments" in item else "input"
        for piece in cut(rnd, item[member]):
            yield {"type": f"response.{name}.delta", **where, "delta": piece, "obfuscation": "x"}
        yield {"type": f"response.{name}.done", **where, member: item[member]}
    for number, part in enumerate(item.get("summary", ())):
        place = {**where, "summary_index": number}
        yield {"type": "response.reasoning_summary_part.added", **place, "part": {"type": "summary_text", "text": ""}}
        for piece in cut(rnd, part["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
    for number, part in enumerate(item.get("content", ())):
        place = {**where, "content_index": number}
        name, member = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
        notes = part.get("annotations", ())
        blank = {**part, member: "", **({"annotations": []} if name == "output_text" else {})}
        yield {"type": "response.content_part.added", **place, "part": blank}
        for piece in cut(rnd, part[member]):
            yield {"type": f"response.{name}.delta", **place, "delta": piece}
        for nth, note in enumerate(notes if rnd.random() < 0.8 else ()):
            told = {"annotation_index": nth, "annotation": note}
            yield {"type": "response.output_text.annotation.added", **place, **told}
        yield {"type": f"response.{name}.done", **place, member: part[member]}
        yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


_BLANKS: Event = {"status": "in_progress", "arguments": "", "input": "", "summary": [], "content": []}


def body(said: Said) -> Event:
    return _response(said, _status(said), _items(said.parts))
