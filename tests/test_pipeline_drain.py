"""Reading an answer to its end for a client that has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import cast

import pytest

from trivium.errors import UpstreamBroken
from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.drain import DRAIN, to_its_end
from trivium.pipeline.settle import Run
from trivium.routing.catalog import Target

PATIENCE = 30.0


class Client:
    """What came to it."""

    provisional = False

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.started = False

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        self.heard.append(status)

    async def write(self, data: bytes) -> None:
        self.heard.append(data)

    async def end(self, data: bytes = b"") -> None:
        self.heard.append((data, "end"))

    def cut(self) -> None:
        self.heard.append("cut")


class Known(SimpleNamespace):
    """What is known of a call."""

    def leave(self) -> None:
        self.left = True


class Call:
    """An answer under way: it says one word each time it is let, and then ends."""

    def __init__(
        self,
        *words: bytes,
        first: Callable[[Reply], Coroutine[None, None, None]] | None = None,
        last: Callable[[Reply], Coroutine[None, None, None]] | None = None,
    ) -> None:
        self.client = Client()
        limited = SimpleNamespace(leave=lambda: self.ended.append("slot"))
        self.ended: list[str] = []
        self.run = cast(Run, Known(left=False, missed=False, is_out=True, limited=limited))
        self.said: list[bytes] = []
        self.cancelled = False
        self._words = words
        self._first = first
        self._last = last
        self._may = asyncio.Semaphore(0)

    async def begin(self, limit: float = PATIENCE) -> asyncio.Task[None]:
        self.run.target = cast(Target, SimpleNamespace(provider=SimpleNamespace(on_abort=DRAIN, drain_limit=limit)))
        task = asyncio.create_task(to_its_end(self._answer, self.client, self.run))
        await asyncio.sleep(0)
        return task

    async def let(self, words: int = 1) -> None:
        for _ in range(words):
            self._may.release()
        for _ in range(10):
            await asyncio.sleep(0)

    async def _answer(self, reply: Reply) -> None:
        try:
            if self._first is not None:
                await self._first(reply)
            await reply.start(200, [])
            for word in self._words:
                await self._may.acquire()
                self.said.append(word)
                await reply.write(word)
            await self._may.acquire()
            if self._last is not None:
                await self._last(reply)
            await reply.end(b".")
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def _wait_for_ever(_: Reply) -> None:
    await asyncio.get_running_loop().create_future()


async def leave(task: asyncio.Task[None]) -> None:
    """The client goes."""
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)


async def over(task: asyncio.Task[None]) -> None:
    """It ended as a call does whose client left, and left nothing behind."""
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE):
            await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_stays_hears_everything() -> None:
    call = Call(b"one", b"two")
    task = await call.begin()
    await call.let(3)
    await task
    assert call.client.heard == [200, b"one", b"two", (b".", "end")]
    assert (call.run.left, call.run.missed, call.ended) == (False, False, [])


async def test_who_leaves_hears_no_more_and_the_answer_is_read_on() -> None:
    call = Call(b"one", b"two", b"three")
    task = await call.begin()
    await call.let()
    await leave(task)
    assert (task.done(), call.run.left, call.ended) == (False, True, ["slot"])
    await call.let(3)
    await over(task)
    assert call.client.heard == [200, b"one"]
    assert (call.said, call.cancelled, call.run.missed) == ([b"one", b"two", b"three"], False, True)


async def test_who_leaves_behind_the_last_word_has_missed_nothing() -> None:
    call = Call(b"one")
    task = await call.begin()
    await call.let()
    await leave(task)
    await call.let()
    await over(task)
    assert (call.run.left, call.run.missed) == (True, False)


async def test_who_leaves_before_the_answer_began_is_not_told_of_its_beginning() -> None:
    came = asyncio.Event()

    async def wait(_: Reply) -> None:
        await came.wait()

    call = Call(first=wait)
    task = await call.begin()
    await leave(task)
    came.set()
    await call.let()
    await over(task)
    assert (call.client.heard, call.client.started, call.run.missed) == ([], False, True)


async def test_for_so_long_and_no_longer() -> None:
    call = Call(b"one", b"two")
    task = await call.begin(limit=0.02)
    await call.let()
    await leave(task)
    await over(task)
    assert (call.said, call.cancelled) == ([b"one"], True)


async def test_a_request_that_is_not_out_yet_is_not_sent_for_nobody() -> None:
    """The gateway still connects, or waits for a free connection or for the provider's token."""
    call = Call(first=_wait_for_ever)
    call.run.is_out = False
    task = await call.begin()
    await leave(task)
    await over(task)
    assert (call.cancelled, call.run.left, call.ended) == (True, True, ["slot"])


async def test_a_limit_does_not_concern_who_stays() -> None:
    call = Call(b"one")
    task = await call.begin(limit=0.0)
    await asyncio.sleep(0.02)
    await call.let(2)
    await task
    assert call.client.heard[-1] == (b".", "end")


async def test_a_gateway_that_stops_ends_it_at_once() -> None:
    call = Call(b"one")
    task = await call.begin()
    await leave(task)
    assert not task.done()
    await leave(task)
    await over(task)
    assert call.cancelled


async def test_an_error_is_raised_to_who_stays() -> None:
    async def broken(_: Reply) -> None:
        raise UpstreamBroken("gone")

    call = Call(last=broken)
    task = await call.begin()
    await call.let()
    with pytest.raises(UpstreamBroken):
        await task


async def test_and_to_nobody_else() -> None:
    async def broken(_: Reply) -> None:
        raise UpstreamBroken("gone")

    call = Call(last=broken)
    task = await call.begin()
    await leave(task)
    await call.let()
    await over(task)


async def test_a_connection_that_is_gone_is_not_cut() -> None:
    async def cut(reply: Reply) -> None:
        reply.cut()

    call = Call(last=cut)
    task = await call.begin()
    await leave(task)
    await call.let()
    await over(task)
    assert "cut" not in call.client.heard


async def test_whether_the_answer_has_begun_is_known_behind_it() -> None:
    seen: list[bool] = []

    async def look(reply: Reply) -> None:
        seen.append(reply.started)

    call = Call(last=look)
    task = await call.begin()
    await call.let()
    await task
    assert seen == [True]
