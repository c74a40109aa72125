"""Reading an answer to its end for nobody, so that the provider tells what it cost (`on_abort = "drain"`).

The answer is fetched by a task of its own. When the client leaves, the task goes on for a while, and what it has for
the client is dropped. A request that no upstream has had anything of yet is not sent any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.replies import Passing
from trivium.pipeline.settle import Run

DRAIN = "drain"


async def to_its_end(answer: Callable[[Reply], Coroutine[None, None, None]], reply: Reply, run: Run) -> None:
    """Answers; once the client has left, for as long more as the provider that is answering then has it. Raises what
    `answer` does, and CancelledError after the client left."""
    ear = _Ear(reply, run)
    task = asyncio.ensure_future(answer(ear))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        ear.deaf = True
        run.leave()
        if run.limited is not None:
            run.limited.leave()
        try:
            provider = run.target.provider if run.target is not None else None
            if run.is_out and provider is not None and provider.on_abort == DRAIN:
                await asyncio.wait([task], timeout=provider.drain_limit)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        raise


class _Ear(Passing):
    """The client's reply while there is a client."""

    def __init__(self, reply: Reply, run: Run) -> None:
        super().__init__(reply)
        self._run = run
        self.deaf = False

    async def start(self, status: int, headers: Headers) -> None:
        if self.deaf:
            self._run.missed = True
        else:
            await super().start(status, headers)

    async def write(self, data: bytes) -> None:
        if not self.deaf:
            await super().write(data)
        if self.deaf:  # since before, or since it waited for a slow client
            self._run.missed = True

    async def end(self, data: bytes = b"") -> None:
        if not self.deaf:
            await super().end(data)

    def cut(self) -> None:
        if not self.deaf:
            super().cut()
