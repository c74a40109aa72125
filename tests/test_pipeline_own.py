"""Calls that the caller's own upstream key pays for, through a real gateway and a scripted vendor."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock

import aiohttp
import msgspec
import pytest

from gateway import CALLS, CHAT, MESSAGES, RESPONSES, Running, running
from test_pipeline_handle import message_of
from trivium.canon.api import Api
from trivium.mock import Error, Match, Reply, Rule, Usage
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Limits, OrganizationSettings, Policy, Scopes
from trivium.providers.rows import Door
from trivium.providers.vendors import VENDORS
from trivium.store.envelopes import Keyring
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User
from trivium.upstream.http1 import Http1Client

KEY = "sk-own-canary-0123456789abcdef"
OTHER = "sk-own-second-fedcba9876543210"
OPEN = '[security]\nallow_networks = ["127.0.0.0/8"]\nallow_http = true\n'
"""The scripted vendor listens on loopback."""
CREDITS = f'{OPEN}[billing]\nmode = "credits"\n'


class People:
    """Ann, who has a key of her own, and the organization acme, which she is a member of."""

    def __init__(self, house: Running) -> None:
        self.house = house
        self.perform = house.gateway.operations.perform

    async def settle(self, policy: Policy | None = None) -> People:
        store = self.house.gateway.store
        await store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
        settings = OrganizationSettings(policy=policy or Policy())
        acme = OrganizationRow(id="acme", name="Acme", created_ms=1, settings=settings)
        await store.organizations.add(acme, "ann", "operator")
        self.house.key = store.keys.create("ann's", user_id="ann", account_id="ann")[1]
        self.member_key = store.keys.create("member's", user_id="ann", account_id="acme")[1]
        return self

    async def bring(self, vendor: str, key: str = KEY, /, **what: Any) -> dict[str, Any]:
        """Adds a key of Ann's; the scripted vendor is where it is good unless something else is said."""
        owner = {} if "organization" in what else {"user": "ann"}
        url = {"base_url": f"{self.house.upstream.url}/{vendor}/v1"}
        given = {"vendor": vendor, "credential": {"key": key}, **owner, **url, **what}
        return await self.perform("byok.add", given)  # type: ignore[no-any-return]

    async def listed(self, vendor: str) -> list[dict[str, Any]]:
        return await self.perform("byok.list", {"organization": "acme", "vendor": vendor})  # type: ignore[no-any-return]


HOUSE = 'apis = ["chat", "responses", "messages"]\nmodels = ["m", "claude-opus-4-6"]'


@contextlib.asynccontextmanager
async def people(
    *rules: Rule | Reply, settings: str = CREDITS, policy: Policy | None = None, provider: str = HOUSE
) -> AsyncIterator[People]:
    async with running(*rules, settings=settings, provider=provider) as house:
        yield await People(house).settle(policy)


def named(body: dict[str, Any], model: str) -> dict[str, Any]:
    return {**body, "model": model}


def header(asked: Any, name: str) -> str | None:
    return dict(asked.headers).get(name)


def at(vendor: str, reply: Reply, key: str | None = None, times: int | None = None) -> Rule:
    """What the scripted vendor says to a key."""
    return Rule(reply, Match(path=f"/{vendor}/*", headers={"authorization": f"Bearer {key}"} if key else {}), times)


def refusing(status: int, said: str = "no such luck") -> Reply:
    return Reply(status=status, error=Error(message=said))


SONNET = "anthropic/claude-sonnet-4.5"


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_model_of_a_vendor_that_the_caller_has_a_key_for_is_paid_by_that_key(
    path: str, body: dict[str, Any]
) -> None:
    async with people(Reply(text="hello", usage=Usage(input=7, output=5))) as ann:
        await ann.bring("anthropic")
        status, answer, _ = await ann.house.post(path, named(body, SONNET))
        (asked,) = ann.house.upstream.requests
        record = await ann.house.record()
    assert (status, "hello" in str(answer)) == (200, True)
    assert asked.path == "/anthropic/v1/messages"
    assert header(asked, "x-api-key") == KEY
    assert asked.json is not None
    assert asked.json["model"] == "claude-sonnet-4-5"
    assert (record["payer"], record["provider"], record["cost_nano"]) == ("byok", "anthropic", 0)


async def test_it_needs_no_balance_and_its_market_cost_is_kept() -> None:
    price = '[models."anthropic/*"]\nprice = { input = 3, output = 15 }\n'
    async with people(Reply(usage=Usage(input=1000, output=1000)), settings=CREDITS + price) as ann:
        status, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, "up/m"))
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")  # no price, no call
        await ann.bring("anthropic")
        assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 200
        record = (await ann.house.records())[0]
    assert (record["cost_nano"], record["market_cost_nano"], record["hold_nano"]) == (0, 18_000_000, 0)


