"""`/metrics`: who may see it, where, and what is there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway import CHAT, Running, running
from support_admin import administered
from support_telemetry import lint, scraped, value
from trivium.errors import ConfigError
from trivium.mock import Reply, Usage
from trivium.server.metrics import MetricsListener

LISTENS = '[telemetry.prometheus]\nlisten = "127.0.0.1:0"'
MODELS = 'apis = ["chat", "responses", "messages"]\nmodels = ["m"]'


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def metrics(house: Running) -> str:
    listener = house.gateway.telemetry.listener
    assert listener is not None
    return f"http://127.0.0.1:{listener.port}/metrics"


async def test_on_the_gateways_port_it_is_for_the_house_alone(session: aiohttp.ClientSession) -> None:
    async with administered() as house:
        await house.made("/users", {"id": "ann", "name": "Ann"})
        ann = await house.of_user("ann")
        told = {}
        for who, credential in {
            "house": house.credential,
            "ann": ann.credential,
            "key": house.house.key,
            "nobody": None,
        }.items():
            headers = {"authorization": f"Bearer {credential}"} if credential else {}
            async with session.get(f"{house.house.url}/metrics", headers=headers) as answer:
                told[who] = answer.status, await answer.text(), answer.headers
    assert {who: status for who, (status, _, _) in told.items()} == {
        "house": 200,
        "ann": 403,
        "key": 401,
        "nobody": 401,
    }
    assert told["house"][2]["content-type"].startswith("text/plain; version=0.0.4")
    assert lint(told["house"][1]) == []
    assert "trivium_" not in told["ann"][1] + told["key"][1] + told["nobody"][1]
    assert '"code":"role_missing"' in told["ann"][1]
    assert told["nobody"][2]["www-authenticate"].startswith("Bearer")


async def test_other_methods_are_refused_and_head_has_no_body(session: aiohttp.ClientSession) -> None:
    async with administered() as house:
        headers = {"authorization": f"Bearer {house.credential}"}
        async with session.post(f"{house.house.url}/metrics", headers=headers) as answer:
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        async with session.head(f"{house.house.url}/metrics", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (200, b"")


@pytest.mark.parametrize("settings", ["[telemetry.prometheus]\nenabled = false", "[admin]\nenabled = false", LISTENS])
async def test_where_it_is_not_on_that_port_nothing_is(settings: str, session: aiohttp.ClientSession) -> None:
    async with running(Reply(), settings=settings) as house, session.get(f"{house.url}/metrics") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "path_not_found")


async def test_a_listener_of_its_own_asks_nobody_and_has_nothing_else(session: aiohttp.ClientSession) -> None:
    async with running(Reply(text="Hi", usage=Usage(input=7, output=3)), settings=LISTENS, provider=MODELS) as house:
        await house.post("/v1/chat/completions", CHAT)
        await house.post("/v1/chat/completions", CHAT, key="tv-wrong")
        async with session.get(metrics(house)) as answer:
            text = await answer.text()
            assert (answer.status, lint(text)) == (200, [])
        async with session.get(metrics(house), headers={"accept": "application/openmetrics-text"}) as answer:
            assert answer.headers["content-type"].startswith("application/openmetrics-text")
            assert (await answer.text()).endswith("# EOF\n")
        async with session.post(metrics(house)) as answer:
            assert answer.status == 405
        async with session.get(metrics(house).removesuffix("metrics") + "v1/models") as answer:
            assert answer.status == 404
    families = scraped(text)
    good = {"api": "chat_completions", "provider": "up", "model": "m", "outcome": "success"}
    assert value(families, "trivium_requests_total", **good) == 1
    assert value(families, "trivium_requests_total", outcome="refused", provider="none") == 1
    assert value(families, "trivium_errors_total", code="invalid_api_key") == 1
    assert value(families, "trivium_tokens_total", bucket="output") == 3
    assert value(families, "gen_ai_server_request_duration_seconds_count", **good) == 1


async def test_the_listener_ends_with_the_gateway() -> None:
    async with running(Reply(), settings=LISTENS) as house:
        url = metrics(house)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_a_port_that_is_taken_stops_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"telemetry\.prometheus\.listen: cannot listen on 127\.0\.0\.1:{port}"):
            async with running(Reply(), settings=f'[telemetry.prometheus]\nlisten = "127.0.0.1:{port}"'):
                pass
    with pytest.raises(ConfigError, match="cannot listen on"):
        MetricsListener(_none, "127.0.0.1:99999")


async def test_each_of_several_workers_has_the_next_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    second = MetricsListener(_none, f"127.0.0.1:{port - 1}", 1)
    with contextlib.closing(second._socket), pytest.raises(ConfigError, match=f":{port}: "):
        MetricsListener(_none, f"127.0.0.1:{port}")


async def _none(accept: str) -> tuple[bytes, str]:
    await asyncio.sleep(0)
    return b"", ""
