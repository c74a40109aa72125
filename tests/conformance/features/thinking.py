"""Thinking: how much of it, what is told of it, and what has to come back to whoever thought."""

from __future__ import annotations

from typing import Any

from conformance.feature import ABSENT, DONE, C, Feature, M, R, Some
from conformance.features.words import HI, MORE, asks, both, ended, heard, setting, tool, tools, turns
from trivium.mock import Reply, ToolCall

_THOUGHT, _SEAL, _OPAQUE = "Think of Köln.", "c2lnbmVk", "b3BhcXVl"
_CALL = ToolCall("look", {"city": "Köln"}, id="call_1")
_ON: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 10_000}}
_ADAPTIVE: dict[str, Any] = {"thinking": {"type": "adaptive"}}
_SUMMARIZED = {"thinking": {**_ON["thinking"], "display": "summarized"}}


def _effort(step: str) -> dict[str, Any]:
    return {**_ADAPTIVE, "output_config": {"effort": step}}


_TOLD = heard(
    {"reasoning_content": _THOUGHT, "content": DONE},
    [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": _THOUGHT}]},
        {"type": "message", "content": [{"text": DONE}]},
    ],
    [{"type": "thinking", "thinking": _THOUGHT}, {"type": "text", "text": DONE}],
)
_CALLED = both(
    heard({"tool_calls": [{"id": "call_1"}]}, Some({"type": "function_call"}), Some({"type": "tool_use"})),
    ended("tool_calls", "completed", "tool_use"),
)
_SIGNED = turns(
    Some({"reasoning_details": [{"type": "reasoning.text", "text": _THOUGHT, "signature": _SEAL}], "tool_calls": ...}),
    Some({"type": "reasoning", "summary": [{"text": _THOUGHT}], "encrypted_content": _SEAL}, {"type": "function_call"}),
    Some({"content": [{"type": "thinking", "thinking": _THOUGHT, "signature": _SEAL}, {"type": "tool_use"}]}),
)
_REDACTED = turns(
    Some({"reasoning_details": [{"type": "reasoning.encrypted", "data": _OPAQUE}], "tool_calls": ...}),
    Some({"type": "reasoning", "summary": [], "encrypted_content": _OPAQUE}, {"type": "function_call"}),
    Some({"content": [{"type": "redacted_thinking", "data": _OPAQUE}, {"type": "tool_use"}]}),
)
_UNSIGNED = turns(
    Some({"role": "assistant", "reasoning_content": _THOUGHT, "tool_calls": ...}),
    Some({"type": "reasoning", "content": [{"type": "reasoning_text", "text": _THOUGHT}]}, {"type": "function_call"}),
    Some({"content": [{"type": "thinking", "thinking": _THOUGHT}, {"type": "tool_use"}]}),
)
_UNREAD = heard(
    {"content": DONE, "reasoning_content": ABSENT},
    None,
    [{"type": "thinking", "thinking": ""}, {"type": "text", "text": DONE}],
)
_COMPLETE = turns(
    Some({"reasoning_details": [{"type": "reasoning.text", "text": _THOUGHT, "signature": _SEAL}]}),
    Some({"type": "reasoning", "summary": [{"text": _THOUGHT}], "encrypted_content": _SEAL}),
    Some({"content": [{"type": "thinking", "thinking": _THOUGHT, "signature": _SEAL}, {"type": "text"}]}),
)
_GOOGLES = ToolCall("look", {"city": "Köln"}, id="call_1", thought_signature=_SEAL)
_ELSEWHERE = turns(
    [
        HI,
        {
            "role": "assistant",
            "content": DONE,
            "reasoning_details": [{"type": "reasoning.text", "text": _THOUGHT, "signature": _SEAL, "index": 0}],
        },
        MORE,
    ],
    [
        HI,
        {"type": "reasoning", "summary": [], "encrypted_content": _SEAL},
        {"role": "assistant", "content": [{"type": "output_text", "text": DONE}]},
        MORE,
    ],
    [
        HI,
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": _THOUGHT, "signature": _SEAL}, {"type": "text", "text": DONE}],
        },
        MORE,
    ],
)