async def test_an_organization_that_pays_uses_its_own_key_and_not_its_members() -> None:
    async with people(at("anthropic", Reply(text="anns")), at("acme", Reply(text="acmes"))) as ann:
        await ann.bring("anthropic")
        status, _, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET), key=ann.member_key)
        assert status == 404  # acme has no key, and the house no such model
        url = f"{ann.house.upstream.url}/acme/v1"
        await ann.bring("anthropic", OTHER, organization="acme", base_url=url)
        _, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET), key=ann.member_key)
        assert answer["content"][0]["text"] == "acmes"
        _, answer, _ = await ann.house.post(
            "/v1/messages", named(MESSAGES, SONNET), headers={"x-trivium-organization": "acme"}
        )
        assert answer["content"][0]["text"] == "acmes"
        _, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
        assert answer["content"][0]["text"] == "anns"


@pytest.mark.parametrize("status", [401, 402, 403, 429])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_key_that_the_vendor_refuses_is_told_and_never_replaced_by_the_houses(
    path: str, body: dict[str, Any], status: int
) -> None:
    house = Rule(Reply(text="from the house"), Match(path="/v1/*"))
    async with people(at("anthropic", refusing(status)), house) as ann:
        await ann.bring("anthropic", name="laptop")
        got, answer, headers = await ann.house.post(path, named(body, "claude-opus-4-6"))
        asked = [one.path for one in ann.house.upstream.requests]
        record = await ann.house.record()
    assert got == status
    message = message_of(path, answer)
    assert message.startswith("[BYOK] Anthropic refused your key `laptop` (...cdef): no such luck.")
    assert asked == ["/anthropic/v1/messages"]
    assert (record["outcome"], record["error_code"], record["status"]) == ("failed", "own_key_refused", status)
    assert ("retry-after" in headers) == (status == 429)
    assert (headers.get("x-should-retry") == "false") == (status != 429)


FLAGGED = Error(message="Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO")
CODE_OF_FLAGGED = {
    "/v1/chat/completions": "content_flagged",
    "/v1/responses": "content_flagged",
    "/v1/messages": None,  # the vendor's own words
}


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_that_a_request_was_flagged_is_no_refusal_of_the_key(path: str, body: dict[str, Any]) -> None:
    async with people(at("anthropic", Reply(status=403, error=FLAGGED))) as ann:
        await ann.bring("anthropic")
        got, answer, _ = await ann.house.post(path, named(body, "claude-opus-4-6"))
        record = await ann.house.record()
    assert (got, record["error_code"], record["payer"]) == (403, "permission_error", "byok")
    assert (answer["error"].get("code"), "[BYOK]" in message_of(path, answer)) == (CODE_OF_FLAGGED[path], False)


async def test_a_model_called_moderation_does_not_make_a_refusal_a_flagged_request() -> None:
    without = Error(message="Project `p` does not have access to model `omni-moderation-latest`.")
    async with people(at("anthropic", Reply(status=403, error=without))) as ann:
        await ann.bring("anthropic")
        _, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, "claude-opus-4-6"))
    assert answer["error"]["message"].startswith("[BYOK] Anthropic refused your key")


async def test_where_nobody_is_at_a_keys_base_url_its_owner_hears_that_it_is_there() -> None:
    async with people(Reply(abort="reset")) as ann:
        await ann.bring("anthropic", name="laptop")
        status, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
        assert (status, answer["error"]["code"]) == (502, "upstream_unreachable")
        assert "[BYOK] The server of your key `laptop` (" in answer["error"]["message"]
        assert answer["error"]["message"].endswith("Look whether it runs, and at the key's base URL.")


async def test_that_an_own_key_is_good_does_not_say_that_the_houses_is_again() -> None:
    house = f'[providers.anthropic]\nkey = "house-key"\nbase_url = "{{upstream}}/house/v1"\nmodels = ["{SONNET}"]\n'
    async with people(at("house", refusing(401)), Reply(), settings=OPEN + house) as ann:
        assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 503
        await ann.bring("anthropic")
        assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 200
        assert len(await ann.house.records()) == 2
        assert [one["provider"] for one in await ann.perform("alerts.show", {})] == ["anthropic"]


