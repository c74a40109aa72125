"""Calls of tools that went to the upstream under another name, or as another kind of tool, as the client knows them.

A free-text tool went as a function with one string: its text is taken out of the arguments' JSON while they come. A
tool by which an older model was made to answer in a form is no call: its arguments are the answer's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trivium.canon.events import (
    Event,
    Finish,
    FinishReason,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
)
from trivium.canon.parts import ToolKind
from trivium.wire.lenient import parse, text
from trivium.wire.schemas import FREE_TEXT
from trivium.wire.toolnames import ToolNames

_OPENING = re.compile(rf'\s*\{{\s*"{FREE_TEXT}"\s*:\s*"')
_LONGEST_OPENING = 1000
_LETTERS = re.compile(r'(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\(?=[^"\\/bfnrtu]|u[0-9a-fA-F]{0,3}[^0-9a-fA-F]))*')
"""A backslash that begins no escape, as in `\\d`, is taken for itself."""
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})?')
_HALF_PAIR = re.compile(r"(?:\A|[^\\])(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})\Z")


class FreeText:
    """The one string in a JSON object, letter by letter as it comes. Arguments of another form are the text as they
    stand."""

    def __init__(self) -> None:
        self._rest = ""
        self._inside = False
        self._over = False
        self._odd = False

    def feed(self, piece: str) -> str:
        """What of the string is known by now."""
        if self._over or self._odd:
            return piece if self._odd else ""
        self._rest += piece
        if not self._inside:
            opening = _OPENING.match(self._rest)
            if opening is None:
                self._odd = len(self._rest) > _LONGEST_OPENING
                return self.close() if self._odd else ""
            self._inside = True
            self._rest = self._rest[opening.end() :]
        return self._letters()

    def _letters(self) -> str:
        letters = _LETTERS.match(self._rest)
        end = letters.end() if letters else 0
        self._over = self._rest.startswith('"', end)
        if not self._over and (half := _HALF_PAIR.search(self._rest[:end])):
            end = half.start(1)
        said, self._rest = self._rest[:end], self._rest[end:]
        return _plain(said) if "\\" in said else said

    def close(self) -> str:
        """What is left where it was no such object."""
        rest, self._rest = self._rest, ""
        return "" if self._inside else rest


def _plain(said: str) -> str:
    """Without its escapes, and without halves of pairs, which no UTF-8 can carry on."""
    escaped = _ESCAPE.sub(lambda escape: escape[0] if len(escape[0]) > 1 else r"\\", said)
    return text(parse(f'"{escaped}"'.encode("utf-8", "replace")))


class Restored:
    """`events` in, the events that the client is told out."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._texts: dict[int, FreeText] = {}
        self._answers: set[int] = set()
        self._calls = 0
        self._takers: dict[type[Event], Callable[[Any], list[Event]]] = {
            ToolCallBegin: self._begin,
            ToolCallDelta: self._delta,
            Finish: self._finish,
        }

    def events(self, events: list[Event]) -> list[Event]:
        if not (self._names.originals or self._names.answer):
            return events
        told: list[Event] = []
        for event in events:
            take = self._takers.get(type(event))
            told += take(event) if take else [event]
        return told

    def _begin(self, event: ToolCallBegin) -> list[Event]:
        if event.name == self._names.answer:
            self._answers.add(event.index)
            return []
        self._calls += 1
        original = self._names.originals.get(event.name)
        if original is None:
            return [event]
        if original.kind is ToolKind.CUSTOM and event.kind is ToolKind.FUNCTION:
            self._texts[event.index] = FreeText()
        return [ToolCallBegin(event.index, event.id, original.name, original.kind, original.namespace)]

    def _delta(self, event: ToolCallDelta) -> list[Event]:
        if event.index in self._answers:
            return [TextDelta(event.arguments, event.index)]
        text = self._texts.get(event.index)
        if text is None:
            return [event]
        said = text.feed(event.arguments)
        return [ToolCallDelta(event.index, said)] if said else []

    def _finish(self, event: Finish) -> list[Event]:
        rest: list[Event] = [
            ToolCallDelta(index, said) for index, text in self._texts.items() if (said := text.close())
        ]
        self._texts.clear()
        if event.reason is FinishReason.TOOL_CALLS and self._answers and not self._calls:
            return [*rest, Finish(FinishReason.STOP, event.native)]
        return [*rest, event]
