"""What labels call things, and the figures that are read when somebody looks."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway import ALL_APIS, CHAT, Running, running
from support_money import PATHS
from trivium.mock import Match, Reply, Rule
from trivium.routing.catalog import ModelEntry
from trivium.server.readings import Names, readings

ROUTES = f"""
[providers.a]
base_url = "{{upstream}}/v1"
{ALL_APIS}
[providers.dead]
base_url = "http://127.0.0.1:1/v1"
type = "mistral"
key = "k"
[catalog.models.twin]
routes = [{{ to = "dead/one" }}, {{ to = "a/two" }}]
[free.models.gift]
route = "a/three"
[aliases]
short = "a/four"
[routing]
failures = 2
rest = 3600
"""


def read(house: Running, most: int = 500) -> dict[str, dict[tuple[str, ...], Any]]:
    found = readings(house.gateway.deps, house.gateway.store.ledger, {"hung": 2}, most_routes=most)
    return {family.instrument.name: dict(family.points) for family in found}


async def test_only_what_the_catalogue_knows_is_told_apart() -> None:
    async with running(Reply(), settings=ROUTES, provider=f'{ALL_APIS}\nmodels = ["m", "wild-*"]') as house:
        names = Names(house.gateway.now)
        assert names(None, None) == ("none", "none")
        assert names("up", "m") == ("up", "m")
        assert names("up", "wild-1") == ("up", "other")  # the client made up the star
        assert names("up", "made-up") == names("up", None) == ("up", "other")
        assert [names("a", model) for model in ("two", "three", "four", "five")] == [
            *[("a", "two"), ("a", "three"), ("a", "four")],  # a route, a free model, an alias
            ("a", "other"),
        ]
        assert names("custom@org_1", "m") == ("custom", "other")
        assert names("anthropic", "claude") == ("anthropic", "other")  # by a caller's own key
        assert names("nobody", "m") == ("other", "other")
        assert [names.semantic(name) for name in ("up", "dead", "custom@org_1", "anthropic", "gone")] == [
            *("up", "mistral_ai", "custom", "anthropic", "gone")
        ]


async def test_models_that_a_provider_tells_of_later_are_known_then() -> None:
    async with running(Reply()) as house:
        names = Names(house.gateway.now)
        assert names("up", "new") == ("up", "other")
        house.gateway.lists._lists["up"].models = (ModelEntry("new", "up"),)
        await house.gateway.learn()
        assert names("up", "new") == ("up", "new")


async def test_health_of_routes_and_attempts_that_failed() -> None:
    async with running(Reply(text="Hi"), settings=ROUTES) as house:
        for _ in range(3):
            assert (await house.post(PATHS["chat"], {**CHAT, "model": "twin"}))[0] == 200
        told = read(house)
        counted = {family.instrument.name: dict(family.points) for family in house.gateway.telemetry.families()}
    assert told["trivium_route_error_ratio"]["dead/one",] == 1
    assert told["trivium_route_error_ratio"]["a/two",] == 0
    assert told["trivium_route_calls"]["a/two",] == 3
    assert [told["trivium_route_state"]["dead/one", state] for state in ("well", "resting", "half_open")] == [0, 1, 0]
    assert [told["trivium_route_state"]["a/two", state] for state in ("well", "resting", "half_open")] == [1, 0, 0]
    assert counted["trivium_failed_attempts_total"] == {("dead", "upstream_unreachable"): 2}  # then it rested
    assert len(read(house, most=1)["trivium_route_calls"]) == 1


async def test_connections_by_provider() -> None:
    slow = Rule(Reply(text="Hi", delay_ms=10_000), Match(model="slow"))
    settings = 'telemetry.max_models = 5\n[providers.same]\nbase_url = "{upstream}/v1"'
    async with running(slow, Rule(Reply(text="Hi")), settings=settings) as house:
        await house.post(PATHS["chat"], {**CHAT, "model": "up/m"})
        pools = read(house)["trivium_pool_connections"]
        assert pools["same+up", "idle"] == 1
        waiting = asyncio.create_task(house.post(PATHS["chat"], {**CHAT, "model": "up/slow"}))
        while not read(house)["trivium_pool_connections"]["same+up", "active"]:  # noqa: ASYNC110 # the call's way
            await asyncio.sleep(0.01)
        told = read(house)
        assert told["trivium_calls_in_progress"] == {(): 1}
        assert told["trivium_ledger_open_calls"] == {(): 1}
        waiting.cancel()


async def test_a_provider_that_refuses_the_house() -> None:
    async with running(Reply(status=402)) as house:
        assert read(house)["trivium_provider_refusing"] == {}
        await house.post(PATHS["chat"], CHAT)
        assert read(house)["trivium_provider_refusing"] == {("up",): 1}


async def test_what_waits_for_the_store_is_seen() -> None:
    async with running(Reply(text="Hi")) as house:
        await house.gateway.store.ledger.writer.flush()
        quiet = read(house)
        assert quiet["trivium_ledger_backlog"] == quiet["trivium_ledger_lag_seconds"] == {(): 0}
        writer = house.gateway.store.ledger.writer
        linger, writer._linger = writer._linger, 3600.0
        await house.post(PATHS["chat"], CHAT)
        busy = read(house)
        writer._linger = linger
        assert busy["trivium_ledger_backlog"][()] >= 1
        assert busy["trivium_ledger_lag_seconds"][()] > 0
        assert busy["trivium_store_failing"] == {(): 0}
