"""A Messages request into the canon.

`system` becomes the first turn. Blocks are read one by one; those that ran at the provider (server tools and their
results) are losses, as are blocks that nobody knows yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.parts import Data, Document, Image, Part, Reasoning, Source, Text, ToolCall, ToolResult, Url
from trivium.canon.request import Format, Request, Role, Thinking, Tool, ToolChoice, Turn
from trivium.errors import FieldInvalid, Untranslatable
from trivium.wire.body import Members
from trivium.wire.cachemarks import mark_of, marked_whole
from trivium.wire.envelope import REDACTED, SIGNATURE, open_
from trivium.wire.fields import (
    Fields,
    Reader,
    contents,
    items,
    maybe_text,
    need_text,
    others,
    raw_object,
    raw_objects,
    told_of,
)
from trivium.wire.lenient import dump, mapping, text
from trivium.wire.losses import Losses
from trivium.wire.messages.toolchanges import in_effect
from trivium.wire.schemas import ANYTHING
from trivium.wire.toolnames import inward_id

ONLY = "only Messages can say it"
_ROLES = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SHOWN = {"summarized": "auto", "omitted": "none"}
_BILLING = "x-anthropic-billing-header:"


def parse(members: Members, losses: Losses) -> Request:
    """Raises FieldInvalid, InvalidJson, Untranslatable."""
    fields = Fields(members)
    choice, parallel = _tool_choice(fields, losses)
    config = fields.inner("output_config")
    messages = items(fields.take("messages"), "messages")
    told = Request(
        api=Api.MESSAGES,
        model=fields.text("model") or "",
        stream=fields.flag("stream") or False,
        turns=marked_whole(tuple(_turns(fields, messages, losses)), mark_of(fields.take("cache_control"), "", losses)),
        tools=tuple(in_effect(_tools(fields, losses), messages, _name, partial(_defined, losses))),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=fields.whole("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        stop=_stop(fields),
        thinking=_thinking(fields, config, losses),
        format=_format(fields, config, losses),
        user=_user(fields, losses),
        service_tier=fields.text("service_tier"),
    )
    config.rest(losses, ONLY)
    fields.rest(losses, ONLY, {"mcp_servers": ([],)})
    return told


def _stop(fields: Fields) -> tuple[str, ...]:
    stops = fields.listed("stop_sequences") or []
    if not all(type(stop) is str for stop in stops):
        raise fields.wrong("stop_sequences", "a list of strings")
    return tuple(stops)


def _user(fields: Fields, losses: Losses) -> str | None:
    metadata = fields.inner("metadata")
    user = metadata.text("user_id")
    metadata.rest(losses, ONLY)
    return user


def _thinking(fields: Fields, config: Fields, losses: Losses) -> Thinking | None:
    effort, said = config.text("effort"), fields.mapping("thinking")
    if said is None:
        return None if effort is None else Thinking(effort=effort)
    object = Fields(said, "thinking")
    kind, display = object.text("type"), object.text("display")
    if display is not None and display not in _SHOWN:
        losses.add("thinking.display", f"{ONLY}: `{display[:60]}`")
    thinking = Thinking(
        enabled=kind != "disabled",
        effort=effort,
        budget=object.whole("budget_tokens"),
        summary=_SHOWN.get(display or ""),
    )
    object.rest(losses, ONLY)
    return thinking


def _format(fields: Fields, config: Fields, losses: Losses) -> Format | None:
    for owner, name in ((config, "format"), (fields, "output_format")):
        at, given = owner.path(name), owner.inner(name)
        kind = given.text("type")
        if kind == "json_schema":
            told = Format(schema=given.schema("schema") or ANYTHING, strict=True, at=at)
            given.rest(losses, ONLY)
            return told
        if kind is not None:
            losses.add(at, ONLY)
    return None


# Tools.


def _tools(fields: Fields, losses: Losses) -> Iterator[Tool]:
    for place, given in enumerate(raw_objects(fields.raw("tools"), "tools")):
        if tool := _tool(given, f"tools[{place}]", losses):
            yield tool


def _name(tool: Tool) -> str:
    return tool.name


def _defined(losses: Losses, definition: dict[str, Any], at: str) -> Tool | None:
    return _tool(raw_object(msgspec.Raw(msgspec.json.encode(definition)), at), at, losses)


def _tool(given: dict[str, msgspec.Raw], at: str, losses: Losses) -> Tool | None:
    tool = Fields(given, at)
    kind = tool.text("type") or "custom"
    if kind != "custom":
        losses.add(at, f"a tool that only its provider knows: `{kind[:60]}`")
        return None
    told = Tool(
        name=tool.need("name"),
        description=tool.text("description"),
        schema=tool.schema("input_schema"),
        strict=tool.flag("strict"),
        cache=mark_of(tool.take("cache_control"), at, losses),
        at=at,
    )
    tool.rest(losses, ONLY, {"defer_loading": (False,), "eager_input_streaming": (False,)})
    return told


def _tool_choice(fields: Fields, losses: Losses) -> tuple[ToolChoice | None, bool | None]:
    said = fields.mapping("tool_choice")
    if said is None:
        return None, None
    choice = Fields(said, "tool_choice")
    alone = choice.flag("disable_parallel_tool_use")
    kind, name = choice.text("type") or "auto", choice.text("name")
    choice.rest(losses, ONLY)
    parallel = None if alone is None else not alone
    if kind == "tool":
        if not name:
            raise choice.wrong("type", "auto, any, none, or tool with a name")
        return ToolChoice("tool", name), parallel
    if kind not in _CHOICES:
        losses.add("tool_choice", f"{ONLY}: a choice of type `{kind[:60]}`")
        return None, parallel
    return ToolChoice(_CHOICES[kind]), parallel


# Turns.


def _turns(fields: Fields, messages: list[dict[str, Any]], losses: Losses) -> Iterator[Turn]:
    if system := contents(fields.take("system"), "system", losses, _block):
        yield Turn(Role.SYSTEM, system)
    for place, message in enumerate(messages):
        at = f"messages[{place}]"
        others(message, _MESSAGE, at, losses, ONLY)
        role = message.get("role")
        if type(role) is not str:
            raise FieldInvalid(f"`{at}.role` must be user, assistant or system.", param=f"{at}.role")
        if role not in _ROLES:
            losses.add(at, f"{ONLY}: a message of the role `{role[:60]}`")
        elif parts := contents(message.get("content"), f"{at}.content", losses, _block):
            yield Turn(_ROLES[role], parts)


_MESSAGE = frozenset({"role", "content"})


def _block(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    kind = block.get("type")
    reader = _READERS.get(kind) if type(kind) is str else None
    if reader is None:
        losses.add(at, f"{ONLY}: a block of type `{str(kind)[:60]}`")
        return ()
    return reader(block, at, losses)


_TEXT = frozenset({"type", "text", "cache_control"})
_IMAGE = frozenset({"type", "source", "cache_control"})
_SOURCE = frozenset({"type", "media_type", "data", "url", "content", "file_id"})
_DOCUMENT = frozenset({"type", "source", "cache_control", "title", "context", "citations"})
_CITATIONS = frozenset({"enabled"})
_THINKING = frozenset({"type", "thinking", "signature"})
_REDACTED = frozenset({"type", "data"})
_USE = frozenset({"type", "id", "name", "input", "cache_control"})
_FOUND = frozenset({"type", "title", "source", "content", "cache_control", "citations"})
_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def _text(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _TEXT, at, losses, ONLY)
    said = need_text(block, "text", at)
    if said.startswith(_BILLING):
        losses.add(at, "Claude Code's billing line, which changes from call to call and would spoil every prompt cache")
        return ()
    return (Text(said, at, mark_of(block.get("cache_control"), at, losses)),) if said else ()


def _image(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _IMAGE, at, losses, ONLY)
    return (Image(_source(block, at, losses), at, mark_of(block.get("cache_control"), at, losses)),)


def _source(block: dict[str, Any], at: str, losses: Losses) -> Source:
    source, where = mapping(block.get("source")), f"{at}.source"
    others(source, _SOURCE, where, losses, ONLY)
    kind = source.get("type")
    if kind == "base64":
        return Data(need_text(source, "media_type", where), need_text(source, "data", where))
    if kind == "url":
        return Url(need_text(source, "url", where))
    if kind == "file":
        raise Untranslatable(f"`{where}` names a file that lies with another provider; send its content.", param=where)
    raise FieldInvalid(f"`{where}.type` must be base64 or url.", param=f"{where}.type")


def _document(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _DOCUMENT, at, losses, ONLY)
    if mapping(block.get("citations")).get("enabled"):
        losses.add(f"{at}.citations", ONLY)
    others(mapping(block.get("citations")), _CITATIONS, f"{at}.citations", losses, ONLY)
    source, cache = mapping(block.get("source")), mark_of(block.get("cache_control"), at, losses)
    title, context = maybe_text(block, "title", at), maybe_text(block, "context", at)
    if source.get("type") in ("text", "content"):
        others(source, _SOURCE, f"{at}.source", losses, ONLY)
    if source.get("type") == "text":
        head = "".join(f"{name}: {said}\n" for name, said in (("Title", title), ("Context", context)) if said)
        return (Text(f"<document>\n{head}{need_text(source, 'data', f'{at}.source')}\n</document>", at, cache),)
    about = (Text(context, f"{at}.context"),) if context else ()
    if source.get("type") == "content":
        named = (Text(f"Title: {title}", f"{at}.title"),) if title else ()
        inner = contents(source.get("content"), f"{at}.source.content", losses, _block)
        return _marked((*named, *about, *inner), cache, at, losses)
    return (*about, Document(_source(block, at, losses), at, cache, title))


def _marked(parts: tuple[Part, ...], cache: str | None, at: str, losses: Losses) -> tuple[Part, ...]:
    """With the mark behind the last of them."""
    if cache is None:
        return parts
    if not (parts and isinstance(parts[-1], Text | Image)):
        losses.add(f"{at}.cache_control", "nothing stands before the mark that could have it")
        return parts
    return (*parts[:-1], msgspec.structs.replace(parts[-1], cache=parts[-1].cache or cache))


def _thought(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _THINKING, at, losses, ONLY)
    said, signature = need_text(block, "thinking", at), text(block.get("signature"))
    return (Reasoning(said, at, open_(signature, said, SIGNATURE) if signature else None),)


def _redacted(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _REDACTED, at, losses, ONLY)
    return (Reasoning("", at, open_(need_text(block, "data", at), "", REDACTED)),)


def _use(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _USE, at, losses, ONLY)
    cache = mark_of(block.get("cache_control"), at, losses)
    id, name = inward_id(need_text(block, "id", at)), need_text(block, "name", at)
    input = block.get("input")
    return (ToolCall(id, name, "{}" if input is None else dump(input), at=at, cache=cache),)


def _result(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _RESULT, at, losses, ONLY)
    content = contents(block.get("content"), f"{at}.content", losses, _block)
    failed = block.get("is_error")
    if failed is not None and type(failed) is not bool:
        raise FieldInvalid(f"`{at}.is_error` must be true or false.", param=f"{at}.is_error")
    return (
        ToolResult(
            inward_id(need_text(block, "tool_use_id", at)),
            told_of(content, losses),
            failed is True,
            at,
            mark_of(block.get("cache_control"), at, losses),
        ),
    )


def _search_result(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    others(block, _FOUND, at, losses, ONLY)
    losses.add(at, "given as plain text, not to be cited")
    title, source = text(block.get("title")), text(block.get("source"))
    found = contents(block.get("content"), f"{at}.content", losses, _block)
    cache = mark_of(block.get("cache_control"), at, losses)
    said = "\n".join(part.text for part in found if isinstance(part, Text))
    return (Text(f"<search_result>\n{title}\n{source}\n{said}\n</search_result>", at, cache),)


def _reference(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    losses.add(at, "given as plain text: all tools are loaded from the beginning")
    return (Text(f"The tool {text(block.get('tool_name'))} is available.", at),)


def _tool_change(_block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    losses.add(at, "the tools that there are at its end are there from the beginning of the conversation")
    return ()


def _upload(_block: dict[str, Any], at: str, _losses: Losses) -> tuple[Part, ...]:
    raise Untranslatable(f"`{at}` names a file that lies with another provider; send its content.", param=at)


def _compaction(block: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    losses.add(at, "given as plain text")
    said = text(block.get("content"))
    return (Text(said, at),) if said else ()


_READERS: dict[str, Reader] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thought,
    "redacted_thinking": _redacted,
    "tool_use": _use,
    "tool_result": _result,
    "search_result": _search_result,
    "tool_reference": _reference,
    "tool_addition": _tool_change,
    "tool_removal": _tool_change,
    "container_upload": _upload,
    "compaction": _compaction,
}
