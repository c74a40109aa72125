"""Canonical events: what a stream says, one small frozen value after another; a whole answer is a short list of them.

Parts are numbered by `index` from 0 in the order in which they begin; a part is begun by its first event. No event
carries an empty text. Refusals are kept apart from text; tool calls are only those that the client has to carry out
(function and custom tools), not those that ran upstream.
"""

from __future__ import annotations

import enum

import msgspec

from trivium.canon.usage import Usage


class FinishReason(enum.StrEnum):
    """Why the answer ended. UNKNOWN: nothing was said about it (a body without an answer, one still in progress)."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    ERROR = "error"
    UNKNOWN = "unknown"


class Begin(msgspec.Struct, frozen=True):
    """The answer exists upstream. A later one only adds what an earlier one lacked, unless it is `restarted`."""

    id: str | None = None
    model: str | None = None
    restarted: bool = False
    """The upstream began another answer in the same stream: all parts said so far are void, usage is not."""


class TextDelta(msgspec.Struct, frozen=True):
    text: str
    index: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str
    index: int = 0


class RefusalDelta(msgspec.Struct, frozen=True):
    text: str
    index: int = 0


class ToolCallBegin(msgspec.Struct, frozen=True):
    index: int
    id: str
    name: str


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A fragment of the arguments' JSON text."""

    index: int
    arguments: str


class Finish(msgspec.Struct, frozen=True):
    reason: FinishReason
    native: str | None
    """The word the upstream used."""


class UsageReport(msgspec.Struct, frozen=True):
    """Usage so far. A later report replaces an earlier one; they are never added."""

    usage: Usage


class Fault(msgspec.Struct, frozen=True):
    """An error said inside a 200 answer, or a stream that broke off."""

    type: str
    message: str


class End(msgspec.Struct, frozen=True):
    """The API's terminal event arrived."""


Event = (
    Begin
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallBegin
    | ToolCallDelta
    | Finish
    | UsageReport
    | Fault
    | End
)
