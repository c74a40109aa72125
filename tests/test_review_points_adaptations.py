"""Points of the review that must hold, by their numbers and in the part of adaptations: 6, 13 and 15, and of 11 that a
gateway which honours a policy is told of it. Each in the APIs that can say it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway import MESSAGES
from support_money import PATHS, in_every_api
from support_rules import CLAUDE, SEND, House, Sent, house
from test_pipeline_own import OPEN
from trivium.providers.identity import hashed

TASK = {"x-trivium-task": "task-7"}
SAID: dict[str, Any] = {"user": "ann@example", "session_id": "s-1", "metadata": {"user_id": "ann", "team": "blue"}}


async def asked(house: House, **more: Any) -> tuple[Sent, str]:
    """A call of the user ann's with all that it could say of itself; and the hash that the provider should see."""
    key = await house.people.user("ann")
    return await house.send("messages", CLAUDE, key=key, headers=TASK, **SAID, **more), "ann"


@pytest.mark.parametrize("kind", ["vercel", "anthropic"])
async def test_review_point_6_messages_say_who_asks_in_the_metadata_alone(kind: str) -> None:
    async with house(kind, settings=SEND, apis='apis = ["messages"]') as up:
        sent, user = await asked(up)
        unsaid = await up.send("messages", CLAUDE, headers=TASK)
    assert sent.body.keys().isdisjoint({"user", "session_id"})
    assert set(sent.losses) == {"user", "session_id"}
    assert sent.body["metadata"] == {"team": "blue", "user_id": hashed("a salt of ours", "up", user)}
    assert (unsaid.losses, list(unsaid.body["metadata"])) == ([], ["user_id"])


async def test_review_point_6_with_a_key_of_the_callers_own() -> None:
    async with house(settings=f"{SEND}{OPEN}") as up:
        key = await up.people.user("ann")
        base_url = f"{up.running.upstream.url}/anthropic/v1"
        await up.people(
            "byok.add", vendor="anthropic", user="ann", credential={"key": "sk-ant-own-0123"}, base_url=base_url
        )
        sent = await up.post("messages", msgspec.json.encode({**MESSAGES, "model": CLAUDE, **SAID}), key=key)
    assert sent.headers["x-api-key"] == "sk-ant-own-0123"
    assert sent.body.keys().isdisjoint({"user", "session_id"})
    assert {"user", "session_id"} <= set(sent.losses)
    assert sent.body["metadata"] == {"team": "blue", "user_id": hashed("a salt of ours", "anthropic", "ann")}


async def test_review_point_6_openrouter_is_told_user_and_session() -> None:
    async with house("openrouter", settings=SEND) as up:
        sent, user = await asked(up)
        key = await up.people.key(user="ann")
        own = await up.send("messages", CLAUDE, key=key, headers=TASK)
        without_task = await up.send("messages", CLAUDE, key=key)
    me, task = hashed("a salt of ours", "up", user), hashed("a salt of ours", "up", f"{user}task-7")
    assert (sent.body["user"], sent.body["metadata"]["user_id"]) == (me, me)
    assert sent.body["session_id"] == "s-1", "a client's own stays"
    assert own.body["session_id"] == task
    assert "session_id" not in without_task.body
    assert sent.losses == []


@in_every_api
async def test_review_point_13_blanks_around_a_model_say_nothing(api: str) -> None:
    async with house() as up:
        status, _, _ = await up.running.post(
            PATHS[api],
            {"model": " \t up/m \n", "input": "hi", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
        )
        assert status == 200
        assert up.running.upstream.requests[0].json["model"] == "m"
        record = await up.running.record()
    assert record["requested_model"] == "up/m"


@in_every_api
async def test_review_point_15_no_list_of_models_reaches_a_gateway(api: str) -> None:
    async with house("openrouter") as up:
        for name in ("models", "fallbacks"):
            others: dict[str, Any] = {name: ["openai/gpt-5"]}
            sent = await up.send(api, CLAUDE, **others)
            assert name not in sent.body
            assert sent.losses == [name]
        status, code = await up.refused(api, CLAUDE, providerOptions={"gateway": {"models": ["openai/gpt-5"]}})
    assert (status, code) == (400, "unsupported_field")


@in_every_api
async def test_review_point_11_a_gateway_that_honours_a_policy_is_told_it(api: str) -> None:
    async with house("openrouter") as up:
        await up.people.organization("acme", policy={"data_collection": "deny", "zdr": True})
        key = await up.people.key(organization="acme", user="acme-member")
        sent = await up.send(api, CLAUDE, key=key, provider={"data_collection": "allow", "sort": "price"})
    assert sent.body["provider"] == {"data_collection": "deny", "zdr": True, "sort": "price"}
    assert sent.losses == ["provider.data_collection"]


async def test_a_gateway_elsewhere_is_not_believed_to_honour_anything() -> None:
    async with house("openrouter", promises=False) as up:
        await up.people.organization("acme", policy={"data_collection": "deny"})
        key = await up.people.key(organization="acme", user="acme-member")
        assert await up.refused("chat", CLAUDE, key=key) == (403, "provider_not_allowed")


async def test_embeddings_are_told_what_the_organization_wants_too() -> None:
    async with house("openrouter", apis='apis = ["chat", "embeddings"]') as up:
        await up.people.organization("acme", policy={"data_collection": "deny"})
        key = await up.people.key(organization="acme", user="acme-member")
        asked = {"model": "up/text-embedding-3-small", "input": "hi"}
        status, _, _ = await up.running.post("/v1/embeddings", asked, key=key)
        assert status == 200
        assert up.running.upstream.requests[-1].json["provider"] == {"data_collection": "deny"}