async def test_that_a_request_was_flagged_behind_vercel_is_no_refusal_of_an_account() -> None:
    async with through_vercel(Reply(status=403, error=FLAGGED)) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        got, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
    assert (got, answer["error"]["message"]) == (403, FLAGGED.message)


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "1"),
        ({"retry-after": "7"}, "7"),
        ({"retry-after-ms": "1500"}, "2"),
        ({"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"}, "Wed, 21 Oct 2065 07:28:00 GMT"),
    ],
    ids=["nothing", "seconds", "milliseconds", "date"],
)
async def test_how_long_to_wait_for_a_key_is_told_as_the_vendor_says_it(
    path: str, body: dict[str, Any], said: dict[str, str], told: str
) -> None:
    left = {"x-ratelimit-remaining-requests": "0", "anthropic-ratelimit-requests-remaining": "0"}
    refused = Reply(status=429, error=Error(message="slowly"), headers={**said, **left})
    async with people(at("anthropic", refused)) as ann:
        await ann.bring("anthropic")
        status, _, headers = await ann.house.post(path, named(body, SONNET))
    assert (status, headers["retry-after"], headers.get("retry-after-ms")) == (429, told, said.get("retry-after-ms"))
    assert left.items() <= headers.items()


async def test_a_key_may_be_told_to_wait_in_the_error_alone() -> None:
    error = {"type": "rate_limit_error", "message": "slowly", "details": [{"retryDelay": "38s"}]}
    async with people(at("anthropic", Reply(status=429, body={"type": "error", "error": error}))) as ann:
        await ann.bring("anthropic")
        status, _, headers = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
    assert (status, headers["retry-after"]) == (429, "38")


INSIDE = [
    {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}},
    {"error": {"message": "User not found.", "code": 401}, "user_id": None},
    {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}},
    {"object": "response", "status": "failed", "output": [], "error": {"code": "insufficient_quota", "message": "no"}},
]


@pytest.mark.parametrize("said", INSIDE, ids=["word", "number", "minimax", "responses"])
async def test_a_refusal_inside_a_good_status_is_one(said: dict[str, Any]) -> None:
    asked = named(CHAT, "openai/gpt-5")
    async with people(at("openai", Reply(body=said), KEY), at("openai", Reply(text="second"))) as ann:
        await ann.bring("openai", name="laptop")
        status, answer, _ = await ann.house.post("/v1/chat/completions", asked)
        assert status == (429 if "object" in said else 401)
        assert answer["error"]["message"].startswith("[BYOK] OpenAI refused your key `laptop` (...cdef): ")
        assert answer["error"]["code"] == "own_key_refused"
        await ann.bring("openai", OTHER, name="second")
        status, answer, _ = await ann.house.post("/v1/chat/completions", asked)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "second")


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "busy", "code": 503}},
        {"choices": [{"message": {"content": "Hi"}}], "error": {"code": 401, "message": "of a tool"}},
        {"id": "r", "object": "response", "error": None, "output": []},
        {"detail": ["odd"]},
    ],
    ids=["another error", "an answer", "no error", "odd"],
)
async def test_what_is_no_refusal_passes_as_it_came(said: dict[str, Any]) -> None:
    async with people(at("openai", Reply(body=said))) as ann:
        await ann.bring("openai")
        await ann.bring("openai", OTHER, name="second")
        status, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, "openai/gpt-5"))
        assert (status, answer, len(ann.house.upstream.requests)) == (200, said, 1)


async def test_a_member_reads_that_it_is_the_organizations_key() -> None:
    async with people(at("anthropic", refusing(401))) as ann:
        await ann.bring("anthropic", organization="acme")
        _, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, SONNET), key=ann.member_key)
    assert "refused the organization acme's key `main`" in answer["error"]["message"]
    assert answer["error"]["code"] == "own_key_refused"


async def test_several_keys_are_tried_in_their_order_until_one_is_taken() -> None:
    rules = [at("openai", refusing(401), KEY), at("openai", refusing(429), OTHER), at("openai", Reply(text="third"))]
    async with people(*rules) as ann:
        for number, key in enumerate((KEY, OTHER, "sk-own-third-000000000")):
            await ann.bring("openai", key, name=f"key {number}")
        status, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, "openai/gpt-5"))
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "third")
        assert (await ann.house.record())["outcome"] == "success"
        await ann.perform("byok.order", {"user": "ann", "vendor": "openai", "keys": ["key 2", "key 0", "key 1"]})
        await ann.house.post("/v1/chat/completions", named(CHAT, "openai/gpt-5"))
        assert len(ann.house.upstream.requests) == 3 + 1


async def test_when_all_are_refused_the_last_one_is_told_with_how_many_there_were() -> None:
    rules = [at("openai", refusing(401, "wrong"), KEY), at("openai", refusing(402, "empty"), OTHER)]
    async with people(*rules) as ann:
        await ann.bring("openai", name="first")
        await ann.bring("openai", OTHER, name="second")
        status, answer, _ = await ann.house.post("/v1/responses", named(RESPONSES, "openai/gpt-5"))
    assert status == 402
    assert "`second` (...3210): empty. " in answer["error"]["message"]
    assert answer["error"]["message"].endswith("1 more before it were refused too.")


