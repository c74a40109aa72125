"""Whom a gateway is let ask: what clients prefer and organizations allow, in OpenRouter's words and in Vercel's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import ALL_APIS
from support_money import in_every_api
from support_rules import CLAUDE, House, house, only

WISH: dict[str, Any] = {
    "order": ["google-vertex/global", "amazon-bedrock"],
    "only": ["google-vertex", "amazon-bedrock"],
    "zdr": True,
    "sort": "price",
}
PREFERS = "[adapt]\npreferred_vendors = true\n"


async def member(up: House, **policy: Any) -> str:
    """A key of an organization with this policy."""
    await up.people.organization("acme", policy=policy)
    return await up.people.key(organization="acme", user="acme-member")


@in_every_api
async def test_openrouter_gets_the_clients_preferences_as_they_are(api: str) -> None:
    async with house("openrouter") as up:
        sent = await up.send(api, CLAUDE, provider=WISH)
        assert (sent.body["provider"], sent.losses) == (WISH, [])
        assert "provider" not in (await up.send(api, CLAUDE)).body


@in_every_api
async def test_vercel_gets_them_in_its_own_words_and_the_rest_is_lost(api: str) -> None:
    async with house("vercel") as up:
        sent = await up.send(api, CLAUDE, provider=WISH)
    assert "provider" not in sent.body
    gateway = {"only": ["vertex", "bedrock"], "order": ["vertex", "bedrock"], "zeroDataRetention": True}
    assert sent.body["providerOptions"] == {"gateway": gateway}
    assert sent.losses == ["provider.sort"]


async def test_whom_vercel_shall_not_ask_is_said_by_whom_it_may() -> None:
    async with house("vercel") as up:
        sent = await up.send("chat", CLAUDE, provider={"ignore": ["anthropic"]})
        narrowed = await up.send("chat", CLAUDE, provider={"ignore": ["anthropic"], "only": ["anthropic", "azure"]})
    allowed = sent.body["providerOptions"]["gateway"]["only"]
    assert "anthropic" not in allowed
    assert {"bedrock", "vertex", "zai"} <= set(allowed)
    assert narrowed.body["providerOptions"]["gateway"]["only"] == ["azure"]


@in_every_api
async def test_who_is_left_out_at_vercel_is_not_asked_where_nobody_else_is_left(api: str) -> None:
    async with house("vercel") as up:
        for wish in ({"only": ["openai"], "ignore": ["openai"]}, {"only": ["openai/flex"], "ignore": ["OpenAI"]}):
            assert await up.refused(api, CLAUDE, provider=wish) == (403, "provider_not_allowed")
        key = await member(up, providers_deny=["anthropic"])
        for wish in ({"only": ["openai"], "ignore": ["openai"]}, {"only": ["anthropic"]}):
            assert await up.refused(api, CLAUDE, key=key, provider=wish) == (403, "provider_not_allowed")
        await up.people.policy("acme", providers_deny=["up/bedrock"])
        sent = await up.send(api, CLAUDE, key=key)
        assert await up.refused(api, CLAUDE, key=key, provider={"only": ["amazon-bedrock"]}) == (
            403,
            "provider_not_allowed",
        )
    allowed = sent.body["providerOptions"]["gateway"]["only"]
    assert "vertex" in allowed
    assert "bedrock" not in allowed, "a list may use Vercel's own names"


@in_every_api
async def test_others_get_none(api: str) -> None:
    async with house() as up:
        sent = await up.send(api, provider=WISH)
    assert "provider" not in sent.body
    assert sent.losses == ["provider"]


@in_every_api
async def test_an_organization_wins_over_its_members(api: str) -> None:
    async with house("openrouter") as up:
        key = await member(
            up, zdr=True, data_collection="deny", providers_allow=["openrouter", "up", "anthropic", "google-vertex"]
        )
        wish = {"only": ["google-vertex/eu", "deepinfra"], "zdr": False}
        sent = await up.send(api, CLAUDE, key=key, provider=wish)
        assert sent.body["provider"] == {"only": ["google-vertex/eu"], "zdr": True, "data_collection": "deny"}
        assert set(sent.losses) == {"provider.only", "provider.zdr"}
        # Said by nobody it holds all the same; nobody left to ask is an error.
        unsaid = (await up.send(api, CLAUDE, key=key)).body["provider"]
        assert unsaid == {"data_collection": "deny", "zdr": True, "only": ["anthropic", "google-vertex"]}
        refused = await up.refused(api, CLAUDE, key=key, provider={"only": ["deepinfra"]})
        assert refused == (403, "provider_not_allowed")
        odd = await up.send(api, CLAUDE, key=key, provider="anything")
        assert odd.body["provider"] == unsaid


async def test_a_member_of_a_body_that_stands_twice_hides_nothing() -> None:
    async with house("openrouter") as up:
        key = await member(up, zdr=True)
        twice = b'{"provider":{"zdr":false},"model":"up/m","messages":[],"provider":{"zdr":false}}'
        sent = await up.post("chat", twice, key=key)
    assert sent.raw.count(b'"provider"') == 1
    assert sent.body["provider"] == {"zdr": True}


async def test_vendors_that_are_denied_are_left_out() -> None:
    async with house("openrouter") as up:
        key = await member(up, providers_deny=["deepinfra", "up/chutes"])
        sent = await up.send("chat", CLAUDE, key=key, provider={"ignore": ["novita"]})
    assert sent.body["provider"] == {"ignore": ["novita", "chutes", "deepinfra"]}
    async with house("vercel") as up:
        key = await member(up, providers_deny=["anthropic"])
        sent = await up.send("chat", CLAUDE, key=key)
    assert "anthropic" not in sent.body["providerOptions"]["gateway"]["only"]


async def test_a_list_that_names_vendors_behind_a_gateway_names_the_gateway_too() -> None:
    async with house("openrouter") as up:
        key = await member(up, providers_allow=["up/amazon-bedrock"])
        sent = await up.send("chat", CLAUDE, key=key)
        await up.people.policy("acme", providers_allow=["amazon-bedrock"])
        refused = await up.refused("chat", CLAUDE, key=key)
    assert sent.body["provider"] == {"only": ["amazon-bedrock"]}
    assert refused == (403, "provider_not_allowed"), "a bare name is no word about who stands before it"


POLICIES: list[tuple[str, dict[str, Any], bool]] = [
    ("openrouter", {"data_collection": "deny"}, True),
    ("openrouter", {"zdr": True}, True),
    ("vercel", {"zdr": True}, True),
    ("vercel", {"data_collection": "deny", "zdr": True}, True),
    ("vercel", {"data_collection": "deny"}, False),
    ("", {"zdr": True}, False),
]


@pytest.mark.parametrize(("kind", "policy", "passes"), POLICIES)
async def test_a_provider_that_keeps_to_a_policy_need_not_be_refused(
    kind: str, policy: dict[str, Any], passes: bool
) -> None:
    async with house(kind) as up:
        key = await member(up, **policy)
        if not passes:
            assert await up.refused("chat", CLAUDE, key=key) == (403, "provider_not_allowed")
            return
        sent = await up.send("chat", CLAUDE, key=key)
    told = sent.body["provider"] if kind == "openrouter" else sent.body["providerOptions"]["gateway"]
    assert told == (policy if kind == "openrouter" else {"zeroDataRetention": True})


async def test_the_operators_word_that_a_gateway_keeps_data_counts_more() -> None:
    async with house("openrouter", more="retains_data = true") as up:
        key = await member(up, zdr=True)
        assert await up.refused("chat", CLAUDE, key=key) == (403, "provider_not_allowed")


async def test_a_policy_that_a_gateway_keeps_to_in_answers_is_not_left_to_its_counting() -> None:
    async with house("vercel") as up:
        key = await member(up, zdr=True)
        body = {"model": f"up/{CLAUDE}", "messages": [{"role": "user", "content": "hi"}]}
        status, told, _ = await up.running.post("/v1/messages/count_tokens", body, key=key)
        assert (status, told["estimated"]) == (200, True)
        assert up.running.upstream.requests == []


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (CLAUDE, "amazon-bedrock"),
        ("minimax/minimax-m2", "minimax"),
        ("mistralai/devstral-2512", "mistral"),
        ("moonshotai/kimi-k2", "moonshotai"),
        ("z-ai/glm-4.6", "z-ai"),
        ("openai/gpt-5", None),
    ],
)
async def test_whom_to_ask_first_is_said_by_setting_where_the_client_says_nothing(
    model: str, first: str | None
) -> None:
    order = {"order": [first]} if first else None
    async with house("openrouter", settings=PREFERS) as up:
        assert (await up.send("chat", model)).body.get("provider") == order
        own = await up.send("chat", model, provider={"order": ["novita"]})
        assert own.body["provider"] == {"order": ["novita"]}
        elsewhere = await up.send("chat", model, provider={"only": ["novita"]})
        assert elsewhere.body["provider"] == {"only": ["novita"]}


async def test_at_vercel_too() -> None:
    async with house("vercel", settings=PREFERS) as up:
        sent = await up.send("messages", CLAUDE)
    assert sent.body["providerOptions"] == {"gateway": {"order": ["bedrock"]}}


async def test_at_vercel_verbosity_is_an_effort_of_anthropics() -> None:
    async with house("vercel") as up:
        sent = await up.send("chat", CLAUDE, verbosity="high", provider={"only": ["anthropic"]})
        other = await up.send("chat", "openai/gpt-5", verbosity="high")
    assert "verbosity" not in sent.body
    assert sent.body["providerOptions"] == {"gateway": {"only": ["anthropic"]}, "anthropic": {"effort": "high"}}
    assert (other.body["verbosity"], "providerOptions" in other.body) == ("high", False)


async def test_at_vercel_verbosity_of_responses_is_an_effort_too() -> None:
    async with house("vercel") as up:
        sent = await up.send("responses", CLAUDE, text={"verbosity": "low", "format": {"type": "text"}})
        alone = await up.send("responses", CLAUDE, text={"verbosity": "low"})
        none = await up.send("responses", CLAUDE, text={"format": {"type": "text"}})
        other = await up.send("responses", "openai/gpt-5", text={"verbosity": "low"})
    effort = {"anthropic": {"effort": "low"}}
    assert (sent.body["text"], sent.body["providerOptions"]) == ({"format": {"type": "text"}}, effort)
    assert ("text" in alone.body, alone.body["providerOptions"], alone.losses) == (False, effort, [])
    assert (none.body["text"], "providerOptions" in none.body) == ({"format": {"type": "text"}}, False)
    assert (other.body["text"], "providerOptions" in other.body) == ({"verbosity": "low"}, False)


async def test_it_holds_behind_a_translation() -> None:
    async with house("openrouter", apis=only("chat")) as up:
        key = await member(up, zdr=True)
        sent = await up.send("messages", CLAUDE, key=key)
    assert sent.body["provider"] == {"zdr": True}


async def test_keys_that_go_with_a_call_stand_beside_a_policy() -> None:
    settings = '[byok.via]\nanthropic = "vercel"\n[identity]\nsend = false\n'
    async with house("vercel", settings=settings, apis=ALL_APIS) as up:
        key = await member(up, providers_deny=["anthropic"])
        await up.people("byok.add", vendor="anthropic", organization="acme", credential={"key": "sk-ant-own-0123"})
        body = {"model": CLAUDE, "messages": [{"role": "user", "content": "hi"}], "provider": {"order": ["azure"]}}
        body["verbosity"] = "low"
        status, _, _ = await up.running.post("/v1/chat/completions", body, key=key)
        (asked,) = up.running.upstream.requests
    assert status == 200
    assert asked.body.count(b'"providerOptions"') == 1
    gateway = asked.json["providerOptions"]["gateway"]
    assert asked.json["providerOptions"]["anthropic"] == {"effort": "low"}
    assert "order" not in gateway
    assert (gateway["only"], gateway["byok"]) == (["anthropic"], {"anthropic": [{"apiKey": "sk-ant-own-0123"}]})
