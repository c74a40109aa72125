"""What the admins of a custom model do to every request for it, whichever API it came through: tools taken out, members
set, a limit kept. What that takes from the caller is a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.wire import body as json_body
from trivium.wire.lenient import mapping, sequence
from trivium.wire.losses import Losses
from trivium.wire.request import MAX_TOKENS, Request

OURS = frozenset(("model", "messages", "input", "stream", "stream_options", "background"))
"""Members that no extra body may set: they are the request, or say in which way it is answered."""

_LISTS = ("tools", "functions", "mcp_servers")
"""Members that define tools, in all three APIs."""
_CHOICES = ("tool_choice", "function_call")
_NO_TOOLS = (*_LISTS, *_CHOICES, "parallel_tool_calls")
"""What must not stand in a request without tools."""
_LABELS = ("server_label", "mcp_server_name", "type")
_LEFT_OUT = "this model is not given this tool"
_SET = "this model's settings say otherwise"

Keeps = Callable[[str], bool]
"""Whether a tool of this name reaches the model."""


def without_tools(request: Request, keeps: Keeps, losses: Losses) -> Request:
    """The request with the tools that the model is given. A choice among others goes with them. Raises InvalidJson."""
    if request.members.keys().isdisjoint((*_LISTS, *_CHOICES)):
        return request
    members = dict(request.members)
    for name in _LISTS:
        if name in members:
            _filter(members, name, keeps, losses)
    if members.keys().isdisjoint(_LISTS):
        for name in _NO_TOOLS:
            if members.pop(name, None) is not None and name in _CHOICES:
                losses.add(name, "there is no tool left to choose")
    for name in _CHOICES:
        if name in members:
            _filter_choice(request.api, members, name, keeps, losses)
    # Written anew in any case: a member that stood twice could say something else to the upstream than to us.
    return msgspec.structs.replace(request, body=msgspec.json.encode(members), members=members)


def extended(  # noqa: PLR0917
    request: Request, api: Api, body: bytes, extra: Mapping[str, Any], output_limit: int | None, losses: Losses
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


def _filter(members: json_body.Members, name: str, keeps: Keeps, losses: Losses) -> None:
    try:
        tools = msgspec.json.decode(members[name], type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # no list: the upstream will say so
    kept = [told for n, raw in enumerate(tools) if (told := _tool(raw, f"{name}[{n}]", keeps, losses)) is not None]
    if kept:
        members[name] = msgspec.Raw(msgspec.json.encode(kept))
    else:
        del members[name]


def _tool(raw: msgspec.Raw, at: str, keeps: Keeps, losses: Losses) -> msgspec.Raw | None:
    """The tool as it came, a namespace with what is left in it, or None."""
    tool = mapping(_value(raw))
    if tool.get("type") == "namespace":
        nested = [one for one in sequence(tool.get("tools")) if keeps(tool_name(mapping(one)))]
        if len(nested) == len(sequence(tool.get("tools"))):
            return raw
        losses.add(f"{at}.tools", _LEFT_OUT)
        return msgspec.Raw(msgspec.json.encode({**tool, "tools": nested})) if nested else None
    if keeps(tool_name(tool)):
        return raw
    losses.add(at, _LEFT_OUT)
    return None


def _filter_choice(api: Api, members: json_body.Members, name: str, keeps: Keeps, losses: Losses) -> None:
    """A choice by words alone, such as `auto`, is as good as before."""
    choice = mapping(_value(members[name]))
    if not choice or (api is Api.MESSAGES and choice.get("type") != "tool"):
        return
    if choice.get("type") == "allowed_tools":
        holder = mapping(choice.get("allowed_tools")) or choice
        tools = sequence(holder.get("tools"))
        kept = [tool for tool in tools if keeps(tool_name(mapping(tool)))]
        if len(kept) == len(tools):
            return
        if kept:
            inner = {**holder, "tools": kept}
            whole = inner if holder is choice else {**choice, "allowed_tools": inner}
            members[name] = msgspec.Raw(msgspec.json.encode(whole))
            losses.add(name, _LEFT_OUT)
            return
    elif keeps(tool_name(choice)):
        return
    losses.add(name, _LEFT_OUT)
    del members[name]


def tool_name(tool: Mapping[str, Any]) -> str:
    """A function's or free-text tool's name, an MCP server's label, the name or type of a tool that the vendor runs."""
    holders = (tool, mapping(tool.get("function")), mapping(tool.get("custom")))
    names = (*(holder.get("name") for holder in holders), *(tool.get(name) for name in _LABELS))
    return next((name for name in names if isinstance(name, str) and name), "")


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
