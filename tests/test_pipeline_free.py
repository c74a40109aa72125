"""Free models and callers without a key, as they meet a running gateway: who is answered, how often, and which error
wins."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway import ALL_APIS, CHAT, MESSAGES, RESPONSES, Running, running
from support_money import INPUT, OUTPUT, PRICES, customer, in_every_api, operate, shop
from support_redis import RedisServer
from trivium.mock import Model, Reply, Script, Usage
from trivium.pipeline import handle
from trivium.policy.access import Gate
from trivium.policy.caller import Caller, Organization, OrganizationSettings, Policy, Role

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
BODIES: dict[str, dict[str, Any]] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
PRICED = f'[models."up/*"]\n{PRICES}\n'
GIFT = '[free.models."house/gift"]\nroute = "up/m-1"\ncontext = 9000\nvision = true\n'
OPEN = "[free]\nanonymous = true\n"


def free(api: str, model: str = "house/gift", **more: Any) -> tuple[str, dict[str, Any]]:
    return PATHS[api], {**BODIES[api], "model": model, **more}


async def get(house: Running, path: str, key: str | None = None, **headers: str) -> tuple[int, Any]:
    sent = {**({"authorization": f"Bearer {key}"} if key else {}), **headers}
    async with aiohttp.ClientSession() as session, session.get(house.url + path, headers=sent) as response:
        return response.status, await response.json()


@in_every_api
async def test_a_caller_without_a_key_is_answered_by_a_free_model_at_no_charge(api: str) -> None:
    answer = Reply(text="hello", usage=Usage(input=10, output=5))
    async with running(answer, settings=PRICED + OPEN + GIFT) as house:
        for stream in (False, True):
            for headers in ({}, {"authorization": "Bearer anonymous"}, {"x-api-key": "anonymous"}):
                status, said, _ = await house.post(*free(api, stream=stream), key=None, headers=headers)
                assert status == 200
                assert "hello" in str(said)
                assert "house/gift" in str(said)
        records = await house.records()
    for record in records:
        assert (record["key_id"], record["account_id"], record["payer"]) == (None, None, "free")
        assert (record["cost_nano"], record["market_cost_nano"]) == (0, 10 * INPUT + 5 * OUTPUT)
        assert (record["outcome"], record["requested_model"], record["upstream_model"]) == (
            "success",
            "house/gift",
            "m-1",
        )
        assert record["client_ip"] == "127.0.0.1"
    assert len(records) == 6


@in_every_api
async def test_without_a_key_there_are_free_models_only_and_no_hint_at_others(api: str) -> None:
    async with running(settings=PRICED + OPEN + GIFT) as house:
        for model in ("m-1", "up/m-1", "nobody/knows", "house/Gift"):
            status, said, _ = await house.post(*free(api, model), key=None)
            assert (status, said["error"]["code"]) == (401, "paid_model_auth_required")
            assert said["error"]["message"].startswith(f"The model `{model}` needs an API key; without one there are")
        status, said, _ = await house.post(*free(api), key="tv-wrong")
        assert (status, said["error"]["code"]) == (401, "invalid_api_key")
        assert house.upstream.requests == []


@in_every_api
async def test_callers_without_a_key_are_not_answered_unless_that_is_switched_on(api: str) -> None:
    async with running(settings=PRICED + GIFT) as house:
        status, said, _ = await house.post(*free(api), key=None)
        assert (status, said["error"]["code"]) == (401, "paid_model_auth_required")
        assert "No API key was sent" in said["error"]["message"]
        assert (await get(house, "/v1/models"))[0] == 401
        assert (await house.post(*free(api)))[0] == 200


@pytest.mark.parametrize("model", ["x:free", "up/x:free", "zero"])
async def test_what_a_pattern_means_or_has_no_price_is_free_too(model: str) -> None:
    settings = f'[models."up/zero"]\nfree = true\n[models."up/m*"]\n{PRICES}\n{OPEN}'
    provider = f'{ALL_APIS}\nmodels = ["x:free", "zero"]'
    async with running(Reply(usage=Usage(input=10, output=5)), settings=settings, provider=provider) as house:
        assert (await house.post(PATHS["chat"], {**CHAT, "model": model}, key=None))[0] == 200
        record = await house.record()
    assert (record["payer"], record["cost_nano"]) == ("free", 0)


async def test_what_is_free_by_its_name_keeps_what_it_was_worth() -> None:
    told = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 10, "cost": 0.5}}
    provider = f'{ALL_APIS}\nreports_cost = true\nmodels = ["x:free"]'
    settings = f'[models."up/m"]\n{PRICES}\n{OPEN}'
    async with running(Reply(body=json.dumps(told)), settings=settings, provider=provider) as house:
        assert (await house.post(PATHS["chat"], {**CHAT, "model": "x:free"}, key=None))[0] == 200
        record = await house.record()
    assert (record["payer"], record["cost_nano"], record["market_cost_nano"]) == ("free", 0, 500_000_000)


@in_every_api
@pytest.mark.parametrize("models", ['["qwen3-*"]', '["*", "qwen3-8b:free"]', "", '["qwen3-8b:free"]'])
@pytest.mark.parametrize("said", ["config", "override"])
async def test_no_name_makes_a_model_free_that_has_a_price(api: str, models: str, said: str) -> None:
    """Neither where the provider would take any name, nor where it has one that a pattern means."""
    settings = f'[models."up/*"]\n{PRICES}' if said == "config" else '[models."up/other"]\nfree = true'
    settings += '\n[billing]\nmode = "credits"\n' + OPEN
    provider = f"{ALL_APIS}\n" + (f"models = {models}" if models else "")
    async with shop(settings=settings, provider=provider) as house:
        await customer(house, "0")
        if said == "override":
            await operate(house, "prices.set", pattern="up/*", price={"input": "1", "output": "2"})
        for model in ("qwen3-8b", "qwen3-8b:free", "qwen3-8b:free:free", "qwen3-8b/:free"):
            assert (await house.post(*free(api, f"up/{model}")))[0] == 402, model
            status, body, _ = await house.post(*free(api, f"up/{model}"), key=None)
            assert (status, body["error"]["code"]) == (401, "paid_model_auth_required"), model
        assert house.upstream.requests == []


async def test_a_priced_model_counts_for_no_limit_of_free_ones_whatever_its_name() -> None:
    settings = PRICED + "[free]\nper_user_per_hour = 1\n"
    async with running(settings=settings, provider=f'{ALL_APIS}\nmodels = ["x:free"]') as house:
        assert [(await house.post(*free("chat", "x:free")))[0] for _ in range(3)] == [200, 200, 200]


@in_every_api
async def test_the_hour_of_an_address_counts_whoever_asks_and_refuses_with_a_time(api: str) -> None:
    settings = PRICED + OPEN + "per_ip_per_hour = 3\n" + GIFT
    async with running(settings=settings) as house:
        for key in ("", None, ""):
            assert (await house.post(*free(api), key=key))[0] == 200
        for key in ("", None):
            status, said, headers = await house.post(*free(api), key=key)
            assert (status, said["error"]["code"]) == (429, "rate_limited")
            assert 3000 < int(headers["retry-after"]) <= 3900
            assert "The limit of 3 requests for free models in an hour" in said["error"]["message"]
        assert (await house.post(*free(api, "m-1")))[0] == 200
        assert (await house.records())[1]["outcome"] == "refused"
        assert len(house.upstream.requests) == 4


@in_every_api
async def test_a_day_without_a_key_ends_with_a_way_to_sign_up(api: str) -> None:
    settings = PRICED + OPEN + 'anonymous_per_ip_per_day = 2\nsign_up_url = "https://sign.up"\n' + GIFT
    async with running(settings=settings) as house:
        for _ in range(2):
            assert (await house.post(*free(api), key=None))[0] == 200
        status, said, _ = await house.post(*free(api), key=None)
        assert (status, said["error"]["code"]) == (401, "free_limit_reached")
        assert "Sign up for a key at https://sign.up, or come back in" in said["error"]["message"]
        assert (await house.post(*free(api)))[0] == 200


async def test_a_user_may_have_a_limit_of_free_requests() -> None:
    settings = f'[models."up/m-1"]\n{PRICES}\n[free]\nper_user_per_hour = 1\n{GIFT}'
    async with running(settings=settings, provider=f'{ALL_APIS}\nmodels = ["m-1", "x:free"]') as house:
        other = house.gateway.store.keys.create("other")[1]
        assert [(await house.post(*free("chat"), key=key))[0] for key in ("", "", other)] == [200, 429, 200]
        assert [(await house.post(*free("chat", "x:free"), key=key))[0] for key in ("", other)] == [429, 429]


async def asked_at_once(houses: list[Running], requests: int) -> list[int]:
    """Statuses of requests of one address, with and without a key, each with another address in a forged header."""
    gate = asyncio.Semaphore(200)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:

        async def ask(number: int) -> int:
            house = houses[number % len(houses)]
            headers = {"x-forwarded-for": f"192.0.2.{number % 250}"}
            if number % 3:
                headers["authorization"] = f"Bearer {house.key}"
            path, body = free("chat")
            async with gate, session.post(house.url + path, headers=headers, json=body) as response:
                return response.status

        return await asyncio.gather(*map(ask, range(requests)))


async def test_of_a_thousand_requests_at_once_exactly_as_many_pass_as_may() -> None:
    async with running(Reply(text="ok"), settings=PRICED + OPEN + GIFT) as house:
        statuses = await asked_at_once([house], 1000)
        assert (statuses.count(200), statuses.count(429)) == (200, 800)
        assert len(house.upstream.requests) == 200


async def test_two_gateways_with_one_redis_let_as_many_pass_as_one(redis_server: RedisServer) -> None:
    redis = f'[limits]\nredis_url = "{redis_server.url}"\nredis_timeout = 5\n'
    settings = PRICED + OPEN + GIFT + redis
    async with running(Reply(text="ok"), settings=settings) as one, running(Reply(text="ok"), settings=settings) as two:
        statuses = await asked_at_once([one, two], 1000)
        assert (statuses.count(200), statuses.count(429)) == (200, 800)
        served = [len(house.upstream.requests) for house in (one, two)]
    assert sum(served) == 200
    assert min(served) > 0


async def test_a_forged_address_moves_no_limit_and_a_trusted_proxy_does() -> None:
    settings = PRICED + OPEN + "per_ip_per_hour = 1\n" + GIFT

    async def ask(house: Running, hops: str) -> int:
        return (await house.post(*free("chat"), key=None, headers={"x-forwarded-for": hops}))[0]

    async with running(settings=settings) as house:
        assert [await ask(house, f"192.0.2.{n}") for n in range(3)] == [200, 429, 429]
    async with running(settings=settings + '[server]\ntrusted_proxies = ["127.0.0.1"]\n') as house:
        assert [await ask(house, f"192.0.2.{n}, 198.51.100.7") for n in range(3)] == [200, 429, 429]
        assert await ask(house, "198.51.100.8") == 200
        assert [await ask(house, f"2001:db8:0:1::{n}") for n in range(3)] == [200, 429, 429]
        assert await ask(house, "2001:db8:0:2::1") == 200


@in_every_api
async def test_no_tool_is_run_that_nobody_pays_for(api: str) -> None:
    """A search of the web costs the house money behind a free model, too."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    settings = f'[models."up/paid:free"]\n{PRICES}\n{OPEN}{GIFT}'
    provider = f'{ALL_APIS}\nmodels = ["m-1", "some:free", "paid:free"]'
    async with running(settings=settings, provider=provider) as house:
        path, body = free(api)
        for model, key, runs in (
            (body["model"], None, False),
            (body["model"], "", True),  # what the house gives away it has decided to pay for
            ("some:free", "", False),
            ("paid:free", "", True),
        ):
            status, _, headers = await house.post(path, {**body, "model": model, "tools": [search]}, key=key)
            assert (status, headers.get("x-trivium-loss")) == (200, None if runs else "1; tools[0]"), (model, key)
            assert ("web_search" in str(house.upstream.requests[-1].json)) is runs


