"""The list of models as OpenRouter's clients read it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway import ALL_APIS, running, tell
from support_kilo import get
from trivium.metering.prices import FREE, Price, Rates
from trivium.routing.catalog import ModelEntry

NOW = int(time.time())
PRICE = Price(rates=Rates(input=3 * 10**9, output=15 * 10**9, cache_read=3 * 10**8))
ENTRIES = (
    ModelEntry("plain", "up"),
    ModelEntry("gift", "up", price=FREE),
    ModelEntry(
        "rich",
        "up",
        created=NOW - 3600,
        display_name="Rich",
        price=PRICE,
        context=200_000,
        output_limit=64_000,
        takes=("text", "image"),
        gives=("text",),
        parameters=("tools", "temperature", "reasoning"),
    ),
    ModelEntry("old", "up", created=NOW - 8 * 86_400),
    ModelEntry("free-by-name", "up", display_name="Gift (free)", price=FREE),
)
SETTINGS = """
[catalog]
preferred = ["old", "missing", "rich"]
[models."up/priced"]
price = { input = "1", output = "2" }
"""


async def listed(path: str = "/v1/models", settings: str = SETTINGS) -> list[dict[str, Any]]:
    async with running(settings=settings, provider=f"{ALL_APIS}\nlists_prices = true") as house:
        await tell(house.gateway, up=ENTRIES)
        _, said = await get(house, path)
    assert said["object"] == "list"
    found: list[dict[str, Any]] = said["data"]
    return found


async def test_preferred_ones_come_first_then_free_ones_then_the_rest() -> None:
    found = await listed()
    assert [model["id"] for model in found] == ["old", "rich", "gift", "free-by-name", "plain"]
    assert [model.get("preferredIndex") for model in found] == [0, 2, None, None, None]


async def test_names_say_what_is_free_and_what_is_new_among_the_preferred() -> None:
    names = {model["id"]: model["name"] for model in await listed()}
    assert names == {
        "old": "old",
        "rich": "Rich (new)",
        "gift": "gift (free)",
        "free-by-name": "Gift (free)",
        "plain": "plain",
    }


async def test_what_the_provider_tells_is_told() -> None:
    rich = next(model for model in await listed() if model["id"] == "rich")
    assert rich["context_length"] == 200_000
    assert rich["architecture"] == {"input_modalities": ["text", "image"], "output_modalities": ["text"]}
    assert rich["supported_parameters"] == ["tools", "temperature", "reasoning"]
    assert rich["pricing"] == {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
        "request": "0",
    }
    assert rich["top_provider"]["max_completion_tokens"] == 64_000
    assert rich["isFree"] is False


@pytest.mark.parametrize("path", ["/v1/models", "/api/openrouter/models"])
async def test_what_nobody_knows_is_left_out_but_a_context_where_clients_cannot_do_without(path: str) -> None:
    plain = next(model for model in await listed(path) if model["id"] == "plain")
    assert not {"architecture", "supported_parameters", "pricing", "isFree"} & plain.keys()
    assert plain.get("context_length") == (128_000 if path.startswith("/api") else None)


async def test_the_assumed_context_is_configuration() -> None:
    found = await listed("/api/gateway/v1/models", SETTINGS.replace("[catalog]", "[catalog]\nassumed_context = 32000"))
    assert {model["context_length"] for model in found} == {32_000, 200_000}


async def test_a_price_is_what_the_caller_pays() -> None:
    settings = '[models."up/m"]\nprice = { input = "1", output = "2" }\n'
    async with running(settings=settings, provider=f'{ALL_APIS}\nmodels = ["m"]') as house:
        await house.gateway.operations.perform("prices.set", {"pattern": "up/m", "markup_ppm": 100_000})
        _, said = await get(house, "/v1/models")
        one = await get(house, "/v1/models/m")
        named = await get(house, "/v1/models/up/m")
    assert said["data"][0]["pricing"] == {"prompt": "0.0000011", "completion": "0.0000022", "request": "0"}
    assert one == (200, said["data"][0])
    assert named[1]["pricing"] == said["data"][0]["pricing"]


async def test_a_model_of_the_house_is_listed_with_what_is_said_of_it() -> None:
    able = "vision = true\nreasoning = true\nprompt_cache = true\n"
    settings = f'[free.models."house/able"]\nroute = "up/m"\n{able}[free.models."house/plain"]\nroute = "up/m"\n'
    found = {model["id"]: model for model in await listed(settings=settings)}
    able_one, plain = found["house/able"], found["house/plain"]
    assert able_one["architecture"]["input_modalities"] == ["text", "image"]
    assert able_one["supported_parameters"] == ["tools", "reasoning"]
    assert able_one["pricing"] == {"prompt": "0", "completion": "0", "input_cache_read": "0"}
    assert plain["architecture"]["input_modalities"] == ["text"]
    assert "supported_parameters" not in plain
    assert plain["pricing"] == {"prompt": "0", "completion": "0"}


ALIASED = """
[aliases]
fast = "ours"
quick = "up/rich"
[catalog.models.ours]
aliases = ["mine"]
name = "Ours"
context = 50_000
output_limit = 4_000
routes = [{ to = "up/rich" }]
[models."up/priced"]
price = { input = "1", output = "2" }
"""


async def test_a_model_is_described_alike_by_each_of_its_names() -> None:
    async with running(settings=ALIASED, provider=f"{ALL_APIS}\nlists_prices = true") as house:
        await tell(house.gateway, up=ENTRIES)
        _, said = await get(house, "/v1/models")
        one = {name: (await get(house, f"/v1/models/{name}"))[1] for name in ("mine", "up/rich", "fast", "quick")}
        _, claudes = await get(house, "/v1/models/fast", anthropic_version="2023-06-01")
    found = {model["id"]: model for model in said["data"]}
    assert (found["fast"], found["quick"]) == (one["fast"], one["quick"])
    assert found["ours"]["context_length"] == 50_000
    assert one["mine"] == found["ours"] | {"id": "mine"}
    assert one["up/rich"] == found["rich"] | {"id": "up/rich"}
    assert one["fast"] == found["ours"] | {"id": "fast", "name": "fast"}, "an alias is how the operator calls it"
    assert one["quick"] == found["rich"] | {"id": "quick", "name": "quick", "owned_by": "trivium"}
    assert (claudes["max_input_tokens"], claudes["max_tokens"]) == (50_000, 4_000)


async def test_a_list_of_thousands_lets_others_have_their_turn() -> None:
    many = tuple(ModelEntry(f"m{n}", "up") for n in range(1_000))
    async with running(settings=SETTINGS, provider=ALL_APIS) as house:
        await tell(house.gateway, up=many)
        asking = asyncio.create_task(get(house, "/v1/models"))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        _, said = await asking
    assert len(said["data"]) == 1_000
    assert turns > 20
