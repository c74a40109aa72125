"""Auto models as callers meet them: who gets which model, what is recorded, what the list shows, and what a refusal
says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway import ALL_APIS, CHAT, MESSAGES, Running, running, tell
from support_money import BODIES, PATHS, PRICES, customer, in_every_api, shop
from support_people import People, code_of
from test_pipeline_own import KEY, OPEN, header
from test_pipeline_own import People as Own
from trivium.mock import Match, Reply, Rule, Usage
from trivium.pipeline import auto as pipeline_auto
from trivium.routing import auto
from trivium.routing.catalog import ModelEntry

OPUS, SONNET, KIMI, MINIMAX, MINI, GIFT = (
    "claude-opus-4-7",
    "claude-sonnet-4-6",
    "kimi-k2.5",
    "minimax-m2.1",
    "gpt-5-mini",
    "gift:free",
)
ALL = (OPUS, SONNET, KIMI, MINIMAX, MINI, GIFT)
ON = f'[auto]\nenabled = true\n[models."up/*"]\n{PRICES}\noutput_limit = 1000\n'
FREE_GIFT = f'[models."up/{GIFT}"]\nfree = true\n'
CREDITS = f'{ON}{FREE_GIFT}[billing]\nmode = "credits"\n'
ANSWER = Reply(text="Hi", usage=Usage(input=10, output=5))
PLAN = {"x-trivium-mode": "plan"}


def serving(*models: str, apis: str = ALL_APIS, more: str = "") -> str:
    return f"{apis}\nmodels = {msgspec.json.encode(models).decode()}\n{more}"


async def asked(
    house: Running, api: str = "chat", model: str = "auto/frontier", key: str | None = "", **more: Any
) -> tuple[int, Any]:
    headers = more.pop("headers", None)
    status, said, _ = await house.post(PATHS[api], {**BODIES[api], "model": model, **more}, key=key, headers=headers)
    return status, said


async def listed(house: Running, key: str | None = "", **headers: str) -> list[dict[str, Any]]:
    key = house.key if key == "" else key
    sent = {**({"authorization": f"Bearer {key}"} if key else {}), **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{house.url}/v1/models", headers=sent) as response,
    ):
        assert response.status == 200, await response.text()
        return list((await response.json())["data"])


def upstream(house: Running) -> str:
    return str(house.upstream.requests[-1].json["model"])


@in_every_api
async def test_a_call_is_handled_and_recorded_as_if_the_model_had_been_named(api: str) -> None:
    async with running(ANSWER, settings=ON, provider=serving(*ALL)) as house:
        for name in ("auto/frontier", "kilo/auto"):
            for stream in (False, True):
                status, said = await asked(house, api, name, stream=stream, headers={"x-kilocode-mode": " Plan"})
                assert (status, "Hi" in str(said)) == (200, True)
                assert upstream(house) == OPUS
        await asked(house, api, SONNET)
        *_, plain = records = list(reversed(await house.records()))
    for record, name in zip(records, ("auto/frontier", "auto/frontier", "kilo/auto", "kilo/auto"), strict=False):
        assert (record["requested_model"], record["auto_model"]) == (name, "auto/frontier")
        assert (record["auto_mode"], record["resolved_model"], record["upstream_model"]) == ("plan", OPUS, OPUS)
        assert (record["cost_nano"], record["losses"]) == (10 * 3_000 + 5 * 15_000, None)
    assert [plain[name] for name in ("auto_model", "auto_mode", "resolved_model")] == [None] * 3


async def test_who_denies_models_gets_no_stealth_model_of_an_auto_model() -> None:
    stealth = f'[free.models."house/sly"]\nroute = "up/{MINI}"\nstealth = true\nrequires_data_collection = false\n'
    chosen = f'[auto."auto/free"]\nchoices = [{{ models = ["house/sly", "{GIFT}"], price = "free" }}]\n'
    async with shop(ANSWER, settings=ON + FREE_GIFT + stealth + chosen, provider=serving(*ALL)) as house:
        people = People(house)
        await people.organization("acme")
        key = await people.key(organization="acme", user="acme-member")
        for denied, taken in (([], MINI), ([MINI], GIFT), (["other"], GIFT)):
            await people.policy("acme", models_deny=denied)
            assert (await asked(house, model="auto/free", key=key))[0] == 200
            assert upstream(house) == taken
            status, said = await asked(house, model="house/sly", key=key)
            told = code_of("chat", said) if status != 200 else None
            assert (status, told) == ((403, "model_not_allowed") if denied else (200, None))
            assert ("house/sly" in [model["id"] for model in await listed(house, key)]) is not bool(denied)


@in_every_api
async def test_the_policy_of_an_organization_comes_first(api: str) -> None:
    async with shop(ANSWER, settings=ON, provider=serving(*ALL)) as house:
        people = People(house)
        await people.organization("acme", policy={"models_deny": ["*opus*"]})
        key = await people.key(organization="acme", user="acme-member")
        assert (await asked(house, api, key=key, headers=PLAN))[0] == 200
        assert upstream(house) == SONNET
        assert (await asked(house, api, headers=PLAN))[0] == 200
        assert upstream(house) == OPUS
        sent = len(house.upstream.requests)
        await people.policy("acme", models_allow=["kimi-k2.5"])
        status, said = await asked(house, api, key=key, headers=PLAN)
        assert (status, code_of(api, said)) == (403, "model_not_allowed")
        message = said["error"]["message"]
        assert f"`{OPUS}`: The model `{OPUS}` is not allowed. The organization's list of models" in message
        assert f"`{SONNET}`" in message
        assert "in the mode `plan`" in message
        assert len(house.upstream.requests) == sent
        refused = (await house.records())[0]
        assert (refused["outcome"], refused["auto_model"], refused["resolved_model"]) == (
            "refused",
            "auto/frontier",
            None,
        )
        # Neither does the list show what leads nowhere.
        names = [model["id"] for model in await listed(house, key)]
        assert ("auto/frontier" in names, "auto/balanced" in names) == (False, True)


@in_every_api
async def test_a_house_without_any_candidate_has_no_such_model(api: str) -> None:
    async with running(settings=ON, provider=serving("gpt-5")) as house:
        status, said = await asked(house, api)
        assert (status, code_of(api, said)) == (404, "model_not_found")
        assert [model["id"] for model in await listed(house)] == ["gpt-5"]
        assert house.upstream.requests == []


async def test_lists_have_them_first_with_a_price() -> None:
    async with running(settings=ON + FREE_GIFT + "[free]\nanonymous = true\n", provider=serving(*ALL)) as house:
        found = await listed(house)
        assert [model["id"] for model in found[:4]] == ["auto/frontier", "auto/balanced", "auto/free", "auto/small"]
        assert len(found) == 4 + len(ALL)
        for model in found[:4]:
            assert (model["preferredIndex"], model["context_length"]) == (-1, 1_000_000)
            assert model["top_provider"]["max_completion_tokens"] == 64_000
            assert model["owned_by"] == "trivium"
            free = model["id"] == "auto/free"
            assert (model["isFree"], model["pricing"]["prompt"]) == (free, "0" if free else "0.000003")
        anthropic = await listed(house, **{"anthropic-version": "2023-06-01"})
        assert anthropic[0] == {
            "type": "model",
            "id": "auto/frontier",
            "display_name": "Auto: Frontier",
            "created_at": "1970-01-01T00:00:00Z",
            "max_input_tokens": 1_000_000,
            "max_tokens": 64_000,
        }
        # One of them, by an alias too; and to whoever has no key only what is free.
        async with aiohttp.ClientSession() as session:
            for name, key, status in (
                ("kilo/auto", house.key, 200),
                ("auto/free", "anonymous", 200),
                ("auto/frontier", "anonymous", 404),
            ):
                headers = {"authorization": f"Bearer {key}"}
                async with session.get(f"{house.url}/v1/models/{name}", headers=headers) as response:
                    assert response.status == status, name
        assert [model["id"] for model in await listed(house, None)] == ["auto/free", "auto/small", GIFT]


@in_every_api
async def test_without_a_key_free_leads_to_a_free_model_and_others_need_one(api: str) -> None:
    settings = ON + FREE_GIFT + "[free]\nanonymous = true\nper_ip_per_hour = 2\n"
    async with running(ANSWER, settings=settings, provider=serving(*ALL)) as house:
        for name in ("auto/free", "auto/small"):
            assert (await asked(house, api, name, key=None))[0] == 200
            assert upstream(house) == GIFT
        status, said = await asked(house, api, "auto/frontier", key=None)
        assert (status, code_of(api, said)) == (429, "rate_limited")  # two free ones were all there are
        assert len(house.upstream.requests) == 2


@in_every_api
async def test_small_goes_by_the_payers_balance(api: str) -> None:
    async with shop(ANSWER, settings=CREDITS, provider=serving(*ALL)) as house:
        await customer(house, "5", "rich")
        assert (await asked(house, api, "auto/small"))[0] == 200
        assert upstream(house) == MINI
        await customer(house, "0", "poor")
        assert (await asked(house, api, "auto/small"))[0] == 200
        assert upstream(house) == GIFT
        # What costs is refused as if it had been named.
        status, said = await asked(house, api, "auto/frontier")
        assert (status, code_of(api, said)) == (402, "insufficient_credits")


async def test_what_nobody_knows_the_price_of_is_passed_over_where_balances_are_charged() -> None:
    priced = f'[models."up/{SONNET}"]\n{PRICES}\noutput_limit = 1000\n'
    settings = f'[auto]\nenabled = true\n{priced}[billing]\nmode = "credits"\n'
    async with shop(ANSWER, settings=settings, provider=serving(*ALL)) as house:
        await customer(house, "5")
        assert (await asked(house, headers=PLAN))[0] == 200
        assert upstream(house) == SONNET


async def test_no_call_waits_for_a_search_through_a_new_list(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(ANSWER, settings=ON, provider=ALL_APIS) as house:
        await tell(house.gateway, up=tuple(ModelEntry(name, "up") for name in ALL))
        monkeypatch.setattr(auto, "_meant", None)
        assert (await asked(house, headers=PLAN))[0] == 200
        assert upstream(house) == OPUS


async def test_a_list_judges_each_model_once_however_many_modes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of models, none of them free, once kept all calls waiting for each list."""
    judged: Counter[tuple[str, str | None]] = Counter()
    passed = pipeline_auto._passed

    def counted(name: str, price: Any, *others: Any) -> Any:
        judged[name, price] += 1
        return passed(name, price, *others)

    monkeypatch.setattr(pipeline_auto, "_passed", counted)
    async with running(settings=ON, provider=serving(*(f"m-{n}" for n in range(50)))) as house:
        assert len(await listed(house)) == 50
    assert (len(judged), max(judged.values())) == (50, 1)


