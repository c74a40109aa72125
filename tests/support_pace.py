"""What has to come first is waited for, and not left to the pace of the machine: answers that begin when the test says
so, rests that end because a clock was put forward, and patience with all but what was stopped on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterable, Iterator
from itertools import islice
from typing import Literal, TypeVar
from unittest import mock

import pytest

from trivium.clock import SystemClock
from trivium.mock import Reply
from trivium.mock.player import Player
from trivium.server.panel import Panel, Pulse

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
        for ended in islice(asyncio.as_completed(begun, timeout=30), len(begun) - waiting):
            await ended
        go.set()
        return await asyncio.gather(*begun)


class Watch:
    """Over a dashboard's process: how long it may take to answer says the test, lest a busy machine pass for one that
    hangs."""

    def __init__(self, panel: Panel, patch: pytest.MonkeyPatch) -> None:
        self.panel = panel
        self._looking = asyncio.Lock()
        answers = panel._answers

        async def in_turn() -> bool:
            async with self._looking:
                return await answers()

        patch.setattr(panel, "_answers", in_turn)
        self.be_patient()

    def be_patient(self) -> None:
        self.panel._pulse = Pulse(every=0.02, within=60)

    async def stop(self, pid: int) -> None:
        """Nobody looks just then, who would be as patient with it as before."""
        async with self._looking:
            os.kill(pid, signal.SIGSTOP)
            self.panel._pulse = Pulse(every=0.02, within=0.5)
