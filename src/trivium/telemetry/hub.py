"""Where records go when their calls have ended: to whoever counts, traces, tells or logs them.

A call hands its record over by appending it to a list. A tenth of a second later the list goes to every sink, so that
whatever these do is done behind the answers, for many records at once. A sink that fails harms no call and no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context
from typing import NamedTuple, Protocol

from trivium.metering.record import Record

_LOG = logging.getLogger("trivium.telemetry")
_LINGER = 0.1
"""Seconds."""
_LONGEST = 256
"""Of a `traceparent`, which has 55 bytes today."""
_NOBODY = Context()
"""What is done for many requests is done for none of them in particular."""


class Ended(NamedTuple):
    record: Record
    parent: bytes | None
    """The trace that the client says the call is part of (`traceparent`), as it came."""


class Sink(Protocol):
    """Takes records on the event loop, and returns at once."""

    def take(self, batch: Sequence[Ended]) -> None: ...


class Hub:
    """`ended` for each record; `drain` before somebody looks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)
        self._waiting: list[Ended] = []
        self._failing: set[Sink] = set()

    @property
    def heard(self) -> bool:
        """Whether there is anybody to hand records to."""
        return bool(self._sinks)

    def listen(self, sink: Sink, wants: bool) -> None:
        """A sink that wants records from now on, or no longer does."""
        if wants != (sink in self._sinks):
            self.drain()
            self._sinks = [*(one for one in self._sinks if one is not sink), *([sink] if wants else ())]

    def ended(self, record: Record, parent: bytes | None = None) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(_LINGER, self.drain, context=_NOBODY)
        self._waiting.append(Ended(record, parent if parent is None or len(parent) <= _LONGEST else None))

    def drain(self) -> None:
        """Gives every sink what has come since the last time."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        for sink in self._sinks:
            try:
                sink.take(batch)
            except Exception:
                if sink not in self._failing:  # once, or the log would grow with the traffic
                    self._failing.add(sink)
                    _LOG.exception("records are lost to %s", type(sink).__name__)