@in_every_api
async def test_a_model_whose_free_time_is_over_and_a_hidden_one_are_404(api: str) -> None:
    settings = f'[models."up/paid"]\n{PRICES}\n{OPEN}' + 'hidden = ["house/secret", "*hid:free"]\n' + GIFT
    settings += '[free.models."house/old"]\nroute = "up/m-1"\ndisabled = true\n'
    settings += '[free.models."house/secret"]\nroute = "up/m-1"\n'
    provider = f'{ALL_APIS}\nmodels = ["m-1", "hid:free", "Hid:free"]'
    async with running(settings=settings, provider=provider) as house:
        for key in ("", None):
            status, said, _ = await house.post(*free(api, "house/old"), key=key)
            assert (status, said["error"]["code"]) == (404, "model_ended")
            assert "The free period for this model has ended" in said["error"]["message"]
            for model in ("house/secret", "hid:free", "up/Hid:free"):
                status, said, _ = await house.post(*free(api, model), key=key)
                assert (status, said["error"]["code"]) == (404, "model_not_found"), (model, key)
                assert f"The model `{model}` does not exist." in said["error"]["message"], "by the name that was sent"
        for model in ("house/old", "house/secret"):
            assert (await get(house, f"/v1/models/{model}", house.key))[0] == 404
        assert house.upstream.requests == []