@pytest.mark.parametrize(("status", "said"), [(400, "max_tokens is too large"), (404, "no such model"), (500, "oops")])
async def test_what_is_not_about_the_key_passes_as_the_vendor_said_it(status: int, said: str) -> None:
    async with people(at("google", refusing(status, said))) as ann:
        await ann.bring("google")
        await ann.bring("google", OTHER, name="another")
        got, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, "google/gemini-2.5-pro"))
        assert len(ann.house.upstream.requests) == 1
    assert (got, answer["error"]["message"]) == (status, said)


async def test_google_says_400_of_a_key_that_is_none() -> None:
    said = "API key not valid. Please pass a valid API key."
    async with people(at("google", refusing(400, said))) as ann:
        await ann.bring("google")
        status, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, "google/gemini-2.5-pro"))
    assert status == 401
    assert answer["error"]["message"].startswith("[BYOK] Google refused your key `main`")


async def test_a_coding_plan_is_tried_before_the_vendors_ordinary_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async with people(at("coding", refusing(429, "no plan")), at("plain", Reply(text="plain"))) as ann:
        urls = tuple(f"{ann.house.upstream.url}/{place}/v4" for place in ("coding", "plain"))
        door = Door(apis=(Api.CHAT,), base_urls=urls)
        monkeypatch.setitem(VENDORS, "zai", msgspec.structs.replace(VENDORS["zai"], doors=(door,)))
        await ann.bring("zai", base_url=None)
        status, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, "z-ai/glm-4.6"))
        paths = [one.path for one in ann.house.upstream.requests]
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "plain")
    assert paths == ["/coding/v4/chat/completions", "/plain/v4/chat/completions"]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy(models_deny=("anthropic/claude-sonnet-4.5",)), "model_not_allowed"),
        (Policy(models_deny=("claude-sonnet-4-5",)), "model_not_allowed"),
        (Policy(models_allow=("openai/*",)), "model_not_allowed"),
        (Policy(providers_deny=("anthropic",)), "provider_not_allowed"),
        (Policy(zdr=True), "provider_not_allowed"),
        (Policy(models_allow=("anthropic/claude-sonnet-4.5",)), None),
        (Policy(providers_allow=("anthropic",)), None),
        # Anthropic collects nothing, but the key's own base URL leads elsewhere.
        (Policy(data_collection="deny"), "provider_not_allowed"),
    ],
)
async def test_an_organizations_policy_holds_for_its_own_keys(policy: Policy, code: str | None) -> None:
    async with people(policy=policy) as ann:
        await ann.bring("anthropic", organization="acme")
        status, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, SONNET), key=ann.member_key)
        assert bool(ann.house.upstream.requests) is (code is None)
    assert (answer["error"]["code"] if status != 200 else None) == code


SPELT = [
    ("anthropic", ["anthropic/claude-opus-4.5", "claude-opus-4-5", "anthropic/claude-opus-4-5", "claude-opus-4.5"]),
    ("xai", ["x-ai/grok-4", "xai/grok-4", "grok-4"]),
    ("mistral", ["mistralai/mistral-large", "mistral/mistral-large", "mistral-large"]),
    ("zai", ["z-ai/glm-4.6", "zai/glm-4.6", "glm-4.6"]),
    ("google", ["google/gemini-2.5-pro", "gemini-2.5-pro", "google/models/gemini-2.5-pro"]),
    ("vercel", ["vercel/x-ai/grok-4", "vercel/xai/grok-4"]),
]
"""Names that lead to one model; the first is how a list has it."""


@pytest.mark.parametrize(("vendor", "names"), SPELT)
async def test_every_spelling_of_a_model_is_judged_alike(vendor: str, names: list[str]) -> None:
    listed = names[0].removeprefix("vercel/")
    async with people() as ann:
        await ann.bring(vendor, organization="acme")

        async def codes() -> set[str | None]:
            answers = [
                (await ann.house.post("/v1/chat/completions", named(CHAT, name), key=ann.member_key))[1]
                for name in names
            ]
            return {answer["error"]["code"] if "error" in answer else None for answer in answers}

        async def settle(policy: Policy, gates: dict[str, Any]) -> None:
            settings = {"policy": msgspec.to_builtins(policy)}
            await ann.perform("orgs.settings.set", {"organization": "acme", "settings": settings})
            await ann.perform("settings.set", {"settings": {"models": gates}})

        assert await codes() == {None}
        await settle(Policy(models_deny=(listed,)), {})
        assert await codes() == {"model_not_allowed"}
        await settle(Policy(models_allow=(listed,)), {})
        assert await codes() == {None}
        await settle(Policy(), {listed: {"open_to": "admins"}})
        assert await codes() == {"model_not_allowed"}


