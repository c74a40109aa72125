"""How many tokens a request has, for every client and every upstream: asked of whoever can count, else estimated, and
an estimate says that it is one."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from gateway import Running, running
from support_sdks import Clients
from support_translated import SCHEMA, before
from trivium.mock import Error, Match, Reply, Rule, Usage

MESSAGES_PATH, RESPONSES_PATH = "/v1/messages/count_tokens", "/v1/responses/input_tokens"
COUNTED = Rule(Reply(usage=Usage(input=1200, cache_read=34)), Match(path="*_tokens"))
MISSING = Rule(Reply(status=404, error=Error(message="No such path.")), Match(path="*_tokens"))
QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of Italy? " * 30}]
TOOL: Any = {"name": "weather", "description": "The weather.", "input_schema": SCHEMA}


async def counts(on: Clients) -> list[int]:
    """What both SDKs are told."""
    message: dict[str, Any] = {"model": "m", "messages": QUESTION, "system": "Be brief.", "tools": [TOOL]}
    return [
        (await on.anthropic.messages.count_tokens(**message)).input_tokens,
        (await on.anthropic.beta.messages.count_tokens(**message)).input_tokens,
        (await on.openai.responses.input_tokens.count(model="m", input=QUESTION[0]["content"])).input_tokens,
    ]


async def marks(house: Running) -> list[tuple[bool, bool, bool]]:
    """Whether answers to raw calls say that they are estimates: in the header, in the body, in the record."""
    found = []
    for path, body in (
        (MESSAGES_PATH, {"model": "m", "messages": QUESTION}),
        (RESPONSES_PATH, {"model": "m", "input": QUESTION}),
    ):
        status, said, headers = await house.post(path, body)
        record = (await house.records())[0]
        assert (status, record["status"], record["outcome"], record["operation"]) == (
            200,
            200,
            "success",
            "count_tokens",
        )
        assert said.get("object") == ("response.input_tokens" if path == RESPONSES_PATH else None)
        header, flag = headers.get("x-trivium-estimated") == "1", "estimated" in record["flags"]
        found.append((header, said.get("estimated", False), flag))
    return found


NATIVE, ESTIMATED = [(False, False, False)] * 2, [(True, True, True)] * 2


@pytest.mark.parametrize(("upstream", "path"), [("responses", RESPONSES_PATH), ("messages", MESSAGES_PATH)])
async def test_an_upstream_that_can_count_is_asked_in_its_own_api(upstream: str, path: str) -> None:
    async with before(upstream, COUNTED) as (house, on):
        assert await counts(on) == [1234] * 3
        asked = [(request.path, request.json) for request in house.upstream.requests]
        assert await marks(house) == NATIVE
        assert await house.gateway.operations.perform("usage", {}) == []
    assert {said for said, _ in asked} == {path}
    for _, body in asked:
        assert not {"stream", "max_tokens", "max_output_tokens", "store", "include", "metadata"} & body.keys()
    across = asked[0][1] if upstream == "responses" else asked[2][1]
    if upstream == "responses":
        assert (across["instructions"], across["tools"][0]["name"]) == ("Be brief.", "weather")
        assert across["input"][0]["content"][0]["text"] == QUESTION[0]["content"]
    else:
        assert across["messages"][0]["content"][0]["text"] == QUESTION[0]["content"]


async def test_of_an_upstream_that_speaks_both_each_client_asks_in_its_own_api() -> None:
    async with running(COUNTED) as house:
        assert await marks(house) == NATIVE
        assert [request.path for request in house.upstream.requests] == [MESSAGES_PATH, RESPONSES_PATH]


async def test_of_an_upstream_of_chat_alone_nothing_is_asked_and_the_count_is_an_estimate() -> None:
    async with before("chat", COUNTED) as (house, on):
        found = await counts(on)
        assert await marks(house) == ESTIMATED
        assert house.upstream.requests == []
    # About a fifth of the letters; near enough to decide when a conversation has become too long.
    assert all(150 < count < 400 for count in found)
    assert found[0] == found[1] > found[2]


@pytest.mark.parametrize("upstream", ["responses", "messages"])
async def test_an_upstream_that_does_not_know_the_path_gives_way_to_an_estimate(upstream: str) -> None:
    statuses = (404, 405, 501)
    missing = [Rule(Reply(status=status), Match(path="*_tokens"), times=5) for status in statuses]
    async with before(upstream, *missing) as (house, on):
        for status in statuses:
            assert all(150 < count < 400 for count in await counts(on))
            assert await marks(house) == ESTIMATED
            assert (await house.records())[0]["upstream_status"] == status


async def test_openrouter_is_not_asked_for_it_cannot_count() -> None:
    provider = 'type = "openrouter"\nkey = "sk-house"'
    async with running(MISSING, provider=provider) as house:
        assert await marks(house) == ESTIMATED
        assert house.upstream.requests == []


BEDROCK = 'type = "bedrock"\nkey = "sk-bedrock"\nmodels = ["m"]'


async def test_bedrock_counts_in_words_of_its_own() -> None:
    counted = Rule(Reply(body={"inputTokens": 1234}), Match(path="/v1/model/m/count-tokens"))
    async with running(counted, provider=BEDROCK) as house:
        for path, body in ((MESSAGES_PATH, {"messages": QUESTION}), (RESPONSES_PATH, {"input": QUESTION})):
            status, said, _ = await house.post(path, {"model": "m", **body})
            assert (status, said["input_tokens"], "estimated" in said) == (200, 1234, False)
        assert await marks(house) == NATIVE


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_model_or_caller_that_bedrock_does_not_count_for_gets_an_estimate(status: int) -> None:
    """`The provided model doesn't support counting tokens`, or a role without `bedrock:CountTokens`."""
    refused = Rule(Reply(status=status, body={"message": "no"}), Match(path="*/count-tokens"))
    async with running(refused, provider=BEDROCK) as house:
        assert await marks(house) == ESTIMATED
        assert (await house.records())[0]["upstream_status"] == status
        assert await house.gateway.operations.perform("alerts.show", {}) == []


async def test_other_failures_of_counting_are_failures_in_the_clients_words() -> None:
    slow = Rule(
        Reply(status=429, headers={"retry-after": "7"}, error=Error(message="Slow down.")), Match(path="*_tokens")
    )
    async with before("responses", slow) as (_, on):
        with pytest.raises(anthropic.RateLimitError, match="Slow down") as caught:
            await on.anthropic.messages.count_tokens(model="m", messages=QUESTION)
        assert caught.value.response.headers["retry-after"] == "7"
    async with before("messages", slow) as (_, on):
        with pytest.raises(openai.RateLimitError, match="Slow down"):
            await on.openai.responses.input_tokens.count(model="m", input="Hi")


async def test_a_count_that_is_none_gives_way_to_an_estimate() -> None:
    for said in ({"input_tokens": "many"}, {"input_tokens": -5}, {"input_tokens": 10**30}, {}, "<html>", "[" * 9_000):
        async with before("responses", Rule(Reply(body=said), Match(path="*_tokens"))) as (house, _):
            status, body, headers = await house.post(MESSAGES_PATH, {"model": "m", "messages": QUESTION})
        assert (status, body["estimated"], headers["x-trivium-estimated"]) == (200, True, "1")


async def test_an_estimate_grows_with_all_that_is_sent() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    more: list[dict[str, Any]] = [
        {},
        {"system": "Be brief. " * 50},
        {"tools": [TOOL] * 20},
        {"messages": [*QUESTION, {"role": "assistant", "content": "Rome."}, *QUESTION]},
        {"messages": [{"role": "user", "content": [image]}, *QUESTION]},
    ]
    async with before("chat") as (house, _):
        found = [(await house.post(MESSAGES_PATH, {"model": "m", "messages": QUESTION, **extra}))[1] for extra in more]
    least, *others = [said["input_tokens"] for said in found]
    assert all(count > least + 50 for count in others)


async def test_what_counting_loses_is_named_like_any_loss() -> None:
    body = {"model": "m", "messages": QUESTION, "tools": [{"type": "bash_20250124", "name": "bash"}]}
    async with before("responses", COUNTED) as (house, _):
        _, said, headers = await house.post(MESSAGES_PATH, body)
    assert (said, headers["x-trivium-loss"]) == ({"input_tokens": 1234}, "1; tools[0]")
