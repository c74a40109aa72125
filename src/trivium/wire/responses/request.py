"""A Responses request into the canon.

Items of the assistant that follow each other, reasoning, messages and calls, are one turn; outputs of tools are results
in the user's turn. Tools inside a `namespace` (Codex) keep its name beside theirs. Items and tools that run at the
provider are losses. Without `strict` a tool is taken as not strict: the API's own default tries, and falls back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivium.canon.api import Api
from trivium.canon.parts import Document, Image, Part, Reasoning, Refusal, Text, ToolCall, ToolKind, ToolResult
from trivium.canon.request import Format, Request, Role, Thinking, Tool, ToolChoice, Turn, apart
from trivium.errors import FieldInvalid, Untranslatable
from trivium.wire.body import Members
from trivium.wire.chat.request import ROLES, among, schema_form, user_of
from trivium.wire.envelope import ENCRYPTED, open_
from trivium.wire.fields import Fields, contents, items, maybe_text, need_text, others, raw_objects, told_of
from trivium.wire.lenient import dump, sequence, text
from trivium.wire.losses import Losses
from trivium.wire.media import file_of, source_of
from trivium.wire.toolnames import inward_id

ONLY = "only Responses can say it"
_LOGPROBS = "message.output_text.logprobs"
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "truncation": ("disabled",),
    "stream_options": ({}, {"include_obfuscation": False}),
}
"""Values with which nothing is asked for, or what is given anyway."""


def parse(members: Members, losses: Losses) -> Request:
    """Raises FieldInvalid, InvalidJson, Untranslatable."""
    fields = Fields(members)
    if fields.take("prompt") is not None:
        raise Untranslatable("`prompt` names a template that lies with the provider; send its text.", param="prompt")
    format, verbosity = _text(fields, losses)
    told = Request(
        api=Api.RESPONSES,
        model=fields.text("model") or "",
        stream=fields.flag("stream") or False,
        turns=tuple(_turns(fields, losses)),
        tools=tuple(_tools(fields.raw("tools"), "tools", losses)),
        tool_choice=_tool_choice(fields, losses),
        parallel_tool_calls=fields.flag("parallel_tool_calls"),
        max_tokens=fields.whole("max_output_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        thinking=_thinking(fields, losses),
        verbosity=verbosity,
        format=format,
        user=user_of(fields, losses),
        metadata=fields.mapping("metadata"),
        cache_key=fields.text("prompt_cache_key"),
        cache_retention=fields.text("prompt_cache_retention"),
        service_tier=fields.text("service_tier"),
        logprobs=_logprobs(fields, losses),
    )
    if fields.flag("store"):
        losses.add("store", "the gateway keeps no answers")
    fields.rest(losses, ONLY, _HARMLESS)
    return told


def _logprobs(fields: Fields, losses: Losses) -> int | None:
    """Asked for by `include`; what else it may hold is given anyway, or a loss."""
    included, most = fields.listed("include") or [], fields.whole("top_logprobs")
    for name in dict.fromkeys(str(name)[:60] for name in included):
        if name not in (_LOGPROBS, "reasoning.encrypted_content"):
            losses.add("include", f"{ONLY}: `{name}`")
    return most or 0 if most or _LOGPROBS in included else None


def _thinking(fields: Fields, losses: Losses) -> Thinking | None:
    said = fields.mapping("reasoning")
    if not said:
        return None
    object = Fields(said, "reasoning")
    effort = object.text("effort")
    thinking = Thinking(
        effort=effort,
        enabled=False if effort == "none" else object.flag("enabled"),
        summary=object.text("summary") or object.text("generate_summary"),
    )
    object.rest(losses, ONLY, {"context": ("auto",)})
    return thinking


def _text(fields: Fields, losses: Losses) -> tuple[Format | None, str | None]:
    said = fields.inner("text")
    verbosity = said.text("verbosity")
    given = said.inner("format")
    said.rest(losses, ONLY)
    kind = given.text("type") or "text"
    if kind == "json_object":
        return Format(at="text.format"), verbosity
    if kind != "json_schema":
        if kind != "text":
            losses.add("text.format", ONLY)
        return None, verbosity
    return schema_form(given, "text.format", losses, ONLY), verbosity


# Tools.


def _tools(raw: Any, at: str, losses: Losses, namespace: str | None = None) -> Iterator[Tool]:
    for place, given in enumerate(raw_objects(raw, at)):
        where = f"{at}[{place}]"
        tool = Fields(given, where)
        kind = tool.text("type")
        if kind == "namespace" and namespace is None:
            yield from _tools(tool.raw("tools"), f"{where}.tools", losses, tool.text("name") or "")
        elif kind == "function":
            yield _function(tool, where, namespace)
        elif kind == "custom":
            yield _custom(tool, where, namespace, losses)
        else:
            losses.add(where, f"the provider's own tool `{(kind or '?')[:60]}`")
            continue
        tool.rest(losses, ONLY, {"defer_loading": (False,)})


def _function(tool: Fields, at: str, namespace: str | None) -> Tool:
    return Tool(
        name=tool.need("name"),
        description=tool.text("description"),
        schema=tool.schema("parameters"),
        strict=tool.flag("strict"),
        namespace=namespace,
        at=at,
    )


_FORM = frozenset({"type", "syntax", "definition"})


def _custom(tool: Fields, at: str, namespace: str | None, losses: Losses) -> Tool:
    form = tool.mapping("format")
    others(form or {}, _FORM, tool.path("format"), losses, ONLY)
    if form and form.get("type") not in ("text", "grammar"):
        losses.add(tool.path("format"), ONLY)
    return Tool(
        name=tool.need("name"),
        description=tool.text("description"),
        kind=ToolKind.CUSTOM,
        grammar=form if form and form.get("type") == "grammar" else None,
        namespace=namespace,
        at=at,
    )


def _tool_choice(fields: Fields, losses: Losses) -> ToolChoice | None:
    said = fields.take("tool_choice")
    if said is None:
        return None
    if said in ("auto", "required", "none"):
        return ToolChoice(said)
    kind = said.get("type") if type(said) is dict else None
    if kind in ("function", "custom") and type(said.get("name")) is str:
        return ToolChoice("tool", said["name"], text(said.get("namespace")) or None)
    if kind == "allowed_tools":
        return among(said, losses)
    if type(kind) is str:
        losses.add("tool_choice", f"the provider's own tool `{kind[:60]}`")
        return None
    raise fields.wrong("tool_choice", "auto, required, none or a tool")


# Items.


def _turns(fields: Fields, losses: Losses) -> Iterator[Turn]:
    if instructions := fields.text("instructions"):
        yield Turn(Role.SYSTEM, (Text(instructions, "instructions"),))
    said = fields.take("input")
    if type(said) is str:
        yield Turn(Role.USER, (Text(said, "input"),))
        return
    answer: list[Part] = []
    for place, item in enumerate(items(said if said is not None else [], "input")):
        role, parts = _item(item, f"input[{place}]", losses)
        if role is Role.ASSISTANT:
            answer += apart(parts) if answer else parts
            continue
        if answer and parts:
            yield Turn(Role.ASSISTANT, tuple(answer))
            answer = []
        if parts:
            yield Turn(role, parts)
    if answer:
        yield Turn(Role.ASSISTANT, tuple(answer))


_MESSAGE = frozenset({"type", "role", "content", "id", "status"})
_CALL = frozenset({"type", "call_id", "id", "name", "namespace", "arguments", "input", "status"})
_OUTPUT = frozenset({"type", "call_id", "id", "output", "status", "name"})
_THOUGHT = frozenset({"type", "text"})
_REASONING = frozenset({"type", "id", "summary", "content", "encrypted_content", "status", "format", "signature"})


_SUMMED_UP = {
    "compaction": "is what was said before, summed up by another provider, and only that one can read it; name a model "
    "of its, or send the conversation.",
    "compaction_trigger": "asks for the conversation to be summed up, which this model's API cannot; the client has to "
    "do it (Codex does for a provider that is not called `OpenAI`).",
}
"""Items without which the question would be another."""


def _item(item: dict[str, Any], at: str, losses: Losses) -> tuple[Role, tuple[Part, ...]]:
    kind = item.get("type") or "message"
    if kind == "message":
        others(item, _MESSAGE, at, losses, ONLY)
        if item.get("status") == "incomplete":
            losses.add(f"{at}.status", "an answer that was cut short is given as a whole one")
        role = item.get("role")
        if type(role) is not str:
            raise FieldInvalid(f"`{at}.role` must be system, developer, user or assistant.", param=f"{at}.role")
        if role not in ROLES:
            losses.add(at, f"{ONLY}: a message of the role `{role[:60]}`")
            return Role.USER, ()
        return ROLES[role], contents(item.get("content"), f"{at}.content", losses, _part)
    if kind in ("function_call", "custom_tool_call"):
        others(item, _CALL, at, losses, ONLY)
        return Role.ASSISTANT, (_call(item, kind, at),)
    if kind in ("function_call_output", "custom_tool_call_output"):
        others(item, _OUTPUT, at, losses, ONLY)
        return Role.USER, (_result(item, at, losses),)
    if kind == "reasoning":
        others(item, _REASONING, at, losses, ONLY)
        return Role.ASSISTANT, (_reasoning(item, at, losses),)
    if kind in _SUMMED_UP:
        raise Untranslatable(f"`{at}` {_SUMMED_UP[kind]}", param=at)
    losses.add(at, f"{ONLY}: an item of type `{str(kind)[:60]}`")
    return Role.USER, ()


def _call(item: dict[str, Any], kind: str, at: str) -> ToolCall:
    custom = kind == "custom_tool_call"
    return ToolCall(
        inward_id(maybe_text(item, "call_id", at) or ""),
        need_text(item, "name", at),
        maybe_text(item, "input" if custom else "arguments", at) or "",
        ToolKind.CUSTOM if custom else ToolKind.FUNCTION,
        maybe_text(item, "namespace", at),
        at,
    )


def _result(item: dict[str, Any], at: str, losses: Losses) -> ToolResult:
    output, where = item.get("output"), f"{at}.output"
    if type(output) is dict:
        output = dump(output)
    content = contents(output, where, losses, _part)
    return ToolResult(inward_id(maybe_text(item, "call_id", at) or ""), told_of(content, losses), at=at)


def _reasoning(item: dict[str, Any], at: str, losses: Losses) -> Reasoning:
    """Of its two forms the content, which is the whole of it; beside a seal the summary, with which it was made."""
    for place in ("summary", "content"):
        for number, part in enumerate(items(item.get(place) or [], f"{at}.{place}")):
            others(part, _THOUGHT, f"{at}.{place}[{number}]", losses, ONLY)
    sealed = text(item.get("encrypted_content"))
    summary = [text(part.get("text")) for part in items(item.get("summary") or [], f"{at}.summary")]
    content = [text(part.get("text")) for part in items(sequence(item.get("content")), f"{at}.content")]
    forms = (summary, content) if sealed else (content, summary)
    said = "\n\n".join(piece for piece in next(filter(any, forms), ()) if piece)
    return Reasoning(said, at, open_(sealed, said, ENCRYPTED) if sealed else None)


_TEXT = frozenset({"type", "text", "annotations", "logprobs"})
_REFUSAL = frozenset({"type", "refusal"})
_IMAGE = frozenset({"type", "image_url", "detail", "file_id"})
_FILE = frozenset({"type", "file_data", "file_url", "filename", "file_id"})


def _part(part: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        others(part, _TEXT, at, losses, ONLY)
        if part.get("annotations"):
            losses.add(f"{at}.annotations", "sources of an earlier answer")
        said = need_text(part, "text", at)
        return (Text(said, at),) if said else ()
    if kind == "refusal":
        others(part, _REFUSAL, at, losses, ONLY)
        return (Refusal(need_text(part, "refusal", at), at),)
    if kind == "input_image":
        others(part, _IMAGE, at, losses, ONLY)
        _need_content(part, "image_url", at)
        source = source_of(need_text(part, "image_url", at), f"{at}.image_url")
        return (Image(source, at, detail=maybe_text(part, "detail", at)),)
    if kind == "input_file":
        return (_file(part, at, losses),)
    losses.add(at, f"{ONLY}: a part of type `{str(kind)[:60]}`")
    return ()


def _file(part: dict[str, Any], at: str, losses: Losses) -> Document:
    others(part, _FILE, at, losses, ONLY)
    _need_content(part, "file_data" if part.get("file_data") is not None else "file_url", at)
    if part.get("file_data") is not None:
        source = file_of(need_text(part, "file_data", at), f"{at}.file_data")
    else:
        source = source_of(need_text(part, "file_url", at), f"{at}.file_url")
    return Document(source, at, title=maybe_text(part, "filename", at))


def _need_content(part: dict[str, Any], name: str, at: str) -> None:
    if part.get(name) is None and part.get("file_id") is not None:
        raise Untranslatable(
            f"`{at}.file_id` names a file that lies with another provider; send its content.", param=f"{at}.file_id"
        )