async def test_a_model_whose_free_time_is_over_takes_nothing_of_what_is_free() -> None:
    settings = PRICED + OPEN + "per_ip_per_hour = 1\n" + GIFT
    settings += '[free.models."house/old"]\nroute = "up/m-1"\ndisabled = true\n'
    async with running(settings=settings) as house:
        asked = [(await house.post(*free("chat", "house/old"), key=None))[0] for _ in range(3)]
        gift = [(await house.post(*free("chat"), key=None))[0] for _ in range(2)]
    assert (asked, gift) == ([404] * 3, [200, 429])


@in_every_api
async def test_which_error_wins(api: str) -> None:
    """The order of the behaviour page, section 2: each call has all faults from some check on."""
    settings = PRICED + OPEN + 'per_ip_per_hour = 2\nhidden = ["house/secret"]\n' + GIFT
    settings += '[free.models."house/secret"]\nroute = "up/m-1"\n'
    stateful = (
        {"previous_response_id": "r"} if api == "responses" else {"thread": {"id": "t"}} if api == "messages" else {}
    )
    async with running(settings=settings) as house:

        async def code(
            model: str, *, key: str | None = None, body: bytes | None = None, **more: Any
        ) -> tuple[int, str]:
            path, content = free(api, model, **more)
            status, said, _ = await house.post(path, body or content, key=key)
            return status, said["error"]["code"]

        assert await code("house/secret", key="tv-no", body=b"{") == (401, "invalid_api_key")
        assert await code("house/secret", body=b"{") == (400, "invalid_json")
        assert await code("  ") == (400, "model_required")
        assert await code("m-1", **stateful) == (401, "paid_model_auth_required")
        house.gateway.deps.house = msgspec.structs.replace(
            house.gateway.deps.house, apis={house_api(api): Gate(open_to="admins")}
        )
        assert await code("house/secret", **stateful) == (403, "api_not_available")
        house.gateway.deps.house = msgspec.structs.replace(house.gateway.deps.house, apis={})
        if stateful:
            assert await code("house/secret", **stateful) == (400, "unsupported_field")
        for _ in range(2):
            assert (await code("house/secret", **stateful))[0] in (400, 404)
        counting = "/v1/messages/count_tokens", {**MESSAGES, "model": "house/gift"}
        assert [(await house.post(*counting, key=None))[0] for _ in range(3)] == [200, 200, 429]
        assert await code("house/secret", **stateful) == (429, "rate_limited")
        assert await code("house/secret", key="", **stateful) == (429, "rate_limited")
        assert await code("m-1", **stateful) == (429, "rate_limited")
        assert {asked.path for asked in house.upstream.requests} == {"/v1/messages/count_tokens"}


