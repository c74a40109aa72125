"""A request for a Responses upstream: stateless, so `store` is false and no item has a server's id.

The instructions that open a conversation are `instructions`, later ones messages of their own. Tools say whether they
are strict, for here the default is that they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivium.canon.parts import (
    Audio,
    Data,
    Document,
    Image,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolKind,
    ToolResult,
)
from trivium.canon.request import Request, Role, Tool, Turn
from trivium.wire.cachemarks import UNMARKED
from trivium.wire.chat.render import NO_MARKS, schema_members, strict_of
from trivium.wire.chat.thinking import effort_member, is_sampled
from trivium.wire.destination import Wanted, failed, joined, leading, no_words, path, plain_text, texts, user_hash
from trivium.wire.envelope import ENCRYPTED
from trivium.wire.media import uri_of
from trivium.wire.schemas import parameters

_LEAST_TOKENS = 16


def render(request: Request, wanted: Wanted) -> dict[str, Any]:
    """Raises Untranslatable."""
    system, turns = leading(request.turns)
    for part in system:
        _lose_mark(part, wanted)
    body: dict[str, Any] = {"model": wanted.to.model}
    in_input = _wants_any_json(request) or not turns
    opening = [_message(Role.DEVELOPER, [*system], wanted)] if system and in_input else []
    if system and not opening:
        body["instructions"] = joined(system)
    body["input"] = opening + [item for turn in turns for item in _items(turn, wanted)]
    body |= {"store": False, **_limits(request, wanted)}
    if request.tools:
        body["tools"] = [_tool(tool, wanted) for tool in request.tools]
        if request.tool_choice:
            body["tool_choice"] = _tool_choice(request, wanted)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if text := _text(request, wanted):
        body["text"] = text
    if reasoning := _reasoning(request, wanted):
        body["reasoning"] = reasoning
    body |= _included(request, wanted)
    if request.stream:
        body["stream"] = True
    return body


def _included(request: Request, wanted: Wanted) -> dict[str, Any]:
    """What the answer should hold besides: seals of reasoning, probabilities."""
    traits = wanted.to.traits
    weighed = request.logprobs is not None and is_sampled(request, wanted)
    if not weighed:
        wanted.lose_logprobs(request)
    names = ["reasoning.encrypted_content"] if traits.encrypted_reasoning else []
    names += ["message.output_text.logprobs"] if weighed else []
    most = {"top_logprobs": request.logprobs} if weighed and request.logprobs else {}
    return {**({"include": names} if names else {}), **most}


def _wants_any_json(request: Request) -> bool:
    """`json_object` is refused where no message says "JSON", and `instructions` are none."""
    return request.format is not None and request.format.schema is None


def _limits(request: Request, wanted: Wanted) -> dict[str, Any]:
    losses = wanted.losses
    said: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
    if not is_sampled(request, wanted):
        for name in [name for name, value in said.items() if value is not None]:
            losses.add(name, "this model takes no such setting")
        said = {}
    said["max_output_tokens"] = request.max_tokens
    if request.max_tokens is not None and request.max_tokens < _LEAST_TOKENS:
        losses.add(path(request, "max_tokens"), f"Responses takes {_LEAST_TOKENS} at least")
        said["max_output_tokens"] = _LEAST_TOKENS
    tier = "default" if request.service_tier == "standard_only" else request.service_tier
    said |= {
        "metadata": request.metadata,
        "user": request.user and user_hash(request.user),
        "prompt_cache_key": request.cache_key,
        "prompt_cache_retention": request.cache_retention,
        "service_tier": None if tier == "auto" else tier,
    }
    wanted.lose(request, stop=request.stop or None, top_k=request.top_k)
    return {name: value for name, value in said.items() if value is not None}


def _text(request: Request, wanted: Wanted) -> dict[str, Any]:
    said: dict[str, Any] = {"verbosity": request.verbosity} if request.verbosity else {}
    if request.format:
        schema = request.format.schema is not None
        members = (
            {"type": "json_schema", **schema_members(request.format, wanted)} if schema else {"type": "json_object"}
        )
        said["format"] = members
    return said


def _reasoning(request: Request, wanted: Wanted) -> dict[str, Any]:
    said = effort_member(request, wanted, "effort")
    asked, traits = request.thinking, wanted.to.traits
    if asked is None or traits.reasoning is None or asked.enabled is False or asked.summary == "none":
        return said
    if asked.summary or asked.enabled:
        said["summary"] = asked.summary or "auto"
    return said


def _tool(tool: Tool, wanted: Wanted) -> dict[str, Any]:
    if tool.cache:
        wanted.losses.add(f"{tool.at}.cache_control", NO_MARKS)
    said: dict[str, Any] = {"name": wanted.names.upstream(tool.name, tool.namespace)}
    if tool.description:
        said["description"] = tool.description
    if tool.kind is ToolKind.CUSTOM:
        return {"type": "custom", **said, **({"format": tool.grammar} if tool.grammar else {})}
    return {
        "type": "function",
        **said,
        "parameters": parameters(tool, wanted.to.traits, wanted.losses),
        "strict": strict_of(tool, wanted),
    }


def _tool_choice(request: Request, wanted: Wanted) -> Any:
    choice = request.tool_choice
    if choice is None or choice.mode != "tool":
        return choice and choice.mode
    custom = any(tool.name == choice.name and tool.kind is ToolKind.CUSTOM for tool in request.tools)
    name = wanted.names.upstream(choice.name or "", choice.namespace)
    return {"type": "custom" if custom else "function", "name": name}


# Items.


def _items(turn: Turn, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """A turn's messages, calls, results and reasoning, each an item; parts between two of them share a message."""
    said: list[Part] = []
    for part in turn.parts:
        item = _item(part, wanted)
        if item is None:
            said.append(part)
            continue
        if said:
            yield _message(turn.role, said, wanted)
            said = []
        if item:
            yield item
    if said:
        yield _message(turn.role, said, wanted)