async def test_as_a_fallback_it_stands_for_the_model_that_it_leads_to() -> None:
    rules = (Rule(Reply(status=500), Match(model="broken")), Rule(ANSWER))
    async with running(*rules, settings=ON, provider=serving(*ALL, "broken")) as house:
        headers = {**PLAN, "x-trivium-fallbacks": "kilo/auto"}
        assert (await asked(house, model="broken", headers=headers))[0] == 200
        assert [one.json["model"] for one in house.upstream.requests] == ["broken", OPUS]
        assert house.upstream.requests[-1].json["reasoning_effort"] == "high"
        record = await house.record()
    columns = ("requested_model", "auto_model", "auto_mode", "upstream_model")
    assert tuple(record[name] for name in columns) == ("broken", "auto/frontier", "plan", OPUS)


async def test_an_image_in_the_request_counts() -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    chat = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    words = [{"role": "user", "content": 'Say {"type":"image_url"} and {"type": "image"}.'}]
    async with running(ANSWER, settings=ON, provider=serving(*ALL)) as house:
        for path, body, said, model in (
            (PATHS["chat"], CHAT, {"messages": chat}, KIMI),
            (PATHS["messages"], MESSAGES, {"messages": messages}, KIMI),
            (PATHS["chat"], CHAT, {"messages": words}, MINIMAX),
            (PATHS["messages"], MESSAGES, {"messages": words}, MINIMAX),
        ):
            assert (await house.post(path, {**body, "model": "auto/balanced", **said}))[0] == 200
            assert upstream(house) == model


