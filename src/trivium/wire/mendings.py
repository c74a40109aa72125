"""What single families of models and single vendors want otherwise than the API has it (vendors page, "Requests")."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.wire.again import Again
from trivium.wire.body import count
from trivium.wire.chat.details import MEMBERS, placed, reasoning_of
from trivium.wire.chat.order import answered
from trivium.wire.destination import FOREIGN_REASONING, NO_REASONING
from trivium.wire.draft import Draft
from trivium.wire.effort import FIXED_EFFORT, effort_of, nearest, told_as
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.request import MAX_TOKENS

COMPLETION = "attempt_completion"
_ONLY_WHETHER = "this model can be asked to reason, and not how much"
_READ_FILE = b'"read_file"'
_RANGES = "line_ranges"
_UNKNOWN = "not a member that this provider takes"
_QWENS_MOST = 32_768
_MISTRALS_TEMPERATURE = 0.2
_MISTRALS_NAMES = {"max_completion_tokens": "max_tokens", "seed": "random_seed"}
"""docs.mistral.ai/api; what it does not know is refused with 422 (editor-code-assistant/eca#231)."""
_LIMIT = "max_completion_tokens"
_BLANK = " "
_NO_THOUGHT = msgspec.Raw(b"null")
_THOUGHTLESS = frozenset((b"null", b'""', b"[]"))
_COPY = "the same reasoning stands there before"
_is_without_completion = Again(lambda tools: f'"{COMPLETION}"'.encode() not in tools)


def must_complete(draft: Draft, *, reasons: bool) -> None:
    """A choice that the client made itself stays. `reasons`: the model thinks, and could not be told to use a tool.
    Raises InvalidJson."""
    if reasons or _is_without_completion(draft.raw("tools")):
        return
    if not any(_name(tool) == COMPLETION for tool in draft.entries("tools")):
        return
    choice = draft.value("tool_choice")
    if choice is None or choice == "auto":
        draft.set("tool_choice", {"type": "any"} if draft.api is Api.MESSAGES else "required")
    elif mapping(choice).get("type") == "auto":
        draft.set("tool_choice", {**choice, "type": "any"})


def reasons(draft: Draft, *, by_itself: bool) -> bool:
    """Whether the request has the model think; `by_itself` says what it does where nothing is said. Raises
    InvalidJson."""
    thinking, asked = mapping(draft.value("thinking")), mapping(draft.value("reasoning"))
    if thinking:
        return thinking.get("type") != "disabled"
    effort = asked.get("effort") or draft.value("reasoning_effort")
    if asked.get("enabled") is False or effort == "none":
        return False
    return by_itself or bool(effort or asked.get("enabled") or asked.get("max_tokens"))


def _name(tool: Any) -> str:
    said = mapping(tool)
    return text(mapping(said.get("function")).get("name")) or text(said.get("name"))


def ranges_may_be_null(draft: Draft) -> None:
    """Vercel hands Google a type that is a list on as one, which Google refuses. Raises InvalidJson."""
    if _READ_FILE in draft.raw("tools"):
        tools = draft.entries("tools")
        draft.put_entries("tools", [_ranged(tool) if _name(tool) == "read_file" else tool for tool in tools])


def _ranged(said: Any, name: str = "") -> Any:
    """The schema with each `line_ranges` in it told as a choice; the same object where there is none."""
    if isinstance(said, list):
        entries = [_ranged(one) for one in said]
        return said if all(new is old for new, old in zip(entries, said, strict=True)) else entries
    if not isinstance(said, dict):
        return said
    if name == _RANGES and "anyOf" not in said and "array" in (said.get("type"), *sequence(said.get("type"))):
        told = {key: value for key, value in said.items() if key != "description"}
        about = {"description": said["description"]} if "description" in said else {}
        return {**about, "anyOf": [{"type": "null"}, {**told, "type": "array"}]}
    members = {key: _ranged(value, key) for key, value in said.items()}
    return said if all(members[key] is value for key, value in said.items()) else members


def for_moonshot(draft: Draft, *, by_effort: bool, by_thinking: bool) -> None:
    """`by_effort`: the word `reasoning_effort` is known there. `by_thinking`: so is Moonshot's own word for whether.
    Raises InvalidJson."""
    draft.remove("temperature", "this model takes no such setting")
    said, effort = draft.value("reasoning"), draft.value("reasoning_effort")
    if not by_effort and isinstance(effort, str):
        said = said if isinstance(said, dict) else {"enabled": effort != "none"}
        draft.remove("reasoning_effort", None if effort == "none" else _ONLY_WHETHER)
    if not isinstance(said, dict):
        return
    for name, value in said.items():
        if name != "enabled" and value not in (None, "none"):
            draft.losses.add(f"reasoning.{name}", _ONLY_WHETHER)
    enabled = reasons(draft, by_itself=said.get("enabled") is not False)
    draft.set("reasoning", {"enabled": enabled})
    if by_thinking and draft.raw("thinking") == b"null":
        draft.set("thinking", {"type": "enabled" if enabled else "disabled"})


def with_stops(draft: Draft, stops: tuple[str, ...]) -> None:
    """Where a request names stop sequences, llama.cpp forgets those that it was started with. Raises InvalidJson."""
    name = "stop_sequences" if draft.api is Api.MESSAGES else "stop"
    said = draft.value(name)
    own = [said] if isinstance(said, str) else sequence(said)
    if own:
        draft.set(name, [*own, *(stop for stop in stops if stop not in own)])


def for_qwen(draft: Draft) -> None:
    members = draft.members()
    for name in MAX_TOKENS[draft.api]:
        if (count(members, name) or 0) > _QWENS_MOST:
            draft.losses.add(name, f"this model answers with {_QWENS_MOST} tokens at the most")
            draft.put(name, b"%d" % _QWENS_MOST)


def for_mistrals_models(draft: Draft) -> None:
    """Raises InvalidJson."""
    if draft.raw("temperature") == b"null":
        draft.set("temperature", _MISTRALS_TEMPERATURE)
    if b'"strict"' in draft.raw("tools"):
        tools = draft.entries("tools")
        draft.put_entries("tools", [_not_strict(tool, f"tools[{n}]", draft) for n, tool in enumerate(tools)])


def _not_strict(tool: Any, at: str, draft: Draft) -> Any:
    said = mapping(tool)
    function = mapping(said.get("function"))
    if "strict" not in said and "strict" not in function:
        return tool
    if said.get("strict") or function.get("strict"):
        draft.losses.add(f"{at}.strict", "this model cannot be held to a schema")
    told = {name: value for name, value in said.items() if name != "strict"}
    if function:
        told["function"] = {name: value for name, value in function.items() if name != "strict"}
    return told


def for_mistral(draft: Draft, names: frozenset[str]) -> None:
    for name, theirs in _MISTRALS_NAMES.items():
        if draft.raw(name) != b"null":
            draft.put(theirs, draft.raw(name))
        draft.remove(name, None)
    without(draft, names)


def without(draft: Draft, names: frozenset[str]) -> None:
    for name in sorted(names):
        draft.remove(name, _UNKNOWN)


def fit_effort(draft: Draft, efforts: tuple[str, ...]) -> None:
    """How hard to reason, in one of the words that the model takes; where there are none, it is not said. Raises
    InvalidJson."""
    chat = draft.api is Api.CHAT
    reasoning = {} if chat else mapping(draft.value("reasoning"))
    said = draft.value("reasoning_effort") if chat else reasoning.get("effort")
    if not isinstance(said, str) or said in efforts:
        return
    if efforts:
        told = nearest(said, efforts)
        draft.set(*("reasoning_effort", told) if chat else ("reasoning", {**reasoning, "effort": told}))
    elif chat:
        draft.remove("reasoning_effort", FIXED_EFFORT)
    else:
        draft.losses.add("reasoning.effort", FIXED_EFFORT)
        draft.set("reasoning", {name: value for name, value in reasoning.items() if name != "effort"})


def effort_for_reasoning(draft: Draft, efforts: tuple[str, ...] | None, *, off: tuple[str, Any] | None) -> None:
    """OpenRouter's object as the one word that vendors know, as translations say it; `efforts` are those that the model
    takes, None where it does not reason. `off`: the member that tells it not to instead. A client's own word stays.
    Raises InvalidJson."""
    said = draft.value("reasoning")
    asked = mapping(said)
    budget, effort = asked.get("max_tokens"), asked.get("effort")
    if not isinstance(effort, str):
        effort = effort_of(budget) if type(budget) is int and budget > 0 else None
    effort = "none" if asked.get("enabled") is False else effort
    draft.remove("reasoning", None if asked is said else _UNKNOWN)
    if asked.get("exclude"):
        draft.losses.add("reasoning.exclude", _UNKNOWN)
    if effort is None or draft.raw("reasoning_effort") != b"null":
        return
    if effort == "none" and off:
        if draft.raw(off[0]) == b"null":
            draft.set(*off)
        return
    told, why = told_as(effort, efforts)
    if told is not None:
        draft.set("reasoning_effort", told)
    elif why is not None:
        draft.losses.add("reasoning.effort" if why == FIXED_EFFORT else "reasoning", why)


def is_told_to_reason(draft: Draft) -> bool:
    """Raises InvalidJson."""
    told = draft.value("reasoning_effort") or mapping(draft.value("reasoning")).get("effort")
    return told not in (None, "none")


def unsampled(draft: Draft, usual: Mapping[str, Any], *, takes_usual: bool) -> None:
    """Without what says how to sample, of which nothing is lost where it is as usual. Raises InvalidJson."""
    for name, value in usual.items():
        if name in draft:
            is_usual = draft.value(name) == value
            if not (is_usual and takes_usual):
                draft.remove(name, None if is_usual else "this model takes no such setting")


def limit_by_its_name(draft: Draft) -> None:
    """OpenAI's models that reason refuse the older one."""
    if draft.raw(_LIMIT) == b"null" != draft.raw("max_tokens"):
        draft.put(_LIMIT, draft.raw("max_tokens"))
    draft.remove("max_tokens", None)


def without_copies(draft: Draft) -> None:
    """opencode sends the details of reasoning once for each part of a turn that it keeps. Raises InvalidJson."""
    if b'"reasoning_details"' not in draft.raw("messages"):
        return
    seen = set[tuple[str, str]]()
    messages = draft.entries("messages")
    draft.put_entries("messages", [_once(message, f"messages[{n}]", seen, draft) for n, message in enumerate(messages)])


def _once(message: Any, at: str, seen: set[tuple[str, str]], draft: Draft) -> Any:
    details, kept = sequence(mapping(message).get("reasoning_details")), []
    unsealed = set[tuple[str, str]]()
    for place, detail in enumerate(details):
        said = mapping(detail)
        sealed = text(said.get("data")) or text(said.get("signature"))
        named = (text(said.get("type")), sealed or text(said.get("text")) or text(said.get("summary")))
        known = seen if sealed else unsealed
        if named[1] and named in known:
            draft.losses.add(f"{at}.reasoning_details[{place}]", _COPY)
        else:
            kept.append(detail)
        known.add(named)
    return message if len(kept) == len(details) else {**message, "reasoning_details": kept}


def place_reasoning(draft: Draft, place: str | None) -> None:
    """What the assistant thought, where the provider takes it (`Traits.reasoning_member`); it refuses the other members
    in which clients send it. What another vendor sealed is of no use to it, and becomes no text. Raises InvalidJson."""
    if b'"reasoning' in draft.raw("messages"):
        messages = draft.entries("messages")
        told = [_placed(message, f"messages[{n}]", place, draft) for n, message in enumerate(messages)]
        draft.put_entries("messages", told)


def _placed(message: Any, at: str, place: str | None, draft: Draft) -> Any:
    said = mapping(message)
    if said.get("role") != "assistant" or said.keys().isdisjoint({*MEMBERS} - {place}):
        return message
    plain = []
    for part in reasoning_of(said, at):
        if part.seal is None and place is not None:
            plain.append(part.text)
        else:
            draft.losses.add(part.at, FOREIGN_REASONING if part.seal else NO_REASONING)
    rest = {name: value for name, value in said.items() if name not in MEMBERS}
    told = "\n\n".join(filter(None, plain))
    return placed(rest, told, place) if told and place else rest


class _Said(msgspec.Struct):
    role: str | None = None
    reasoning_content: msgspec.Raw = _NO_THOUGHT
    reasoning: msgspec.Raw = _NO_THOUGHT
    reasoning_details: msgspec.Raw = _NO_THOUGHT


_all_said = msgspec.json.Decoder(list[_Said])


def with_blank_thoughts(draft: Draft, place: str) -> None:
    """What was called by another model, or by none, came without reasoning. DeepSeek takes an empty text for it
    (TencentCloud/TencentDB-Agent-Memory#907), Moonshot a blank and nothing shorter (earendil-works/pi#4178); DeepSeek
    wants it of the answer that follows the calls, too (openclaw/openclaw#73417). Raises InvalidJson."""
    if b'"tool_calls"' in draft.raw("messages"):
        said = draft.heads("messages", _all_said)
        lacking = [n for n, one in enumerate(said) if one.role == "assistant" and not _is_thought(one)]
        draft.amend("messages", lacking, lambda message: placed(message, _BLANK, place))


def with_empty_thinking(draft: Draft) -> None:
    """The same in Messages: DeepSeek refuses such turns with "The `content[].thinking` in the thinking mode must be
    passed back to the API", and takes an empty block (QwenLM/qwen-code#3788, leookun/cursor-byok#276). Raises
    InvalidJson."""
    if b'"tool_use"' in draft.raw("messages") and mapping(draft.value("thinking")).get("type") != "disabled":
        places = [n for n, role in enumerate(draft.roles()) if role == "assistant"]
        draft.amend("messages", places, _with_thinking)


def _with_thinking(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
    if any(mapping(block).get("type") == "thinking" for block in blocks):
        return message
    return {**message, "content": [{"type": "thinking", "thinking": "", "signature": ""}, *blocks]}


def _is_thought(said: _Said) -> bool:
    return any(bytes(getattr(said, name)) not in _THOUGHTLESS for name in MEMBERS)


class _Call(msgspec.Struct):
    extra_content: dict[str, Any] | None = None


class _Caller(msgspec.Struct):
    tool_calls: list[_Call] | None = None


_callers = msgspec.json.Decoder(list[_Caller])


def sign_calls(draft: Draft, word: str) -> None:
    """Agents that speak Chat give no signature of Google's back, as OpenAI's API has none. It looks at the last turn's
    alone, but all get the word: what was sent before stays what it was, and is cached. Raises InvalidJson."""
    if b'"tool_calls"' in draft.raw("messages"):
        callers = draft.heads("messages", _callers)
        unsigned = [place for place, caller in enumerate(callers) if caller.tool_calls and not _is_signed(caller)]
        draft.amend("messages", unsigned, lambda message: _signed(message, word))


def _is_signed(caller: _Caller) -> bool:
    """Of calls side by side Google signs the first."""
    return any("google" in (call.extra_content or {}) for call in caller.tool_calls or ())


def _signed(message: dict[str, Any], word: str) -> dict[str, Any]:
    first, *others = message["tool_calls"]
    extra = {**mapping(first.get("extra_content")), "google": {"thought_signature": word}}
    return {**message, "tool_calls": [{**first, "extra_content": extra}, *others]}


def answer_between(draft: Draft) -> None:
    """Raises InvalidJson."""
    if ("tool", "user") in pairwise(draft.roles()):
        draft.put_entries("messages", [*answered(draft.entries("messages"))])


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    status: str | None = None


_items = msgspec.json.Decoder(list[_Item])


def complete_items(draft: Draft) -> None:
    """Raises InvalidJson."""
    if b'"assistant"' in draft.raw("input"):
        items = draft.heads("input", _items)
        draft.amend("input", [place for place, item in enumerate(items) if _lacks(item)], _complete)


def _lacks(item: _Item) -> bool:
    is_message = item.role == "assistant" and item.type in (None, "message")
    return is_message and not (item.type and item.status)


def _complete(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "type": "message", "status": item.get("status") or "completed"}
