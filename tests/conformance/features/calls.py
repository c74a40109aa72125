"""Calls that the model makes, and their results on the way back."""

from __future__ import annotations

from typing import Any

from conformance.feature import APIS, C, Feature, Like, M, R, Some
from conformance.features.words import Call, Json, Three, alike, both, ended, heard, tool, tools, turns
from conformance.replay import RESULT
from trivium.canon.api import Api
from trivium.mock import Reply, ToolCall
from trivium.wire.toolnames import ToolNames

_BONN = '{"city":"Bonn"}'
_ONE, _TWO = Call(), Call("call_2", "listen", _BONN)
_ONE_SAID = ToolCall("look", {"city": "Köln"}, id="call_1")
_TWO_SAID = ToolCall("listen", {"city": "Bonn"}, id="call_2")
_PLAIN_ID = Like("^[A-Za-z0-9_-]{1,64}$")


def _calls(*calls: Call) -> Three:
    """The client hears these calls."""
    told = heard(
        {"tool_calls": [call.chat for call in calls]},
        Some(*(call.item for call in calls)),
        Some(*(call.block for call in calls)),
    )
    return both(told, ended("tool_calls", "completed", "tool_use"))


def _answered(*calls: Call) -> Three:
    """An upstream receives these calls, and then their results in the same order."""
    results = [call.result(RESULT) for call in calls]
    return turns(
        Some({"role": "assistant", "tool_calls": [call.chat for call in calls]}, *(chat for chat, _, _ in results)),
        Some(*(call.item for call in calls), *(item for _, item, _ in results)),
        Some(
            {"role": "assistant", "content": Some(*(call.block for call in calls))},
            {"role": "user", "content": [block for _, _, block in results]},
        ),
    )


def _loop(name: str, *said: ToolCall, heard: Three, returned: Three, **more: Any) -> Feature:
    """The model calls, the client answers."""
    more.setdefault("asks", tools(tool(), tool("listen")))
    more.setdefault("reply", Reply(text="One moment.", tool_calls=[*said]))
    return Feature(name=name, heard=heard, returned=returned, told=alike(tools=...), **more)


# Free text: Chat of OpenAI and Responses have words for it, elsewhere it is a function with one string.

_PATCH = '*** Begin Patch\n+ "quoted"\n*** End Patch'
_CUSTOM: Three = {
    C: {"type": "custom", "custom": {"name": "patch", "description": "Edits."}},
    R: {"type": "custom", "name": "patch", "description": "Edits."},
}
_PATCHING = ToolCall("patch", _PATCH, kind="custom", id="call_1")
_WRAPPED = ToolCall("patch", {"input": _PATCH}, id="call_1")
_PATCHES = both(
    heard(
        {"tool_calls": [{"type": "custom", "custom": {"name": "patch", "input": _PATCH}}]},
        Some({"type": "custom_tool_call", "name": "patch", "input": _PATCH}),
        ...,
    ),
    ended("tool_calls", "completed", "tool_use"),
)


def _patched(chat: Json) -> Three:
    """What comes back to an upstream; `chat` is the call in Chat's words."""
    return turns(
        Some({"tool_calls": [chat]}, {"role": "tool", "content": RESULT}),
        Some({"type": "custom_tool_call", "input": _PATCH}, {"type": "custom_tool_call_output", "output": RESULT}),
        Some(
            {"content": Some({"type": "tool_use", "input": {"input": _PATCH}})},
            {"content": [{"type": "tool_result", "content": RESULT}]},
        ),
    )


_LONG = "mcp.files/read: " + "x" * 120


def _renamed(api: Api) -> str:
    """The name under which an upstream of the API knows the tool of the long name."""
    return ToolNames(api).upstream(_LONG)


CALLED = [
    _loop("a call and its result", _ONE_SAID, heard=_calls(_ONE), returned=_answered(_ONE)),
    _loop(
        "parallel calls and their results",
        _ONE_SAID,
        _TWO_SAID,
        heard=_calls(_ONE, _TWO),
        returned=_answered(_ONE, _TWO),
    ),
    _loop(
        "parallel calls told by turns",
        heard=_calls(_ONE, _TWO),
        returned=_answered(_ONE, _TWO),
        reply={api: Reply(tool_calls=[_ONE_SAID, _TWO_SAID], calls_interleaved=True) for api in (C, R)},
        ways=("stream",),
    ),
    _loop(
        "a call without arguments",
        ToolCall("look", {}, id="call_1"),
        heard=_calls(Call(arguments="{}")),
        returned=_answered(Call(arguments="{}")),
    ),
    _loop(
        "ids of calls that other APIs would not take (`functions.look:0`)",
        ToolCall("look", {"city": "Köln"}, id="functions.look:0"),
        heard=_calls(Call(_PLAIN_ID)),
        returned={api: _answered(Call(_PLAIN_ID if api is M else "functions.look:0"))[api] for api in APIS},
    ),
    _loop(
        "long names, and names with foreign characters",
        asks=tools(tool(_LONG)),
        reply={api: Reply(tool_calls=[ToolCall(_renamed(api), {"city": "Köln"}, id="call_1")]) for api in APIS},
        heard=_calls(Call(name=_LONG)),
        returned={api: _answered(Call(name=_renamed(api)))[api] for api in APIS},
    ),
    _loop(
        "tools in a `namespace`",
        ToolCall("look", {"city": "Köln"}, namespace="maps", id="call_1"),
        asks={R: {"tools": [{"type": "namespace", "name": "maps", "tools": [tool()[R]]}]}},
        heard={R: {"output": Some({**Call().item, "namespace": "maps"})}},
        returned=_answered(Call(name="maps__look")),
    ),
    _loop(
        "free-text (`custom`) tools",
        _PATCHING,
        asks=tools(_CUSTOM),
        heard=_PATCHES,
        returned=_patched({"type": "custom", "custom": {"name": "patch", "input": _PATCH}}),
    ),
    _loop(
        "free-text (`custom`) tools, as functions where there is no other word",
        asks=tools(_CUSTOM),
        reply={C: Reply(tool_calls=[_WRAPPED]), R: Reply(tool_calls=[_PATCHING]), M: Reply(tool_calls=[_WRAPPED])},
        heard=_PATCHES,
        returned=_patched({"type": "function", "function": {"name": "patch", "arguments": Like("Begin Patch")}}),
        upstreams="strangers",
    ),
]
