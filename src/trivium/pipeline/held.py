"""The beginning of an answer while another route could still answer: kept back until it has content, or has waited long
enough. Whatever is known to have failed by then the client never hears of (behaviour page, section 7, "Attempts")."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trivium.errors import Overloaded
from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.settle import Run

_MOST = 1024 * 1024
"""Bytes of a preamble, which count in the gateway's budget. Responses says the request again, instructions and tools,
in each of its first two events, and coding agents have long ones."""


class HeldReply:
    """A `Reply` before the real one. `drop` ends one that did not go out."""

    def __init__(self, reply: Reply, run: Run, patience: float, opened: Callable[[], None]) -> None:
        """`patience` in seconds; `opened` is told when nobody else can answer any more."""
        self._reply = reply
        self._run = run
        self._patience = patience
        self._opened = opened
        self._head: tuple[int, Headers] | None = None
        self._waiting: list[bytes] = []
        self._size = 0
        self._timer: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()
        self.provisional = True

    @property
    def started(self) -> bool:
        return self._reply.started

    async def start(self, status: int, headers: Headers) -> None:
        if self._head is None:
            self._head = (status, headers)
            self._timer = asyncio.create_task(self._open_late())

    async def write(self, data: bytes) -> None:
        async with self._one:
            self._waiting.append(data)
            if not self.provisional or self._run.first_token_us is not None or not self._has_room(len(data)):
                await self._pass()

    async def end(self, data: bytes = b"") -> None:
        async with self._one:
            await self._pass()
            await self._reply.end(data)

    def cut(self) -> None:
        self.drop()
        self._reply.cut()

    def drop(self) -> None:
        self._waiting = []
        self._give_back()
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None  # it keeps how it was cancelled, and with that this reply

    def _has_room(self, size: int) -> bool:
        """Counts what waits; where there is no room for more of it, it waits no longer."""
        try:
            self._run.deps.in_flight.take(size)
        except Overloaded:
            return False
        self._size += size
        return self._size <= _MOST

    def _give_back(self) -> None:
        self._run.deps.in_flight.take(-self._size)
        self._size = 0

    async def _open_late(self) -> None:
        await asyncio.sleep(self._patience)
        async with self._one:
            await self._pass()

    async def _pass(self) -> None:
        """Everything that has waited goes out."""
        if self.provisional and self._head is not None:
            if self._timer is not asyncio.current_task():
                self._stop()
            await self._reply.start(*self._head)
            self.provisional = False
            self._opened()
            self._give_back()
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            await self._reply.write(data)
