"""Calls of tools that went to the upstream under another name, or as another kind of tool, as the client knows them.

A free-text tool went as a function with one string: its text is taken out of the arguments' JSON while they come. A
tool by which an older model was made to answer in a form is no call: its arguments are the answer's text.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from trivium.canon.events import (
    CONTENT,
    Begin,
    Event,
    Finish,
    FinishReason,
    Foreign,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    ToolCallEnd,
)
from trivium.canon.parts import ToolKind
from trivium.wire.lenient import parse, text
from trivium.wire.openpart import weight_of
from trivium.wire.schemas import FREE_TEXT
from trivium.wire.toolnames import ToolNames

_OPENING = re.compile(rf'\s*\{{\s*"(?:{FREE_TEXT}|patch)"\s*:\s*"')
"""`patch` is what models call it whose own `apply_patch` takes one."""
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
        self._odd = False
        self.over = False

    def feed(self, piece: str) -> str:
        """What of the string is known by now."""
        if self.over or self._odd:
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
        self.over = self._rest.startswith('"', end)
        if not self.over and (half := _HALF_PAIR.search(self._rest[:end])):
            end = half.start(1)
        said, self._rest = self._rest[:end], self._rest[end:]
        return _plain(said) if "\\" in said else said

    @property
    def behind(self) -> str:
        """What came behind the string."""
        return self._rest[1:] if self.over else ""

    def close(self) -> str:
        """What is left where it was no such object."""
        rest, self._rest = self._rest, ""
        return "" if self._inside else rest


def _plain(said: str) -> str:
    """Without its escapes, and without halves of pairs, which no UTF-8 can carry on."""
    escaped = _ESCAPE.sub(lambda escape: escape[0] if len(escape[0]) > 1 else r"\\", said)
    return text(parse(f'"{escaped}"'.encode("utf-8", "replace")))


class Restored:
    """`events` in, the events that the client is told out.

    The letters of a free text come late, and parts are told one after the other: what belongs to others waits until the
    text is over.
    """

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._forget()

    def _forget(self) -> None:
        self._text: FreeText | None = None
        self._index = 0
        """Of the call that the text belongs to."""
        self._held: OrderedDict[int, list[Event]] = OrderedDict()
        """What waits for the text to be over, by part."""
        self.kept = 0
        """Bytes that wait, roughly."""
        self._over: dict[int, str] = {}
        """By call whose text is, what came behind it: the end of its JSON as a rule, which is told to nobody."""
        self._answers: set[int] = set()
        self._calls = 0

    def waits(self) -> bool:
        """Whether parts wait for a text to be over."""
        return self._text is not None

    def events(self, events: list[Event]) -> list[Event]:
        if not (self._names.originals or self._names.answer):
            return events
        told: list[Event] = []
        for event in events:
            told += self._take(event)
            if self._held:
                told += self._let_go()
        return told

    def _take(self, event: Event) -> list[Event]:
        if self._text is not None and type(event) in CONTENT and (index := getattr(event, "index", -1)) != self._index:
            self._held.setdefault(index, []).append(event)
            self.kept += weight_of(event)
            return []
        take = _TAKERS.get(type(event))
        return take(self, event) if take else [event]

    def _start(self, event: Begin) -> list[Event]:
        if event.restarted:
            self._forget()
        return [event]

    def _begin(self, event: ToolCallBegin) -> list[Event]:
        if event.name == self._names.answer:
            self._answers.add(event.index)
            return []
        self._calls += 1
        original = self._names.originals.get(event.name)
        if original is None:
            return [event]
        if original.kind is ToolKind.CUSTOM and event.kind is ToolKind.FUNCTION:
            self._text, self._index = FreeText(), event.index
        return [ToolCallBegin(event.index, event.id, original.name, original.kind, original.namespace)]

    def _delta(self, event: ToolCallDelta) -> list[Event]:
        if event.index in self._answers:
            return [TextDelta(event.arguments, event.index)]
        if self._text is None:
            return self._end_json(event) if event.index in self._over else [event]
        said = self._text.feed(event.arguments)
        told: list[Event] = [ToolCallDelta(event.index, said)] if said else []
        return told + self._end_text(self._text) if self._text.over else told

    def _end_text(self, over: FreeText) -> list[Event]:
        """The text is over: its rest."""
        self._over[self._index] = over.behind
        rest = over.close()
        self._text = None
        return [*([ToolCallDelta(self._index, rest)] if rest else []), ToolCallEnd(self._index)]

    def _let_go(self) -> list[Event]:
        """What waits, part by part, up to a text that is not over."""
        told: list[Event] = []
        while self._held and self._text is None:
            for event in self._held.popitem(last=False)[1]:
                self.kept -= weight_of(event)
                told += self._take(event)
        return told

    def _end_json(self, event: ToolCallDelta) -> list[Event]:
        if len(self._over[event.index]) < _LONGEST_OPENING:
            self._over[event.index] += event.arguments
        return []

    def _finish(self, event: Finish) -> list[Event]:
        told: list[Event] = []
        while self._text is not None:
            told += self._end_text(self._text) + self._let_go()
        if event.reason is FinishReason.TOOL_CALLS and self._answers and not self._calls:
            event = Finish(FinishReason.STOP, event.native)
        if any(behind.strip() not in ("", "}") for behind in self._over.values()):
            told.append(Foreign("tool_calls.arguments"))
        return [*told, event]


_TAKERS: dict[type[Event], Callable[[Restored, Any], list[Event]]] = {
    Begin: Restored._start,
    ToolCallBegin: Restored._begin,
    ToolCallDelta: Restored._delta,
    Finish: Restored._finish,
}