@in_every_api
async def test_a_translation_carries_on_what_the_mode_asks_for(api: str) -> None:
    """The upstream speaks Messages, Claude's own API; nothing is lost on the way, though the call is strict."""
    provider = f'type = "anthropic"\nkey = "sk"\nmodels = ["{OPUS}", "{SONNET}"]'
    async with running(ANSWER, settings=ON, provider=provider) as house:
        strict = {**PLAN, "x-trivium-strict": "1"}
        assert (await asked(house, api, headers=strict))[0] == 200
        body = house.upstream.requests[-1].json
        assert (body["thinking"]["type"], body["output_config"]) == ("adaptive", {"effort": "high"})
        assert not {"reasoning", "reasoning_effort", "verbosity", "text"} & body.keys()
        assert (await house.record())["losses"] is None


@pytest.mark.parametrize("to", ["chat", "responses"])
@in_every_api
async def test_a_verbosity_is_told_to_models_that_know_it_whoever_asks(api: str, to: str) -> None:
    choices = [
        f'[[auto."auto/terse".choices]]\nmodes = ["{mode}"]\nmodels = ["up/{model}"]\nverbosity = "low"\n'
        for mode, model in (("new", "gpt-5.2"), ("old", "gpt-4o"))
    ]
    settings = f'{"".join(choices)}[models."up/*"]\n{PRICES}\n'
    provider = f'type = "openai"\nkey = "sk"\nmodels = ["gpt-5.2", "gpt-4o"]\napis = ["{to}"]'
    async with running(ANSWER, settings=settings, provider=provider) as house:
        said = []
        for mode in ("new", "old") if api == "messages" else ("new",):
            strict = {"x-trivium-mode": mode, "x-trivium-strict": "1"}
            assert (await asked(house, api, "auto/terse", headers=strict))[0] == 200
            body = house.upstream.requests[-1].json
            said.append(body.get("verbosity") if to == "chat" else body.get("text", {}).get("verbosity"))
    assert said == ["low", None][: len(said)]


