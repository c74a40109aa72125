"""A request for a Chat Completions upstream.

Results of tools become `tool` messages before whatever else the user says; images in them follow in a message of the
user's. Instructions of one run are one message; for servers whose templates want it, all of them are the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec

from trivium.canon.parts import (
    Audio,
    Document,
    Image,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolKind,
    ToolResult,
    Url,
)
from trivium.canon.request import INSTRUCTING, Format, Request, Role, Tool, Turn
from trivium.wire.cachemarks import marked
from trivium.wire.chat.details import placed, unsealed
from trivium.wire.chat.order import answered
from trivium.wire.chat.thinking import is_sampled, thinking
from trivium.wire.destination import (
    NO_REASONING,
    Wanted,
    arguments_of,
    failed,
    joined,
    leading,
    limit_of,
    no_words,
    path,
    plain_text,
    texts,
    user_hash,
)
from trivium.wire.envelope import DETAIL, GOOGLE
from trivium.wire.media import uri_of
from trivium.wire.schemas import EMPTY, free_text_schema, is_strict, parameters, parsed

NO_MARKS = "this upstream caches by itself and takes no marks"
_NOT_ENFORCED = "the schema is not of the form that can be enforced here; sent on as not strict"
_MEDIA = (Image, Document)
_SAID = (Text, Refusal)
_PARAGRAPH = "\n\n"
_DETAILS = ("auto", "low", "high")
_KNOWN_TO_SOME = {
    "cache_key": "prompt_cache_key",
    "cache_retention": "prompt_cache_retention",
    "verbosity": "verbosity",
}
"""Members of the canon that a trait of the same name is about, and what they are called in Chat."""
_RESPONSES_TIER = "ultrafast"
"""A service tier that Chat Completions does not have (openai-python 3.57.0, `completion_create_params.py`)."""
_ANSWER = "answer"
"""The name of a schema that has none: in Messages they have none."""


def render(request: Request, wanted: Wanted) -> dict[str, Any]:
    """Raises Untranslatable."""
    traits = wanted.to.traits
    messages = _messages(request.turns, wanted)
    messages = list(answered(messages)) if traits.answer_between else messages
    body: dict[str, Any] = {"model": wanted.to.model, "messages": messages}
    if (limit := limit_of(request, wanted)) is not None:
        body["max_completion_tokens" if traits.max_completion_tokens else "max_tokens"] = limit
    body |= _sampling(request, wanted)
    if request.tools:
        body["tools"] = [_tool(tool, wanted) for tool in request.tools]
        if request.tool_choice:
            body["tool_choice"] = _tool_choice(request, wanted)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.format:
        body["response_format"] = _format(request.format, wanted)
    body |= thinking(request, wanted)
    body |= _extras(request, wanted)
    if request.user:
        body["user"] = user_hash(request.user)
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _sampling(request: Request, wanted: Wanted) -> dict[str, Any]:
    traits, losses = wanted.to.traits, wanted.losses
    stop = request.stop
    if traits.stop_limit is not None and len(stop) > traits.stop_limit:
        losses.add(path(request, "stop"), f"this model takes {traits.stop_limit or 'no'} stop sequences")
        stop = stop[: traits.stop_limit]
    said = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    for name, value in said.items():
        if value is not None and not (is_sampled(request, wanted) if name != "top_k" else traits.top_k):
            losses.add(name, "this model takes no such setting")
            said[name] = None
    return {name: value for name, value in {**said, "stop": list(stop) or None}.items() if value is not None}


def _extras(request: Request, wanted: Wanted) -> dict[str, Any]:
    """What only some servers know."""
    traits, body = wanted.to.traits, dict[str, Any]()
    for name, told in _KNOWN_TO_SOME.items():
        value = getattr(request, name)
        if value is None or getattr(traits, name):
            body |= {} if value is None else {told: value}
        else:
            wanted.lose(request, **{name: value})
    tier = "default" if request.service_tier == "standard_only" else request.service_tier
    if tier and tier not in ("auto", _RESPONSES_TIER) and traits.tiers:
        body["service_tier"] = tier
    elif tier not in (None, "auto", "default"):
        wanted.lose(request, service_tier=tier)
    wanted.lose(request, metadata=request.metadata or None)
    return body | _logprobs(request, wanted)


def _logprobs(request: Request, wanted: Wanted) -> dict[str, Any]:
    if request.logprobs is None or not is_sampled(request, wanted):
        wanted.lose_logprobs(request)
        return {}
    return {"logprobs": True, **({"top_logprobs": request.logprobs} if request.logprobs else {})}


def _format(form: Format, wanted: Wanted) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": schema_members(form, wanted)}


def schema_members(form: Format, wanted: Wanted) -> dict[str, Any]:
    """Name, schema, description, strict: the same in both OpenAI APIs."""
    strict = form.strict
    if strict and form.name is None and not is_strict(parsed(form.schema)):
        wanted.losses.add(form.at, _NOT_ENFORCED)
        strict = False
    said: dict[str, Any] = {
        "name": wanted.names.plain(form.name or _ANSWER),
        "schema": msgspec.Raw(form.schema or EMPTY),
    }
    said |= {"strict": strict} if strict is not None else {}
    return {**said, "description": form.description} if form.description else said


# Tools.


def _tool(tool: Tool, wanted: Wanted) -> dict[str, Any]:
    traits, custom = wanted.to.traits, tool.kind is ToolKind.CUSTOM
    wrapped = custom and not traits.custom_tools
    said: dict[str, Any] = {"name": wanted.names.upstream(tool.name, tool.namespace, tool.kind, wrapped=wrapped)}
    if tool.description:
        said["description"] = tool.description
    if custom and not wrapped:
        if tool.grammar:
            grammar = {key: value for key, value in tool.grammar.items() if key != "type"}
            said["format"] = {"type": "grammar", "grammar": grammar}
        return {"type": "custom", "custom": said}
    said["parameters"] = free_text_schema(tool.grammar) if custom else parameters(tool, wanted.to.traits, wanted.losses)
    if tool.strict is not None:
        said["strict"] = strict_of(tool, wanted)
    return _mark({"type": "function", "function": said}, tool.cache, tool.at, wanted)


def strict_of(tool: Tool, wanted: Wanted) -> bool:
    """Whether arguments can be held to the schema: the same in both OpenAI APIs."""
    if tool.strict and not is_strict(parsed(tool.schema)):
        wanted.losses.add(f"{tool.at}.strict", _NOT_ENFORCED)
        return False
    return tool.strict or False


def _tool_choice(request: Request, wanted: Wanted) -> Any:
    choice = request.tool_choice
    if choice is None or choice.mode != "tool":
        return choice and choice.mode
    name = wanted.names.upstream(choice.name or "", choice.namespace)
    custom = any(tool.name == choice.name and tool.kind is ToolKind.CUSTOM for tool in request.tools)
    kind = "custom" if custom and wanted.to.traits.custom_tools else "function"
    return {"type": kind, kind: {"name": name}}


# Messages.


def _messages(turns: tuple[Turn, ...], wanted: Wanted) -> list[dict[str, Any]]:
    traits = wanted.to.traits
    if traits.system_anywhere:
        return list(_told(turns, wanted))
    system, rest = leading(turns)
    late = texts(part for turn in rest if turn.role in INSTRUCTING for part in turn.parts)
    for part in late:
        wanted.losses.add(part.at, "instructions in mid-conversation, moved to its beginning")
    told = [_system([*system, *late], "system", wanted)] if system or late else []
    return [*told, *_told([turn for turn in rest if turn.role not in INSTRUCTING], wanted)]


def _told(turns: Iterable[Turn], wanted: Wanted) -> Iterator[dict[str, Any]]:
    for role, run in groupby(turns, lambda turn: turn.role):
        if role in INSTRUCTING:
            parts = texts(part for turn in run for part in turn.parts)
            if parts:
                own = role.value if wanted.to.traits.developer else "system"
                yield _system(parts, own, wanted)
        else:
            for turn in run:
                yield from _assistant(turn, wanted) if role is Role.ASSISTANT else _user(turn, wanted)


def _system(parts: list[Text], role: str, wanted: Wanted) -> dict[str, Any]:
    return {"role": role, "content": _content(parts, wanted)}


def _content(parts: list[Text], wanted: Wanted) -> Any:
    """Texts as one string, which every server takes; as parts where there are marks between them."""
    if not any(part.cache for part in parts):
        return joined(parts)
    said = [_mark({"type": "text", "text": part.text}, part.cache, part.at, wanted) for part in parts]
    return said if any("cache_control" in part for part in said) else joined(parts)


def _mark(part: dict[str, Any], cache: str | None, at: str, wanted: Wanted) -> dict[str, Any]:
    if cache is None:
        return part
    if wanted.to.traits.cache_marks:
        return marked(part, cache)
    wanted.losses.add(f"{at}.cache_control", NO_MARKS)
    return part


def _user(turn: Turn, wanted: Wanted) -> Iterator[dict[str, Any]]:
    shown: list[Part] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            yield _result(part, wanted)
            media = [inner for inner in part.content if isinstance(inner, _MEDIA)]
            if media:
                shown += [Text(f"From the result of the tool call {part.id}:", part.at), *media]
    said = [*shown, *(part for part in turn.parts if not isinstance(part, ToolResult))]
    if not said:
        return
    only_texts = texts(said)
    if len(only_texts) == len(said):
        yield {"role": "user", "content": _content(only_texts, wanted)}
    else:
        yield {"role": "user", "content": [_part(part, wanted) for part in said]}


def _result(part: ToolResult, wanted: Wanted) -> dict[str, Any]:
    said = texts(part.content)
    if part.is_error:
        cache = next((inner.cache for inner in reversed(said) if inner.cache), None)
        said = [Text(failed(joined(said)), part.at, cache)]
    if not said and part.content:
        said = [Text("The result follows in the user's message.", part.at)]
    if part.cache and said:
        said[-1] = msgspec.structs.replace(said[-1], cache=part.cache, at=part.at)
    return {
        "role": "tool",
        "tool_call_id": wanted.id(part.id),
        "content": _content(said, wanted),
    }


def _assistant(turn: Turn, wanted: Wanted) -> Iterator[dict[str, Any]]:
    thoughts = [part for part in turn.parts if isinstance(part, Reasoning) and wanted.takes(part)]
    said = [part for part in turn.parts if isinstance(part, _SAID)]
    taken = {id(part) for part in thoughts}
    calls = _calls([part for part in turn.parts if id(part) in taken or isinstance(part, ToolCall)], wanted)
    if not (said or calls):
        return
    message: dict[str, Any] = {"role": "assistant", "content": _assistant_text(turn, wanted) if said else None}
    details = [part for part in thoughts if part.seal and part.seal.form == DETAIL]
    plain = [part for part in thoughts if part.text and not (part.seal and part.seal.form == DETAIL)]
    message = _thought(message, plain, wanted)
    if details:
        message["reasoning_details"] = [_detail(part, place) for place, part in enumerate(details)]
    if calls:
        message["tool_calls"] = calls
    yield message


def _thought(message: dict[str, Any], thoughts: list[Reasoning], wanted: Wanted) -> dict[str, Any]:
    """With plain reasoning, where the upstream takes it."""
    place = wanted.to.traits.reasoning_member
    if place and thoughts:
        return placed(message, "\n\n".join([part.text for part in thoughts]), place)
    for part in thoughts:
        wanted.losses.add(part.at, NO_REASONING)
    return message


def _calls(parts: list[Part], wanted: Wanted) -> list[dict[str, Any]]:
    """The calls, with Google's seal where one stands before a call."""
    calls: list[dict[str, Any]] = []
    seal = wanted.to.traits.unsigned_call
    for part in parts:
        if isinstance(part, ToolCall):
            calls.append(_call(part, seal, wanted))
            seal = None
        elif isinstance(part, Reasoning) and part.seal and part.seal.form == GOOGLE:
            seal = part.seal.data
    return calls


