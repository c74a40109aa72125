"""Nothing of a call outlives it, however it ends: what was asked and answered must not wait for the garbage collector,
which comes rarely, while the house takes in the next ones."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CALLS, Running, running
from support_failures import FAILURES, Failure, failing
from support_money import APIS, BODIES, PATHS
from support_wait import until
from test_operations_registrar import at_openrouter, bring
from test_pipeline_own import KEY, OTHER, SONNET, named
from trivium.mock import Error, Reply
from trivium.pipeline.settle import Run
from trivium.server.cycle import Cycle
from trivium.server.protocol import GuardedProtocol
from trivium.wire.decoder import Decoder
from trivium.wire.messages.render import _Blocks

_OTHERS: list[Run] = []
"""Calls that other tests have left."""


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.collect()
    _OTHERS[:] = _calls()
    gc.disable()
    yield
    gc.enable()


def _calls() -> list[Run]:
    return [one for one in gc.get_objects() if isinstance(one, Run)]


def _parts() -> list[object]:
    """What refers to what refers to it while it is at work."""
    return [one for one in gc.get_objects() if isinstance(one, GuardedProtocol | Cycle | Decoder | _Blocks)]


async def left(house: Running) -> int:
    """Calls of which something is still there though they have ended."""
    await house.records()
    return len(_calls()) - len(_OTHERS)


@pytest.mark.parametrize("apis", [ALL_APIS, 'apis = ["chat"]'], ids=["passed", "translated"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
async def test_nothing_is_left_of_a_call_whose_upstream_fails(failure: Failure, apis: str) -> None:
    async with failing(failure, apis) as house:
        for api in APIS:
            for stream in (False, True):
                for model in ("one", "two"):
                    await house.post(PATHS[api], {**BODIES[api], "model": model, "stream": stream})
        assert await left(house) == 0


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_nothing_is_left_of_a_call_that_is_refused(path: str, body: dict[str, Any]) -> None:
    refused: list[Any] = [b"{", b"[]", {}, {**body, "model": 5}, {**body, "model": "nobody"}, {**body, "stream": "x"}]
    async with running(Reply(status=400, error=Error(message="no")), provider=ALL_APIS) as house:
        for one in refused:
            assert (await house.post(path, one))[0] >= 400
            assert (await house.post(path, one, key="tv-nobody"))[0] == 401
        assert (await house.post(path, body))[0] == 400
        assert (await house.post("/v1/nowhere", body))[0] == 404
        assert await left(house) == 0


@pytest.mark.parametrize("apis", [ALL_APIS, 'apis = ["chat"]'], ids=["passed", "translated"])
@pytest.mark.parametrize("delay_ms", [0, 60_000], ids=["within the answer", "before it"])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_nothing_is_left_of_a_call_whose_client_leaves(
    path: str, body: dict[str, Any], delay_ms: int, apis: str
) -> None:
    slow = Reply(text=["word "] * 500, event_delay_ms=10, delay_ms=delay_ms)
    async with running(slow, provider=apis) as house, aiohttp.ClientSession() as session:
        posting = session.post(house.url + path, json={**body, "stream": True}, headers={"x-api-key": house.key})
        asked = asyncio.ensure_future(posting)
        await house.upstream.wait_for_requests(1)
        if delay_ms:
            asked.cancel()
        else:
            response = await asked
            await response.content.readany()
            response.close()
        await house.upstream.wait_for_endings(1)
        assert await left(house) == 0


@pytest.mark.parametrize("apis", [ALL_APIS, 'apis = ["messages"]'], ids=["passed", "translated"])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_nothing_is_left_of_a_connection_that_is_closed(path: str, body: dict[str, Any], apis: str) -> None:
    headers, others = {"connection": "close"}, len(_parts())
    async with running(Reply(text="Hi"), provider=apis) as house:
        for stream in (False, True):
            assert (await house.post(path, {**body, "stream": stream}, headers=headers))[0] == 200
        await until(lambda: not (house.server.server_state.connections or house.server.server_state.tasks))
        assert len(_parts()) == others


async def test_nothing_is_left_of_a_call_whose_own_keys_are_refused() -> None:
    async with at_openrouter() as (ann, there):
        for name, key in (("first", KEY), ("second", OTHER)):
            await bring(ann, key, name=name)
            there.bad[key] = 401
        for path, body in CALLS:
            assert (await ann.house.post(path, named(body, SONNET)))[0] == 401
        assert await left(ann.house) == 0