def _item(part: Part, wanted: Wanted) -> dict[str, Any] | None:
    """The item that a part is, an empty one for what is lost; None for what belongs into a message."""
    match part:
        case ToolCall():
            return _call(part, wanted)
        case ToolResult():
            _lose_mark(part, wanted)
            is_custom = wanted.names.is_custom_call(part.id)
            kind = "custom_tool_call_output" if is_custom else "function_call_output"
            return {"type": kind, "call_id": wanted.id(part.id), "output": _output(part, wanted)}
        case Reasoning():
            return _thought(part) if wanted.takes(part) else {}
        case _:
            return None


def _call(part: ToolCall, wanted: Wanted) -> dict[str, Any]:
    _lose_mark(part, wanted)
    said = {"call_id": wanted.id(part.id), "name": wanted.names.upstream(part.name, part.namespace)}
    if part.kind is ToolKind.CUSTOM:
        wanted.names.custom_call(part.id)
        return {"type": "custom_tool_call", **said, "input": part.arguments}
    return {"type": "function_call", **said, "arguments": part.arguments or "{}"}


def _output(part: ToolResult, wanted: Wanted) -> Any:
    said = texts(part.content)
    if len(said) == len(part.content):
        output = joined(said)
        return failed(output) if part.is_error else output
    content = [_part(inner, Role.USER, wanted) for inner in part.content]
    return [{"type": "input_text", "text": failed("")}, *content] if part.is_error else content


def _thought(part: Reasoning) -> dict[str, Any]:
    seal = part.seal
    if seal is not None and seal.form == ENCRYPTED:
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        return {"type": "reasoning", "summary": summary, "encrypted_content": seal.data}
    if not part.text:
        return {}
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": part.text}]}


def _message(role: Role, parts: list[Part], wanted: Wanted) -> dict[str, Any]:
    message: dict[str, Any] = {
        "type": "message",
        "role": role.value,
        "content": [_part(part, role, wanted) for part in parts],
    }
    if role is not Role.ASSISTANT:
        return message
    id = {"id": wanted.names.message_id()} if wanted.to.traits.item_ids else {}
    return {**message, **id, "status": "completed"}


def _part(part: Part, role: Role, wanted: Wanted) -> dict[str, Any]:
    _lose_mark(part, wanted)
    match part:
        case Text() if role is Role.ASSISTANT:
            return {"type": "output_text", "text": part.text, "annotations": []}
        case Text():
            return {"type": "input_text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image():
            return {"type": "input_image", "image_url": uri_of(part.source), "detail": part.detail or "auto"}
        case Document():
            return _file(part, wanted)
        case Audio():
            raise no_words(part.at, "audio", wanted.to)
        case _:
            raise no_words(part.at, "this part", wanted.to)


def _file(part: Document, wanted: Wanted) -> dict[str, Any]:
    if (said := plain_text(part)) is not None:
        return {"type": "input_text", "text": said}
    if isinstance(part.source, Data):
        return {"type": "input_file", "filename": part.title or "document.pdf", "file_data": uri_of(part.source)}
    if part.title:
        wanted.losses.add(f"{part.at}.title", "Responses has no title for a file by its URL")
    return {"type": "input_file", "file_url": part.source.url}


def _lose_mark(part: Part, wanted: Wanted) -> None:
    if not isinstance(part, UNMARKED) and part.cache:
        wanted.losses.add(f"{part.at}.cache_control", NO_MARKS)