def _assistant_text(turn: Turn, wanted: Wanted) -> Any:
    """As in answers, texts side by side are one; what was another message, or has something between, is apart."""
    parts: list[Text] = []
    said: list[str] = []
    is_between = False
    for part in turn.parts:
        if not isinstance(part, _SAID):
            is_between = True
            continue
        text = part if isinstance(part, Text) else Text(part.text, part.at)
        said += [_PARAGRAPH, text.text] if said and (is_between or text.apart) else [text.text]
        parts.append(text)
        is_between = False
    if any(part.cache for part in parts):
        if wanted.to.traits.cache_marks:
            return _content(parts, wanted)
        for part in parts:
            _mark({}, part.cache, part.at, wanted)
    return "".join(said)


def _detail(part: Reasoning, index: int) -> dict[str, Any]:
    kept = unsealed(part.seal) if part.seal else {}
    name = "summary" if bytes(kept.get("type", b"")) == b'"reasoning.summary"' else "text"
    return {**kept, **({name: part.text} if part.text else {}), "index": index}


def _call(part: ToolCall, seal: str | None, wanted: Wanted) -> dict[str, Any]:
    native = part.kind is ToolKind.CUSTOM and wanted.to.traits.custom_tools
    wrapped = part.kind is ToolKind.CUSTOM and not native
    name = wanted.names.upstream(part.name, part.namespace, part.kind, wrapped=wrapped)
    said: dict[str, Any] = {"id": wanted.id(part.id)}
    if native:
        said |= {"type": "custom", "custom": {"name": name, "input": part.arguments}}
    else:
        said |= {"type": "function", "function": {"name": name, "arguments": arguments_of(part)}}
    if seal is not None:
        said["extra_content"] = {"google": {"thought_signature": seal}}
    return _mark(said, part.cache, part.at, wanted)


def _part(part: Part, wanted: Wanted) -> dict[str, Any]:
    match part:
        case Image():
            return _mark(_image(part, wanted), part.cache, part.at, wanted)
        case Document():
            return _mark(_file(part, wanted), part.cache, part.at, wanted)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.base64, "format": part.format}}
        case Text():
            return _mark({"type": "text", "text": part.text}, part.cache, part.at, wanted)
        case _:
            raise no_words(part.at, "this part", wanted.to)


def _image(part: Image, wanted: Wanted) -> dict[str, Any]:
    said = {"url": uri_of(part.source)}
    if part.detail in _DETAILS:
        said["detail"] = part.detail
    elif part.detail is not None:
        wanted.losses.add(f"{part.at}.detail", f"Chat Completions knows {', '.join(_DETAILS)}")
    return {"type": "image_url", "image_url": said}


def _file(part: Document, wanted: Wanted) -> dict[str, Any]:
    if (said := plain_text(part)) is not None:
        return {"type": "text", "text": said}
    if isinstance(part.source, Url):
        raise no_words(part.at, "a file by its URL", wanted.to)
    return {"type": "file", "file": {"filename": part.title or "document.pdf", "file_data": uri_of(part.source)}}
