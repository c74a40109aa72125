"""An answer of a model of the house, on its way through a translation: told under the house's own name, without what it
cost; of a stealth model without anything that would tell who answered (behaviour page, section 4).

Events pass the cover between the reader of the upstream's answer and the writer of the client's; the record is made of
what came before it. Of an upstream's own words only those of the answer itself go on: its text, reasoning, sources, and
calls of tools. Seals go on in envelopes that nobody else can read (`encoder._sealed`).
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import msgspec

from trivium.canon import events as ev
from trivium.canon.events import Event

_replace = msgspec.structs.replace
_NO_COST = {"reported_cost": None, "market_cost": None, "is_byok": None, "generation_id": None}


class Cover:
    """Of one answer. `model` is the public id."""

    def __init__(self, model: str, *, hides: bool) -> None:
        """`hides`: it is a stealth model."""
        self.model = model
        self.hides = hides
        self.stops: Container[str] = ()
        """Words of the request at which the answer may stop."""
        self.namespaces: Container[str] = ()
        """Of the request's tools."""

    def events(self, events: list[Event]) -> list[Event]:
        """The same events, as clients may know them."""
        takers = _HIDING if self.hides else _NAMING
        return [takers[type(event)](self, event) if type(event) in takers else event for event in events]

    def _begin(self, event: ev.Begin) -> Event:
        return ev.Begin(None if self.hides else event.id, self.model, event.restarted)

    def _usage(self, event: ev.UsageReport) -> Event:
        more: dict[str, Any] = {"server_tools": {}, "service_tier": None} if self.hides else {}
        return ev.UsageReport(_replace(event.usage, **_NO_COST, **more))

    def _text(self, event: ev.TextDelta) -> Event:
        """Without probabilities: a tokenizer is as good as a name."""
        return event if event.logprobs is None else ev.TextDelta(event.text, event.index)

    def _call(self, event: ev.ToolCallBegin) -> Event:
        """Without the upstream's id, whose form tells whose it is: the client gets one of ours."""
        namespace = event.namespace if event.namespace in self.namespaces else None
        return _replace(event, id="", namespace=namespace)

    def _finish(self, event: ev.Finish) -> Event:
        stop = event.stop_sequence if event.stop_sequence in self.stops else None
        return ev.Finish(event.reason, None, stop)


_Takers = dict[type[Event], Callable[[Cover, Any], Event]]
_NAMING: _Takers = {ev.Begin: Cover._begin, ev.UsageReport: Cover._usage}
_HIDING: _Takers = _NAMING | {ev.TextDelta: Cover._text, ev.ToolCallBegin: Cover._call, ev.Finish: Cover._finish}
