"""A Chat Completions request into the canon.

`messages` become turns, a `tool` message a result in the user's turn. Reasoning that clients send back is read from
`reasoning_details` (OpenRouter), `reasoning_content` or `reasoning`. `functions` and `function_call`, the API's first
form of tools, are read as tools of which one is called at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.parts import Audio, Document, Image, Part, Reasoning, Refusal, Text, ToolCall, ToolKind, ToolResult
from trivium.canon.request import Format, Request, Role, Thinking, Tool, ToolChoice, Turn
from trivium.errors import FieldInvalid, Untranslatable
from trivium.wire.body import Members, is_said
from trivium.wire.cachemarks import mark_of, marked_whole
from trivium.wire.chat.details import reasoning_of
from trivium.wire.fields import Fields, contents, items, maybe_text, need_text, others, raw_objects, told_of
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.losses import Losses
from trivium.wire.media import file_of, source_of
from trivium.wire.schemas import ANYTHING
from trivium.wire.toolnames import inward_id

ONLY = "only Chat Completions can say it"
ROLES = {role.value: role for role in Role}
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "usage": ({"include": True},),
    "function_call": ("auto",),
    "transforms": ([],),
}
"""Values with which nothing is asked for."""
_STREAMED = frozenset({"include_usage", "include_obfuscation"})
_LEGACY_ID = "function_call"


def parse(members: Members, losses: Losses) -> Request:
    """Raises FieldInvalid, InvalidJson, Untranslatable."""
    fields = Fields(members)
    if (many := fields.take("n")) not in (None, 1):
        raise Untranslatable(f"`n` is {many}: this model's API gives one answer at a time.", param="n")
    legacy = is_said(members, "functions") and not is_said(members, "tools")
    others(fields.mapping("stream_options") or {}, _STREAMED, "stream_options", losses, ONLY)
    told = Request(
        api=Api.CHAT,
        model=fields.text("model") or "",
        stream=fields.flag("stream") or False,
        turns=marked_whole(_turns(fields, losses), mark_of(fields.take("cache_control"), "", losses)),
        tools=_tools(fields, losses),
        tool_choice=_tool_choice(fields, losses),
        parallel_tool_calls=_first(fields.flag("parallel_tool_calls"), False if legacy else None),
        max_tokens=_first(fields.whole("max_completion_tokens"), fields.whole("max_tokens")),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        stop=_stop(fields),
        thinking=_thinking(fields, losses),
        verbosity=fields.text("verbosity"),
        format=_format(fields, losses),
        user=user_of(fields, losses),
        metadata=fields.mapping("metadata"),
        cache_key=fields.text("prompt_cache_key"),
        cache_retention=fields.text("prompt_cache_retention"),
        service_tier=fields.text("service_tier"),
        logprobs=_logprobs(fields),
    )
    if fields.flag("store"):
        losses.add("store", "the gateway keeps no answers")
    fields.rest(losses, ONLY, _HARMLESS)
    return told


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _stop(fields: Fields) -> tuple[str, ...]:
    said = fields.take("stop")
    stops = [said] if type(said) is str else said or []
    if type(stops) is not list or not all(type(stop) is str for stop in stops):
        raise fields.wrong("stop", "a string or a list of strings")
    return tuple(stops)


def user_of(fields: Fields, losses: Losses) -> str | None:
    """Whom the caller asks for, by the new name of the member or by the old one."""
    user, old = fields.text("safety_identifier"), fields.text("user")
    if user is not None and old not in (None, user):
        losses.add("user", "`safety_identifier` says whom the caller asks for")
    return old if user is None else user


def _logprobs(fields: Fields) -> int | None:
    asked, most = fields.flag("logprobs"), fields.whole("top_logprobs")
    return most or 0 if asked else None


def _thinking(fields: Fields, losses: Losses) -> Thinking | None:
    effort, said = fields.text("reasoning_effort"), fields.mapping("reasoning")
    unread = fields.flag("include_reasoning") is False
    if said is None and effort is None and not unread:
        return None
    object = Fields(said or {}, "reasoning")
    effort = _first(object.text("effort"), effort)
    thinking = Thinking(
        effort=effort,
        budget=object.whole("max_tokens"),
        enabled=False if effort == "none" else object.flag("enabled"),
        summary="none" if object.flag("exclude") or unread else object.text("summary"),
    )
    object.rest(losses, ONLY)
    return thinking


def _format(fields: Fields, losses: Losses) -> Format | None:
    said = fields.inner("response_format")
    kind = said.text("type") or "text"
    schema = said.inner("json_schema")
    said.rest(losses, ONLY)
    if kind == "text":
        return None
    if kind == "json_object":
        return Format(at="response_format")
    if kind != "json_schema":
        losses.add("response_format", ONLY)
        return None
    return schema_form(schema, "response_format", losses, ONLY)


def schema_form(said: Fields, at: str, losses: Losses, why: str) -> Format:
    """The members of a form that is a schema, which are the same in both OpenAI APIs."""
    told = Format(
        schema=said.schema("schema") or ANYTHING,
        name=said.text("name"),
        description=said.text("description"),
        strict=said.flag("strict"),
        at=at,
    )
    said.rest(losses, why)
    return told


# Tools.


def _tools(fields: Fields, losses: Losses) -> tuple[Tool, ...]:
    told = []
    for place, given in enumerate(raw_objects(fields.raw("tools"), "tools")):
        at = f"tools[{place}]"
        tool = Fields(given, at)
        kind = tool.text("type") or "function"
        if kind == "function":
            function = _function(tool.inner("function"), losses)
            told.append(msgspec.structs.replace(function, cache=mark_of(tool.take("cache_control"), at, losses)))
        elif kind == "custom":
            told.append(_custom(tool.inner("custom"), losses))
        else:
            losses.add(at, f"the provider's own tool `{kind[:60]}`")
            continue
        tool.rest(losses, ONLY)
    for place, given in enumerate(raw_objects(fields.raw("functions"), "functions")):
        told.append(_function(Fields(given, f"functions[{place}]"), losses))
    return tuple(told)


def _function(function: Fields, losses: Losses) -> Tool:
    tool = Tool(
        name=function.need("name"),
        description=function.text("description"),
        schema=function.schema("parameters"),
        strict=function.flag("strict"),
        at=function.path("")[:-1],
    )
    function.rest(losses, ONLY)
    return tool


_GRAMMAR = frozenset({"syntax", "definition"})
_FORM = frozenset({"type", "grammar"})
_FORMS = ("text", "grammar")


def _custom(custom: Fields, losses: Losses) -> Tool:
    form = custom.mapping("format") or {}
    others(form, _FORM, custom.path("format"), losses, ONLY)
    if form.get("type", "text") not in _FORMS:
        losses.add(custom.path("format"), ONLY)
    grammar = form.get("grammar")
    others(mapping(grammar), _GRAMMAR, custom.path("format.grammar"), losses, ONLY)
    tool = Tool(
        name=custom.need("name"),
        description=custom.text("description"),
        kind=ToolKind.CUSTOM,
        grammar={"type": "grammar", **grammar} if type(grammar) is dict else None,
        at=custom.path("")[:-1],
    )
    custom.rest(losses, ONLY)
    return tool


def among(allowed: dict[str, Any], losses: Losses) -> ToolChoice:
    """The choice among some of the tools, which both OpenAI APIs know; in Chat a name has an object of its own."""
    names = []
    for tool in map(mapping, sequence(allowed.get("tools"))):
        kind = text(tool.get("type"))
        name = text(tool.get("name")) or text(mapping(tool.get(kind)).get("name"))
        if kind in _KINDS and name:
            names.append(name)
        else:
            losses.add("tool_choice", f"the provider's own tool `{(kind or '?')[:60]}`")
    return ToolChoice("required" if allowed.get("mode") == "required" else "auto", among=tuple(names))


_CHOICE = frozenset({"type", "function", "custom"})
_NAMED = frozenset({"name"})


def _tool_choice(fields: Fields, losses: Losses) -> ToolChoice | None:
    said, legacy = fields.take("tool_choice"), fields.take("function_call")
    if said is None and type(legacy) is dict:
        said = {"type": "function", "function": legacy}
    said = _first(said, legacy)
    if said is None:
        return None
    if said in ("auto", "required", "none"):
        return ToolChoice(said)
    kind = said.get("type") if type(said) is dict else None
    named = said.get(kind) if kind in ("function", "custom") else None
    if type(named) is dict and type(named.get("name")) is str:
        others(said, _CHOICE, "tool_choice", losses, ONLY)
        others(named, _NAMED, f"tool_choice.{kind}", losses, ONLY)
        return ToolChoice("tool", named["name"])
    if kind == "allowed_tools":
        return among(mapping(said.get("allowed_tools")), losses)
    if type(kind) is str and kind not in _KINDS:
        losses.add("tool_choice", f"{ONLY}: a choice of type `{kind[:60]}`")
        return None
    raise fields.wrong("tool_choice", "auto, required, none or a tool")


# Messages.


def _turns(fields: Fields, losses: Losses) -> tuple[Turn, ...]:
    return tuple(
        turn
        for place, message in enumerate(items(fields.take("messages"), "messages"))
        if (turn := _turn(message, f"messages[{place}]", losses)) is not None
    )


_TURN = frozenset({"role", "content", "cache_control"})
_ASSISTANT = _TURN | {"tool_calls", "function_call", "refusal", "reasoning", "reasoning_content", "reasoning_details"}
_TOOL = _TURN | {"tool_call_id"}
_FUNCTION = _TURN | {"name"}


def _turn(message: dict[str, Any], at: str, losses: Losses) -> Turn | None:
    role = message.get("role")
    if role in ("tool", "function"):
        others(message, _TOOL if role == "tool" else _FUNCTION, at, losses, ONLY)
        return Turn(Role.USER, (_result(message, at, losses),))
    if type(role) is not str:
        raise FieldInvalid(f"`{at}.role` must be system, developer, user, assistant or tool.", param=f"{at}.role")
    if role not in ROLES:
        losses.add(at, f"{ONLY}: a message of the role `{role[:60]}`")
        return None
    mark = mark_of(message.get("cache_control"), at, losses)
    content = contents(message.get("content"), f"{at}.content", losses, _part)
    if role != "assistant":
        others(message, _TURN, at, losses, ONLY)
        return Turn(ROLES[role], _marked(content, mark))
    others(message, _ASSISTANT, at, losses, ONLY)
    refused = maybe_text(message, "refusal", at)
    refusal = (Refusal(refused, f"{at}.refusal"),) if refused else ()
    calls = _calls(message, at, losses)
    return Turn(Role.ASSISTANT, (*reasoning_of(message, at), *_marked((*content, *refusal, *calls), mark)))


def _marked(parts: tuple[Part, ...], mark: str | None) -> tuple[Part, ...]:
    """A mark on a message (opencode) is one behind its last part."""
    if mark is None or not parts or isinstance(parts[-1], Audio | Refusal | Reasoning):
        return parts
    return (*parts[:-1], msgspec.structs.replace(parts[-1], cache=mark))


def _result(message: dict[str, Any], at: str, losses: Losses) -> ToolResult:
    id = _LEGACY_ID if message.get("role") == "function" else maybe_text(message, "tool_call_id", at) or ""
    content = contents(message.get("content"), f"{at}.content", losses, _part)
    mark = mark_of(message.get("cache_control"), at, losses)
    return ToolResult(inward_id(id), told_of(content, losses), at=at, cache=mark)


_CALL = frozenset({"id", "type", "function", "custom", "index", "extra_content", "cache_control"})
_CALLED = frozenset({"name", "arguments", "input"})
_KINDS: dict[str, ToolKind] = {"function": ToolKind.FUNCTION, "custom": ToolKind.CUSTOM}


def _calls(message: dict[str, Any], at: str, losses: Losses) -> list[ToolCall]:
    calls = []
    for place, call in enumerate(items(message.get("tool_calls") or [], f"{at}.tool_calls")):
        where = f"{at}.tool_calls[{place}]"
        others(call, _CALL, where, losses, ONLY)
        kind = _KINDS.get(str(call.get("type") or "function"))
        if kind is None:
            losses.add(where, f"{ONLY}: a call of type `{str(call.get('type'))[:60]}`")
            continue
        what = call.get(kind)
        if type(what) is not dict:
            raise FieldInvalid(f"`{where}.{kind}` must be an object.", param=f"{where}.{kind}")
        others(what, _CALLED, f"{where}.{kind}", losses, ONLY)
        if call.get("extra_content") is not None:
            losses.add(f"{where}.extra_content", "the provider's seal of its own reasoning, of use to it alone")
        said = maybe_text(what, "input" if kind is ToolKind.CUSTOM else "arguments", f"{where}.{kind}") or ""
        name = need_text(what, "name", f"{where}.{kind}")
        id, mark = inward_id(maybe_text(call, "id", where) or ""), mark_of(call.get("cache_control"), where, losses)
        calls.append(ToolCall(id, name, said, kind, at=where, cache=mark))
    legacy = message.get("function_call")
    if type(legacy) is dict:
        where = f"{at}.function_call"
        others(legacy, _CALLED, where, losses, ONLY)
        said = maybe_text(legacy, "arguments", where) or ""
        calls.append(ToolCall(_LEGACY_ID, need_text(legacy, "name", where), said, at=where))
    return calls


_TEXT = frozenset({"type", "text", "cache_control"})
_REFUSAL = frozenset({"type", "refusal"})
_IMAGE = frozenset({"type", "image_url", "cache_control"})
_IMAGE_URL = frozenset({"url", "detail"})
_FILE = frozenset({"type", "file", "cache_control"})
_FILED = frozenset({"file_data", "filename", "file_id"})


def _part(part: dict[str, Any], at: str, losses: Losses) -> tuple[Part, ...]:
    kind = part.get("type")
    if kind == "text":
        others(part, _TEXT, at, losses, ONLY)
        said = need_text(part, "text", at)
        return (Text(said, at, mark_of(part.get("cache_control"), at, losses)),) if said else ()
    if kind == "refusal":
        others(part, _REFUSAL, at, losses, ONLY)
        return (Refusal(need_text(part, "refusal", at), at),)
    if kind in ("thinking", "reasoning"):
        losses.add(at, "reasoning without the seal of whoever answers now")
        return ()
    maker = _MEDIA.get(kind) if type(kind) is str else None
    if maker is None:
        losses.add(at, f"{ONLY}: a part of type `{str(kind)[:60]}`")
        return ()
    return (maker(part, at, losses),)


def _image(part: dict[str, Any], at: str, losses: Losses) -> Image:
    others(part, _IMAGE, at, losses, ONLY)
    said = part.get("image_url")
    said = {"url": said} if type(said) is str else mapping(said)
    others(said, _IMAGE_URL, f"{at}.image_url", losses, ONLY)
    source = source_of(need_text(said, "url", f"{at}.image_url"), f"{at}.image_url.url")
    cache = mark_of(part.get("cache_control"), at, losses)
    return Image(source, at, cache, maybe_text(said, "detail", f"{at}.image_url"))


_AUDIO = frozenset({"type", "input_audio"})
_SOUND = frozenset({"format", "data"})


def _audio(part: dict[str, Any], at: str, losses: Losses) -> Audio:
    others(part, _AUDIO, at, losses, ONLY)
    said, where = part.get("input_audio"), f"{at}.input_audio"
    said = mapping(said)
    others(said, _SOUND, where, losses, ONLY)
    return Audio(need_text(said, "format", where), need_text(said, "data", where), at)


def _file(part: dict[str, Any], at: str, losses: Losses) -> Document:
    others(part, _FILE, at, losses, ONLY)
    said = mapping(part.get("file"))
    others(said, _FILED, f"{at}.file", losses, ONLY)
    if said.get("file_data") is None:
        raise Untranslatable(
            f"`{at}.file` names a file that lies with another provider; send its content as `file_data`.", param=at
        )
    source = file_of(need_text(said, "file_data", f"{at}.file"), f"{at}.file.file_data")
    cache = mark_of(part.get("cache_control"), at, losses)
    return Document(source, at, cache, maybe_text(said, "filename", f"{at}.file"))


_MEDIA: dict[str, Callable[[dict[str, Any], str, Losses], Part]] = {
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}
