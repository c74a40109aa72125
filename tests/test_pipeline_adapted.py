"""What was done to a request on its way is named in its record, as `/v1/explain` says it beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import ALL_APIS, CHAT, Running, running
from support_people import People
from support_rules import CLAUDE, SEND
from test_e2e_attempts import TWO
from test_pipeline_auto import ANSWER, SONNET, serving
from test_pipeline_auto import ON as AUTO
from test_pipeline_capture import SECRET
from test_pipeline_custom import town
from test_pipeline_own import KEY, through_vercel
from test_pipeline_own import SONNET as OWN_SONNET
from trivium.canon.api import Api
from trivium.errors import UpstreamError
from trivium.mock import Error, Match, Reply, Rule
from trivium.pipeline.call import Call
from trivium.pipeline.capture import Capture
from trivium.pipeline.recorded import record_of
from trivium.pipeline.settle import Run

CALL = "/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "attempt_completion", "parameters": {"type": "object"}}}]
REPLY = Reply(text="Hello")


async def done(house: Running, body: dict[str, Any], *, key: str = "", **headers: str) -> str | None:
    """The names of a call that is answered, which are those that `/v1/explain` gives of the same request."""
    asked = CHAT | body
    status, told, _ = await house.post("/v1/explain?api=chat", asked, key=key, headers=headers)
    assert (status, told.get("error")) == (200, None)
    assert (await house.post(CALL, asked, key=key, headers=headers))[0] == 200
    names = (await house.records())[0]["rules"]
    assert (names or "").split() == told.get("rules", [])
    return names  # type: ignore[no-any-return]


async def test_a_request_that_passes_as_it_came_has_none() -> None:
    async with running(REPLY) as house:
        assert await done(house, {}) is None


async def test_rules_are_named_that_did_something_and_no_others() -> None:
    async with running(REPLY, settings=SEND) as house:
        assert await done(house, {"model": "up/gpt-5", "tools": TOOLS}) == "identity must-complete"
        assert await done(house, {"model": "up/gpt-5"}) == "identity"
        assert await done(house, {"model": "up/qwen3-max", "max_tokens": 99_999}) == "identity qwen-limit"
        assert await done(house, {"model": "up/qwen3-max", "max_tokens": 9}) == "identity"


async def test_a_translation_is_named_with_the_rules_that_follow_it() -> None:
    async with running(REPLY, provider='type = "anthropic"\nkey = "k"\napis = ["messages"]') as house:
        assert await done(house, {"model": f"up/{CLAUDE}"}) == "translated cache-marks claude-betas"


async def test_what_an_organizations_policy_changes_is_named() -> None:
    provider = 'type = "openrouter"\nkey = "k"\napis = ["chat"]\nhonours = ["data_collection", "zdr"]'
    async with running(REPLY, provider=provider) as house:
        people = People(house)
        await people.organization("acme", policy={"data_collection": "deny"})
        key = await people.key(organization="acme")
        assert await done(house, {"store": True}, key=key) == "provider-preferences nothing-stored"
        assert await done(house, {}) is None


async def test_what_an_auto_model_asks_for_is_named() -> None:
    async with running(ANSWER, settings=AUTO, provider=serving(SONNET)) as house:
        names = await done(house, {"model": "auto/frontier"}, **{"x-trivium-mode": "plan"})
        assert names is not None
        assert "auto-settings" in names.split()


async def test_what_nobody_pays_for_is_named() -> None:
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    provider = f'{ALL_APIS}\nmodels = ["some:free"]'
    async with running(REPLY, settings='[models."up/x"]\nfree = true\n', provider=provider) as house:
        names = await done(house, {"model": "some:free", "tools": search})
        assert names == "no-paid-extras"


async def test_what_a_custom_models_admins_want_is_named() -> None:
    async with town(REPLY) as acme:
        await acme.add(apis=["chat"], exclude_tools=["attempt_*"], extra_body={"top_k": 1})
        both = {"model": "llama", "tools": TOOLS}
        assert await done(acme.house, both, key=acme.keys["acme"]) == "custom-tools custom-settings"
        assert await done(acme.house, {"model": "llama", "top_k": 1}, key=acme.keys["acme"]) is None


async def test_a_shorter_answer_of_who_stands_in_is_named_and_nothing_of_the_attempt_before() -> None:
    price = 'price = { input = "2", output = "2" }'
    settings = SEND + TWO.replace(price, f"{price}\noutput_limit = 1500")
    rules = (Rule(Reply(status=503, error=Error()), Match(model="one")), Rule(REPLY))
    async with running(*rules, settings=settings) as house:
        assert (await house.post(CALL, {**CHAT, "model": "twin", "max_tokens": 9000}))[0] == 200
        assert (await house.record())["rules"] == "fallback-limit identity"


async def test_what_was_done_for_an_attempt_that_failed_is_not_said_of_the_next() -> None:
    async with running() as house:
        call = Call(id="req_1", api=Api.CHAT, headers={}, client_ip=None, time_ms=1, started_ns=0)
        run = Run(call, house.gateway.deps)
        run.rules, run.headers = ("identity",), ((b"x", b"y"),)
        run.failed_over(UpstreamError("busy"), 0, 0)
        assert [*run.rules, *run.headers] == []
        assert record_of(run).rules is None


async def test_an_own_key_behind_a_gateway_is_named_and_is_in_no_body_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied: list[bytes] = []
    sends = Capture.sends

    def noted(capture: Capture, body: bytes) -> None:
        copied.append(body)
        sends(capture, body)

    monkeypatch.setattr(Capture, "sends", noted)
    async with through_vercel(REPLY) as (ann, other):
        house = ann.house
        house.gateway.change(captures=house.gateway.capturing)
        house.gateway.store.captures.allowed = True
        await ann.bring("anthropic", base_url=None)
        key = await People(house).key(user="ann", capture=True)
        names = await done(house, {"model": OWN_SONNET, "user": SECRET}, key=key)
        assert names is not None
        assert "own-key" in names.split()
        assert KEY in str(other.upstream.requests[-1].json)
        assert len(copied) == 1
        assert KEY.encode() not in copied[0]