async def test_what_an_upstream_cannot_be_told_is_no_loss_of_the_clients() -> None:
    """A tool that is forced excludes thinking, which the client never asked for."""
    provider = f'type = "anthropic"\nkey = "sk"\nmodels = ["{OPUS}"]'
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    async with running(ANSWER, settings=ON, provider=provider) as house:
        strict = {**PLAN, "x-trivium-strict": "1"}
        assert (await asked(house, tools=[tool], tool_choice="required", headers=strict))[0] == 200
        assert house.upstream.requests[-1].json["thinking"] == {"type": "disabled"}


async def test_a_hidden_model_is_reached_by_an_auto_model_alone() -> None:
    choice = f'[[auto."auto/secret".choices]]\nmodels = ["up/{MINI}"]\n'
    settings = f'{choice}[free]\nhidden = ["*{MINI}"]\n[models."up/*"]\n{PRICES}\n'
    async with running(ANSWER, settings=settings, provider=serving(*ALL)) as house:
        assert (await asked(house, model=MINI))[0] == 404
        assert (await asked(house, model="auto/secret"))[0] == 200
        assert upstream(house) == MINI
        assert MINI not in [model["id"] for model in await listed(house)]
        # To whom it is refused, its name is not told either.
        people = People(house)
        await people.organization("acme", policy={"models_deny": [MINI]})
        key = await people.key(organization="acme", user="acme-member")
        status, said = await asked(house, model="auto/secret", key=key)
        assert (status, MINI in str(said)) == (403, False)


async def test_a_model_of_the_catalogue_is_tried_by_all_its_routes_and_asked_alike() -> None:
    choice = '[[auto."auto/best".choices]]\nmodels = ["best"]\nreasoning = true\neffort = "low"\n'
    routed = '[catalog.models.best]\nroutes = [{ to = "up/first" }, { to = "spare/second" }]\n'
    spare = '[providers.spare]\nbase_url = "{upstream}/v1"\nmodels = ["second"]\n'
    settings = f'{choice}{routed}{spare}[models."*/*"]\n{PRICES}\n'
    rules = (Rule(Reply(status=500), Match(model="first")), Rule(ANSWER))
    async with running(*rules, settings=settings, provider=serving("first")) as house:
        assert (await asked(house, model="auto/best"))[0] == 200
        asked_of = [(one.json["model"], one.json["reasoning_effort"]) for one in house.upstream.requests]
        record = await house.record()
    assert asked_of == [("first", "low"), ("second", "low")]
    assert (record["auto_model"], record["resolved_model"], record["upstream_model"]) == ("auto/best", "best", "second")


async def test_what_would_be_chosen_is_explained() -> None:
    async with running(settings=ON, provider=serving(*ALL)) as house:
        people = People(house)
        await people.organization("acme", policy={"models_deny": ["*opus*"]})
        key = await people.key(organization="acme", user="acme-member")
        status, told, _ = await house.post("/v1/explain", {**CHAT, "model": "kilo/auto"}, key=key, headers=PLAN)
    assert status == 200
    auto = told["auto"]
    assert (auto["id"], auto["mode"], auto["model"]) == ("auto/frontier", "plan", SONNET)
    assert (auto["reasoning"], auto["effort"]) == (True, "high")
    assert [one["model"] for one in auto["passed"]] == [OPUS]
    assert "The organization denies it" in auto["passed"][0]["why"]


async def test_an_auto_model_can_be_the_default() -> None:
    settings = f'{ON}[catalog]\ndefault_model = "auto/frontier"\n'
    async with running(settings=settings, provider=serving(*ALL)) as house, aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {house.key}"}
        async with session.get(f"{house.url}/api/defaults", headers=headers) as response:
            assert (await response.json())["defaultModel"] == "auto/frontier"


async def test_the_callers_own_key_pays_for_what_was_chosen() -> None:
    provider = serving(OPUS, apis=ALL_APIS)
    async with running(ANSWER, settings=f"{OPEN}{ON}", provider=provider) as house:
        people = await Own(house).settle()
        await people.bring("anthropic")
        for api in PATHS:
            assert (await asked(house, api, headers=PLAN))[0] == 200
            sent = house.upstream.requests[-1]
            assert (sent.path, header(sent, "x-api-key")) == ("/anthropic/v1/messages", KEY)
            assert (sent.json["model"], sent.json["thinking"]["type"]) == (OPUS, "adaptive")
            assert sent.json["output_config"] == {"effort": "high"}
        for record in await house.records():
            assert (record["payer"], record["cost_nano"], record["auto_model"]) == ("byok", 0, "auto/frontier")
            assert record["losses"] is None
