"""What a request says in words: its system prompt, what the user said last, the tools that it offers, and those that
were called in its conversation.

For records and for screening against abuse, which few gateways switch on: nothing is read until somebody asks. Of the
conversation only roles become objects; of its last turns the texts. The user's last turn that has **text** counts
(behaviour page, section 9): results of tools and images are passed over, in every API. Whatever a body holds, this does
not fail: what cannot be read says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

import msgspec

from trivium.canon.api import Api, Kind, Solo
from trivium.wire.body import Members, begins
from trivium.wire.crowd import is_crowded
from trivium.wire.draft import CONVERSATION
from trivium.wire.request import Request

_ABSENT = msgspec.Raw(b"null")
_MOST_TOOLS = 200
_LONGEST_WORD = 300
"""Bytes of a role, a type or the name of a tool."""
_T = TypeVar("_T")


class _Turn(msgspec.Struct, gc=False):
    """A message or an item of input."""

    role: msgspec.Raw = _ABSENT
    content: msgspec.Raw = _ABSENT


class _CallingTurn(msgspec.Struct, gc=False):
    role: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct, gc=False):
    type: msgspec.Raw = _ABSENT
    text: msgspec.Raw = _ABSENT


class _Tool(msgspec.Struct, gc=False):
    """A tool, or a call of one."""

    type: msgspec.Raw = _ABSENT
    name: msgspec.Raw = _ABSENT
    server_label: msgspec.Raw = _ABSENT
    server_name: msgspec.Raw = _ABSENT
    function: msgspec.Raw = _ABSENT
    custom: msgspec.Raw = _ABSENT


class Prompts(msgspec.Struct, frozen=True):
    system: str | None = None
    """None: there is none. Several pieces are joined by newlines."""
    user: str | None = None
    """None: no turn of the user has text."""
    read: bool = True
    """False: the conversation has too many objects to be looked through."""


_SYSTEM = {Api.CHAT: "", Api.RESPONSES: "instructions", Api.MESSAGES: "system"}
_PLAIN = {Solo.EMBEDDINGS: ("input",), Solo.FIM: ("prompt", "suffix")}
"""What is said where nobody converses."""
_SAYS_SYSTEM = ("system", "developer")
_TEXTS = (None, "text", "input_text", "output_text")
"""Types of parts whose `text` is said; a part without a type is read as one by most servers."""
_OWN = (None, "function", "custom")
"""Types of tools that the client describes; what else there is runs at the provider's."""
_UNKNOWN = "unknown"
_CALL = "_call"
"""How the types of the calls end that Responses has as items."""

_turns = msgspec.json.Decoder(list[_Turn])
_turn = msgspec.json.Decoder(_Turn)
_calling_turns = msgspec.json.Decoder(list[_CallingTurn])
_calling_turn = msgspec.json.Decoder(_CallingTurn)
_parts = msgspec.json.Decoder(list[_Part])
_part = msgspec.json.Decoder(_Part)
_tools = msgspec.json.Decoder(list[_Tool])
_tool = msgspec.json.Decoder(_Tool)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_string = msgspec.json.Decoder(str)
_texts = msgspec.json.Decoder(list[str])


class _Crowded(Exception):
    """More objects than anybody can wait for."""


def prompts(request: Request) -> Prompts:
    """The system prompt and the user's last words."""
    members = request.members
    if isinstance(request.api, Solo):
        return _plain_words(request.api, members)
    try:
        first = _text(members.get(_SYSTEM[request.api], _ABSENT))
    except _Crowded:
        return Prompts(read=False)
    try:
        conversation = members.get(CONVERSATION[request.api], _ABSENT)
        if (said := _string_of(conversation)) is not None:
            return Prompts(first, said if said.strip() else None)
        turns = _listed(conversation, _turns, _turn)
        roles = [_word(turn.role) for turn in turns]
        told = (_text(turn.content) for turn, role in zip(turns, roles, strict=True) if role in _SAYS_SYSTEM)
        pieces = [piece for piece in (first, *told) if piece is not None]
        return Prompts("\n".join(pieces) if pieces else None, _last_words(turns, roles))
    except _Crowded:
        return Prompts(first, read=False)


def offered_tools(request: Request) -> tuple[str, ...]:
    """The tools of a request as `function:name`, `custom:name`, `mcp:server`; `...:unknown` where they have no name.
    Those that run at the provider's go by their type. Not more than 200."""
    names = [_tool_name(tool, request.api) for tool in _offered(request, "tools")]
    if request.api is Api.CHAT:  # the API's first form of tools
        names += [f"function:{_word(tool.name) or _UNKNOWN}" for tool in _offered(request, "functions")]
    if request.api is Api.MESSAGES:
        names += [f"mcp:{_word(server.name) or _UNKNOWN}" for server in _offered(request, "mcp_servers")]
    return tuple(names[:_MOST_TOOLS])


def used_tools(request: Request) -> tuple[str, ...]:
    """The tools that the conversation says were called, by the same names, each once. Calls of those that run at the
    provider's go by their own type. Not more than 200."""
    if isinstance(request.api, Solo):
        return ()
    conversation = request.members.get(CONVERSATION[request.api], _ABSENT)
    try:
        return tuple(islice(dict.fromkeys(_CALLS[request.api](conversation)), _MOST_TOOLS))
    except _Crowded:
        return ()


