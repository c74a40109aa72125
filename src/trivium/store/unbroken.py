"""What must not be left half done: something is made durable, and then memory is told of it.

A client that leaves cancels the task that works for it, in the worst case between the two: a key would be revoked and
go on opening doors, credits would be there and nobody could spend them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from trivium.errors import TriviumError

_LOG = logging.getLogger("trivium.store")
_T = TypeVar("_T")
_GOING: set[asyncio.Task[Any]] = set()
"""A loop itself keeps no task alive."""


async def unbroken(work: Coroutine[Any, Any, _T]) -> _T:
    """Awaits it. Where whoever waits is cancelled, it goes on to its end by itself."""
    task = asyncio.get_running_loop().create_task(work)
    _GOING.add(task)
    task.add_done_callback(_GOING.discard)
    return await shielded(task)


async def shielded(going: asyncio.Future[_T]) -> _T:
    """Awaits what somebody else, too, may wait for: a cancellation ends the waiting alone. How it fails behind that is
    nobody's to hear where it is an error of ours, and in the log where it is not."""
    try:
        return await asyncio.shield(going)
    except asyncio.CancelledError:
        going.add_done_callback(_hear)
        raise


def _hear(going: asyncio.Future[Any]) -> None:
    failure = None if going.cancelled() else going.exception()
    if not isinstance(failure, TriviumError | None):
        _LOG.error("failed with nobody waiting for it", exc_info=failure)


async def ended() -> None:
    """Waits for what still goes on in this loop."""
    loop = asyncio.get_running_loop()
    if going := [task for task in _GOING if task.get_loop() is loop]:
        await asyncio.wait(going)
