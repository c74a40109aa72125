"""Folding events into the answer they tell.

Linear in the size of the answer: pieces are collected and joined once. The fold never fails: an event it cannot place
(arguments of a call that never began) is left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from trivium.canon import events as ev
from trivium.canon.events import Event, Fault, FinishReason
from trivium.canon.parts import AnswerPart, Citation, Reasoning, Refusal, Seal, Text, ToolCall
from trivium.canon.usage import Usage

_MOST_FOREIGN = 1000
"""Names of strangers; a stream has no end to them."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer came to, however it was said."""

    id: str | None = None
    model: str | None = None
    served_by: str | None = None
    """Whom a gateway of many vendors asked, in its own words."""
    text: str = ""
    """All text parts, joined; if there is none, what the model said in refusal."""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    parts: tuple[AnswerPart, ...] = ()
    """All of it, in the order in which it began."""
    finish: FinishReason = FinishReason.UNKNOWN
    """ERROR whenever `error` is set, whatever finish word came before or after it."""
    native_finish: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None
    """None: no usage arrived, which is not the same as none used."""
    error: Fault | None = None
    ended: bool = False
    """The API's terminal event arrived."""
    foreign: tuple[str, ...] = ()
    """What only the upstream's API has words for."""
    service_tier: str | None = None
    """What it called its service tier, where no usage came: that has the last word."""
    server_tools: dict[str, int] = {}
    """Calls of the provider's tools that it shows, whatever the usage says of them."""


class _Part:
    """A part under way."""

    def __init__(self, kind: type[AnswerPart], call: ev.ToolCallBegin | None = None) -> None:
        self.kind = kind
        self.call = call
        self.said: list[str] = []
        self.seal: Seal | None = None
        self.citations: list[Citation] = []
        self.logprobs: list[Any] = []
        self.apart = False

    def finished(self) -> AnswerPart:
        said = "".join(self.said)
        if self.call is not None:
            call = self.call
            return ToolCall(call.id, call.name, said, call.kind, call.namespace)
        if self.kind is Reasoning:
            return Reasoning(said, seal=self.seal)
        if self.kind is Refusal:
            return Refusal(said)
        return Text(said, citations=tuple(self.citations), logprobs=tuple(self.logprobs), apart=self.apart)


class Fold:
    """An answer under way: `add` each event, ask for the `answer` so far at any time."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._model: str | None = None
        self._served_by: str | None = None
        self._service_tier: str | None = None
        self._usage: Usage | None = None
        self._error: Fault | None = None
        self._ended = False
        self._forget()

    def _forget(self) -> None:
        self._parts: dict[tuple[type[AnswerPart], int], _Part] = {}
        self._finish: ev.Finish | None = None
        self._foreign: dict[str, str | None] = {}

    def add(self, event: Event) -> None:
        match event:
            case ev.TextDelta(text, index, logprobs):
                part = self._part(Text, index)
                part.said.append(text)
                part.logprobs += logprobs or ()
            case ev.ReasoningDelta(text, index):
                self._part(Reasoning, index).said.append(text)
            case ev.ReasoningSeal(index, seal):
                self._part(Reasoning, index).seal = seal
            case ev.RefusalDelta(text, index):
                self._part(Refusal, index).said.append(text)
            case ev.Apart(index):
                self._part(Text, index).apart = True
            case ev.Cited(index, citation):
                self._part(Text, index).citations.append(citation)
            case ev.ToolCallBegin(index):
                self._parts[ToolCall, index] = _Part(ToolCall, event)
            case ev.ToolCallDelta(index, arguments):
                if (ToolCall, index) in self._parts:
                    self._parts[ToolCall, index].said.append(arguments)
            case _:
                self._add_mark(event)

    def _part(self, kind: type[AnswerPart], index: int) -> _Part:
        part = self._parts.get((kind, index))
        if part is None:
            part = self._parts[kind, index] = _Part(kind)
        return part

    def _add_mark(self, event: Event) -> None:
        match event:
            case ev.UsageReport(usage):
                self._usage = usage
            case ev.Begin(id, model, restarted, served_by, service_tier):
                if restarted:
                    self._forget()
                    self._id = self._model = self._served_by = self._service_tier = None
                self._id, self._model = self._id or id, self._model or model
                self._served_by = self._served_by or served_by
                self._service_tier = self._service_tier or service_tier
            case ev.Finish():
                self._finish = event
            case ev.Fault():
                self._error = self._error or event
            case ev.Foreign(field, tool):
                if len(self._foreign) < _MOST_FOREIGN:
                    self._foreign[field] = tool
            case ev.End():
                self._ended = True

    def answer(self) -> Answer:
        finish = self._finish
        reason = finish.reason if finish else FinishReason.UNKNOWN
        parts = tuple([part.finished() for part in self._parts.values()])
        return Answer(
            id=self._id,
            model=self._model,
            served_by=self._served_by,
            text=_joined(parts, Text) or _joined(parts, Refusal),
            reasoning=_joined(parts, Reasoning),
            tool_calls=tuple([part for part in parts if isinstance(part, ToolCall)]),
            parts=parts,
            finish=FinishReason.ERROR if self._error else reason,
            native_finish=finish.native if finish else None,
            stop_sequence=finish.stop_sequence if finish else None,
            usage=self._usage,
            error=self._error,
            ended=self._ended,
            foreign=tuple(self._foreign),
            service_tier=self._service_tier if self._usage is None else None,
            server_tools=Counter(filter(None, self._foreign.values())) if self._foreign else {},
        )


def _joined(parts: tuple[AnswerPart, ...], kind: type[Text] | type[Refusal] | type[Reasoning]) -> str:
    return "".join([part.text for part in parts if isinstance(part, kind)])


def fold(events: list[Event]) -> Answer:
    """The answer that the events tell."""
    folding = Fold()
    for event in events:
        folding.add(event)
    return folding.answer()
