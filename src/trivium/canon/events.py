"""Canonical events: what a stream says, one small frozen value after another; a whole answer is a short list of them.

Parts are numbered by `index` from 0 in the order in which they begin; a part is begun by its first event. No event
carries an empty text. Refusals are kept apart from text; tool calls are only those that the client has to carry out
(function and custom tools), not those that ran upstream: these are `Foreign`, as is whatever one API alone can say.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from trivium.canon.parts import Citation, Seal, ToolKind
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
    served_by: str | None = None
    """Whom a gateway of many vendors asked, in its own words."""
    service_tier: str | None = None
    """As the answer names it before its usage does."""


class TextDelta(msgspec.Struct, frozen=True):
    text: str
    index: int = 0
    logprobs: list[Any] | None = None
    """Of each token `{token, logprob, bytes, top_logprobs}`, as both OpenAI APIs write them."""


class Apart(msgspec.Struct, frozen=True):
    """The part of text that begins now does not go on with the one before it: its API has a place of its own for it.
    Parts between which nothing is said are pieces of one text."""

    index: int


class Cited(msgspec.Struct, frozen=True):
    """A page that a text relies on; it may come before the text does."""

    index: int
    citation: Citation


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str
    index: int = 0


class ReasoningSeal(msgspec.Struct, frozen=True):
    """The provider's seal of a reasoning part, which ends it; of one without a text it is all there is."""

    index: int
    seal: Seal


class RefusalDelta(msgspec.Struct, frozen=True):
    text: str
    index: int = 0


class ToolCallBegin(msgspec.Struct, frozen=True):
    index: int
    id: str
    name: str
    kind: ToolKind = ToolKind.FUNCTION
    namespace: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A fragment of the arguments' JSON text."""

    index: int
    arguments: str


class ToolCallEnd(msgspec.Struct, frozen=True):
    """The input of a custom call is over, where that is known before the answer is: a free text does not show it, as
    the JSON of a function's arguments does."""

    index: int


class Finish(msgspec.Struct, frozen=True):
    reason: FinishReason
    native: str | None
    """The word the upstream used."""
    stop_sequence: str | None = None
    """Which of the request's stop sequences ended the answer, where the upstream tells."""


class UsageReport(msgspec.Struct, frozen=True):
    """Usage so far. A later report replaces an earlier one; they are never added."""

    usage: Usage


class Fault(msgspec.Struct, frozen=True):
    """An error said inside a 200 answer, or a stream that broke off."""

    type: str
    message: str
    code: str | None = None
    """A second, narrower word for it, where the upstream has one (`context_length_exceeded`)."""
    pause_s: int | None = None
    """For how long the upstream asks to be left alone, where it says so beside its words."""


class End(msgspec.Struct, frozen=True):
    """The API's terminal event arrived."""


class Foreign(msgspec.Struct, frozen=True):
    """Something was said that only this API has words for. Between equals it passes as bytes."""

    field: str
    tool: str | None = None
    """It shows that this tool of the provider's has been called, which costs something (as in `Usage.server_tools`)."""


Event = (
    Begin
    | TextDelta
    | Apart
    | Cited
    | ReasoningDelta
    | ReasoningSeal
    | RefusalDelta
    | ToolCallBegin
    | ToolCallDelta
    | ToolCallEnd
    | Finish
    | UsageReport
    | Fault
    | End
    | Foreign
)

CONTENT = frozenset(
    {TextDelta, Apart, Cited, ReasoningDelta, ReasoningSeal, RefusalDelta, ToolCallBegin, ToolCallDelta, ToolCallEnd}
)
"""The events that are of the answer itself, and not about it."""
