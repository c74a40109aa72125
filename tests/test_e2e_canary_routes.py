"""A canary and an emergency between two gateways that call one model differently."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway import ALL_APIS, Running, running
from support_money import BODIES, PATHS, customer, shop
from support_people import People
from test_e2e_attempts import asked_for
from trivium.mock import Match, Reply, Rule

GATEWAYS = f"""
[providers.openrouter]
base_url = "{{upstream}}/v1"
key = "sk-or"
models = ["x-ai/grok-4", "openai/gpt-5", "only/here"]
{ALL_APIS}
[providers.vercel]
base_url = "{{upstream}}/v1"
key = "sk-v"
models = ["xai/grok-4", "openai/gpt-5"]
{ALL_APIS}
"""
CANARY = GATEWAYS + '[routing.canary]\nmain = "openrouter"\nto = "vercel"\npercent = 30\n'
EMERGENCY = GATEWAYS + '[routing]\nemergency_provider = "vercel"\n'
TOLD = Reply(text="Hi", cost=0.001)
MAIN = "openrouter/x-ai/grok-4"


async def ask(house: Running, model: str = MAIN, task: str = "t", **more: Any) -> int:
    body = {**BODIES["chat"], "model": model, **more.pop("body", {})}
    headers = {"x-trivium-task": task}
    status, _, _ = await house.post("/v1/chat/completions", body, headers=headers, **more)
    return status


async def test_the_canary_has_its_share_of_the_tasks_and_each_task_stays() -> None:
    async with running(TOLD, settings=CANARY) as house:
        for task in range(60):
            assert await ask(house, task=f"task {task}") == 200
            assert await ask(house, task=f"task {task}") == 200
        asked = asked_for(house)
        assert asked[::2] == asked[1::2]
        assert 6 <= Counter(asked[::2])["xai/grok-4"] <= 30


@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_sessions_that_the_body_names_are_shared_out_as_those_of_headers_are(api: str) -> None:
    async with running(TOLD, settings=CANARY) as house:
        for number in range(60):
            name = f"task {number}"
            said = {"prompt_cache_key": name} if api == "chat" else {"metadata": {"user_id": name}}
            assert (await house.post(PATHS[api], {**BODIES[api], "model": MAIN, **said}))[0] == 200
            assert await ask(house, task=name) == 200
        asked = asked_for(house)
        assert asked[::2] == asked[1::2]
        assert 6 <= Counter(asked[::2])["xai/grok-4"] <= 30


async def test_where_the_main_provider_fails_the_canary_answers() -> None:
    async with running(Rule(Reply(status=500), Match(model="x-ai/*")), TOLD, settings=CANARY) as house:
        for task in range(10):
            assert await ask(house, task=f"task {task}") == 200


async def test_the_canary_gets_nothing_that_is_not_allowed_there() -> None:
    """Review point 11: an organization that denies data collection keeps a route that collects from its calls."""
    quiet = CANARY.replace('key = "sk-or"', 'key = "sk-or"\ncollects_data = false')
    async with running(TOLD, settings=quiet.replace("percent = 30", "percent = 100")) as house:
        people = People(house)
        await people.organization("acme", policy={"providers_deny": ["vercel"]})
        key = await people.key(organization="acme", user="acme-member")
        assert await ask(house, key=key) == 200
        assert await ask(house, body={"provider": {"ignore": ["azure"]}}) == 200
        assert await ask(house, "openrouter/only/here") == 200
        assert asked_for(house) == ["x-ai/grok-4", "x-ai/grok-4", "only/here"]
        assert await ask(house) == 200
        assert asked_for(house)[-1] == "xai/grok-4"


async def test_of_a_catalogue_route_to_the_canary_holds_what_the_catalogue_says() -> None:
    """What it needs, in which APIs it is asked, and what the model is called there."""
    quiet = CANARY.replace("percent = 30", "percent = 100")
    for key in ("sk-or", "sk-v"):
        quiet = quiet.replace(f'key = "{key}"', f'key = "{key}"\ncollects_data = false')
    there = f'{{ to = "{MAIN}" }}, {{ to = "vercel/grok-own", needs = ["data_collection"], apis = ["messages"] }}'
    async with running(TOLD, settings=f"{quiet}[catalog.models.grok]\nroutes = [{there}]\n") as house:
        assert await ask(house, "grok") == 200
        (asked,) = house.upstream.requests
        assert (asked.path, asked.json["model"]) == ("/v1/messages", "grok-own")
        people = People(house)
        await people.organization("acme", policy={"data_collection": "deny"})
        key = await people.key(organization="acme", user="acme-member")
        for more in ({"key": key}, {"body": {"provider": {"data_collection": "deny"}}}):
            assert await ask(house, "grok", **more) == 200
            assert asked_for(house)[-1] == "x-ai/grok-4"


async def test_a_session_that_the_canary_answered_stays_there() -> None:
    """Its provider's prompt cache is warm."""
    seldom = CANARY.replace("percent = 30", "percent = 0\nfailover_percent = 0")
    async with running(Rule(Reply(status=500), Match(model="x-ai/*"), times=1), TOLD, settings=seldom) as house:
        for task in ("t", "t", "another"):
            assert await ask(house, task=task) == 200
        assert asked_for(house) == ["x-ai/grok-4", "xai/grok-4", "xai/grok-4", "x-ai/grok-4"]
        assert "the session's last route" in (await house.records())[1]["routing"]


