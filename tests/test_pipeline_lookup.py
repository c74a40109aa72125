"""Calls that wait for their generation records: each ends once, whatever becomes of the search."""

from __future__ import annotations

import asyncio
import json
import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support_prices import vendor
from trivium.pipeline.lookup import Lookups
from trivium.pipeline.settle import Run
from trivium.providers.provider import Provider
from trivium.wire.generation import Generation, parse

FOUND = cast(Generation, parse(json.dumps({"data": {"total_cost": 0.0021}}).encode()))
OPENROUTER = vendor("openrouter")
TARGET = SimpleNamespace(provider=OPENROUTER)


class Searching:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: asyncio.Future[Generation | None] = asyncio.get_running_loop().create_future()

    async def find(self, provider: Provider, generation_id: str) -> Generation | None:
        self.asked.append((provider.name, generation_id))
        return await asyncio.shield(self.answer)


class Waiting:
    """A call as a look-up sees it."""

    def __init__(self, generation_id: str | None = "gen-1", target: Any = TARGET) -> None:
        self.target = target
        self._generation_id = generation_id
        self.flags: list[str] = []
        self.charged: list[Generation] = []
        self.closed = 0

    def generation_id(self) -> str | None:
        return self._generation_id

    def charge(self, found: Generation) -> None:
        assert not self.closed
        self.charged.append(found)

    def close(self) -> None:
        self.closed += 1


def later(lookups: Lookups, *calls: Waiting) -> None:
    for call in calls:
        lookups.later(cast(Run, call))


async def test_a_call_is_charged_by_its_record_and_then_closed() -> None:
    lookups, call = Lookups(search := Searching()), Waiting()
    later(lookups, call)
    await asyncio.sleep(0)
    assert (search.asked, call.closed) == ([("openrouter", "gen-1")], 0)
    search.answer.set_result(FOUND)
    await lookups.close(1)
    assert (call.charged, call.flags, call.closed) == ([FOUND], [], 1)


async def test_without_a_record_it_is_flagged_and_closed() -> None:
    lookups, call = Lookups(search := Searching()), Waiting()
    search.answer.set_result(None)
    later(lookups, call)
    await lookups.close(1)
    assert (call.charged, call.flags, call.closed) == ([], ["generation_not_found"], 1)


async def test_a_search_that_fails_closes_the_call_all_the_same() -> None:
    lookups, call = Lookups(search := Searching()), Waiting()
    search.answer.set_exception(RuntimeError("a mistake of ours"))
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    later(lookups, call)
    await asyncio.sleep(0.01)
    assert (call.charged, call.closed) == ([], 1)


@pytest.mark.parametrize("call", [Waiting(generation_id=None), Waiting(target=None)], ids=["no id", "no provider"])
async def test_without_anybody_to_ask_nobody_is_asked(call: Waiting) -> None:
    lookups = Lookups(search := Searching())
    later(lookups, call)
    await lookups.close(1)
    assert (search.asked, call.closed) == ([], 1)


async def test_the_end_of_the_gateway_is_not_held_up_and_closes_every_call() -> None:
    lookups, calls = Lookups(Searching()), [Waiting() for _ in range(3)]
    later(lookups, *calls)
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await lookups.close(0.01)
    assert [(call.charged, call.closed) for call in calls] == [([], 1)] * 3
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_end_that_comes_at_once_closes_calls_that_have_not_even_begun_to_search() -> None:
    lookups, call = Lookups(Searching()), Waiting()
    later(lookups, call)
    await lookups.close(0)
    assert call.closed == 1


async def test_an_end_with_nobody_waiting_takes_no_time() -> None:
    lookups = Lookups(Searching())
    async with asyncio.timeout(20):
        await lookups.close(60)


async def test_what_is_over_is_forgotten() -> None:
    lookups, call = Lookups(search := Searching()), Waiting()
    later(lookups, call)
    kept = weakref.WeakSet(asyncio.all_tasks() - {asyncio.current_task()})
    assert len(kept) == 1
    search.answer.set_result(None)
    await lookups.close(1)
    await asyncio.sleep(0)
    assert list(kept) == []
    await lookups.close(1)
    assert call.closed == 1
