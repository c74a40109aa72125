"""Asking the provider's generation record for what an answer did not tell, after the client has had its answer.

A call waits for it with its hold in place. The record may only refine: where it cannot be had, the call is settled by
what is known without it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from trivium.providers.provider import Provider
from trivium.wire.generation import Generation

if TYPE_CHECKING:
    from trivium.pipeline.settle import Run


class Generations(Protocol):
    """The providers' own records of past calls."""

    async def find(self, provider: Provider, generation_id: str) -> Generation | None: ...


class Lookups:
    """The calls that wait for their generation records."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._tasks: set[asyncio.Task[None]] = set()

    def later(self, run: Run) -> None:
        task = asyncio.get_running_loop().create_task(self._look_up(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_up(self, run: Run) -> None:
        try:
            if run.target is not None and (generation_id := run.generation_id()) is not None:
                found = await self._generations.find(run.target.provider, generation_id)
                if found is None:
                    run.flags.append("generation_not_found")
                else:
                    run.charge(found)
        finally:
            run.close()

    async def close(self, patience: float) -> None:
        """Waits so many seconds; what has not been found by then is settled without."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