@in_every_api
async def test_who_has_had_all_of_a_day_hears_that_first_whatever_the_model(api: str) -> None:
    """Check 7 comes before check 8; and what check 8 refuses takes nothing of what check 7 leaves."""
    settings = PRICED + OPEN + "anonymous_per_ip_per_day = 2\n" + GIFT
    async with running(settings=settings) as house:

        async def code(model: str, key: str | None = None) -> str:
            status, said, _ = await house.post(*free(api, model), key=key)
            return "" if status == 200 else said["error"]["code"]

        for _ in range(5):
            assert [await code(model) for model in ("m-1", "a/b/c")] == ["paid_model_auth_required"] * 2
        assert [await code("house/gift") for _ in range(3)] == ["", "", "free_limit_reached"]
        assert [await code(model) for model in ("m-1", "a/b/c")] == ["free_limit_reached"] * 2
        assert await code("m-1", key="") == ""


def house_api(api: str) -> Any:
    return {"chat": "chat_completions"}.get(api, api)


async def test_gates_that_are_not_open_to_everyone_are_closed_to_those_without_a_key() -> None:
    async with running(settings=PRICED + OPEN + GIFT) as house:
        deps = house.gateway.deps
        deps.house = msgspec.structs.replace(deps.house, models={"house/*": Gate(open_to="named", users=("ann",))})
        status, said, _ = await house.post(*free("chat"), key=None)
        assert (status, said["error"]["code"]) == (403, "model_not_allowed")
        assert "house/gift" in said["error"]["message"]
        # And a call that they refuse counts for nothing: all that there is in an hour is left.
        deps.free = msgspec.structs.replace(deps.free, per_ip_per_hour=1)
        assert [(await house.post(*free("chat"), key=None))[0] for _ in range(3)] == [403] * 3
        deps.house = msgspec.structs.replace(deps.house, models={})
        assert [(await house.post(*free("chat"), key=None))[0] for _ in range(2)] == [200, 429]
        deps.house = msgspec.structs.replace(deps.house, models={"house/*": Gate(open_to="named", users=("ann",))})
        assert (await get(house, "/v1/models"))[1]["data"] == []


