"""What Kilo's clients and others ask for beside models: defaults, profile, balance, usage, providers, statistics."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway import CHAT, Running, running
from support_kilo import get, key_of, organization, person
from support_money import CREDITS, METER, customer, operate, settled
from trivium.mock import Reply, Usage
from trivium.policy.caller import Limits, Role
from trivium.server.routes import PREFIXES

MODELS = 'apis = ["chat", "responses", "messages"]\nmodels = ["gpt", "claude", "llama", "gift"]'
HOUSE = """
[catalog]
default_model = "gpt"
preferred = ["claude", "gone", "llama"]
[models."up/gift"]
free = true
"""
PATHS = ("/api/defaults", "/api/profile", "/api/profile/balance", "/api/modelstats", "/v1/usage", "/v1/providers")


def house(**options: Any) -> Any:
    return running(**{"provider": MODELS, "settings": HOUSE, **options})


async def proposed(house: Running, path: str = "/api/defaults", key: str | None = "", **headers: str) -> Any:
    status, said = await get(house, path, key, **headers)
    return said["defaultModel"] if status == 200 else said["error"]["code"]


@pytest.mark.parametrize("path", [*PATHS, "/api/organizations/acme/models", "/api/organizations/acme/defaults"])
async def test_nothing_is_told_without_a_valid_credential(path: str) -> None:
    async with house() as running_:
        for key, code in ((None, "PAID_MODEL_AUTH_REQUIRED"), ("anonymous", "PAID_MODEL_AUTH_REQUIRED")):
            status, said = await get(running_, path, key)
            assert status == 401
            assert said["error"]["code"] == (code if path.startswith("/api/") else code.lower())
        assert (await get(running_, path, "tv-wrong"))[0] == 401


async def test_where_callers_without_a_key_are_answered_they_hear_of_free_models_alone() -> None:
    async with house(settings=HOUSE + "[free]\nanonymous = true\n") as running_:
        told = {path: await get(running_, path, "anonymous") for path in PATHS}
        models = await get(running_, "/api/openrouter/models", None)
    assert told["/api/defaults"] == (409, told["/api/defaults"][1])  # none of the preferred ones is free
    assert [one["slug"] for one in told["/v1/providers"][1]["data"]] == ["up"]
    assert [model["id"] for model in models[1]["data"]] == ["gift"]
    closed = ("/api/profile", "/api/profile/balance", "/api/modelstats", "/v1/usage")
    assert {told[path][0] for path in closed} == {401}


@pytest.mark.parametrize("key", [None, "anonymous"])
async def test_whoever_has_no_key_is_asked_for_one_before_an_organization_is_looked_for(key: str | None) -> None:
    async with house(settings=HOUSE + "[free]\nanonymous = true\n") as running_:
        for path in ("/api/organizations/acme/models", "/api/organizations/acme/defaults"):
            status, said = await get(running_, path, key)
            assert (status, said["error"]["code"]) == (401, "PAID_MODEL_AUTH_REQUIRED")
            assert "No API key was sent" in said["error"]["message"]


async def test_a_caller_without_a_key_is_proposed_a_free_model() -> None:
    settings = HOUSE.replace('"llama"]', '"llama", "gift"]') + "[free]\nanonymous = true\n"
    async with house(settings=settings) as running_:
        proposal = {"defaultModel": "gift", "defaultFreeModel": "gift"}
        assert await get(running_, "/api/defaults", None) == (200, proposal)


async def test_only_reading_is_possible() -> None:
    async with house() as running_:
        for path in PATHS:
            status, said, headers = await running_.post(path, {})
            assert (status, headers["allow"], said["error"]["code"]) == (405, "GET, HEAD", "method_not_allowed")


class TestDefaults:
    async def test_the_houses_is_proposed_and_a_free_one(self) -> None:
        async with house() as running_:
            assert await get(running_, "/api/defaults") == (200, {"defaultModel": "gpt", "defaultFreeModel": "gift"})

    async def test_an_organizations_policy_decides(self) -> None:
        async with house() as running_:
            key = await person(running_)
            members = {"alice": Role.MEMBER}
            await organization(running_, "own", members, default_model="llama")
            await organization(running_, "wild", members, default_model="l*", models_deny=("gpt",))
            await organization(running_, "named", members, models_allow=("c*", "missing", "llama"))
            await organization(running_, "wide", members, models_allow=("l*", "g*ft"))
            await organization(running_, "none", members, models_allow=("nothing/*",))
            found = {
                name: await proposed(running_, f"/api/organizations/{name}/defaults", key)
                for name in ("own", "wild", "named", "wide", "none")
            }
            by_header = await proposed(running_, "/api/defaults", key, x_kilocode_organizationid="own")
        expected = {"own": "llama", "wild": "claude", "named": "llama", "wide": "llama", "none": "no_default_model"}
        assert found == expected
        assert by_header == "llama"

    async def test_what_is_proposed_answers_and_what_is_not_listed_does_not(self) -> None:
        async with house() as running_:
            key = await person(running_)
            await organization(running_, "acme", {"alice": Role.MEMBER}, models_allow=("llama", "claude"))
            head = {"x-kilocode-organizationid": "acme"}
            listed = await get(running_, "/api/organizations/acme/models", key)
            answers = {
                model: (
                    await running_.post(
                        "/api/openrouter/chat/completions", {**CHAT, "model": model}, key=key, headers=head
                    )
                )[0]
                for model in ("gpt", "claude", "llama", "gift")
            }
            default = await proposed(running_, "/api/organizations/acme/defaults", key)
        assert [model["id"] for model in listed[1]["data"]] == ["claude", "llama"]
        assert answers == {"gpt": 403, "claude": 200, "llama": 200, "gift": 403}
        assert default == "llama"

    async def test_where_none_is_configured_a_client_hears_409_and_what_to_do(self) -> None:
        async with house(settings="") as running_:
            status, said = await get(running_, "/api/defaults")
        assert (status, said["error"]["code"]) == (409, "no_default_model")
        assert "Name a model" in said["error"]["message"]


class TestOrganizations:
    async def test_who_is_no_member_sees_nothing(self) -> None:
        async with house() as running_:
            key = await person(running_)
            await organization(running_, "acme")
            await organization(running_, "theirs", {"alice": Role.BILLING})
            for name in ("acme", "theirs", "nowhere", "%00", "a%2Fb"):
                for what in ("models", "defaults"):
                    status, said = await get(running_, f"/api/organizations/{name}/{what}", key)
                    assert status in (403, 404), name
                    assert "data" not in said
            # The house's own key is nobody's, and no member, whoever asks how.
            assert (await get(running_, "/api/organizations/acme/models"))[0] == 403
            status, said, _ = await running_.post(
                "/v1/chat/completions", CHAT, headers={"x-trivium-organization": "acme"}
            )
            assert (status, said["error"]["code"]) == (403, "not_a_member")

    async def test_an_organizations_key_is_good_for_it_alone(self) -> None:
        async with house() as running_:
            await person(running_)
            await organization(running_, "acme", {"alice": Role.MEMBER})
            await organization(running_, "other", {"alice": Role.MEMBER})
            key = key_of(running_, user_id="alice", account_id="acme")
            assert (await get(running_, "/api/organizations/acme/models", key))[0] == 200
            assert (await get(running_, "/api/organizations/other/models", key))[0] == 403


class TestProfile:
    async def test_a_users_key_tells_the_user_and_the_organizations(self) -> None:
        async with house(settings=CREDITS) as running_:
            key = await person(running_)
            await organization(running_, "acme", {"alice": Role.ADMIN})
            await operate(running_, "credits.top_up", account="acme", usd="2.5")
            _, said = await get(running_, "/api/profile", key)
            _, acting = await get(running_, "/api/profile", key, x_kilocode_organizationid="acme")
        assert said == {
            "user": {"id": "alice", "name": "Alice", "email": "alice@example.com", "image": None},
            "organizations": [{"id": "acme", "name": "Acme", "role": "admin", "balance": 2.5}],
            "selectedOrganizationId": None,
            "hasPersonalAccount": True,
        }
        assert (acting["selectedOrganizationId"], acting["hasPersonalAccount"]) == ("acme", False)

    async def test_a_key_that_is_nobodys_tells_itself(self) -> None:
        async with house() as running_:
            _, said = await get(running_, "/api/profile")
        assert (said["user"]["name"], said["user"]["email"], said["organizations"]) == ("test", "", [])

    async def test_the_balance_is_who_pays_s(self) -> None:
        async with house(settings=CREDITS) as running_:
            key = await person(running_)
            await organization(running_, "acme", {"alice": Role.MEMBER})
            await operate(running_, "credits.top_up", account="acme", usd="2.5")
            await operate(running_, "credits.top_up", account="alice", usd="0.000001")
            await operate(running_, "budgets.set", scope="account:acme", period="total", usd="9")
            await operate(running_, "budgets.set", scope="member:acme/alice", period="total", usd="1")
            acting = {"x_kilocode_organizationid": "acme"}
            mine = await get(running_, "/api/profile/balance", key)
            told = []
            for role in Role.MEMBER, Role.ADMIN, Role.OWNER:
                await operate(running_, "members.set", organization="acme", user="alice", role=role)
                ours = await get(running_, "/api/profile/balance", key, **acting)
                _, usage = await get(running_, "/v1/usage", key, **acting)
                _, profile = await get(running_, "/api/profile", key)
                scopes = [limit["scope"] for limit in usage["limits"]]
                told.append((ours[1]["balance"], usage["balance_usd"], profile["organizations"][0]["balance"], scopes))
            nobodys = key_of(running_, account_id="acme")
            assert (await get(running_, "/v1/usage", nobodys))[1]["balance_usd"] is None
        assert mine == (200, {"balance": 0.000001})
        seen = (2.5, 2.5, 2.5, ["account:acme", "member:acme/alice"])
        assert told == [(None, None, None, ["member:acme/alice"]), seen, seen]

    async def test_where_balances_are_not_kept_it_is_zero(self) -> None:
        async with house() as running_:
            assert await get(running_, "/api/profile/balance") == (200, {"balance": 0})
            assert (await get(running_, "/v1/usage"))[1]["balance_usd"] is None


class TestUsage:
    @pytest.mark.parametrize("prefix", PREFIXES)
    async def test_it_is_there_under_every_prefix(self, prefix: str) -> None:
        async with house() as running_:
            assert await get(running_, f"{prefix}/usage") == (
                200,
                {"limits": [], "rate_limits": {}, "plan": None, "balance_usd": None},
            )

    async def test_budgets_tell_what_is_used_of_them_and_others_are_not_told(self) -> None:
        async with house(settings=METER) as running_:
            payer = await customer(running_, "0")
            await operate(running_, "budgets.set", scope=f"key:{payer.key_id}", period="day", usd="1")
            await operate(running_, "budgets.set", scope="account:acme", period="total", usd="0.5")
            await operate(running_, "budgets.set", scope="user:other", period="day", usd="7")
            status, _, _ = await running_.post("/v1/chat/completions", {**CHAT, "model": "gpt"})
            assert status == 200
            await settled(running_)
            cost = (await running_.record())["cost_nano"] / 10**9
            _, said = await get(running_, "/v1/usage")
        assert cost > 0
        whole, daily = said["limits"]
        assert (whole["scope"], whole["period"], whole["used"], whole["limit"]) == ("account:acme", "total", cost, 0.5)
        assert whole["reset_at"] is None
        assert (daily["period"], daily["used"], daily["limit"]) == ("daily", cost, 1)
        assert daily["reset_at"].endswith("T00:00:00Z")

    async def test_limits_of_key_and_user_are_told_by_whose_they_are(self) -> None:
        async with house() as running_:
            key = key_of(running_, limits=Limits(requests_per_minute=7))
            _, said = await get(running_, "/api/gateway/usage", key)
        assert said["rate_limits"]["key"]["requests_per_minute"] == 7
        assert list(said["rate_limits"]) == ["key"]


class TestProviders:
    async def test_those_are_told_whose_models_the_caller_may_use(self) -> None:
        second = 'base_url = "http://127.0.0.1:9/v1"\nmodels = ["other"]\ncollects_data = false'
        two = f"{MODELS}\n[providers.second]\n{second}"
        async with house(provider=two) as running_:
            key = await person(running_)
            await organization(running_, "acme", {"alice": Role.MEMBER}, providers_deny=("up",))
            _, all_of_them = await get(running_, "/v1/providers", key)
            _, theirs = await get(running_, "/v1/providers", key, x_trivium_organization="acme")
            _, grouped = await get(running_, "/api/openrouter/models-by-provider", key)
        assert [one["slug"] for one in all_of_them["data"]] == ["second", "up"]
        (one,) = theirs["data"]
        assert one["dataPolicy"] == {"training": False, "retainsPrompts": True, "canPublish": False}
        assert {one["slug"]: [m["id"] for m in one["models"]] for one in grouped["providers"]} == {
            "second": ["other"],
            "up": ["claude", "llama", "gift", "gpt"],
        }
        assert (grouped["total_providers"], grouped["total_models"]) == (2, 5)
        assert all(model["slug"] == model["id"] for one in grouped["providers"] for model in one["models"])
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", grouped["generated_at"])


class TestStatistics:
    async def test_models_tell_what_they_cost_on_average(self) -> None:
        used = Reply(text="Hi", usage=Usage(input=100, output=100))
        async with running(used, settings=METER, provider=MODELS) as running_:
            poor = {"name": "poor", "budget": {"usd": "0", "period": "day"}}
            key = (await running_.gateway.operations.perform("keys.create", poor))["key"]
            for _ in range(2):
                await running_.post("/v1/chat/completions", {**CHAT, "model": "gpt"})
                refused = await running_.post("/v1/chat/completions", {**CHAT, "model": "gpt"}, key=key)
                assert refused[0] == 402
            await settled(running_)
            status, said = await get(running_, "/api/modelstats")
            await running_.post("/v1/chat/completions", {**CHAT, "model": "llama"})
            await settled(running_)
            again = await get(running_, "/api/modelstats")
        assert status == 200
        (one,) = said
        assert one["model"] == "gpt"
        assert one["costPerRequest"] == pytest.approx(0.0018)
        assert one["cost"] == pytest.approx(9.0)
        assert again[1] == said  # counted once a minute

    async def test_of_a_stealth_model_nothing_is_told(self) -> None:
        cloak = '[free.models."house/cloak"]\nroute = "up/gpt"\nstealth = true\n[aliases]\nnick = "house/cloak"\n'
        used = Reply(text="Hi", usage=Usage(input=100, output=100))
        async with running(used, settings=METER + cloak, provider=MODELS) as running_:
            for model in ("gpt", "house/cloak", "nick"):
                await running_.post("/v1/chat/completions", {**CHAT, "model": model})
            await settled(running_)
            _, said = await get(running_, "/api/modelstats")
            _, grouped = await get(running_, "/v1/models-by-provider")
        assert [one["model"] for one in said] == ["gpt"]
        assert said[0]["costPerRequest"] == pytest.approx(0.0018)  # its calls are not among those of who answers
        cloaked = next(one for one in grouped["providers"] if one["slug"] == "trivium")
        assert "dataPolicy" not in cloaked
        for model, name in zip(cloaked["models"], ("nick", "house/cloak"), strict=True):
            assert (model["id"], model["pricing"]) == (name, {"prompt": "0", "completion": "0"})
            assert not {"context_length", "supported_parameters"} & model.keys()
