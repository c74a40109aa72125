"""Which tools there are, and which of them the model shall call."""

from __future__ import annotations

from typing import Any

from conformance.feature import ABSENT, C, Feature, Like, M, R
from conformance.features.words import Three, asks, setting, tool, tools
from trivium.mock import Reply, ToolCall

_LOOK, _LISTEN = tool(), tool("listen")
_EMPTY = {"type": "object", "properties": {}}


def _choice(chat: Any, responses: Any, messages: Any = None) -> Three:
    said = tools(_LOOK, _LISTEN, tool_choice={C: chat, R: responses, M: messages})
    return {api: request for api, request in said.items() if request["tool_choice"] is not None}


_ONE = (
    {"type": "function", "function": {"name": "look"}},
    {"type": "function", "name": "look"},
    {"type": "tool", "name": "look"},
)
_SOME = (
    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_ONE[0]]}},
    {"type": "allowed_tools", "mode": "auto", "tools": [_ONE[1]]},
)

DEFINED = [
    setting("functions", tools(_LOOK)),
    setting("functions held to their schema (`strict`)", tools(tool(strict=True))),
    Feature(
        name="functions without parameters",
        asks=asks(
            {"tools": [{"type": "function", "function": {"name": "look"}}]},
            {"tools": [{"type": "function", "name": "look", "parameters": None, "strict": False}]},
            {"tools": [{"name": "look", "input_schema": {"type": "object"}}]},
        ),
        told=asks(
            {"tools": [{"function": {"parameters": _EMPTY}}]},
            {"tools": [{"parameters": _EMPTY}]},
            {"tools": [{"input_schema": _EMPTY}]},
        ),
    ),
    Feature(
        name="functions in Chat's first form (`functions`)",
        asks={C: {"functions": [_LOOK[C]["function"]]}},
        told=tools(_LOOK),
    ),
    Feature(
        name="a call, told to who knows the first form",
        asks={C: {"functions": [_LOOK[C]["function"]]}},
        told=tools(_LOOK),
        reply={api: Reply(tool_calls=[ToolCall("look", {"city": "Rome"}, id="call_1")]) for api in (R, M)},
        heard={
            C: {
                "choices": [
                    {
                        "message": {"function_call": {"name": "look", "arguments": Like("Rome")}, "tool_calls": ABSENT},
                        "finish_reason": "function_call",
                    }
                ]
            }
        },
    ),
    setting("choice: as the model likes", _choice("auto", "auto", {"type": "auto"})),
    setting("choice: some tool", _choice("required", "required", {"type": "any"})),
    setting("choice: no tool", _choice("none", "none", {"type": "none"})),
    setting("choice: one tool", _choice(*_ONE)),
    Feature(
        name="choice: among some of the tools, the others left out where there is no other word",
        asks=_choice(*_SOME),
        told=tools(_LOOK, tool_choice={C: "auto", R: "auto", M: {"type": "auto"}}),
    ),
    setting(
        "parallel calls off",
        {
            **{api: {**tools(_LOOK)[api], "parallel_tool_calls": False} for api in (C, R)},
            M: {**tools(_LOOK)[M], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        },
    ),
]
