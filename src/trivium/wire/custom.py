"""What the admins of a custom model do to every request for it, whichever API it came through: tools taken out, members
set, a limit kept. What that takes from the caller is a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trivium.canon.api import Api, Kind
from trivium.wire import body as json_body
from trivium.wire.lenient import dump, mapping, parse, sequence, text
from trivium.wire.losses import Losses
from trivium.wire.request import MAX_TOKENS, Request, with_members
from trivium.wire.toolgate import ToolGate
from trivium.wire.toolnames import full_name

OURS = frozenset(("model", "messages", "input", "prompt", "suffix", "stream", "stream_options", "background"))
"""Members that no extra body may set: they are the request, or say in which way it is answered."""

_LISTS = ("tools", "functions", "mcp_servers")
"""Members that define tools, in all three APIs."""
_CHOICES = ("tool_choice", "function_call")
_NO_TOOLS = (*_LISTS, *_CHOICES, "parallel_tool_calls")
"""What must not stand in a request without tools."""
_SEARCH = "web_search"
_SWITCHES = ("web_search_options", "search_parameters")
"""Members that switch a search of the web on. OpenRouter's `plugins` may, too."""
_PLUGIN = "web"
_LEFT_OUT = "this model is not given this tool"
_SET = "this model's settings say otherwise"


def without_tools(request: Request, gate: ToolGate, to: Kind, losses: Losses) -> Request:
    """The request with the tools that the model is given, which is asked in the API `to`. A choice among others goes
    with them. Raises InvalidJson."""
    if request.members.keys().isdisjoint((*_LISTS, *_CHOICES, *_SWITCHES, "plugins")):
        return request
    members = dict(request.members)
    sieve = _Sieve(gate, to is not request.api, losses)
    for name in _LISTS:
        if name in members:
            sieve.filter(members, name)
    sieve.filter_switches(members)
    if members.keys().isdisjoint(_LISTS):
        for name in _NO_TOOLS:
            if members.pop(name, None) is not None and name in _CHOICES:
                losses.add(name, "there is no tool left to choose")
    for name in _CHOICES:
        if name in members:
            sieve.filter_choice(request.api, members, name)
    return with_members(request, members)  # in any case


def extended(  # noqa: PLR0917
    request: Request, api: Kind, body: bytes, extra: Mapping[str, Any], output_limit: int | None, losses: Losses
) -> bytes:
    """The body for the upstream, in this API, with the members that the model's admins set. Objects are merged. Raises
    InvalidJson."""
    found = json_body.members(body)
    changes: dict[str, bytes] = {}
    for name, value in extra.items():
        said = _value(found.get(name))
        told = _merged(said, value)
        if told != said:
            changes[name] = msgspec.json.encode(told)
            if said is not None and _takes(said, told):
                losses.add(name, _SET)
    for name in MAX_TOKENS[api] if output_limit is not None else ():
        asked = json_body.count(found, name)
        if asked is not None and output_limit is not None and asked > output_limit and name not in extra:
            changes[name] = b"%d" % output_limit
            if request.max_tokens is not None:
                losses.add(name, f"this model answers with {output_limit} tokens at the most")
    return json_body.patch(body, found, changes) if changes else body


class _Sieve:
    """Takes out of a request what its model is not given, and notes it."""

    def __init__(self, gate: ToolGate, translated: bool, losses: Losses) -> None:
        self._gate = gate
        self._translated = translated
        self._losses = losses

    def filter(self, members: json_body.Members, name: str) -> None:
        tools = _listed(members[name])
        if tools is None:
            return  # no list: the upstream will say so
        kept = [told for n, raw in enumerate(tools) if (told := self._read(raw, f"{name}[{n}]")) is not None]
        if kept:
            members[name] = msgspec.Raw(msgspec.json.encode(kept))
        else:
            del members[name]

    def filter_switches(self, members: json_body.Members) -> None:
        for name in _SWITCHES:
            said = name in members and _value(members[name]) is not None
            if said and not self._gate.lets_switch(name, _SEARCH):
                del members[name]
                self._losses.add(name, _LEFT_OUT)
        plugins = _listed(members["plugins"]) if "plugins" in members else None
        if plugins and not self._gate.lets_switch(_PLUGIN, _SEARCH):
            kept = [raw for raw in plugins if mapping(_value(raw)).get("id") != _PLUGIN]
            if len(kept) < len(plugins):
                members["plugins"] = msgspec.Raw(msgspec.json.encode(kept))
                self._losses.add("plugins", _LEFT_OUT)

    def filter_choice(self, api: Kind, members: json_body.Members, name: str) -> None:
        """A choice by words alone, such as `auto`, is as good as before."""
        choice = mapping(_value(members[name]))
        if not choice or (api is Api.MESSAGES and choice.get("type") != "tool"):
            return
        if choice.get("type") == "allowed_tools":
            holder = mapping(choice.get("allowed_tools")) or choice
            tools = sequence(holder.get("tools"))
            kept = [tool for tool in tools if self._lets(tool)]
            if len(kept) == len(tools):
                return
            if kept:
                inner = {**holder, "tools": kept}
                whole = inner if holder is choice else {**choice, "allowed_tools": inner}
                members[name] = msgspec.Raw(msgspec.json.encode(whole))
                self._losses.add(name, _LEFT_OUT)
                return
        elif self._lets(choice):
            return
        self._losses.add(name, _LEFT_OUT)
        del members[name]

    def _read(self, raw: msgspec.Raw, at: str) -> msgspec.Raw | None:
        """A tool as it is understood here, so that no server understands it otherwise: a member may stand twice."""
        try:
            told = self._tool(parse(bytes(raw)), at)
        except ValueError:
            self._losses.add(at, "it cannot be read")
            return None
        return None if told is None else msgspec.Raw(dump(told[0]).encode())

    def _tool(self, tool: Any, at: str, space: str | None = None) -> tuple[Any] | None:
        """The tool, a namespace with what is left in it, or None."""
        said = mapping(tool)
        if said.get("type") == "namespace":
            inner, within = sequence(said.get("tools")), full_name(text(said.get("name")), space)
            kept = [told for one in inner if (told := self._tool(one, f"{at}.tools", within)) is not None]
            return ({**said, "tools": [one for (one,) in kept]},) if kept or not inner else None
        if self._lets(tool, space):
            return (tool,)
        self._losses.add(at, _LEFT_OUT)
        return None

    def _lets(self, tool: Any, space: str | None = None) -> bool:
        return self._gate.lets(tool, space, translated=self._translated)


def _listed(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    try:
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _value(raw: msgspec.Raw | None) -> Any:
    """None where there is nothing, or what is no JSON."""
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _merged(said: Any, value: Any) -> Any:
    if not (isinstance(said, dict) and isinstance(value, dict)):
        return value
    return {**said, **{name: _merged(said.get(name), inner) for name, inner in value.items()}}


def _takes(said: Any, told: Any) -> bool:
    """Whether anything that was said is no longer there."""
    if isinstance(said, dict) and isinstance(told, dict):
        return any(_takes(value, told[name]) for name, value in said.items())
    return bool(said != told)
