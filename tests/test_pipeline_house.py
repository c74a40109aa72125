"""Answers of the house's models that are no secret: under the public id, in every API and across APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import CHAT, MESSAGES, RESPONSES, running
from support_translated import DIRECTIONS, PATHS
from trivium.mock import Error, Match, Reply, Rule, Usage
from trivium.pipeline.house import HouseExchange

BODIES: dict[str, dict[str, Any]] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
GIFT = '[free.models."house/gift"]\nroute = "up/real-1"\n'
ANSWER = Reply(text="Hello there", reasoning="hmm", usage=Usage(input=9, cache_read=3, output=7), cost=0.5)


@pytest.mark.parametrize(("client", "upstream"), DIRECTIONS)
async def test_the_answer_has_the_public_id_and_no_costs_and_the_record_has_both(client: str, upstream: str) -> None:
    provider = f'apis = ["{upstream}"]\nreports_cost = true'
    async with running(ANSWER, settings=GIFT, provider=provider) as house:
        for stream in (False, True):
            status, said, _ = await house.post(
                PATHS[client],
                {**BODIES[client], "model": "house/gift", "stream": stream, "stream_options": {"include_usage": True}}
                if client == "chat" and stream
                else {**BODIES[client], "model": "house/gift", "stream": stream},
            )
            text = said if isinstance(said, str) else json.dumps(said)
            assert status == 200
            assert "house/gift" in text
            assert "real-1" not in text
            assert '"cost"' not in text
            if client == "chat":
                assert "reasoning_content" not in text
                assert '"reasoning"' in text
                assert "reasoning.text" in text
            assert house.upstream.requests[-1].json["model"] == "real-1"
        for record in await house.records():
            assert (record["requested_model"], record["answer_model"]) == ("house/gift", "real-1")
            assert (record["outcome"], record["payer"], record["cost_nano"]) == ("success", "free", 0)
            if upstream == "chat":
                assert record["market_cost_nano"] == 500_000_000


def streamed(*events: str) -> Reply:
    return Reply(sse="".join(f"{event}\n\n" for event in events))


async def test_a_stream_of_the_same_api_keeps_comments_and_names_and_ends_as_it_came() -> None:
    first = '{"id":"c","model":"real-1","provider":"P","choices":[{"index":0,"delta":{"role":null,"content":"Hi"}}]}'
    last = '{"id":"c","model":"real-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    said = [": OPENROUTER PROCESSING", f"event: x\ndata: {first}", "data: {broken", f"data: {last}"]
    async with running(streamed(*said), settings=GIFT) as house:
        _, told, _ = await house.post(PATHS["chat"], {**CHAT, "model": "house/gift", "stream": True})
    assert told == "".join(
        f"{event}\n\n"
        for event in (
            ": OPENROUTER PROCESSING",
            'event: x\ndata: {"id":"c","model":"house/gift","provider":"P",'
            '"choices":[{"index":0,"delta":{"content":"Hi"}}]}',
            "data: {broken",
            'data: {"id":"c","model":"house/gift","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
        )
    )


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
async def test_an_error_of_a_model_that_is_no_secret_passes_as_it_is(api: str) -> None:
    refusal = Rule(Reply(status=400, error=Error(message="real-1 says no")), Match(api=api))  # type: ignore[arg-type]
    async with running(refusal, settings=GIFT) as house:
        status, said, _ = await house.post(PATHS[api], {**BODIES[api], "model": "house/gift"})
    assert (status, said["error"]["message"]) == (400, "real-1 says no")


async def test_a_long_answer_and_one_that_begins_with_blanks_are_written_anew_too() -> None:
    long = {"model": "real-1", "choices": [{"message": {"content": "x" * 2_000_000}, "finish_reason": "stop"}]}
    blank = "\n \n" + json.dumps(
        {"model": "real-1", "choices": [{"message": {"content": "y"}, "finish_reason": "stop"}]}
    )
    rules = [
        Rule(Reply(body=json.dumps(long)), Match(nth=1)),
        Rule(Reply(body=blank, chunk_bytes=2, content_type="application/json"), Match(nth=2)),
    ]
    async with running(*rules, settings=GIFT) as house:
        for letter in ("x", "y"):
            status, said, _ = await house.post(PATHS["chat"], {**CHAT, "model": "house/gift"})
            said = json.loads(said) if isinstance(said, str) else said
            assert (status, said["model"]) == (200, "house/gift")
            assert said["choices"][0]["message"]["content"][0] == letter


async def test_a_longer_answer_than_is_read_arrives_without_its_first_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HouseExchange, "_BUFFERS", 1000)
    answer = {"model": "real-1", "choices": [{"message": {"content": "x" * 5000}, "finish_reason": "stop"}]}
    reply = Reply(body=" " * 700 + json.dumps(answer), chunk_bytes=700, content_type="application/json")
    async with running(reply, settings=GIFT) as house:
        status, said, _ = await house.post(PATHS["chat"], {**CHAT, "model": "house/gift"})
        assert (await house.record())["outcome"] == "success"
    assert (status, said["choices"][0]["message"]["content"]) == (200, "x" * 5000)


async def test_a_strict_call_is_refused_under_the_public_id() -> None:
    async with running(settings=GIFT, provider='apis = ["messages"]') as house:
        body = {**CHAT, "model": "house/gift", "seed": 7}
        status, said, _ = await house.post(PATHS["chat"], body, headers={"x-trivium-strict": "1"})
    assert (status, said["error"]["code"]) == (400, "lossy_request")
    assert said["error"]["message"].startswith("`house/gift` cannot be asked without loss")
