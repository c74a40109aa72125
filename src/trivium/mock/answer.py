"""What a reply says once it has met its request: no dialect yet, but nothing left open any more.

Ids are made from the number of the request, times are one fixed second: the same requests to the same script give the
same bytes.
"""

from __future__ import annotations

import re

import msgspec

from trivium.mock.asked import Asked, flat_name, tokens
from trivium.mock.script import CallKind, Citation, FinishWord, Reply, ToolCall, Usage

CREATED = 1_767_225_600
"""2026-01-01T00:00:00Z, in seconds."""

_WORDS = re.compile(r"\s*\S+|\s+")
_FRAGMENT = 8
"""Characters of a tool call's arguments per event."""


class Call(msgspec.Struct, frozen=True):
    """`arguments` is text as it goes over the wire: JSON, or the input of a custom call."""

    name: str
    arguments: str
    id: str | None
    kind: CallKind
    namespace: str | None
    thought_signature: str | None

    @property
    def flat_name(self) -> str:
        return flat_name(self.namespace, self.name)

    @property
    def fragments(self) -> list[str]:
        return fragments(self.arguments)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    id: str | None
    """None: the dialect makes one from the number."""
    model: str
    reasoning: list[str] | None
    """Pieces; None if the model does not reason."""
    signature: str | None
    redacted: str | None
    text: list[str]
    citations: list[Citation]
    calls: list[Call]
    calls_interleaved: bool
    finish: FinishWord
    stop_sequence: str | None
    usage: Usage | None
    """None: not to be told."""
    cost: float | None
    asked: Asked


def compose(reply: Reply, asked: Asked) -> Answer:
    reasoning = _pieces(reply.reasoning) if reply.reasoning is not None else [] if reply.signature else None
    text = _pieces(reply.text)
    calls = [_call(call) for call in reply.tool_calls]
    return Answer(
        number=asked.number,
        id=reply.id,
        model=reply.model or asked.model,
        reasoning=reasoning,
        signature=reply.signature,
        redacted=reply.redacted,
        text=text,
        citations=reply.citations,
        calls=calls,
        calls_interleaved=reply.calls_interleaved,
        finish=reply.finish or ("tool_calls" if calls and reply.stop_sequence is None else "stop"),
        stop_sequence=reply.stop_sequence,
        usage=None if reply.no_usage else reply.usage or _estimate(asked, text, reasoning or [], calls),
        cost=reply.cost,
        asked=asked,
    )


def fragments(arguments: str) -> list[str]:
    return [arguments[at : at + _FRAGMENT] for at in range(0, len(arguments), _FRAGMENT)]


def _call(call: ToolCall) -> Call:
    said = call.arguments
    text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
    return Call(call.name, text, call.id, call.kind, call.namespace, call.thought_signature)


def _pieces(text: str | list[str]) -> list[str]:
    return _WORDS.findall(text) if isinstance(text, str) else text


def _estimate(asked: Asked, text: list[str], reasoning: list[str], calls: list[Call]) -> Usage:
    thought = tokens("".join(reasoning)) if reasoning else 0
    said = tokens(["".join(text), *(call.name + call.arguments for call in calls)])
    return Usage(input=asked.tokens, output=said + thought, reasoning=thought)
