"""What the three stream decoders have in common: bytes in, canonical events out, and never an exception.

An event that is not a JSON object is counted in `malformed` and left out. Values of unexpected types are passed over
one by one, so that the rest of their event still counts. A whole body is read by the code that reads a stream.
"""

from __future__ import annotations

from typing import Any

from trivium.canon.events import Begin, End, Event, Fault, Finish, FinishReason
from trivium.wire.fault import BROKEN_OFF, fault_in, fault_of_body, fault_of_text
from trivium.wire.lenient import Halves, mapping, parse, text
from trivium.wire.sse import ServerSentEvent

_DONE = b"[DONE]"
PART = 250
"""Bytes of what is known of a part that is over, by decoder and encoder: a call of Chat has it twice, and takes 500."""


class Decoder:
    """Decodes one answer: `decode` each event of its stream, then `close`; or `whole` for a body that is no stream."""

    goes_on = False
    """Another answer behind one that came to its end goes on with it."""

    def __init__(self) -> None:
        self.malformed = 0
        """Events that were no JSON objects, left out."""
        self._halves = Halves()
        self._out: list[Event] = []
        self._begun = Begin()
        self._finish: Finish | None = None
        self._faulted = False
        self._called = False
        self._ended = False
        self._parts = 0
        self.kept = 0
        """Roughly the bytes in memory of what the answer consists of, its letters apart."""
        self._kind: object = None

    def decode(self, event: ServerSentEvent) -> list[Event]:
        """The canonical events that one server-sent event says; often none."""
        out = self._out = []
        try:
            said = parse(event.data, self._halves)
        except ValueError:
            self._take_text(event)
            return out
        if type(said) is dict:
            self._take(said, event.event or "")
        elif fault := fault_in(said):
            self._fail(fault)
        else:
            self.malformed += 1
        return out

    def close(self) -> list[Event]:
        """The stream is over: what was held back, and a Fault if the answer had neither an end nor an error."""
        out = self._out = []
        self._take_end()
        if self._finish is None and not self._faulted:
            self._fail(Fault(BROKEN_OFF, "The stream ended before the answer did"))
        return out

    def whole(self, body: bytes) -> list[Event]:
        """The events of a body that is no stream, answer or error. Blanks before it are keep-alives (OpenRouter)."""
        out = self._out = []
        try:
            said = parse(body)
        except ValueError:
            return [fault_of_text(body)]
        if not self._take_body(mapping(said)) and not self._faulted:
            self._fail(fault_of_body(said))
        return out

    def _take(self, said: dict[str, Any], name: str) -> None:
        """Read one event's object; `name` is its `event:` field."""
        raise NotImplementedError

    def _take_body(self, said: dict[str, Any]) -> bool:
        """Read a whole answer. False if the object is none."""
        raise NotImplementedError

    def _take_done(self) -> None:
        """The stream said `[DONE]`."""

    def _take_end(self) -> None:
        """The stream is over; say what was held back."""

    def _take_text(self, event: ServerSentEvent) -> None:
        data = event.data.strip()
        if data == _DONE:
            self._take_done()
        elif event.event == "error":
            self._fail(fault_of_text(data))
        elif data:
            self.malformed += 1

    def _begin(self, id: str, model: str, served_by: str, tier: str = "") -> None:
        """Say what is newly known about the answer; empty names are unknown."""
        begun = self._begun
        now = Begin(
            begun.id or id or None,
            begun.model or model or None,
            served_by=begun.served_by or served_by or None,
            service_tier=begun.service_tier or tier or None,
        )
        if now != begun:
            self._begun = now
            self._out.append(now)

    def _take_routing(self, said: dict[str, Any]) -> None:
        """Say what Vercel tells of who served the answer, at its end."""
        if "provider_metadata" in said:
            gateway = mapping(mapping(said["provider_metadata"]).get("gateway"))
            if served_by := text(mapping(gateway.get("routing")).get("finalProvider")):
                self._begin("", "", served_by)

    def _starts_anew(self, id: str, model: str) -> bool:
        """Whether the stream has begun another answer, by its id. It takes the place of the one before."""
        if not id or not self._begun.id or id == self._begun.id:
            return False
        self._begun = Begin(id, model or None)
        if not (self._ended and self.goes_on):
            self._out.append(Begin(id, model or None, restarted=True))
        self._finish, self._called, self._ended, self._kind = None, False, False, None
        return True

    def place(self) -> tuple[object, int] | None:
        """The part that is being said, if further pieces of it may go by unread while it is the same; None where a
        decoder needs to see each."""
        return self._kind, self._parts

    def more(self, letters: int) -> None:
        """Further pieces of that part, of so many letters, have gone by."""

    def _part(self, kind: object) -> int:
        """The index of the part that a delta of this kind belongs to: a new one whenever the kind changes."""
        if kind != self._kind:
            self._new_part()
            self._kind = kind
        return self._parts - 1

    def _new_part(self) -> int:
        """The index of a part that deltas of other kinds do not interrupt."""
        self._kind = None
        self._parts += 1
        self.kept += PART
        return self._parts - 1

    def _end(self, reason: FinishReason | None, native: str | None, stop_sequence: str | None = None) -> None:
        """Say why the answer ended. None is a word nobody knows: it stopped, or it waits for its tool calls."""
        if reason is None:
            reason = FinishReason.TOOL_CALLS if self._called else FinishReason.STOP
        finish = Finish(reason, native, stop_sequence)
        if finish != self._finish:
            self._finish = finish
            self._out.append(finish)

    def _stop(self) -> None:
        """The terminal event: an answer that gave no reason for its end has none but having ended."""
        if self._ended:
            return
        self._ended = True
        if self._finish is None and not self._faulted:
            self._end(None, None)
        self._out.append(End())

    def _fail(self, fault: Fault | None) -> None:
        """Say an error, once: what follows the first (`response.failed` after `error`) repeats it."""
        if fault and not self._faulted:
            self._faulted = True
            self._out.append(fault)
