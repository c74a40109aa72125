"""Gates, lists of what is denied, and limits that mean an auto model itself, by whichever of its names."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from gateway import Running, running
from support_money import in_every_api, shop
from support_people import People, code_of
from test_pipeline_auto import ALL, ANSWER, FREE_GIFT, MINI, ON, OPUS, PLAN, SONNET, asked, listed, serving, upstream
from trivium.mock import Match, Reply, Rule

ALIASED = f'{ON}{FREE_GIFT}[aliases]\nbest = "kilo/auto"\n'
NAMES = ("auto/frontier", "kilo/auto", "kilo-auto/frontier", "best")
ADMINS = {"open_to": "admins"}


async def one(house: Running, name: str, key: str | None) -> int:
    """The status of GET /v1/models/{id}."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{house.url}/v1/models/{name}", headers=headers) as response,
    ):
        return response.status


async def refused(house: Running, name: str, key: str | None, api: str = "chat", **more: Any) -> tuple[int, str]:
    status, said = await asked(house, api, name, key, **more)
    assert status != 200
    return status, code_of(api, said)


@in_every_api
@pytest.mark.parametrize("gate", [*NAMES, "auto/front*", "Kilo/Auto"])
async def test_a_gate_for_an_auto_model_closes_it_by_all_its_names(api: str, gate: str) -> None:
    async with shop(ANSWER, settings=ALIASED, provider=serving(*ALL)) as house:
        people = People(house)
        key = await people.user("jo")
        staff = await people.user("boss", staff=True)
        await people.settings(models={gate: ADMINS})
        for name in NAMES:
            assert await refused(house, name, key, api) == (403, "model_not_allowed")
            assert (await asked(house, api, name, staff))[0] == 200
            assert (await one(house, name, key), await one(house, name, staff)) == (404, 200)
        assert (await asked(house, api, OPUS, key))[0] == (await asked(house, api, "auto/small", key))[0] == 200
        seen = [{model["id"] for model in await listed(house, whose)} for whose in (key, staff)]
        assert seen[1] - seen[0] == {"auto/frontier", "best"} & seen[1]
        assert {"auto/balanced", "auto/small", OPUS} <= seen[0]


@in_every_api
async def test_a_list_of_what_is_denied_means_auto_models_and_one_of_what_is_allowed_their_models(api: str) -> None:
    async with shop(ANSWER, settings=ALIASED, provider=serving(*ALL)) as house:
        people = People(house)
        await people.organization("acme")
        key = await people.key(organization="acme", user="acme-member")
        for denied in ("auto/frontier", "kilo/auto", "auto/*"):
            await people.policy("acme", models_deny=[denied])
            for name in NAMES:
                assert await refused(house, name, key, api) == (403, "model_not_allowed")
            assert "auto/frontier" not in [model["id"] for model in await listed(house, key)]
        await people.policy("acme", models_allow=[SONNET])
        assert (await asked(house, api, "kilo/auto", key))[0] == 200
        assert upstream(house) == SONNET
        assert "auto/frontier" in [model["id"] for model in await listed(house, key)]


async def test_a_closed_auto_model_is_no_fallback_and_no_default() -> None:
    rules = (Rule(Reply(status=500), Match(model="broken")), Rule(ANSWER))
    settings = f'{ALIASED}[catalog]\ndefault_model = "auto/frontier"\n'
    async with shop(*rules, settings=settings, provider=serving(*ALL, "broken")) as house:
        people = People(house)
        key = await people.user("jo")
        for gates, status in (({}, 200), ({"auto/frontier": ADMINS}, 403)):
            await people.settings(models=gates)
            headers = {"x-trivium-fallbacks": "best"}
            assert (await asked(house, model="broken", key=key, headers=headers))[0] == status
            sent = {"authorization": f"Bearer {key}"}
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{house.url}/api/defaults", headers=sent) as response,
            ):
                told = (await response.json()).get("defaultModel")
            assert (told == "auto/frontier") is (status == 200)


async def test_whoever_has_no_key_hears_of_a_closed_one_what_is_said_of_paid_ones() -> None:
    async with running(ANSWER, settings=f"{ALIASED}[free]\nanonymous = true\n", provider=serving(*ALL)) as house:
        people = People(house)
        assert (await asked(house, model="auto/free", key=None))[0] == 200
        await people.settings(models={"auto/*": ADMINS})
        for name in ("auto/free", "auto/frontier", OPUS):
            assert await refused(house, name, None) == (401, "paid_model_auth_required")
        headers = {"x-trivium-fallbacks": "auto/free"}
        assert await refused(house, "gift:free", None, headers=headers) == (401, "paid_model_auth_required")
        assert [model["id"] for model in await listed(house, None)] == ["gift:free"]


@pytest.mark.parametrize("named", [*NAMES, "auto/*"])
async def test_calls_for_an_auto_model_count_in_its_limits(named: str) -> None:
    async with shop(ANSWER, settings=ALIASED, provider=serving(*ALL)) as house:
        await People(house).settings(limits_by_model={named: {"requests_per_minute": 2}})
        assert (await asked(house, model="kilo/auto"))[0] == 200
        assert (await asked(house, model="best", headers=PLAN))[0] == 200
        status, said = await asked(house, model="auto/frontier")
        assert (status, said["error"]["code"], said["error"]["limit_of"]) == (429, "rate_limited", "model")
        _, told, _ = await house.post("/v1/explain", {"model": "best", "messages": []})
        assert told["error"]["code"] == "rate_limited"
        assert (await asked(house, model=OPUS))[0] == (await asked(house, model=SONNET))[0] == 200
        expected = 200 if named != "auto/*" else 429
        assert (await asked(house, model="auto/small"))[0] == expected


async def test_the_limits_of_what_it_leads_to_count_too() -> None:
    async with shop(ANSWER, settings=ALIASED, provider=serving(*ALL)) as house:
        limits = {"auto/*": {"requests_per_minute": 9}, MINI: {"requests_per_minute": 1}}
        await People(house).settings(limits_by_model=limits)
        assert (await asked(house, model=MINI))[0] == 200
        assert await refused(house, "auto/small", house.key) == (429, "rate_limited")


async def test_a_name_that_something_else_has_is_not_the_auto_models() -> None:
    settings = f'{ALIASED}[catalog.models."kilo/auto"]\nroutes = [{{ to = "up/{MINI}" }}]\n'
    async with shop(ANSWER, settings=settings, provider=serving(*ALL)) as house:
        people = People(house)
        key = await people.user("jo")
        await people.settings(models={"kilo/auto": ADMINS})
        assert await refused(house, "kilo/auto", key) == (403, "model_not_allowed")
        assert (await asked(house, model="auto/frontier", key=key))[0] == 200