async def test_those_without_a_key_send_less_and_count_tokens_of_free_models_only() -> None:
    settings = PRICED + OPEN + GIFT + "[server]\nmax_anonymous_body_bytes = 1024\n"
    async with running(settings=settings) as house:
        long = [{"role": "user", "content": "x" * 2000}]
        assert (await house.post(*free("chat", messages=long), key=None))[0] == 413
        assert (await house.post(*free("chat", messages=long)))[0] == 200
        for path, body in (("/v1/messages/count_tokens", MESSAGES), ("/v1/responses/input_tokens", RESPONSES)):
            status, said, _ = await house.post(path, {**body, "model": "house/gift"}, key=None)
            assert status == 200
            assert said["input_tokens"] > 0
            assert (await house.post(path, body, key=None))[0] == 401


@pytest.mark.parametrize("mode", ["meter", "credits"])
async def test_the_list_of_models_is_what_one_may_use(mode: str) -> None:
    script = Script(models=[Model("paid"), Model("some:free"), Model("hid:free")])
    settings = f'[models."up/paid"]\n{PRICES}\n{OPEN}' + 'hidden = ["hid:free"]\n' + GIFT
    settings += '[free.models."house/cloak"]\nroute = "up/m-2"\nstealth = true\nname = "Cloak"\n'
    settings += f'[free.models."house/old"]\nroute = "up/m-2"\ndisabled = true\n[billing]\nmode = "{mode}"\n'
    async with running(script=script, settings=settings) as house:
        await house.gateway.operations.perform("catalog.refresh", {})
        _, for_all = await get(house, "/v1/models")
        _, for_one = await get(house, "/v1/models", house.key)
        _, anthropic = await get(house, "/v1/models", **{"anthropic-version": "2023-06-01"})
        _, gift = await get(house, "/v1/models/house/gift")
        hidden = await get(house, "/v1/models/hid:free"), await get(house, "/v1/models/paid")
    assert [model["id"] for model in for_all["data"]] == ["house/gift", "house/cloak", "some:free"]
    assert [model["id"] for model in for_one["data"]] == ["house/gift", "house/cloak", "some:free", "paid"]
    assert [model["id"] for model in anthropic["data"]] == ["house/gift", "house/cloak", "some:free"]
    assert anthropic["data"][1]["display_name"] == "Cloak"
    assert {model["owned_by"] for model in for_all["data"][:2]} == {"trivium"}
    assert (gift["context_length"], gift["architecture"]["input_modalities"]) == (9000, ["text", "image"])
    assert (gift["pricing"], gift["isFree"]) == ({"prompt": "0", "completion": "0"}, True)
    assert [status for status, _ in hidden] == [404, 401]


