"""What the three encoders have in common: canonical events in, bytes of the client's API out.

The APIs want one part after the other: a part ends before the next begins. Upstreams mostly say it so too, and then
everything goes on at once. Where the arguments of parallel calls come interleaved, what belongs to later parts waits
until the arguments of the open call are complete: their JSON is, the upstream says so, or the answer ends.

The end of an answer, its finish and usage, goes out with `close`: usage may come after the finish, and what looks like
the end may be followed by more. Of reasoning, consecutive parts without a seal between them are paragraphs of one part.
What the client does not want to read of it waits for the part's end, and goes out in its envelope.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon import events as ev
from trivium.canon.events import Event, Fault, FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import AnswerPart, Reasoning, Refusal, Seal, Text, ToolCall
from trivium.canon.size import utf8
from trivium.canon.usage import Usage
from trivium.wire.asked import Asked
from trivium.wire.envelope import PLAIN, close, veiled
from trivium.wire.errors import ErrorValue
from trivium.wire.losses import Losses
from trivium.wire.openpart import Part, weight_of
from trivium.wire.toolnames import outward_id

PARAGRAPH = "\n\n"
_MOST_FOREIGN = 1000
RESTARTED = Fault("upstream_restarted", "The upstream began its answer anew after part of it had gone out.")
json = msgspec.json.Encoder(decimal_format="number").encode


class Encoder:
    """`encode` events as they come, then `close`; or `fail`. `whole` renders an answer that is no stream."""

    _KEEPS_TEXT = False
    """The end of a text repeats it."""

    def __init__(self, asked: Asked, losses: Losses) -> None:
        self._asked = asked
        self._losses = losses
        self._out: list[bytes] = []
        self._open: Part | None = None
        self._held: OrderedDict[int, list[Event]] = OrderedDict()
        """What waits for the open call to be complete, by part."""
        self._logprobs: list[Any] | None = None
        """Of the text that is being said."""
        self._foreign: set[str] = set()
        self._ids: set[str] = set()
        """Of the calls so far."""
        self._texts: set[int] = set()
        """The parts of text that have begun."""
        self._apart: set[int] = set()
        self._id, self._model = "", asked.model
        self._usage: Usage | None = None
        self._finish: ev.Finish | None = None
        self._called = 0
        self._refused = False
        """The model told why it refuses."""
        self.began = False
        """Something of the answer has been said."""
        self.kept = 0
        """Letters in memory, of parts that are said once more at their end; and what waits, in bytes."""
        self.content_bytes = 0
        """Of content that has gone out, in UTF-8."""
        self.fault: Fault | None = None
        """The upstream's error: nothing is said after it."""

    # What the client's API makes of it.

    def _start(self) -> None:
        """Say that the answer begins."""
        raise NotImplementedError

    def _begin(self, part: Part) -> None:
        raise NotImplementedError

    def _say(self, part: Part, said: str) -> None:
        raise NotImplementedError

    def _paragraph(self, part: Part) -> None:
        """Reasoning goes on in another paragraph."""
        self._say(part, PARAGRAPH)

    def _end(self, part: Part, sealed: str | None) -> None:
        """A part is over; `sealed` is what the client keeps beside reasoning."""
        raise NotImplementedError

    def _sealed_only(self, index: int, seal: Seal) -> None:
        """Reasoning without a text."""
        raise NotImplementedError

    def _finished(self, finish: ev.Finish) -> None:
        """Finish, usage and the terminal event."""
        raise NotImplementedError

    def ping(self) -> bytes:
        """A keep-alive while the upstream is silent."""
        return b": keep-alive\n\n"

    def fail(self, error: ErrorValue) -> bytes:
        """The end of a stream that failed."""
        raise NotImplementedError

    def whole(self, answer: Answer) -> bytes:
        """The body of an answer without an error."""
        raise NotImplementedError

    # The order of things.

    def encode(self, events: list[Event]) -> bytes:
        """The bytes that say these events; often none."""
        self._out = []
        for event in events:
            if self.fault is None or type(event) is ev.UsageReport:
                _TAKERS[type(event)](self, event)
        return b"".join(self._out)

    def more(self, index: int, kind: type[AnswerPart], said: list[str]) -> bytes | None:
        """What `encode` makes of further pieces of the text, or of the reasoning, that is being said; None if it is not
        that part."""
        part = self._open
        if self.fault is not None or part is None or part.index != index or part.kind is not kind:
            return None
        self._out, letters = [], sum(map(len, said))
        if kind is not Text or self._KEEPS_TEXT:
            part.pieces += said
            self.kept += letters
        if self._is_unread(part):
            return b""
        if kind is Text:
            part.length += letters
            self._logprobs = None
        self.content_bytes += sum(map(utf8, said))
        for piece in said:
            self._say(part, piece)
        return b"".join(self._out)

    def close(self) -> bytes:
        """The end of an answer that came to its end."""
        self._out = []
        self._end_all()
        self._ensure_started()
        if self._usage is None:
            self._losses.add("usage", "the upstream told none")
        self._finished(self._settled(self._finish or _UNSAID))
        return b"".join(self._out)

    @property
    def finished(self) -> bool:
        return self._finish is not None

    def _ensure_started(self) -> None:
        if not self.began:
            self.began = True
            self._start()

    def _take_begin(self, event: ev.Begin) -> None:
        if event.restarted and self.began:
            self.fault = RESTARTED
        elif event.restarted:
            self._finish = None
        if not self.began:
            self._id, self._model = event.id or self._id, event.model or self._model

    def _take_text(self, event: ev.TextDelta) -> None:
        part = self._open
        if part is None or part.index != event.index or part.kind is not Text:
            part = self._switch(event, Part(event.index, Text))
            if part is None:
                return
        if self._KEEPS_TEXT:
            part.pieces.append(event.text)
            self.kept += len(event.text)
        part.length += len(event.text)
        self._logprobs = event.logprobs
        self._tell(part, event.text)

    def _take_cited(self, event: ev.Cited) -> None:
        """Citations are told at the end of their text: some come before it, without a place in it."""
        part = self._open
        if part is None or part.index != event.index or part.kind is not Text:
            if event.index in self._texts:
                self._losses.add("annotations", "a source that was told after its text had ended")
                return
            part = self._switch(event, Part(event.index, Text))
            if part is None:
                return
        part.citations.append(event.citation)

    def _take_kept(self, event: ev.ReasoningDelta | ev.RefusalDelta, kind: type[AnswerPart]) -> None:
        part, said = self._open, event.text
        if part is None or part.index != event.index or part.kind is not kind:
            part = self._switch(event, Part(event.index, kind))
            if part is None:
                return
        part.pieces.append(said)
        self.kept += len(said)
        if not self._is_unread(part):
            self._tell(part, said)

    def _take_call(self, event: ev.ToolCallBegin) -> None:
        self._switch(event, Part(event.index, ToolCall, event))

    def _take_arguments(self, event: ev.ToolCallDelta) -> None:
        part = self._open
        if part is None or part.index != event.index or part.kind is not ToolCall:
            if event.index in self._held:
                self._hold(event.index, event)
            elif event.arguments.strip():
                self._losses.add("tool_calls", "arguments of a call that was complete already")
            return
        part.pieces.append(event.arguments)
        self.kept += len(event.arguments)
        self._tell(part, event.arguments)
        if self._held and part.is_complete():
            self._release()

    def _take_call_end(self, event: ev.ToolCallEnd) -> None:
        part = self._open
        if part is not None and part.index == event.index and part.kind is ToolCall:
            part.is_over = True
            if self._held:
                self._release()
        elif event.index in self._held:
            self._hold(event.index, event)

    def _is_unread(self, part: Part) -> bool:
        return self._asked.unread and part.kind is Reasoning

    def _tell(self, part: Part, said: str) -> None:
        self.content_bytes += utf8(said)
        self._say(part, said)

    def _take_seal(self, event: ev.ReasoningSeal) -> None:
        part = self._open
        if part is not None and part.index == event.index and part.kind is Reasoning:
            self._open = None
            self._over(part, self._sealed(event.seal, part.said))
            return
        if part is not None and not self._may_follow(part):
            self._hold(event.index, event)
            return
        self._end_open()
        self._ensure_started()
        self._sealed_only(event.index, event.seal)

    def _may_follow(self, part: Part) -> bool:
        """Whether something else may be said behind the open part."""
        return not self._held and part.is_complete()

    def _hold(self, index: int, event: Event) -> None:
        self._held.setdefault(index, []).append(event)
        self.kept += weight_of(event)

    def _switch(self, event: Event, part: Part) -> Part | None:
        """Ends the open part and begins this one; None where the event has to wait."""
        before = self._open
        if before is not None:
            if before.kind is part.kind is Reasoning and not self._asked.native:
                before.index = part.index
                before.pieces.append(PARAGRAPH)
                if not self._is_unread(before):
                    self._paragraph(before)
                return before
            if not self._may_follow(before):
                self._hold(part.index, event)
                return None
            self._end_open()
        self._ensure_started()
        self._open = part
        if part.call is not None:
            self._called += 1
        elif part.kind is Text:
            self._texts.add(part.index)
        self._refused |= part.kind is Refusal
        self._begin(part)
        return part

    def _end_open(self) -> None:
        part, self._open = self._open, None
        if part is not None:
            sealed = None
            if part.kind is Reasoning and not self._asked.native:
                sealed = self._sealed(Seal(PLAIN), part.said)
            self._over(part, sealed)

    def _over(self, part: Part, sealed: str | None) -> None:
        self._end(part, sealed)
        if self._is_unread(part):
            self.content_bytes += utf8(part.said)
        if not self._KEEPS_TEXT:
            self.kept -= sum(map(len, part.pieces))

    def _release(self) -> None:
        """The open call is over: what waited goes on, part by part, up to a call that is not complete."""
        held, self._held = self._held, OrderedDict()
        while held:
            self._end_open()
            for event in held.popitem(last=False)[1]:
                self.kept -= weight_of(event)
                _TAKERS[type(event)](self, event)
            if self._open is not None and not self._open.is_complete():
                break
        self._held = held

    def _end_all(self) -> None:
        """Nothing more will come."""
        while self._held:
            self._release()
        self._end_open()

    def _sealed(self, seal: Seal, said: str) -> str:
        """What the client keeps: our envelope, or the seal itself where its API is the upstream's."""
        origin = self._asked.origin
        if origin is None:
            return seal.data
        if seal.form == PLAIN and self._asked.kin:
            origin = self._asked.kin
        if self._asked.unread and said:
            return close(veiled(seal, origin, said), origin, "")
        return close(veiled(seal, origin) if self._asked.veiled else seal, origin, said)

    def _take_finish(self, event: ev.Finish) -> None:
        self._finish = event
        self._end_all()

    def _take_usage(self, event: ev.UsageReport) -> None:
        self._usage = event.usage

    def _take_fault(self, event: ev.Fault) -> None:
        self.fault = event

    def _take_foreign(self, event: ev.Foreign) -> None:
        if event.field not in self._foreign and len(self._foreign) < _MOST_FOREIGN:
            self._foreign.add(event.field)
            self._losses.add(event.field, "only the upstream's API can say it")

    # Names.

    def _settled(self, finish: ev.Finish) -> ev.Finish:
        """Why the answer ended. An upstream that stops behind a call (Google's) waits for its result; one that stops
        behind a refusal (OpenAI's in Chat) has refused, which Messages tells by nothing else."""
        if finish.reason is not FinishReason.STOP or not (self._called or self._refused):
            return finish
        reason = FinishReason.TOOL_CALLS if self._called else FinishReason.REFUSAL
        return ev.Finish(reason, finish.native, finish.stop_sequence)

    def _answer_id(self, prefix: str) -> str:
        return self._id or f"{prefix}{self._asked.id}"

    def _call_id(self, call: ev.ToolCallBegin | ToolCall, number: int) -> str:
        """The upstream's, in letters that every API takes; one of ours where it gave none (Google's is empty), or gave
        one twice."""
        own = not call.id or call.id in self._ids
        self._ids.add(call.id)
        return f"call_{self._asked.id}_{number}" if own else outward_id(call.id)

    def _take_whole(self, answer: Answer) -> ev.Finish:
        """The names of an answer that is no stream, and why it ended."""
        self._id, self._model = answer.id or "", answer.model or self._model
        self._usage = answer.usage
        self._called = len(answer.tool_calls)
        self._refused = any(isinstance(part, Refusal) for part in answer.parts)
        for field in answer.foreign:
            self._take_foreign(ev.Foreign(field))
        finish = self._settled(ev.Finish(answer.finish, answer.native_finish, answer.stop_sequence))
        self._called = 0  # they are counted anew as they are told
        return finish

    def _joined(self, parts: tuple[AnswerPart, ...]) -> list[AnswerPart]:
        """As in a stream, paragraphs of reasoning are one part, under the seal of the last."""
        if self._asked.native:
            return [*parts]
        found: list[AnswerPart] = []
        said: list[str] = []
        for part in [*parts, None]:
            if isinstance(part, Reasoning) and part.text:
                said.append(part.text)
                if part.seal is not None:
                    found.append(Reasoning(PARAGRAPH.join(said), seal=part.seal))
                    said = []
                continue
            if said:
                found.append(Reasoning(PARAGRAPH.join(said)))
                said = []
            if part is not None:
                found.append(part)
        return found


_UNSAID = ev.Finish(FinishReason.UNKNOWN, None)
_TAKERS: dict[type[Event], Callable[[Encoder, Any], None]] = {
    ev.Begin: Encoder._take_begin,
    ev.TextDelta: Encoder._take_text,
    ev.Apart: lambda encoder, event: encoder._apart.add(event.index),
    ev.Cited: Encoder._take_cited,
    ev.ReasoningDelta: lambda encoder, event: encoder._take_kept(event, Reasoning),
    ev.ReasoningSeal: Encoder._take_seal,
    ev.RefusalDelta: lambda encoder, event: encoder._take_kept(event, Refusal),
    ev.ToolCallBegin: Encoder._take_call,
    ev.ToolCallDelta: Encoder._take_arguments,
    ev.ToolCallEnd: Encoder._take_call_end,
    ev.Finish: Encoder._take_finish,
    ev.UsageReport: Encoder._take_usage,
    ev.Fault: Encoder._take_fault,
    ev.Foreign: Encoder._take_foreign,
    ev.End: lambda *_: None,
}
"""Of all encoders: a table of each one's own methods would be a cycle, for the garbage collector to find."""
