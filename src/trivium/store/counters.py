"""The counters of limits in this process's memory, which is what one gateway alone needs."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.clock import Clock
from trivium.policy.counters import Claim, Denial, Taken, Windows


class LocalCounters:
    """`pipeline/deps.Counters` in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows = Windows()

    async def take(self, claims: Sequence[Claim], holder: str = "") -> Denial | None:
        return self._windows.take(claims, holder, self._now_ms()).denial

    async def enter(self, claims: Sequence[Claim], holder: str = "") -> Taken:
        return self._windows.take(claims, holder, self._now_ms())

    def add(self, key: str, amount: int, window_s: int = 60, ago_ms: int = 0) -> None:
        self._windows.add(key, amount, window_s, self._now_ms(), ago_ms)

    def leave(self, keys: Sequence[str], holder: str) -> None:
        for key in keys:
            self._windows.leave(key, holder)

    def _now_ms(self) -> int:
        return self._clock.monotonic_ns() // 1_000_000
