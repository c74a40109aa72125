"""A model with two routes of the client's own API, of which none takes back what the other has sealed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import Running, running
from support_money import PATHS
from test_e2e_attempts import GOOD, ONE, TWO, asked_for
from trivium.mock import Error, Match, Reply, Rule, Usage

UNVERIFIED = Error(message="The encrypted content gAAA could not be verified.", code="invalid_encrypted_content")
UNSIGNED = Error(message="messages.1.content.0: Invalid `signature` in `thinking` block")
BUSY = Rule(Reply(status=503), ONE)
BACK = Rule(Reply(text="Hello from one", usage=Usage(input=7, output=3)), ONE)
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
GAVE = {"type": "function_call_output", "call_id": "c1", "output": "ok"}


def refuses(model: str, seal: str, error: Error) -> Rule:
    return Rule(Reply(status=400, error=error), Match(model=model, contains=seal))


def sealed(whose: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": f"sealed-by-{whose}"}


def turns(*items: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": "Hi"}, *items]}


def thought() -> dict[str, Any]:
    """A loop of calls of a client that thinks by a budget."""
    block = {"type": "thinking", "thinking": "Hm.", "signature": "sealed-by-one"}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
    messages = [("user", "Hi"), ("assistant", [block, use]), ("user", [result])]
    said = [{"role": role, "content": content} for role, content in messages]
    return {"messages": said, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}


async def ask(house: Running, api: str, body: dict[str, Any], **more: Any) -> tuple[int, str]:
    status, said, _ = await house.post(PATHS[api], {"model": "twin", **body}, **more)
    return status, json.dumps(said)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_second_route_is_asked_once_more_without_what_the_first_has_sealed(stream: bool) -> None:
    async with running(BUSY, refuses("two", "by-one", UNVERIFIED), GOOD, settings=TWO) as house:
        status, said = await ask(house, "responses", {**turns(sealed("one"), CALL, GAVE), "stream": stream})
        assert (status, "Hello from two" in said) == (200, True)
        assert asked_for(house) == ["one", "two", "two"]
        assert house.upstream.requests[-1].json["input"] == turns(CALL, GAVE)["input"]
        record = await house.record()
        assert (record["outcome"], record["provider"], record["cost_nano"]) == ("success", "b", 15 * 2_000)
        assert [tried["route"] for tried in json.loads(record["routing"])["tried"]] == ["a/one"]
        assert [field for field, _ in json.loads(record["losses"])] == ["input[1]"]
        told = await house.gateway.operations.perform("routes.show", {})
        assert [(one["route"], one["calls"], one["failed"]) for one in told] == [
            ("a", 1, 1),
            ("a/one", 1, 1),
            ("b", 1, 0),
            ("b/two", 1, 0),
        ]


async def test_so_is_the_first_once_it_is_back() -> None:
    async with running(refuses("one", "by-two", UNVERIFIED), BACK, GOOD, settings=TWO) as house:
        status, said = await ask(house, "responses", turns(sealed("one"), CALL, GAVE, sealed("two")))
        assert (status, "Hello from one" in said) == (200, True)
        assert asked_for(house) == ["one", "one"]
        assert house.upstream.requests[-1].json["input"] == turns(CALL, GAVE)["input"]
        record = await house.record()
        assert (record["outcome"], record["cost_nano"]) == ("success", 10 * 1_000)
        assert json.loads(record["routing"]) == {"why": "the first route"}


async def test_claude_does_not_think_on_in_a_turn_that_another_has_begun() -> None:
    async with running(BUSY, refuses("two", "by-one", UNSIGNED), GOOD, settings=TWO) as house:
        assert (await ask(house, "messages", thought()))[0] == 200
        sent = house.upstream.requests[-1].json
        assert [block["type"] for block in sent["messages"][1]["content"]] == ["tool_use"]
        assert sent["thinking"] == {"type": "disabled"}
        lost = [field for field, _ in json.loads((await house.record())["losses"])]
        assert lost == ["messages[1].content[0]", "thinking"]


async def test_a_route_is_asked_once_more_and_not_again() -> None:
    always = Rule(Reply(status=400, error=UNVERIFIED), Match(model="two"))
    async with running(BUSY, always, settings=TWO) as house:
        status, said = await ask(house, "responses", turns(sealed("one")))
        assert (status, "invalid_encrypted_content" in said) == (400, True)
        assert asked_for(house) == ["one", "two", "two"]


async def test_nor_where_nothing_is_sealed_or_may_be_lost_or_it_is_something_else_that_is_refused() -> None:
    strict = {"x-trivium-strict": "1"}
    always = Rule(Reply(status=400, error=UNVERIFIED), ONE)
    async with running(always, settings=TWO) as house:
        assert (await ask(house, "responses", turns()))[0] == 400
        assert (await ask(house, "responses", turns(sealed("one")), headers=strict))[0] == 400
        assert asked_for(house) == ["one", "one"]
    async with running(Rule(Reply(status=400, error=Error(message="No.")), ONE), settings=TWO) as house:
        status, said = await ask(house, "responses", turns(sealed("one")))
        assert (status, "No." in said) == (400, True)
        assert asked_for(house) == ["one"]


async def test_a_failure_of_the_second_request_is_one_of_its_route() -> None:
    async with running(refuses("one", "by-two", UNVERIFIED), BUSY, GOOD, settings=TWO) as house:
        assert (await ask(house, "responses", turns(CALL, GAVE)))[0] == 200
        assert (await ask(house, "responses", turns(sealed("two"), CALL, GAVE)))[0] == 200
        assert asked_for(house) == ["one", "two", "one", "one", "two"]
        assert "sealed-by-two" in json.dumps(house.upstream.requests[-1].json)  # who sealed it gets it
        assert (await house.records())[0]["losses"] is None


async def test_the_second_request_has_an_idempotency_key_of_its_own() -> None:
    async with running(refuses("one", "by-two", UNVERIFIED), BACK, settings=TWO) as house:
        await ask(house, "responses", turns(sealed("two")), headers={"idempotency-key": "k"})
        keys = [dict(request.headers)["idempotency-key"] for request in house.upstream.requests]
        assert len(set(keys)) == len(keys) == 2
