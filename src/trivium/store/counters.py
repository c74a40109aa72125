"""The counters of limits in this process's memory, which is what one gateway alone needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from trivium.clock import Clock
from trivium.errors import ConfigError
from trivium.policy.counters import Claim, Denial, Kept, Taken, Windows

Place = Literal["memory", "redis"]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How the counters are, for an operator."""

    counters: Place = "memory"
    """Which decide now."""
    redis: str | None = None
    """Where Redis is, without its password; None: none is configured."""
    since_ms: int | None = None
    problem: str | None = None
    """Why Redis is not asked, where it should be."""


class LocalCounters:
    """`pipeline/deps.Counters` in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows = Windows()
        self.state = State(since_ms=clock.now_ms())

    async def start(self) -> None:
        """Nothing has to be started."""

    async def close(self) -> None:
        """Nothing has to be said."""

    async def take(self, claims: Sequence[Claim], holder: str = "") -> Denial | None:
        return (await self.enter(claims, holder)).denial

    async def enter(self, claims: Sequence[Claim], holder: str = "") -> Taken:
        return self._windows.take(claims, holder, self._now_ms())

    def add(self, key: str, amount: int, window_s: int = 60, ago_ms: int = 0) -> None:
        self.add_to((key,), amount, window_s, ago_ms)

    def add_to(self, keys: Sequence[str], amount: int, window_s: int, ago_ms: int) -> None:
        now_ms = self._now_ms()
        for key in keys:
            self._windows.add(key, amount, window_s, now_ms, ago_ms)

    def leave(self, keys: Sequence[str], holder: str) -> None:
        for key in keys:
            self._windows.leave(key, holder)

    def kept(self) -> tuple[Kept, int]:
        """What this process has counted, and the time by its clock, for `policy/counters.standing`."""
        return self._windows.kept(), self._now_ms()

    def _now_ms(self) -> int:
        return self._clock.monotonic_ns() // 1_000_000


def counters(clock: Clock, redis_url: str | None, deadline: float) -> LocalCounters:
    """Those in Redis, if it has a URL; `deadline` in seconds. Raises ConfigError."""
    if redis_url is None:
        return LocalCounters(clock)
    try:
        from trivium.store.redis_counters import RedisCounters  # noqa: PLC0415 # only with the extra `redis`
    except ImportError as error:
        raise ConfigError(f"limits.redis_url: Redis needs the extra `redis` to be installed: {error}") from error
    return RedisCounters(redis_url, clock, deadline=deadline)