def _plain_words(api: Solo, members: Members) -> Prompts:
    """Texts; tokens are none that anybody here can read."""
    said, read = [], True
    for name in _PLAIN[api]:
        raw = members.get(name, _ABSENT)
        if (text := _string_of(raw)) is not None:
            said.append(text)
        elif begins(raw) == b"[":
            try:
                _check_crowd(raw, b",")
                said += _texts.decode(raw)
            except (_Crowded, ValueError, RecursionError):
                read = False
    return Prompts(user="\n".join(said) if any(map(str.strip, said)) else None, read=read)


def _last_words(turns: list[_Turn], roles: list[str | None]) -> str | None:
    for turn, role in zip(reversed(turns), reversed(roles), strict=True):
        if role == "user" and (said := _text(turn.content)) and not said.isspace():
            return said
    return None


def _text(content: msgspec.Raw) -> str | None:
    """A string, or the texts of a list of parts, joined by newlines; None where there is none."""
    if (said := _string_of(content)) is not None:
        return said
    if begins(content) == b"{":  # one part, which some servers take for a list of one
        parts = [part for part in (_one(content, _part),) if part is not None]
    else:
        parts = _listed(content, _parts, _part)
    texts = [_string_of(part.text) for part in parts if _word(part.type) in _TEXTS]
    found = [said for said in texts if said is not None]
    return "\n".join(found) if found else None


def _offered(request: Request, name: str) -> list[_Tool]:
    try:
        return _listed(request.members.get(name, _ABSENT), _tools, _tool)
    except _Crowded:
        return []


def _tool_name(tool: _Tool, api: Kind) -> str:
    kind = _word(tool.type)
    if kind == "mcp":
        return f"mcp:{_word(tool.server_label) or _UNKNOWN}"
    held = tool.custom if kind == "custom" else tool.function
    if api is Api.CHAT and begins(held) == b"{":
        tool = _one(held, _tool) or tool
    name = _word(tool.name) or _UNKNOWN
    if kind not in _OWN:
        return f"{kind}:{name}"
    is_custom = kind == "custom" and api is not Api.MESSAGES
    return f"{'custom' if is_custom else 'function'}:{name}"


def _chat_calls(conversation: msgspec.Raw) -> Iterator[str]:
    for turn in _listed(conversation, _calling_turns, _calling_turn):
        if _word(turn.role) != "assistant":
            continue
        for call in _listed(turn.tool_calls, _tools, _tool):
            yield _tool_name(call, Api.CHAT)
        if begins(turn.function_call) == b"{" and (first := _one(turn.function_call, _tool)):  # the API's first form
            yield f"function:{_word(first.name) or _UNKNOWN}"


def _messages_calls(conversation: msgspec.Raw) -> Iterator[str]:
    for turn in _listed(conversation, _turns, _turn):
        if _word(turn.role) != "assistant":
            continue
        for block in _listed(turn.content, _tools, _tool):
            match _word(block.type):
                case "tool_use":
                    yield f"function:{_word(block.name) or _UNKNOWN}"
                case "mcp_tool_use":
                    yield f"mcp:{_word(block.server_name) or _UNKNOWN}"
                case "server_tool_use":
                    yield f"server_tool_use:{_word(block.name) or _UNKNOWN}"


def _responses_calls(conversation: msgspec.Raw) -> Iterator[str]:
    for item in _listed(conversation, _tools, _tool):
        kind = _word(item.type)
        if kind == "mcp_call":
            yield f"mcp:{_word(item.server_label) or _UNKNOWN}"
        elif kind == "custom_tool_call":
            yield f"custom:{_word(item.name) or _UNKNOWN}"
        elif kind is not None and kind.endswith(_CALL):
            yield f"{kind.removesuffix(_CALL)}:{_word(item.name) or _UNKNOWN}"


_CALLS: dict[Api, Callable[[msgspec.Raw], Iterator[str]]] = {
    Api.CHAT: _chat_calls,
    Api.MESSAGES: _messages_calls,
    Api.RESPONSES: _responses_calls,
}


def _listed(raw: msgspec.Raw, together: msgspec.json.Decoder[list[_T]], one: msgspec.json.Decoder[_T]) -> list[_T]:
    """The objects of a list; what is none, or cannot be read, is left out. Raises _Crowded."""
    if begins(raw) != b"[":
        return []
    _check_crowd(raw, b"{")
    try:
        return together.decode(raw)
    except (ValueError, RecursionError):
        _check_crowd(raw, b",")  # one is no object, as a rule
    try:
        pieces = _raws.decode(raw)
    except (ValueError, RecursionError):
        return []
    return [found for piece in pieces if (found := _one(piece, one)) is not None]


def _check_crowd(raw: msgspec.Raw, mark: bytes) -> None:
    if is_crowded(raw, mark):
        raise _Crowded


def _one(raw: msgspec.Raw, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        return None


def _string_of(raw: msgspec.Raw) -> str | None:
    if begins(raw) != b'"':
        return None
    try:
        return _string.decode(raw)
    except ValueError:
        return str(json.loads(bytes(raw).decode("utf-8", "replace"), strict=False))


def _word(raw: msgspec.Raw) -> str | None:
    """A short string; None for anything else."""
    return _string_of(raw) if len(raw) <= _LONGEST_WORD else None
