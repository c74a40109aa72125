"""What a caller and an operator hear would become of a request, without a call to anybody."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest

from gateway import Running, running
from support_money import APIS, BODIES
from support_people import People
from test_e2e_attempts import TWO, asked_for
from test_pipeline_own import SONNET, people
from trivium.errors import NotFound
from trivium.mock import Match, Reply, Rule

BILLING = ("members.set", {"organization": "acme", "user": "ann", "role": "billing"})
CREDITS = TWO + '[billing]\nmode = "credits"\n'


async def explained(house: Running, body: dict[str, Any], **more: Any) -> Any:
    status, told, _ = await house.post("/v1/explain", body, **more)
    assert status == 200
    assert house.upstream.requests == []
    return told


@pytest.mark.parametrize("api", APIS)
async def test_routes_are_told_in_their_order_with_their_prices(api: str) -> None:
    headers = {"anthropic-version": "2023-06-01"} if api == "messages" else {}
    async with running(settings=TWO) as house:
        told = await explained(house, {**BODIES[api], "model": "pair"}, headers=headers)
        assert told["api"].startswith(api)
        assert [(one["route"], one["chosen"], one["price"]["input"]) for one in told["routes"]] == [
            ("a/one", True, "1"),
            ("b/two", False, "2"),
        ]
        assert await house.records() == []


async def test_it_is_said_which_routes_a_policy_refuses_and_why() -> None:
    async with running(settings=TWO) as house:
        people = People(house)
        await people.organization("acme", policy={"providers_deny": ["a"]})
        key = await people.key(organization="acme", user="acme-member")
        told = await explained(house, {**BODIES["chat"], "model": "twin"}, key=key)
        assert [one["route"] for one in told["routes"]] == ["b/two"]
        assert told["refused"] == [{"route": "a/one", "why": "The organization denies a."}]
        assert told["caller"]["organization"] == "acme"


async def test_where_a_models_route_rests_a_clients_fallback_comes_first_as_it_does_for_the_call() -> None:
    pauses = Rule(Reply(status=429, headers={"retry-after": "60"}), Match(model="one"))
    async with running(pauses, Reply(text="Hi"), settings=TWO) as house:
        body = {**BODIES["chat"], "model": "a/one", "trivium_fallbacks": ["b/two"]}
        assert [(await house.post("/v1/chat/completions", body))[0] for _ in range(2)] == [200, 200]
        assert asked_for(house) == ["one", "two", "two"]
        _, told, _ = await house.post("/v1/explain", body)
    assert [(one["route"], one["chosen"]) for one in told["routes"]] == [("b/two", True), ("a/one", False)]
    assert "it rests" in told["routes"][1]["why"]


async def test_what_would_refuse_the_call_is_told_with_what_was_found_before() -> None:
    async with running(settings=CREDITS) as house:
        told = await explained(house, {**BODIES["chat"], "model": "twin", "max_tokens": 1000})
        assert told["error"]["code"] == "insufficient_credits"
        assert [one["route"] for one in told["routes"]] == ["a/one", "b/two"]
        # The hold is enough for the dearer route.
        assert float(told["hold"]["hold_usd"]) >= 0.002
        none = await explained(house, {**BODIES["chat"], "model": "nothing/here"})
        assert none["error"]["status"] == 400
        assert "routes" not in none


async def test_a_wrong_key_explains_nothing() -> None:
    async with running(settings=TWO) as house:
        status, said, _ = await house.post("/v1/explain", {**BODIES["chat"], "model": "twin"}, key="tv-wrong")
        assert (status, said["error"]["code"]) == (401, "invalid_api_key")
        status, said, _ = await house.post("/v1/explain?api=soap", {"model": "twin"})
        assert (status, said["error"]["param"]) == (400, "api")


async def test_the_operator_sees_it_through_any_key() -> None:
    async with running(settings=TWO) as house:
        people = People(house)
        await people.organization("acme", policy={"models_deny": ["twin"]})
        await people.key(organization="acme", user="acme-member")
        (key, *_) = (await house.gateway.operations.perform("keys.list", {"organization": "acme"}))["items"]
        told = await house.gateway.operations.perform("explain", {"model": "twin", "key": key["id"]})
        assert told["error"]["code"] == "model_not_allowed"
        open_ = await house.gateway.operations.perform("explain", {"model": "twin", "api": "messages"})
        assert open_["error"]["code"] == "paid_model_auth_required"
        with pytest.raises(NotFound):
            await house.gateway.operations.perform("explain", {"model": "twin", "key": "key_gone"})


async def test_the_balance_is_told_to_whom_it_concerns() -> None:
    async with running(settings=CREDITS) as house:
        people = People(house)
        await people.organization("acme")
        await people("credits.grant", account="acme", usd="5")
        told = {}
        for whose in ({"user": "acme-owner"}, {"user": "acme-member"}, {}):
            key = await people.key(organization="acme", **whose)
            told[whose.get("user")] = (await explained(house, {**BODIES["chat"], "model": "twin"}, key=key))["hold"]
    assert told["acme-owner"].pop("free_usd") == "5"
    assert told["acme-owner"] == told["acme-member"] == told[None]
    assert "free_usd" not in told["acme-member"]


@pytest.mark.parametrize(
    ("code", "key", "headers", "done"),
    [
        ("budget_exceeded", {}, {}, ("budgets.set", {"scope": "user:ann", "period": "day", "usd": "0"})),
        ("rate_limited", {"limits": {"input_tokens_per_minute": 1}}, {}, None),
        ("rate_limited", {"limits": {"concurrent_requests": 0}}, {}, None),
        ("invalid_field", {}, {"x-trivium-strict": "maybe"}, None),
        ("invalid_field", {}, {"x-trivium-timeout": "soon"}, None),
        ("caller_blocked", {}, {}, ("users.block", {"users": ["ann"], "why": "spam"})),
        ("caller_blocked", {}, {}, ("domains.block", {"domain": "example.org"})),
        ("not_a_member", {"organization": "acme"}, {}, BILLING),
        ("not_a_member", {}, {"x-trivium-organization": "acme"}, BILLING),
        ("not_a_member", {}, {"x-trivium-organization": "elsewhere"}, None),
        ("address_not_allowed", {"scopes": {"networks": ["10.0.0.0/8"]}}, {}, None),
    ],
)
async def test_what_it_is_refused_with_is_what_the_call_is_refused_with(
    code: str, key: dict[str, Any], headers: dict[str, str], done: tuple[str, dict[str, Any]] | None
) -> None:
    body = {**BODIES["chat"], "model": "pair"}
    async with running(settings=TWO) as house:
        people = People(house)
        await people.user("ann", email="ann@example.org")
        await people.organization("acme")
        await people("members.set", organization="acme", user="ann", role="member")
        made = await people("keys.create", name="k", user="ann", **key)
        if done is not None:
            await people(done[0], **done[1])
        told = await people("explain", key=made["id"], request=body, headers=headers, address="127.0.0.1")
        answer, own, _ = await house.post("/v1/explain", body, key=made["key"], headers=headers)
        assert await house.records() == []
        status, refused, _ = await house.post("/v1/chat/completions", body, key=made["key"], headers=headers)
        assert (told["error"]["status"], told["error"]["code"], refused["error"]["code"]) == (status, code, code)
        assert own["error"]["message"] == refused["error"]["message"]
        assert answer in {200, status}  # what concerns the key itself is said at once
        assert house.upstream.requests == []


async def test_a_strict_call_is_refused_where_every_route_loses_something() -> None:
    settings = f'{TWO}\n[providers.c]\nbase_url = "{{upstream}}/v1"\napis = ["messages"]\n'
    body = {**BODIES["chat"], "model": "c/three", "logit_bias": {"1": 1}}
    async with running(settings=settings) as house:
        key = await People(house).key(strict=True)
        for others, refused in (({}, "lossy_request"), ({"x-trivium-fallbacks": "a/one"}, None)):
            told = await explained(house, body, key=key, headers=others)
            assert [loss["field"] for loss in told["losses"]] == ["logit_bias"]
            assert told.get("error", {}).get("code") == refused
        assert (await house.post("/v1/chat/completions", body, key=key))[1]["error"]["code"] == "lossy_request"
        assert (await house.post("/v1/chat/completions", body, key=key, headers=others))[0] == 200


async def test_of_a_key_that_is_bound_to_networks_an_operator_says_from_where_it_is_used() -> None:
    async with running(settings=TWO) as house:
        people = People(house)
        made = await people("keys.create", name="k", scopes={"networks": ["10.0.0.0/8"]})
        asked = {"model": "twin", "key": made["id"]}
        told = await people("explain", **asked)
        assert "from where this call comes is not known" in told["error"]["message"]
        assert "error" not in await people("explain", **asked, address="10.1.2.3")


async def test_a_key_that_has_expired_is_no_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(settings=TWO) as house:
        people, keys, end_ms = People(house), house.gateway.store.keys, house.gateway.deps.clock.now_ms() + 60_000
        made = await people("keys.create", name="k", expires_ms=end_ms)
        monkeypatch.setattr(keys, "_clock", Mock(wraps=keys._clock, now_ms=lambda: end_ms))
        with pytest.raises(NotFound):
            await people("explain", model="twin", key=made["id"])


async def test_asking_uses_up_no_limit() -> None:
    body = {**BODIES["chat"], "model": "twin", "max_tokens": 5}
    async with running(settings=TWO) as house:
        people = People(house)
        limits = {"requests_per_minute": 1, "concurrent_requests": 1, "input_tokens_per_minute": 1000}
        key = await people.user("ann", limits=limits)
        await people("budgets.set", scope="user:ann", period="day", usd="1")
        for _ in range(3):
            told = await explained(house, body, key=key)
            assert "error" not in told
            assert {one["used"] for one in told["limits"]} == {0}
        assert (await people("budgets.list"))["items"][0]["held_usd"] == "0"
        assert (await house.post("/v1/chat/completions", body, key=key))[0] == 200
        told = (await house.post("/v1/explain", body, key=key))[1]
        assert (told["error"]["code"], told["error"]["limit"]) == ("rate_limited", "requests_per_minute")


async def test_the_rules_that_would_change_a_request_are_named_save_where_that_tells_who_answers() -> None:
    settings = '[free.models."dark"]\nroute = "up/qwen3"\nstealth = true\n'
    body = {**BODIES["chat"], "max_tokens": 40_000}
    async with running(settings=settings) as house:
        told = await explained(house, {**body, "model": "up/qwen3"})
        dark = await explained(house, {**body, "model": "dark"})
    assert (told["rules"], [loss["field"] for loss in told["losses"]]) == (["qwen-limit"], ["max_tokens"])
    assert dark["requested_model"] == "dark"
    assert "qwen" not in str(dark)
    assert dark.keys().isdisjoint({"rules", "losses"})


async def test_a_hidden_route_is_told_to_the_operator_alone() -> None:
    async with running(settings=TWO + '[free]\nhidden = ["b/two"]\n') as house:
        told = await explained(house, {**BODIES["chat"], "model": "twin"})
        assert "two" not in json.dumps(told)
        assert [one["route"] for one in told["routes"]] == ["a/one"]
        key = told["caller"]["key"]
        seen = await house.gateway.operations.perform("explain", {"model": "twin", "key": key})
        assert [one["route"] for one in seen["refused"]] == ["b/two"]


async def test_limits_of_models_are_none_of_calls_with_an_own_key() -> None:
    async with people(Reply(text="Hi")) as ann:
        await ann.bring("anthropic")
        await People(ann.house).settings(limits_by_model={"*claude*": {"requests_per_minute": 0}})
        told = await explained(ann.house, {**BODIES["messages"], "model": SONNET}, headers={"anthropic-version": "x"})
        assert (told["own_key"], "error" in told) == ("anthropic", False)
