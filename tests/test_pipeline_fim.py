"""Fill-in-the-middle through the gateway: who may, who answers, what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from gateway import running
from support_money import customer, leave, settled_one, shop
from support_people import People
from support_solo import CREDITS, FIM, INPUT, OUTPUT, PRICES, SOLO, gap
from test_pipeline_own import CREDITS as OWN_CREDITS
from test_pipeline_own import people
from trivium.mock import Error, Reply, Usage
from trivium.server.routes import PREFIXES

REPLY = Reply(text="\n    return a + b\n", usage=Usage(input=20, output=8))


@pytest.mark.parametrize("path", ["/api/fim/completions", *(f"{prefix}/fim/completions" for prefix in PREFIXES)])
async def test_a_request_goes_on_as_it_came_without_the_vendor_before_the_model(path: str) -> None:
    async with running(REPLY, provider=SOLO) as house:
        more: Any = {"min_tokens": 1, "stop": ["\n\n"], "temperature": 0.2, "top_p": 1, "random_seed": 7}
        status, answer, _ = await house.post(path, gap(**more))
        (asked,) = house.upstream.requests
        record = await house.record()
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "\n    return a + b\n")
    assert (asked.path, asked.json) == ("/v1/fim/completions", gap("codestral-2508", **more))
    assert (record["api"], record["outcome"], record["finish_reason"]) == ("fim", "success", "stop")
    assert (record["input_uncached_tokens"], record["output_tokens"], record["max_tokens"]) == (20, 8, 100)
    assert (record["requested_model"], record["upstream_model"]) == ("mistralai/codestral-2508", "codestral-2508")


async def test_a_stream_passes_and_its_figures_are_kept() -> None:
    async with running(REPLY, settings=PRICES, provider=SOLO) as house:
        status, said, _ = await house.post(FIM, gap(stream=True))
        (asked,) = house.upstream.requests
        record = await house.record()
    assert (status, said.count("data:"), said.endswith("data: [DONE]\n\n")) == (200, 9, True)
    assert asked.json == gap("codestral-2508", stream=True)  # nothing is asked for that Mistral does not know
    assert (record["stream"], record["input_uncached_tokens"], record["output_tokens"]) == (1, 20, 8)
    assert record["cost_nano"] == 20 * INPUT + 8 * OUTPUT


@pytest.mark.parametrize("model", ["m", "up/m", "openai/gpt-4", "codestral-2508", "inception/mercury-2"])
async def test_only_models_of_mistralai_fill_in(model: str) -> None:
    async with running(REPLY, provider=SOLO) as house:
        status, answer, _ = await house.post(FIM, gap(model))
        assert house.upstream.requests == []
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "api_not_served", "model")


@pytest.mark.parametrize("most", [None, 1001, 100_000])
async def test_an_answer_of_more_than_a_thousand_tokens_or_of_who_knows_how_many_is_a_503(most: int | None) -> None:
    async with running(REPLY, provider=SOLO) as house:
        status, answer, headers = await house.post(FIM, gap(max_tokens=most))
        assert house.upstream.requests == []
        record = await house.record()
    assert (status, answer["error"]["code"]) == (503, "max_tokens_out_of_range")
    assert (headers["x-should-retry"], "retry-after" in headers) == ("false", True)
    assert (record["outcome"], record["cost_nano"]) == ("refused", 0)


async def test_nobody_without_a_key_fills_in_not_even_what_is_free() -> None:
    settings = '[models."up/*"]\nfree = true\n[free]\nanonymous = true\n'
    provider = 'apis = ["chat", "fim"]\nmodels = ["mistralai/codestral:free"]'
    async with running(REPLY, settings=settings, provider=provider) as house:
        for headers in ({}, {"authorization": "Bearer anonymous"}):
            status, answer, _ = await house.post(FIM, gap("mistralai/codestral:free"), key=None, headers=headers)
            assert (status, answer["error"]["code"]) == (401, "paid_model_auth_required")
        assert house.upstream.requests == []


async def test_without_anybody_who_serves_it_there_is_no_such_model() -> None:
    async with running(REPLY) as house:
        status, answer, _ = await house.post(FIM, gap())
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


async def test_a_model_that_nobody_has_a_price_for_has_one_here() -> None:
    settings = '[models."other/*"]\nfree = true\n[billing]\nmode = "credits"\n'
    reply = Reply(text="x", usage=Usage(input=1_000, output=100))
    async with shop(reply, settings=settings, provider=SOLO) as house:
        acme = await customer(house)
        status, _, _ = await house.post(FIM, gap("mistralai/unheard-of"))
        record = await settled_one(house)
        assert (await acme.balance())[1] == "0"
    assert (status, record["cost_source"]) == (200, "computed")
    assert record["cost_nano"] == 1_000 * 300 + 100 * 900
    # at most 1,000 tokens of output and what the request may come to
    assert 0 < record["hold_nano"] < 100 * 900 + 2_000 * 300


async def test_review_point_12_with_a_callers_key_it_costs_nothing_and_a_500_is_an_error() -> None:
    for reply, status, outcome in ((REPLY, 200, "success"), (Reply(status=500, error=Error()), 500, "failed")):
        for stream in (False, True):
            async with people(reply, settings=OWN_CREDITS, provider=SOLO) as ann:
                await ann.bring("codestral")
                got, _, _ = await ann.house.post(FIM, gap(stream=stream))
                (asked,) = ann.house.upstream.requests
                record = await ann.house.record()
            assert (got, record["outcome"], record["status"]) == (status, outcome, status)
            assert (record["cost_nano"], record["payer"], record["provider"]) == (0, "byok", "codestral")
            assert asked.path == "/codestral/v1/fim/completions"
            assert record["market_cost_nano"] == (20 * 300 + 8 * 900 if status == 200 else None)


async def test_a_500_of_the_house_is_an_error_and_costs_nothing() -> None:
    async with shop(Reply(status=500, error=Error(message="down")), settings=CREDITS, provider=SOLO) as house:
        acme = await customer(house)
        status, answer, _ = await house.post(FIM, gap())
        record = await settled_one(house)
        assert await acme.balance() == ("1", "0")
    assert (status, answer["error"]["message"]) == (500, "down")
    assert (record["outcome"], record["cost_nano"]) == ("failed", 0)


async def test_inceptions_model_needs_the_callers_own_key() -> None:
    async with people(REPLY, settings=OWN_CREDITS, provider=SOLO) as ann:
        status, answer, _ = await ann.house.post(FIM, gap("inception/mercury-edit"))
        assert (status, "own key for Inception" in answer["error"]["message"]) == (400, True)
        await ann.bring("inception")
        status, _, _ = await ann.house.post(FIM, gap("inception/mercury-edit"))
        (asked,) = ann.house.upstream.requests
    assert (status, asked.path, asked.json["model"]) == (200, "/inception/v1/fim/completions", "mercury-edit")


async def test_a_key_that_the_vendor_refuses_is_told_and_the_houses_does_not_take_its_place() -> None:
    async with people(Reply(status=401, error=Error(message="bad key")), provider=SOLO) as ann:
        await ann.bring("codestral")
        status, answer, _ = await ann.house.post(FIM, gap())
        assert [asked.path for asked in ann.house.upstream.requests] == ["/codestral/v1/fim/completions"]
    assert (status, "[BYOK]" in answer["error"]["message"]) == (401, True)


async def test_gates_scopes_and_lists_hold() -> None:
    async with running(REPLY, provider=SOLO) as house:
        staff = People(house)
        await staff.organization("acme", policy={"models_allow": ["mistralai/*"]})
        await staff.organization("else", policy={"models_deny": ["mistralai/codestral-2508"]})
        mine, other = [await staff.key(organization=name, user=f"{name}-member") for name in ("acme", "else")]
        assert (await house.post(FIM, gap(), key=mine))[0] == 200
        status, answer, _ = await house.post(FIM, gap(), key=other)
        assert (status, answer["error"]["code"]) == (403, "model_not_allowed")
        scoped = await staff.key(scopes={"apis": ["chat_completions"]})
        assert (await house.post(FIM, gap(), key=scoped))[0] == 403
        await staff.settings(apis={"fim": {"open_to": "admins"}})
        status, answer, _ = await house.post(FIM, gap(), key=mine)
    assert (status, answer["error"]["code"]) == (403, "api_not_available")


async def test_a_vendor_whose_keys_go_through_a_gateway_fills_in_directly() -> None:
    gateway = '[byok.via]\ncodestral = "vercel"\n[providers.vercel]\nkey = "sk"\nbase_url = "http://127.0.0.1:1/v1"\n'
    async with people(REPLY, settings=OWN_CREDITS + gateway, provider=SOLO) as ann:
        await ann.bring("codestral")
        assert (await ann.house.post(FIM, gap()))[0] == 200
        (asked,) = ann.house.upstream.requests
    assert asked.path == "/codestral/v1/fim/completions"


async def test_an_alias_may_lead_there() -> None:
    settings = '[models."up/*"]\nfree = true\n[aliases]\nfiller = "mistralai/codestral-2508"\n'
    async with running(REPLY, settings=settings, provider='apis = ["fim"]') as house:
        assert (await house.post(FIM, gap("filler")))[0] == 200
        (asked,) = house.upstream.requests
        await People(house).settings(models={"filler": {"open_to": "admins"}})
        assert (await house.post(FIM, gap("filler")))[0] == 403
    assert asked.json["model"] == "codestral-2508"


async def test_who_leaves_pays_for_what_came() -> None:
    reply = Reply(text=["one ", "two ", "three "], abort="stall", abort_after_events=3)
    async with shop(reply, settings=CREDITS, provider=SOLO) as house:
        acme = await customer(house)
        await leave(house, FIM, gap(), b"two ")
        record = await settled_one(house)
        assert (await acme.balance())[1] == "0"
    assert (record["outcome"], record["cost_source"], record["api"]) == ("aborted", "estimated", "fim")
    assert 0 < record["cost_nano"] <= record["hold_nano"]


async def test_a_stream_that_breaks_off_ends_in_an_error_of_chats_shape() -> None:
    reply = Reply(text="one two three", abort="close", abort_after_events=3)
    async with running(reply, provider=SOLO) as house:
        _, said, _ = await house.post(FIM, gap(stream=True))
        record = await house.record()
    assert said.rstrip().splitlines()[-1].startswith('data: {"error":')
    assert (record["outcome"], record["error_code"]) == ("failed", "upstream_disconnected")


async def test_bad_prompts_are_found_here_too() -> None:
    settings = '[models."up/*"]\nfree = true\n[abuse]\nmode = "enforce"\n[abuse.rules]\nbad_prompts = ["steal keys"]\n'
    async with running(REPLY, settings=settings, provider=SOLO) as house:
        bodies: list[tuple[str, dict[str, Any]]] = [
            (FIM, gap(suffix="steal keys")),
            ("/v1/embeddings", {"model": "e-1", "input": ["a", "steal keys"]}),
        ]
        for path, body in bodies:
            status, answer, _ = await house.post(path, body)
            assert (status, answer["error"]["code"]) == (403, "call_blocked")
        status, answer, _ = await house.post("/v1/embeddings", {"model": "e-1", "input": [1, 2]})
        assert (status, answer["error"]["code"]) == (403, "call_challenged")
        assert house.upstream.requests == []


async def test_calls_at_once_are_counted_apart() -> None:
    async with running(Reply(text="x", delay_ms=50), provider=SOLO) as house, aiohttp.ClientSession():
        answers = await asyncio.gather(*(house.post(FIM, gap()) for _ in range(8)))
        assert {status for status, _, _ in answers} == {200}
        usage = await house.gateway.operations.perform("usage", {"by": ["api"]})
    assert [(row["api"], row["requests"]) for row in usage] == [("fim", 8)]
