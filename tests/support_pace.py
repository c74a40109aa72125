"""What has to come first is waited for, and not left to the pace of the machine: answers that begin when the test says
so, and rests that end because a clock was put forward."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Iterator
from itertools import islice
from typing import Literal, TypeVar
from unittest import mock

from trivium.clock import SystemClock
from trivium.mock import Reply
from trivium.mock.player import Player

T = TypeVar("T")


class Later(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + int(self.ahead_s * 1e9)


@contextlib.contextmanager
def held(*replies: Reply) -> Iterator[asyncio.Event]:
    """Within it none of these answers of the scripted upstream begins, or none at all, before the event is set."""
    go, play = asyncio.Event(), Player.play

    async def when_it_may(player: Player, *, head_only: bool = False) -> Literal["completed", "aborted"]:
        if not replies or player._reply in replies:
            await go.wait()
        return await play(player, head_only=head_only)

    with mock.patch.object(Player, "play", when_it_may):
        try:
            yield go
        finally:
            go.set()


async def at_once(calls: Iterable[Coroutine[None, None, T]], waiting: int, *replies: Reply) -> list[T]:
    """What these calls return, which are all under way together: these answers, or all, are held until all have ended
    but so many that wait for one."""
    with held(*replies) as go:
        begun = [asyncio.create_task(call) for call in calls]
        for ended in islice(asyncio.as_completed(begun, timeout=10), len(begun) - waiting):
            await ended
        go.set()
        return await asyncio.gather(*begun)