@in_every_api
async def test_an_empty_balance_refuses_no_free_model(api: str) -> None:
    settings = PRICED + '[billing]\nmode = "credits"\n' + OPEN + GIFT
    async with shop(Reply(usage=Usage(input=10, output=5)), settings=settings) as house:
        payer = await customer(house, "0")
        assert (await house.post(*free(api, "m-1")))[0] == 402
        for key in ("", None):
            for stream in (False, True):
                assert (await house.post(*free(api, stream=stream), key=key))[0] == 200
        assert await payer.balance() == ("0", "0")
        records = (await house.records())[:4]
    for record in records:
        assert (record["payer"], record["cost_nano"], record["hold_nano"]) == ("free", 0, 0)
        assert record["market_cost_nano"] == 10 * INPUT + 5 * OUTPUT
    assert [record["account_id"] for record in records] == [None, None, "acme", "acme"]


class OneCaller:
    """Keys of a house where everybody is the same caller."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def known(self, _key: str) -> Caller:
        return self._caller

    def lately_good(self, _key: str) -> bool:
        return True

    async def find(self, _key: str) -> Caller:
        return self._caller

    async def acting_for(self, caller: Caller, _organization_id: str) -> Caller:
        return caller


@in_every_api
async def test_an_organization_that_denies_the_collection_of_data_neither_sees_nor_reaches_what_requires_it(
    api: str,
) -> None:
    settings = PRICED + GIFT + '[free.models."house/reader"]\nroute = "up/m-2"\nrequires_data_collection = true\n'
    settings += '[free.models."house/cloak"]\nroute = "up/m-3"\nstealth = true\n'
    settings += '[free.models."house/promise"]\nroute = "up/m-3"\nstealth = true\nrequires_data_collection = false\n'
    policy = Policy(data_collection="deny")
    organization = Organization(id="org", name="Org", settings=OrganizationSettings(policy=policy))
    member = Caller(id="key_1", user_id="ann", organization=organization, role=Role.MEMBER)
    provider = f"{ALL_APIS}\ncollects_data = false"
    async with running(settings=settings, provider=provider) as house:
        house.gateway.deps.keys = OneCaller(member)
        found = {}
        for model in ("house/gift", "house/reader", "house/cloak", "house/promise"):
            status, said, _ = await house.post(*free(api, model))
            found[model] = status if status == 200 else (status, said["error"]["code"])
        _, listed = await get(house, "/v1/models", house.key)
    refused = (403, "provider_not_allowed")
    assert found == {"house/gift": 200, "house/reader": refused, "house/cloak": refused, "house/promise": 200}
    assert [model["id"] for model in listed["data"]] == ["house/gift", "house/promise"]


@in_every_api
async def test_own_upstream_keys_never_pay_for_models_of_the_house(api: str) -> None:
    """Who answers as one is the house's business, and would be told by whose key is asked for."""
    settings = '[free.models."house/gift"]\nroute = "openai/gpt-x"\nstealth = true\n'
    async with running(settings=settings, name="openai", provider=f'type = "openai"\nkey = "sk"\n{ALL_APIS}') as house:
        member = Caller(id="key_1", user_id="ann")
        house.gateway.deps.keys = OneCaller(member)
        house.gateway.deps.own = HasKeys()
        assert (await house.post(*free(api)))[0] == 200
        record = await house.record()
    assert (record["provider"], record["payer"]) == ("openai", "free")