async def test_a_list_of_models_goes_on_where_an_own_key_would_reach_a_hidden_one() -> None:
    async with people(settings=f'{OPEN}[free]\nhidden = ["anthropic/claude-opus-4.6"]\n') as ann:
        await ann.bring("anthropic")
        headers = {"authorization": f"Bearer {ann.house.key}"}
        url = f"{ann.house.url}/v1/models"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            told = await response.json()
        assert (response.status, [model["id"] for model in told["data"]]) == (200, ["m", "anthropic/mock-model"])


@pytest.mark.parametrize("name", [f"{SONNET}:free", f"~{SONNET}", f"up/{SONNET}:free", f"up/~{SONNET}"])
async def test_no_mark_at_a_vendors_model_leads_past_the_own_key(name: str) -> None:
    async with people(provider='type = "openrouter"\nkey = "house"\nmodels = ["*"]') as ann:
        await ann.bring("anthropic")
        status, _, _ = await ann.house.post("/v1/messages", named(MESSAGES, name))
        (asked,) = ann.house.upstream.requests
        record = await ann.house.record()
    assert (status, asked.path, header(asked, "x-api-key")) == (200, "/anthropic/v1/messages", KEY)
    assert (asked.json["model"], record["payer"], record["cost_nano"]) == ("claude-sonnet-4-5", "byok", 0)


async def test_what_the_house_gives_away_stays_free_for_callers_with_an_own_key_of_the_gateway() -> None:
    provider = 'type = "openrouter"\nkey = "house"\nmodels = ["qwen/qwen3:free", "qwen/qwen3"]'
    async with people(provider=provider) as ann:
        await ann.bring("openrouter")
        paid = []
        for name in ("up/qwen/qwen3:free", "up/qwen/qwen3", "openrouter/qwen/qwen3:free"):
            await ann.house.post("/v1/chat/completions", named(CHAT, name))
            paid.append((await ann.house.records())[0]["payer"])
        paths = [asked.path for asked in ann.house.upstream.requests]
    assert paid == ["free", "byok", "byok"]
    assert paths == ["/v1/chat/completions", *["/openrouter/v1/chat/completions"] * 2]


async def test_what_is_hidden_is_hidden_from_own_keys_by_every_name() -> None:
    async with people(settings=f'{OPEN}[free]\nhidden = ["anthropic/claude-opus-4.5 "]\n') as ann:
        await ann.bring("anthropic")
        for name in SPELT[0][1]:
            assert (await ann.house.post("/v1/messages", named(MESSAGES, name)))[0] == 404
        assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 200


async def test_names_of_the_houses_providers_are_names_of_what_own_keys_reach_instead() -> None:
    """Denied as `up` has it, the model is not reached by its vendor's name either: the list shows it without `up`."""
    async with people(policy=Policy(models_deny=("up/claude-opus-4-6",))) as ann:
        await ann.bring("anthropic", organization="acme")
        for name in ("claude-opus-4-6", "anthropic/claude-opus-4.6"):
            _, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, name), key=ann.member_key)
            assert answer["error"]["code"] == "model_not_allowed"


async def test_a_scope_means_a_model_by_every_name() -> None:
    async with people(settings=OPEN) as ann:
        await ann.bring("anthropic")
        for scope, status in (("anthropic/claude-opus-4.5", 200), ("anthropic/claude-opus-4.6", 403)):
            key = ann.house.gateway.store.keys.create(scope, user_id="ann", scopes=Scopes(models=(scope,)))[1]
            for name in SPELT[0][1]:
                assert (await ann.house.post("/v1/messages", named(MESSAGES, name), key=key))[0] == status


async def test_models_that_no_own_key_is_for_go_the_houses_way() -> None:
    async with people(settings=OPEN) as ann:
        await ann.bring("openai")
        status, _, _ = await ann.house.post("/v1/chat/completions", CHAT)
        (asked,) = ann.house.upstream.requests
        assert (status, asked.path) == (200, "/v1/chat/completions")
        assert (await ann.house.record())["provider"] == "up"
        status, _, _ = await ann.house.post("/v1/chat/completions", named(CHAT, "openai/gpt-oss-120b"))
        assert status == 404


async def test_a_key_that_is_switched_off_or_removed_is_not_used_from_then_on() -> None:
    async with people(settings=OPEN) as ann:
        key = await ann.bring("anthropic")
        ask = ("/v1/messages", named(MESSAGES, "claude-opus-4-6"))
        for change in (None, {"enabled": False}, {"enabled": True}):
            if change:
                await ann.perform("byok.set", {"user": "ann", "key": key["id"], **change})
            await ann.house.post(*ask)
        await ann.perform("byok.remove", {"user": "ann", "key": "main"})
        await ann.house.post(*ask)
        paths = [one.path.split("/")[1] for one in ann.house.upstream.requests]
    assert paths == ["anthropic", "v1", "anthropic", "v1"]


