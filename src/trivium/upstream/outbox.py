"""What goes out, to clients and upstreams alike: one by one while little happens, in bursts while much does.

A write to a socket whose reader sleeps wakes that reader on another CPU, which costs the writer more than all else that
a write does (docs/decisions/0027-writes-go-out-in-bursts.md). Of several writes in a row the first one wakes, and the
others find their readers awake. So where calls come thick and fast nothing is written in the midst of work: what a turn
of the event loop has to say lies here until the next one begins.

Whoever closes a transport, or writes to it past this, has to `flush` first, or what lies here would be lost, or late.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

_SOON = 0.00025
"""Seconds. Two writes that are no further apart have company enough to wait for more."""


class Sink(Protocol):
    """Of a transport, what matters here."""

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool: ...


class Outbox:
    """Belongs to the event loop in which it is used. What is put in leaves in that order."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Sink, bytes]] = []
        self._calm = True
        """The last burst was of a single write: nobody gains by waiting."""
        self._last = 0.0
        self.burst = 0
        """Writes that went out together last."""

    def put(self, to: Sink, data: bytes) -> None:
        """Writes the data at once, or before whatever is scheduled after this."""
        if not self._waiting:
            if self._calm:
                before, self._last = self._last, monotonic()
                self._calm = self._last - before > _SOON
                if self._calm:
                    self.burst = 1
                    to.write(data)
                    return
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((to, data))

    def put_piece(self, to: Sink, data: bytes) -> None:
        """The same for a piece of a stream, which comes alone as a rule: it is written at once, or else behind whatever
        waits, lest it overtake what came before it."""
        if self._waiting:
            self._waiting.append((to, data))
        elif not to.is_closing():
            to.write(data)

    def flush(self) -> None:
        """Writes what there is. What is meant for a connection that has ended meanwhile goes nowhere."""
        waiting, self._waiting = self._waiting, []
        self.burst = len(waiting)
        self._calm = self.burst == 1
        for to, data in waiting:
            if not to.is_closing():
                to.write(data)
