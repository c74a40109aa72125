"""A Chat Completions upstream: OpenAI's chunks, OpenRouter's reasoning, Google's seals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from support_answers import Said, cut
from support_voices_values import Event, argument_of, costs, kind_of, server_tools
from trivium.canon.parts import AnswerPart, Citation, Reasoning, Refusal, Text, ToolCall, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.envelope import DETAIL, GOOGLE


def _usage(usage: Usage) -> Event:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "server_tool_use_details": server_tools(usage),
        **costs(usage),
    }


def _head(said: Said, kind: str) -> Event:
    tier = said.usage.service_tier if said.usage else None
    return {"id": said.id, "object": kind, "created": 1, "model": said.model, "service_tier": tier}


def stream(said: Said, rnd: Random) -> Iterator[Event | str]:
    head = _head(said, "chat.completion.chunk")

    def chunk(finish: str | None = None, **delta: Any) -> Event:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk(role="assistant", content="")
    for delta in _deltas(said.parts, rnd):
        yield chunk(**delta)
    if said.error is not None:
        yield {"error": {"message": said.error, "type": "server_error", "code": "overloaded_error"}}
        return
    usage = {"usage": _usage(said.usage)} if said.usage else {}
    beside = usage if rnd.random() < 0.3 else {}
    yield chunk(said.native) | beside
    if usage and not beside:
        yield {**head, "choices": [], **usage}
    yield "data: [DONE]"


def _deltas(parts: tuple[AnswerPart, ...], rnd: Random) -> Iterator[Event]:
    number = details = letters = 0
    waiting: list[tuple[int, ToolCall, str | None]] = []
    seal: str | None = None
    for part in parts:
        if isinstance(part, ToolCall):
            waiting.append((number, part, seal))
            number, seal = number + 1, None
            continue
        if isinstance(part, Reasoning) and part.seal is not None and part.seal.form == GOOGLE:
            seal = part.seal.data
            continue
        yield from _calls(waiting, rnd)
        waiting = []
        if isinstance(part, Reasoning):
            yield from _reasoning(part, details, rnd)
            details += 1
        elif isinstance(part, Text):
            yield from ({"content": piece} for piece in cut(rnd, part.text))
            yield from ({"annotations": [_page(page, letters)]} for page in part.citations)
            letters += len(part.text)
        else:
            yield from ({"refusal": piece} for piece in cut(rnd, part.text))
    yield from _calls(waiting, rnd)


def _page(page: Citation, start: int) -> Event:
    """Of a text that begins there in the content."""
    places = {"start_index": start + (page.start or 0), "end_index": start + (page.end or 0)}
    return {"type": "url_citation", "url_citation": {"url": page.url, "title": page.title, **places}}


def _reasoning(part: Reasoning, index: int, rnd: Random) -> Iterator[Event]:
    seal = json.loads(part.seal.data) if part.seal else {}
    name = rnd.choice(("reasoning", "reasoning_content"))
    for piece in cut(rnd, part.text):
        detail = {"type": "reasoning.text", "text": piece, "format": "anthropic-claude-v1", "index": index}
        yield {name: piece, **({"reasoning_details": [detail]} if part.seal else {})}
    if part.seal:
        yield {"reasoning_details": [{**seal, "index": index}]}


def _calls(calls: list[tuple[int, ToolCall, str | None]], rnd: Random) -> Iterator[Event]:
    """One after the other, or all begun and then told in turns."""
    fragments = [(index, kind_of(call), argument_of(call), cut(rnd, call.arguments)) for index, call, _ in calls]
    together = rnd.random() < 0.3 and all(call.kind is ToolKind.FUNCTION for _, call, _ in calls)
    for (index, call, seal), (_, kind, member, pieces) in zip(calls, fragments, strict=True):
        first = {"index": index, "id": call.id, "type": kind, kind: {"name": call.name, member: ""}}
        if seal:
            first["extra_content"] = {"google": {"thought_signature": seal}}
        yield {"tool_calls": [first]}
        while pieces and not together:
            yield {"tool_calls": [{"index": index, kind: {member: pieces.pop(0)}}]}
    while left := [fragment for fragment in fragments if fragment[3]]:
        index, kind, member, pieces = rnd.choice(left)
        yield {"tool_calls": [{"index": index, kind: {member: pieces.pop(0)}}]}


def body(said: Said) -> Event:
    thoughts = [part for part in said.parts if isinstance(part, Reasoning)]
    sealed = [part for part in thoughts if part.seal and part.seal.form == DETAIL]
    message: Event = {
        "role": "assistant",
        "content": "".join(part.text for part in said.parts if isinstance(part, Text)) or None,
        "refusal": "".join(part.text for part in said.parts if isinstance(part, Refusal)) or None,
        "reasoning": "".join(part.text for part in thoughts) or None,
        "annotations": [_page(page, 0) for part in said.parts if isinstance(part, Text) for page in part.citations],
    }
    if sealed:
        told = [(json.loads(part.seal.data), part.text) for part in sealed if part.seal]
        message["reasoning_details"] = [
            {**seal, **({"text": text} if text else {}), "index": at} for at, (seal, text) in enumerate(told)
        ]
    if calls := [*_whole_calls(said.parts)]:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": said.native}
    usage = {"usage": _usage(said.usage)} if said.usage else {}
    return {**_head(said, "chat.completion"), "choices": [choice], **usage}


def _whole_calls(parts: tuple[AnswerPart, ...]) -> Iterator[Event]:
    seal: Event = {}
    for part in parts:
        if isinstance(part, ToolCall):
            kind = kind_of(part)
            yield {"id": part.id, "type": kind, kind: {"name": part.name, argument_of(part): part.arguments}, **seal}
            seal = {}
        elif isinstance(part, Reasoning) and part.seal and part.seal.form == GOOGLE:
            seal = {"extra_content": {"google": {"thought_signature": part.seal.data}}}