async def test_tokens_are_counted_with_the_own_key() -> None:
    counted = Rule(Reply(usage=Usage(input=42)), Match(path="/anthropic/v1/messages/count_tokens"))
    async with people(counted) as ann:
        await ann.bring("anthropic")
        status, answer, _ = await ann.house.post("/v1/messages/count_tokens", named(MESSAGES, SONNET))
    assert (status, answer["input_tokens"]) == (200, 42)


async def test_aws_credentials_sign_the_call_and_do_not_travel() -> None:
    async with people(at("bedrock", Reply(text="hello"))) as ann:
        aws = {"key": KEY, "access_key_id": "AKIDEXAMPLE000000001", "session_token": "token-of-the-session"}
        await ann.bring("bedrock", credential=aws, region="eu-west-1")
        model = "bedrock/eu.anthropic.claude-sonnet-4-5-v1:0"
        status, _, _ = await ann.house.post("/v1/messages", named(MESSAGES, model))
        (asked,) = ann.house.upstream.requests
    authorization = header(asked, "authorization") or ""
    assert status == 200
    assert asked.path == "/bedrock/v1/messages"
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE000000001/")
    assert "/eu-west-1/bedrock/aws4_request" in authorization
    assert header(asked, "x-amz-security-token") == "token-of-the-session"
    assert KEY not in str(asked)


@contextlib.asynccontextmanager
async def through_vercel(*rules: Reply | Rule) -> AsyncIterator[tuple[People, Running]]:
    """With what stands for Vercel."""
    async with running(*rules, settings=OPEN) as other:
        url = f"{other.upstream.url}/vercel/v1"
        vercel = f'[providers.vercel]\nkey = "house-key"\nbase_url = "{url}"\nmodels = []\n'
        async with people(settings=f'{CREDITS}[byok.via]\nanthropic = "vercel"\n{vercel}') as ann:
            yield ann, other


def failing(status: int, *attempts: tuple[str, int]) -> Reply:
    """Vercel's error, with whose credentials it tried and what the vendor said to each."""
    told = [{"provider": "anthropic", "credentialType": who, "statusCode": code} for who, code in attempts]
    routing = {"providerMetadata": {"gateway": {"routing": {"attempts": told}}}} if attempts else {}
    return Reply(status=status, body={"error": {"message": f"no: {KEY}", "type": "authentication_error"}, **routing})


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_that_vercel_refuses_the_house_is_not_told_as_a_refusal_of_the_callers(
    path: str, body: dict[str, Any], status: int
) -> None:
    async with through_vercel(failing(status)) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        got, answer, headers = await ann.house.post(path, named(body, SONNET))
        record = await ann.house.record()
    assert (got, headers["retry-after"], record["error_code"]) == (503, "60", "upstream_unavailable")
    assert "or the own key for Anthropic cannot be told" in message_of(path, answer)
    assert KEY not in f"{answer}{record}"


async def test_that_vercel_takes_such_a_call_again_is_all_that_its_operator_waits_for() -> None:
    async with through_vercel(Rule(failing(401), times=1), Rule(Reply())) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        alerts = []
        for _ in range(2):
            await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
            await ann.house.records()
            alerts.append([one["provider"] for one in await ann.perform("alerts.show", {})])
    assert alerts == [["vercel"], []]


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_a_key_of_which_vercel_says_that_it_was_refused_is_told(status: int) -> None:
    async with through_vercel(failing(503, ("byok", status), ("system", 503))) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        got, _, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
    assert got == 503  # what became of the call with Vercel's own credentials
    async with through_vercel(failing(status, ("byok", status), ("system", status))) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        got, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
    assert (got, answer["error"]["code"]) == (status, "own_key_refused")
    assert answer["error"]["message"].startswith("[BYOK] Anthropic refused your key: no: ***")


@pytest.mark.parametrize("model", [SONNET, "openai/gpt-5"])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_key_that_its_vendor_spreads_over_a_stream_does_not_arrive(
    path: str, body: dict[str, Any], model: str
) -> None:
    pieces = ["Wrong key: ", *(KEY[at : at + 5] for at in range(0, len(KEY), 5)), " is not", " good"]
    async with people(Reply(text=pieces)) as ann:
        for vendor in ("anthropic", "openai"):
            await ann.bring(vendor)
        status, answer, _ = await ann.house.post(path, {**named(body, model), "stream": True})
    said = "".join(re.findall(r'"(?:content|text|delta)":\s*"([^"]*)"', answer))
    assert status == 200
    # Its beginning arrives where the rest comes later, and is too short to wait for.
    assert re.search(rf"Wrong key: (?:{KEY[:5]}|\*{{5}})\*{{{len(KEY) - 5}}} is not good", said)
    assert KEY[8:] not in said