async def test_in_an_emergency_one_provider_gets_whatever_it_has() -> None:
    async with running(TOLD, settings=EMERGENCY) as house:
        for model in (MAIN, "openrouter/openai/gpt-5", "openrouter/only/here"):
            assert await ask(house, model) == 200
        assert asked_for(house) == ["xai/grok-4", "openai/gpt-5", "only/here"]
        providers = [record["provider"] for record in await house.records()]
        assert providers == ["openrouter", "vercel", "vercel"]
        assert "in an emergency vercel answers" in (await house.records())[-1]["routing"]


WILD = 'models = ["*"]\n'


@pytest.mark.parametrize("there", [WILD, ""], ids=["wildcard", "no list"])
async def test_in_an_emergency_wildcards_and_unknown_lists_count(there: str) -> None:
    settings = EMERGENCY.replace('models = ["xai/grok-4", "openai/gpt-5"]\n', there)
    async with running(TOLD, settings=settings) as house:
        for model in (MAIN, "openrouter/only/here"):
            assert await ask(house, model) == 200
        assert asked_for(house) == ["xai/grok-4", "only/here"]
        assert {record["provider"] for record in await house.records()} == {"vercel"}


@pytest.mark.parametrize(("there", "asked"), [(WILD, "xai/grok-4"), ("", "x-ai/grok-4")], ids=["wildcard", "no list"])
async def test_a_canary_gets_what_its_wildcards_mean(there: str, asked: str) -> None:
    settings = CANARY.replace('models = ["xai/grok-4", "openai/gpt-5"]\n', there)
    async with running(TOLD, settings=settings.replace("percent = 30", "percent = 100")) as house:
        assert await ask(house) == 200
        assert asked_for(house) == [asked]


async def test_in_an_emergency_own_keys_and_own_servers_stay_where_they_are() -> None:
    async with running(TOLD, settings=EMERGENCY) as house:
        people = People(house)
        ann = await people.user("ann")
        await people("byok.add", user="ann", vendor="xai", credential={"key": "sk-anns-own"})
        told = await house.post("/v1/explain", {**BODIES["chat"], "model": MAIN}, key=ann)
        assert [one["payer"] for one in told[1]["routes"]] == ["byok"]
        assert [one["route"] for one in told[1]["routes"]] == ["xai/grok-4"]


async def test_in_an_emergency_fallbacks_go_there_too() -> None:
    async with running(TOLD, settings=EMERGENCY) as house:
        headers = {"x-trivium-fallbacks": "openrouter/openai/gpt-5"}
        _, told, _ = await house.post("/v1/explain", {**BODIES["chat"], "model": MAIN}, headers=headers)
        assert [one["route"] for one in told["routes"]] == ["vercel/xai/grok-4", "vercel/openai/gpt-5"]


FREE = """
[providers.openrouter]
base_url = "{upstream}/v1"
key = "sk-or"
models = ["mistralai/devstral-2512:free", "openai/gpt-5"]
[providers.vercel]
base_url = "{upstream}/v1"
key = "sk-v"
models = ["mistral/devstral-2", "openai/gpt-5"]
[models."vercel/*"]
price = { input = "2", output = "2" }
[models."openrouter/openai/gpt-5"]
price = { input = "1", output = "1" }
[billing]
mode = "credits"
[free]
anonymous = true
"""
ALL_THERE = '[routing.canary]\nmain = "openrouter"\nto = "vercel"\npercent = 100\n'


@pytest.mark.parametrize("led", [ALL_THERE, '[routing]\nemergency_provider = "vercel"\n'], ids=["canary", "emergency"])
async def test_a_free_model_is_led_to_nobody_who_takes_money(led: str) -> None:
    async with shop(TOLD, settings=FREE + led) as house:
        poor = await People(house).user("poor")
        for key in (poor, None):
            for name in ("mistralai/devstral-2512:free", "openrouter/mistralai/devstral-2512:free"):
                assert await ask(house, name, key=key) == 200
        assert {(one["provider"], one["cost_nano"]) for one in await house.records()} == {("openrouter", 0)}
        rich = await customer(house, "100")
        assert await ask(house, "openrouter/openai/gpt-5", key=rich.key, body={"max_tokens": 10}) == 200
        assert (await house.records())[0]["provider"] == "vercel"


async def test_a_client_that_denies_collection_of_data_is_no_canary() -> None:
    told = CANARY.replace('key = "sk-v"', 'key = "sk-v"\nhonours = ["zdr"]')
    async with running(TOLD, settings=told.replace("percent = 30", "percent = 100")) as house:
        for said, model in (
            ({"data_collection": "deny"}, "x-ai/grok-4"),
            ({"ignore": ["azure"]}, "x-ai/grok-4"),
            ({"zdr": True}, "xai/grok-4"),  # Vercel can be told that
            ({"data_collection": "allow"}, "xai/grok-4"),
        ):
            assert await ask(house, body={"provider": said}) == 200
            assert asked_for(house)[-1] == model


async def test_in_an_emergency_the_canary_gets_nothing() -> None:
    emergency = '[routing]\nemergency_provider = "openrouter"\n'
    async with running(TOLD, settings=GATEWAYS + emergency + ALL_THERE) as house:
        assert await ask(house) == 200
        assert asked_for(house) == ["x-ai/grok-4"]
