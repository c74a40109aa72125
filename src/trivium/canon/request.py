"""What is asked, whichever API asks it. A member is here only if two of the APIs can say it; what one alone can say is
named as a loss when its request is read, for between equals the bytes pass and none of this is made.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.parts import Part, Text, ToolKind


class Role(enum.StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


INSTRUCTING = (Role.SYSTEM, Role.DEVELOPER)


class Turn(msgspec.Struct, frozen=True):
    """Results of tools are parts of the user's turn."""

    role: Role
    parts: tuple[Part, ...]


def apart(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A further message of the assistant's, for the turn of the one before: its text does not go on with that one's."""
    if parts and isinstance(parts[0], Text):
        return (msgspec.structs.replace(parts[0], apart=True), *parts[1:])
    return parts


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the client carries out."""

    name: str
    description: str | None = None
    schema: bytes | None = None
    """The JSON Schema of a function's arguments, as the client wrote it."""
    strict: bool | None = None
    kind: ToolKind = ToolKind.FUNCTION
    namespace: str | None = None
    grammar: dict[str, Any] | None = None
    """Of a custom tool: `{type: grammar, syntax, definition}`."""
    cache: str | None = None
    at: str = ""


class ToolChoice(msgspec.Struct, frozen=True):
    """`auto`, `required` (any of them), `none`, or `tool`: the one that is named."""

    mode: str
    name: str | None = None
    namespace: str | None = None
    among: tuple[str, ...] | None = None
    """The names among which `auto` and `required` choose; None: all."""


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model should reason before it answers. Everything None: as it likes."""

    enabled: bool | None = None
    effort: str | None = None
    """A step of `EFFORTS`."""
    budget: int | None = None
    """Tokens."""
    summary: str | None = None
    """How much of it the client wants to read: `auto`, `concise`, `detailed`, or `none`."""


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The ladder of all vendors together."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer's text must be: JSON by a schema, or any JSON object where there is none."""

    schema: bytes | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    at: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    api: Api
    """The client's."""
    model: str
    turns: tuple[Turn, ...]
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    thinking: Thinking | None = None
    verbosity: str | None = None
    format: Format | None = None
    user: str | None = None
    """Whom the caller says it asks for."""
    metadata: dict[str, Any] | None = None
    cache_key: str | None = None
    cache_retention: str | None = None
    service_tier: str | None = None
    logprobs: int | None = None
    """How many likely tokens are told beside each token with its probability; None: no probabilities."""