class HasKeys:
    """Somebody with a key for OpenAI, which cannot be opened."""

    def vendors(self, _owner: str) -> dict[str, bool]:
        return {"openai": False}

    async def keys(self, _owner: str, _vendor: str) -> list[Any]:
        raise AssertionError("asked for")

    def plain(self, _secret: Any) -> bytes:
        raise AssertionError("asked for")


async def test_a_call_that_was_started_and_then_refused_has_ended_however_many_there_are() -> None:
    """Refusals of strangers are only counted beyond some; not those that the ledger knows."""
    settings = """
        [free]
        anonymous = true
        per_ip_per_hour = 1000
        [models."a/*"]
        free = true
        [models."b/*"]
        free = true
        [providers.a]
        base_url = "{upstream}/v1"
        apis = ["messages"]
        models = ["one"]
        [providers.b]
        base_url = "{upstream}/v1"
        apis = ["messages"]
        models = ["two"]
        [catalog.models.twin]
        routes = [{ to = "a/one" }, { to = "b/two" }]
    """
    asked = {**CHAT, "model": "twin", "seed": 7}
    async with running(Reply(text="hello"), settings=settings) as house:
        house.gateway.deps.flood._singly = 2
        for _ in range(6):
            status, said, _ = await house.post(PATHS["chat"], asked, key=None, headers={"x-trivium-strict": "1"})
            assert (status, "strict" in str(said)) == (400, True)
        await house.gateway.store.ledger.writer.flush()
        assert house.gateway.store.ledger.open_calls == 0
        _, starts = house.gateway.store.database.query("SELECT ended, count(*) FROM starts GROUP BY ended")
    assert starts == [(1, 6)]


@pytest.mark.parametrize("end", ["leaves", "fails"])
async def test_a_call_that_ends_before_its_upstream_heard_of_it_takes_nothing(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client left while it waited for something, or the gateway itself failed."""
    waiting = asyncio.Event()

    async def admit(*_: Any) -> None:
        waiting.set()
        if end == "leaves":
            await asyncio.Event().wait()
        raise ValueError("no")

    async with running(settings=PRICED + OPEN + "per_ip_per_hour = 1\n" + GIFT) as house:
        with monkeypatch.context() as patched:
            patched.setattr(handle, "admit", admit)
            call = asyncio.create_task(house.post(*free("chat")))
            await waiting.wait()
            if end == "leaves":
                call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert [record["outcome"] for record in await house.records()] == [
                "aborted" if end == "leaves" else "failed"
            ]
        assert [(await house.post(*free("chat")))[0] for _ in range(2)] == [200, 429]
