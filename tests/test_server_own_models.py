"""Models that own upstream keys reach, where the vendor's server is the user's own and says what it likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from support_clock import Ahead
from test_pipeline_own import KEY, OPEN, People, people
from trivium.server import own_models


class Server:
    """Lists models, and counts how often it is asked."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked = 0
        self.url = ""
        self.status = 200

    async def models(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(body=self.body, status=self.status, content_type="application/json")


@contextlib.asynccontextmanager
async def server(*entries: Any) -> AsyncIterator[Server]:
    listed = Server(json.dumps({"data": entries}).encode())
    app = web.Application()
    app.router.add_get("/v1/models", listed.models)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        listed.url = f"http://{host}:{port}/v1"
        yield listed
    finally:
        await runner.cleanup()


async def own(ann: People) -> list[str]:
    """The names of the list that are not the house's."""
    headers = {"authorization": f"Bearer {ann.house.key}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{ann.house.url}/v1/models") as response:
        assert response.status == 200
        names = [model["id"] for model in (await response.json())["data"]]
    assert names[:2] == ["m", "claude-opus-4-6"]
    return names[2:]


async def test_many_models_are_cut_to_a_thousand_and_asked_for_once() -> None:
    async with server(*({"id": f"m{n}"} for n in range(5_000))) as vendor, people(settings=OPEN) as ann:
        await ann.bring("openai", base_url=vendor.url)
        first, second = await own(ann), await own(ann)
    assert first == second == [f"openai/m{n}" for n in range(1_000)]
    assert vendor.asked == 1


async def test_the_models_of_all_keys_of_a_caller_are_a_thousand_together() -> None:
    async with server(*({"id": f"m{n}"} for n in range(700))) as vendor, people(settings=OPEN) as ann:
        await ann.bring("openai", base_url=vendor.url)
        await ann.bring("mistral", base_url=vendor.url)
        assert len(await own(ann)) == 1_000


async def test_a_key_that_its_server_repeats_is_in_no_list() -> None:
    told = ({"id": KEY}, {"id": "n", "name": f"for {KEY}"}, {"id": "w", "supported_parameters": [KEY]}, {"id": "good"})
    async with server(*told) as vendor, people(settings=OPEN) as ann:
        await ann.bring("openai", base_url=vendor.url)
        assert await own(ann) == ["openai/good"]


async def test_who_asks_at_the_same_time_shares_the_answer() -> None:
    async with server({"id": "x"}) as vendor, people(settings=OPEN) as ann:
        await ann.bring("openai", base_url=vendor.url)
        assert await asyncio.gather(*(own(ann) for _ in range(5))) == [["openai/x"]] * 5
    assert vendor.asked == 1


async def test_a_server_that_fails_is_left_alone_for_half_a_minute_and_its_last_list_stays() -> None:
    async with server({"id": "x"}) as vendor, people(settings=OPEN) as ann:
        clock = ann.house.gateway.deps.clock = Ahead()
        vendor.status = 500
        await ann.bring("openai", base_url=vendor.url)
        assert [await own(ann) for _ in range(3)] == [[]] * 3
        assert vendor.asked == 1
        clock.ahead_ms, vendor.status = 31_000, 200
        assert await own(ann) == ["openai/x"]
        clock.ahead_ms, vendor.status = 660_000, 500
        assert [await own(ann) for _ in range(2)] == [["openai/x"]] * 2
        assert vendor.asked == 3


async def test_what_is_kept_has_a_bound_in_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_models, "MOST_KEPT", 1_500)
    async with server(*({"id": f"m{n}"} for n in range(700))) as vendor, people(settings=OPEN) as ann:
        for name in ("openai", "mistral", "xai"):
            await ann.bring(name, base_url=vendor.url)
        await own(ann)
        kept = ann.house.gateway.desk._own_models._told.values()  # nobody else can see it
        assert [len(told.models) for told in kept] == [700, 700]


async def test_endless_words_about_models_are_not_kept() -> None:
    words = {"supported_parameters": ["ab"] * 100}
    async with server(*({"id": f"m{n}", **words} for n in range(1_000))) as vendor, people(settings=OPEN) as ann:
        await ann.bring("openai", base_url=vendor.url)
        assert len(await own(ann)) == 1_000
        await own(ann)
        (told,) = ann.house.gateway.desk._own_models._told.values()  # nobody else can see it
    assert {model.parameters for model in told.models} == {None}
    assert vendor.asked == 1
