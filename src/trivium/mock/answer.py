"""What a reply says once it has met its request: no dialect yet, but nothing left open any more.

Ids are made from the number of the request, times are one fixed second: the same requests to the same script give the
same bytes.
"""

from __future__ import annotations

import re

import msgspec

from trivium.mock.asked import Asked, tokens
from trivium.mock.script import FinishWord, Reply, Usage

CREATED = 1_767_225_600
"""2026-01-01T00:00:00Z, in seconds."""

_WORDS = re.compile(r"\s*\S+|\s+")
_FRAGMENT = 8
"""Characters of a tool call's arguments per event."""


class Call(msgspec.Struct, frozen=True):
    """`arguments` is JSON text as it goes over the wire."""

    name: str
    arguments: str
    id: str | None

    @property
    def fragments(self) -> list[str]:
        return [self.arguments[at : at + _FRAGMENT] for at in range(0, len(self.arguments), _FRAGMENT)]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    id: str | None
    """None: the dialect makes one from the number."""
    model: str
    reasoning: list[str] | None
    """Pieces; None if the model does not reason."""
    signature: str | None
    text: list[str]
    calls: list[Call]
    finish: FinishWord
    usage: Usage | None
    """None: not to be told."""
    cost: float | None
    asked: Asked


def compose(reply: Reply, asked: Asked) -> Answer:
    reasoning = _pieces(reply.reasoning) if reply.reasoning is not None else [] if reply.signature else None
    text = _pieces(reply.text)
    calls = [Call(call.name, _json_text(call.arguments), call.id) for call in reply.tool_calls]
    return Answer(
        number=asked.number,
        id=reply.id,
        model=reply.model or asked.model,
        reasoning=reasoning,
        signature=reply.signature,
        text=text,
        calls=calls,
        finish=reply.finish or ("tool_calls" if calls else "stop"),
        usage=None if reply.no_usage else reply.usage or _estimate(asked, text, reasoning or [], calls),
        cost=reply.cost,
        asked=asked,
    )


def _pieces(text: str | list[str]) -> list[str]:
    return _WORDS.findall(text) if isinstance(text, str) else text


def _json_text(arguments: dict[str, object] | str) -> str:
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def _estimate(asked: Asked, text: list[str], reasoning: list[str], calls: list[Call]) -> Usage:
    thought = tokens("".join(reasoning)) if reasoning else 0
    said = tokens(["".join(text), *(call.name + call.arguments for call in calls)])
    return Usage(input=asked.tokens, output=said + thought, reasoning=thought)
