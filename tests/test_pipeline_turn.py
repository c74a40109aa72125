"""Calls in step, and what becomes of one whose client leaves while it waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import SimpleNamespace

import pytest

from gateway import CHAT, running
from trivium.mock import Reply
from trivium.pipeline.turn import COMPANY, Turn
from trivium.upstream.http1 import Http1Client

PRICED = '[models."up/*".price]\ninput = "1"\noutput = "1000"\n'
TURNS = 8
"""Of a call with a whole answer: the last one is when the answer is out."""


async def parts(name: str, turn: Turn, done: list[str]) -> None:
    for part in ("read", "check", "send"):
        done.append(f"{name}: {part}")
        await turn


async def test_calls_in_company_go_in_step() -> None:
    done: list[str] = []
    turn = Turn(SimpleNamespace(burst=COMPANY))
    await asyncio.gather(*(parts(name, turn, done) for name in "ab"))
    assert done == ["a: read", "b: read", "a: check", "b: check", "a: send", "b: send"]


async def test_a_call_with_little_company_goes_on() -> None:
    done: list[str] = []
    turn = Turn(SimpleNamespace(burst=COMPANY - 1))
    await asyncio.gather(*(parts(name, turn, done) for name in "ab"))
    assert done == ["a: read", "a: check", "a: send", "b: read", "b: check", "b: send"]


async def test_a_gateways_calls_go_by_its_own_writes() -> None:
    async with running(Reply(text="Hi")) as house:
        turn = house.gateway.now.deps.turn
        for burst, waits in ((COMPANY, [None]), (COMPANY - 1, [])):
            house.gateway.outbox.burst = burst
            assert list(turn.__await__()) == waits


class Halting(Turn):
    """Keeps calls at one of their turns."""

    def __init__(self, at: int) -> None:
        super().__init__(SimpleNamespace(burst=0))
        self._at = at
        self.count = 0
        self.reached = asyncio.Event()

    def __await__(self) -> Generator[None, None, None]:
        self.count += 1
        if self.count == self._at:
            self.reached.set()
            while True:
                yield


async def test_there_are_so_many_turns() -> None:
    async with running(Reply(text="Hi")) as house:
        turn = Halting(0)
        house.gateway.change(turn=turn)
        assert (await house.post("/v1/chat/completions", CHAT))[0] == 200
        await house.record()
        assert turn.count == TURNS


@pytest.mark.parametrize("at", range(1, TURNS + 1))
async def test_a_client_that_leaves_at_any_turn_leaves_nothing_behind(at: int) -> None:
    async with running(Reply(text="Hi")) as house:
        turn = Halting(at)
        house.gateway.change(turn=turn)
        asked = asyncio.create_task(house.post("/v1/chat/completions", CHAT))
        await asyncio.wait_for(turn.reached.wait(), 30)
        if at == TURNS:
            assert (await asked)[0] == 200
        asked.cancel()
        async with asyncio.timeout(30):
            while not (records := await house.records()):  # noqa: ASYNC110 # counted by the code under test
                await asyncio.sleep(0.005)
        (record,), deps = records, house.gateway.now.deps
        assert isinstance(deps.client, Http1Client)
        assert record["outcome"] == ("success" if at == TURNS else "aborted")
        assert (deps.in_flight.calls, deps.in_flight.bytes, house.gateway.store.ledger.open_calls) == (0, 0, 0)
        assert [use.active for _, use in deps.client.uses()] in ([], [0])


async def test_what_was_read_for_a_client_that_left_is_no_delivery() -> None:
    """No usage is told, so that an estimate would go by what was delivered."""
    async with running(Reply(text="Hi", no_usage=True), settings=PRICED) as house:
        turn = Halting(TURNS - 1)
        house.gateway.change(turn=turn)
        asked = asyncio.create_task(house.post("/v1/chat/completions", CHAT))
        await asyncio.wait_for(turn.reached.wait(), 30)
        asked.cancel()
        record = await house.record()
    assert (record["outcome"], record["content_bytes"], record["cost_nano"]) == ("aborted", 0, 0)


async def test_a_client_that_leaves_before_its_stream_is_read_ends_the_call_upstream() -> None:
    async with running(Reply(text="one two three", event_delay_ms=60_000)) as house:
        turn = Halting(TURNS - 2)
        house.gateway.change(turn=turn)
        asked = asyncio.create_task(house.post("/v1/chat/completions", CHAT | {"stream": True}))
        await asyncio.wait_for(turn.reached.wait(), 30)
        asked.cancel()
        assert (await house.record())["outcome"] == "aborted"
        client = house.gateway.now.deps.client
        assert isinstance(client, Http1Client)
        assert [use.active for _, use in client.uses()] == [0]
