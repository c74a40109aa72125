"""How late the event loop is: whatever keeps it busy keeps every stream waiting."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

from trivium.telemetry.instruments import LOOP_LAG, Family, Histogram

_EVERY = 0.25
"""Seconds."""


class LoopLag:
    """`run` measures until it is cancelled."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LOOP_LAG.bounds) + 1)
        self._sum = 0.0

    async def run(self) -> None:
        time = asyncio.get_running_loop().time
        while True:
            due = time() + _EVERY
            await asyncio.sleep(_EVERY)
            self.observe(max(0.0, time() - due))

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(LOOP_LAG.bounds, seconds)] += 1
        self._sum += seconds

    def family(self) -> Family:
        return Family(LOOP_LAG, [((), Histogram(tuple(self._counts), self._sum))])