async def test_that_vercel_has_too_much_to_do_passes_as_it_said_it() -> None:
    async with through_vercel(failing(429)) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        got, answer, _ = await ann.house.post("/v1/chat/completions", named(CHAT, SONNET))
    assert (got, answer["error"]["message"]) == (429, f"no: {'*' * len(KEY)}")


async def test_a_key_with_a_base_url_of_its_own_keeps_no_promise_of_vercels() -> None:
    """Nor does any key of the zero data retention that the house has agreed on."""
    for policy, url in ((Policy(data_collection="deny"), "https://example.org/v1"), (Policy(zdr=True), None)):
        async with through_vercel() as (ann, other):
            settings = {"policy": msgspec.to_builtins(policy)}
            await ann.perform("orgs.settings.set", {"organization": "acme", "settings": settings})
            await ann.bring("anthropic", base_url=url, organization="acme")
            got, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET), key=ann.member_key)
            assert (got, answer["error"]["code"]) == (403, "provider_not_allowed")
            assert other.upstream.requests == []


async def test_a_call_for_which_vercel_let_the_house_pay_after_all_is_flagged() -> None:
    """Vercel tries its own credentials where the key fails, and tells so by a cost that is not 0."""
    async with through_vercel(Reply(cost=0.01)) as (ann, _):
        await ann.bring("anthropic", base_url=None)
        assert (await ann.house.post("/v1/chat/completions", named(CHAT, SONNET)))[0] == 200
        record = await ann.house.record()
    assert (record["payer"], record["cost_nano"], record["flags"]) == ("byok", 0, "own_key_replaced")


async def test_through_vercel_the_key_goes_into_the_body_of_the_houses_call() -> None:
    async with through_vercel() as (ann, other):
        await ann.bring("anthropic", base_url=None)
        await ann.bring("anthropic", OTHER, base_url=None, name="second")
        for path, body in CALLS:
            status, _, _ = await ann.house.post(path, named(body, "anthropic/claude-sonnet-4-5"))
            assert status == 200
        record = (await ann.house.records())[0]
        asked = other.upstream.requests
    keys = [{"apiKey": KEY}, {"apiKey": OTHER}]
    for one in asked:
        assert one.json is not None
        assert header(one, "authorization") == "Bearer house-key"
        assert one.json["model"] == "anthropic/claude-sonnet-4.5"
        assert one.json["providerOptions"] == {"gateway": {"only": ["anthropic"], "byok": {"anthropic": keys}}}
    assert (record["payer"], record["provider"], record["cost_nano"]) == ("byok", "vercel", 0)


async def test_a_key_that_cannot_be_opened_is_said_and_not_replaced_by_the_houses() -> None:
    async with people(settings=OPEN) as ann:
        await ann.bring("anthropic")
        secrets = ann.house.gateway.store.secrets
        secrets.ring = Keyring([("other", b"k" * 32)])
        status, answer, headers = await ann.house.post("/v1/messages", named(MESSAGES, "claude-opus-4-6"))
        assert ann.house.upstream.requests == []
        record = await ann.house.record()
    assert (status, headers["retry-after"]) == (503, "1")
    assert answer["error"]["message"].startswith("[BYOK] The stored key for Anthropic cannot be opened")
    assert "not at hand" in record["error_message"]


async def test_a_key_that_is_removed_while_its_call_is_on_its_way_is_not_replaced_by_the_houses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with through_vercel() as (ann, other):
        await ann.bring("anthropic", base_url=None)
        secrets = ann.house.gateway.store.secrets
        monkeypatch.setattr(secrets, "keys", AsyncMock(return_value=()))
        status, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
        assert other.upstream.requests == []
    assert status == 503
    assert answer["error"]["message"].startswith("[BYOK] The key for this call was removed just now")


async def test_the_catalogue_shows_what_a_policy_lets_the_own_key_reach() -> None:
    """With a key of its own a call goes elsewhere, and the list is by where it goes."""
    async with people(policy=Policy(providers_deny=("up",))) as ann:
        assert await models(ann) == []
        await ann.bring("anthropic", organization="acme")
        assert await models(ann) == ["claude-opus-4-6", "anthropic/mock-model"]