THINKING = [
    setting(
        "effort",
        asks({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}, _effort("high")),
        upstreams="thinkers",
    ),
    Feature(
        name="effort that the model does not know: the nearest",
        asks=asks({"reasoning_effort": "minimal"}, {"reasoning": {"effort": "minimal"}}),
        told=asks({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}, _effort("low")),
        upstreams="thinkers",
    ),
    Feature(
        name="effort, as a budget where there is no other word",
        asks=asks({"reasoning": {"effort": "high"}}, {"reasoning": {"effort": "high"}}, _effort("high")),
        told={M: {"thinking": {"type": "enabled", "budget_tokens": 24_576}}},
        upstreams="openrouter",
    ),
    Feature(
        name="budget, as the nearest effort where there is no other word",
        asks=asks({"reasoning": {"max_tokens": 10_000}}, None, _ON),
        told={R: {"reasoning": {"effort": "high"}}},
        upstreams="openrouter",
    ),
    Feature(
        name="budget, as the nearest effort where there is no other word",
        asks=asks(None, None, _ON),
        told=asks({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}),
        upstreams="thinkers",
    ),
    setting(
        "thinking off",
        asks({"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}, {"thinking": {"type": "disabled"}}),
        upstreams="thinkers",
    ),
    Feature(
        name="thinking asked of a model that does not think (`gpt-4.1`)",
        asks=asks({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}, _ON),
        told={C: None, R: None, M: {"thinking": {"type": "enabled"}}},
    ),
    Feature(
        name="thinking beside a tool that must be called",
        asks={
            C: {**tools(tool())[C], "tool_choice": "required", "reasoning_effort": "high"},
            R: {**tools(tool())[R], "tool_choice": "required", "reasoning": {"effort": "high"}},
        },
        told={M: {"tool_choice": {"type": "any"}, "thinking": ABSENT}},
        upstreams="thinkers",
    ),
    Feature(
        name="thinking beside a `temperature`",
        asks=asks(
            {"reasoning": {"effort": "high"}, "temperature": 0.5}, {"reasoning": {"effort": "high"}, "temperature": 0.5}
        ),
        told={M: {"thinking": {"type": "enabled"}, "temperature": ABSENT}},
        upstreams="openrouter",
    ),
    Feature(
        name="a summary of the thinking asked for, and told",
        asks=asks(None, {"reasoning": {"effort": "high", "summary": "auto"}}, _SUMMARIZED),
        told=asks({"model": ...}, {"reasoning": {"summary": "auto"}}, {"thinking": {"type": "enabled"}}),
        reply=Reply(reasoning=_THOUGHT, text=DONE),
        heard=_TOLD,
        upstreams="strangers",
    ),
    Feature(name="thinking told", reply=Reply(reasoning=_THOUGHT, text=DONE), heard=_TOLD),
    Feature(
        name="thinking that the client does not want to read: left out, and all of it returned to whoever thought",
        asks=asks(
            {"reasoning": {"effort": "high", "exclude": True}},
            None,
            {"thinking": {**_ON["thinking"], "display": "omitted"}},
        ),
        told={C: {}, R: {"reasoning": {"summary": ABSENT}}, M: {}},
        reply=Reply(reasoning=_THOUGHT, signature=_SEAL, text=DONE),
        heard=_UNREAD,
        returned=_COMPLETE,
        upstreams="openrouter",
    ),
    Feature(
        name="signatures returned to whoever signed",
        asks=tools(tool()),
        told={C: {}, R: {}, M: {}},
        reply=Reply(reasoning=_THOUGHT, signature=_SEAL, tool_calls=[_CALL]),
        heard=_CALLED,
        returned=_SIGNED,
        openrouters=True,
    ),
    Feature(
        name="redacted thinking returned",
        asks=tools(tool()),
        told={C: {}, R: {}, M: {}},
        reply=Reply(redacted=_OPAQUE, tool_calls=[_CALL]),
        heard=_CALLED,
        returned=_REDACTED,
        openrouters=True,
    ),
    Feature(
        name="thinking without a signature returned",
        asks=tools(tool()),
        told={C: {}, R: {}, M: {}},
        reply=Reply(reasoning=_THOUGHT, tool_calls=[_CALL]),
        heard=_CALLED,
        returned=_UNSIGNED,
        upstreams="strangers",
    ),
    Feature(
        name="signatures of calls returned (Google)",
        asks=tools(tool()),
        told={C: {}},
        reply={C: Reply(tool_calls=[_GOOGLES])},
        heard=_CALLED,
        returned=turns(
            Some({"tool_calls": [{"id": "call_1", "extra_content": {"google": {"thought_signature": _SEAL}}}]})
        ),
        upstreams="strangers",
    ),
    Feature(
        name="thinking of another provider sent back",
        asks=_ELSEWHERE,
        told={C: None, R: None, M: None},
    ),
    Feature(
        name="thinking with tools: the whole loop",
        asks={
            C: {**tools(tool())[C], "reasoning_effort": "high"},
            R: {**tools(tool())[R], "reasoning": {"effort": "high"}},
            M: {**tools(tool())[M], **_effort("high")},
        },
        told=asks({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}, _effort("high")),
        reply=Reply(reasoning=_THOUGHT, signature=_SEAL, text="One moment.", tool_calls=[_CALL]),
        heard=_CALLED,
        returned=turns(
            Some({"content": "One moment.", "tool_calls": [{"id": "call_1"}]}, {"role": "tool"}),
            Some(
                {"type": "reasoning", "encrypted_content": _SEAL},
                {"role": "assistant"},
                {"type": "function_call"},
                {"type": "function_call_output"},
            ),
            Some(
                {"content": [{"type": "thinking", "signature": _SEAL}, {"type": "text"}, {"type": "tool_use"}]},
                {"content": [{"type": "tool_result"}]},
            ),
        ),
        upstreams="thinkers",
        openrouters=True,
    ),
]
