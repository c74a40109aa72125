"""What the upstreams of several APIs write alike."""

from __future__ import annotations

from typing import Any

from trivium.canon.parts import ToolCall, ToolKind
from trivium.canon.usage import Usage

Event = dict[str, Any]


def costs(usage: Usage) -> Event:
    told = {"cost": usage.reported_cost, "market_cost": usage.market_cost, "is_byok": usage.is_byok}
    return {name: value for name, value in told.items() if value is not None}


def server_tools(usage: Usage) -> Event:
    return {f"{name}_requests": calls for name, calls in usage.server_tools.items()}


def kind_of(call: ToolCall) -> str:
    return "custom" if call.kind is ToolKind.CUSTOM else "function"


def argument_of(call: ToolCall) -> str:
    return "input" if call.kind is ToolKind.CUSTOM else "arguments"