async def test_the_catalogue_has_what_the_own_keys_vendor_lists_beside_the_houses_models() -> None:
    told = {"data": [{"id": "models/gemini-2.5-pro"}, {"id": "models/gemini-2.5-flash"}, {"id": "m"}]}
    listed = Rule(Reply(body=told), Match(path="/google/v1/models", headers={"authorization": f"Bearer {KEY}"}))
    denied = Policy(models_deny=("*flash*",))
    async with people(listed, at("mistral", Reply(abort="close")), policy=denied) as ann:
        await ann.bring("google", organization="acme")
        await ann.bring("mistral", organization="acme")
        for _ in range(2):  # the second time nobody is asked again
            assert await models(ann) == ["m", "claude-opus-4-6", "google/gemini-2.5-pro"]
        asked = [one.path for one in ann.house.upstream.requests]
        status, answer = await look(ann, "/v1/models/google/gemini-2.5-pro")
        assert (status, answer["id"]) == (200, "google/gemini-2.5-pro")
        assert (await look(ann, "/v1/models/google/gemini-2.5-flash"))[0] == 403
        await ann.perform("byok.remove", {"organization": "acme", "key": (await ann.listed("google"))[0]["id"]})
        assert await models(ann) == ["m", "claude-opus-4-6"]
        assert (await look(ann, "/v1/models/google/gemini-2.5-pro"))[0] == 404
    assert asked.count("/google/v1/models") == 1


@pytest.mark.parametrize("how", ["disabled = true", "stealth = true"])
async def test_the_catalogue_leaves_out_names_that_a_request_hears_are_the_houses_and_not_for_it(how: str) -> None:
    house = f'{OPEN}[free.models."google/gemini-2.5-pro"]\nroute = "up/m"\n{how}\n'
    listed = at("google", Reply(body={"data": [{"id": "gemini-2.5-pro"}, {"id": "gemini-2.5-flash"}]}))
    policy = Policy(providers_allow=("google",))
    async with people(listed, settings=house, policy=policy) as ann:
        await ann.bring("google", organization="acme")
        assert await models(ann) == ["google/gemini-2.5-flash"]
        status, _, _ = await ann.house.post(
            "/v1/chat/completions", named(CHAT, "google/gemini-2.5-pro"), key=ann.member_key
        )
        assert status in (403, 404)


async def models(ann: People) -> list[str]:
    return [entry["id"] for entry in (await look(ann, "/v1/models"))[1]["data"]]


async def look(ann: People, path: str) -> tuple[int, Any]:
    """With the member's key."""
    headers = {"authorization": f"Bearer {ann.member_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(ann.house.url + path) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize("chunk", [None, 1, 7])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_an_answer_that_repeats_the_key_arrives_without_it(
    path: str, body: dict[str, Any], stream: bool, chunk: int | None
) -> None:
    said = Reply(text=f"your key is {KEY}, is it not", chunk_bytes=chunk, headers={"x-request-id": KEY})
    async with people(said) as ann:
        await ann.bring("openrouter")
        status, answer, headers = await ann.house.post(path, {**named(body, "openrouter/x/y"), "stream": stream})
        record = await ann.house.record()
    assert (status, record["outcome"]) == (200, "success")
    assert "*" * len(KEY) in str(answer) or stream  # a stream's pieces are cut by words
    assert "is it not" in str(answer) or stream
    assert KEY not in f"{answer}{headers}{record}"


async def test_calls_by_own_keys_do_not_count_in_the_limits_of_the_houses_models() -> None:
    async with people(Reply(text="hello")) as ann:
        await ann.bring("openai")
        ann.house.gateway.deps.house = HouseSettings(limits_by_model={"*": Limits(requests_per_minute=1)})
        by_own = [(await ann.house.post("/v1/chat/completions", named(CHAT, "openai/gpt-5")))[0] for _ in range(3)]
        by_house = [(await ann.house.post("/v1/chat/completions", named(CHAT, "up/m")))[0] for _ in range(2)]
    assert by_own == [200] * 3
    assert by_house == [200, 429]


async def test_a_caller_who_leaves_while_a_refusal_is_read_leaves_no_connection_behind() -> None:
    """The vendor is a server of the caller's own, which says that the key is bad, and why not to its end."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        asked.set()
        await reader.read()
        gone.set()
        writer.close()

    asked, gone = asyncio.Event(), asyncio.Event()
    async with await asyncio.start_server(server, "127.0.0.1", 0) as stalled, people(Reply(text="no")) as ann:
        port = stalled.sockets[0].getsockname()[1]
        await ann.bring("openai", base_url=f"http://127.0.0.1:{port}/v1")
        call = asyncio.create_task(ann.house.post("/v1/chat/completions", named(CHAT, "openai/gpt-5")))
        await asyncio.wait_for(asked.wait(), 30)
        await asyncio.sleep(0.05)  # until the head is read
        call.cancel()
        await asyncio.wait_for(gone.wait(), 30)
        client = ann.house.gateway.deps.client
        assert isinstance(client, Http1Client)
        ((_, use),) = [one for one in client.uses() if one[0].port == port]
        assert use.active == 0
