"""Folding events into the answer they tell.

Linear in the size of the answer: pieces are collected and joined once. The fold never fails: an event it cannot place
(arguments of a call that never began) is left out.
"""

from __future__ import annotations

import msgspec

from trivium.canon import events as ev
from trivium.canon.events import Event, Fault, FinishReason
from trivium.canon.usage import Usage


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str
    """The arguments' JSON text (free text for a custom tool), as the model wrote it: it may be empty or cut short."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer came to, however it was said."""

    id: str | None = None
    model: str | None = None
    text: str = ""
    """All text parts, joined; if there is none, what the model said in refusal."""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = FinishReason.UNKNOWN
    """ERROR whenever `error` is set, whatever finish word came before or after it."""
    native_finish: str | None = None
    usage: Usage | None = None
    """None: no usage arrived, which is not the same as none used."""
    error: Fault | None = None
    ended: bool = False
    """The API's terminal event arrived."""


class Fold:
    """An answer under way: `add` each event, ask for the `answer` so far at any time."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None
        self._error: Fault | None = None
        self._ended = False
        self._forget()

    def _forget(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._finish: ev.Finish | None = None

    def add(self, event: Event) -> None:
        match event:
            case ev.TextDelta(text):
                self._text.append(text)
            case ev.ReasoningDelta(text):
                self._reasoning.append(text)
            case ev.ToolCallDelta(index, arguments):
                if index in self._calls:
                    self._calls[index][2].append(arguments)
            case ev.ToolCallBegin(index, id, name):
                self._calls[index] = (id, name, [])
            case ev.RefusalDelta(text):
                self._refusal.append(text)
            case ev.UsageReport(usage):
                self._usage = usage
            case _:
                self._add_mark(event)

    def _add_mark(self, event: Event) -> None:
        match event:
            case ev.Begin(id, model, restarted):
                if restarted:
                    self._forget()
                    self._id = self._model = None
                self._id, self._model = self._id or id, self._model or model
            case ev.Finish():
                self._finish = event
            case ev.Fault():
                self._error = self._error or event
            case ev.End():
                self._ended = True

    def answer(self) -> Answer:
        finish = self._finish
        reason = finish.reason if finish else FinishReason.UNKNOWN
        return Answer(
            id=self._id,
            model=self._model,
            text="".join(self._text) or "".join(self._refusal),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(ToolCall(id, name, "".join(said)) for id, name, said in self._calls.values()),
            finish=FinishReason.ERROR if self._error else reason,
            native_finish=finish.native if finish else None,
            usage=self._usage,
            error=self._error,
            ended=self._ended,
        )


def fold(events: list[Event]) -> Answer:
    """The answer that the events tell."""
    folding = Fold()
    for event in events:
        folding.add(event)
    return folding.answer()
