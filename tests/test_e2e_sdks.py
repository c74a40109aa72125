"""The official SDKs through the gateway to a scripted upstream: every way of asking, tools, parsing, counts, models."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic import beta_async_tool
from openai.lib.responses_tool_runner import AsyncRegisteredFunction, AsyncResponsesToolRunner
from pydantic import BaseModel

from gateway import ALL_APIS, Running, running
from support_sdks import CHAT, MESSAGES, RESPONSES, STREAMED, WAYS, Clients, clients, recorded
from trivium.mock import Match, Reply, Rule, ToolCall, Usage

TEXT = "Roads meet here: grüße, 三, \u2028."
USAGE = Usage(input=20, cache_read=30, cache_write_5m=4, output=9, reasoning=3)

WEATHER = ToolCall("weather", {"city": "Köln"})
IN_WORDS = "It is sunny in Köln."
TOOL_LOOP = (
    Rule(Reply(text=IN_WORDS), Match(has_tool_result=True)),
    Rule(Reply(reasoning="Look it up.", signature="c2ln", text="One moment.", tool_calls=[WEATHER])),
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
RESPONSES_TOOL: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
MESSAGES_TOOL: Any = {"name": "weather", "input_schema": SCHEMA}
QUESTION: list[Any] = [{"role": "user", "content": "Weather in Köln?"}]


class City(BaseModel):
    name: str
    people: int


@contextlib.asynccontextmanager
async def house_and_clients(*rules: Rule | Reply, **options: Any) -> AsyncIterator[tuple[Running, Clients]]:
    async with running(*rules, **options) as house, clients(house.url, house.key) as on:
        yield house, on


async def test_every_client_reads_the_answer_and_the_record_tells_the_tokens_it_saw() -> None:
    async with house_and_clients(Reply(text=TEXT, usage=USAGE)) as (house, on):
        for way, ask in WAYS.items():
            assert (way, *await ask(on, "m")) == (way, TEXT, 54, 30, 9)
            record = (await house.records())[0]
            assert (way, *recorded(record)) == (way, 54, 30, 9)
            assert (record["outcome"], record["status"], record["finish_reason"]) == ("success", 200, "stop")
            assert record["stream"] == way.endswith(STREAMED)
            assert record["client_app"].removeprefix("Async").startswith(("OpenAI/", "Anthropic/"))


async def test_usage_by_model_is_the_sum_of_what_all_clients_saw() -> None:
    rules = [Rule(Reply(text="x " * n, usage=Usage(input=n, cache_read=2, output=n)), times=1) for n in range(1, 16)]
    async with house_and_clients(*rules) as (house, on):
        seen = [await way(on, "up/m") for way in WAYS.values()]
        await house.records()
        (row,) = await house.gateway.operations.perform("usage", {"by": ["model"]})
    assert (row["model"], row["requests"], row["succeeded"], row["usage_unknown"]) == ("up/m", 15, 15, 0)
    assert row["input_tokens"] == sum(answer.input for answer in seen) == sum(range(1, 16)) + 30
    assert row["output_tokens"] == sum(answer.output for answer in seen) == sum(range(1, 16))
    assert row["cache_read_tokens"] == 30


async def test_a_chat_stream_without_usage_options_shows_none_and_is_metered_all_the_same() -> None:
    async with house_and_clients(Reply(text=TEXT, usage=USAGE)) as (house, on):
        chunks = [chunk async for chunk in await on.openai.chat.completions.create(model="m", stream=True, **CHAT)]
        record = await house.record()
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert recorded(record) == (54, 30, 9)


async def test_raw_responses_name_the_request_by_which_an_operator_finds_it() -> None:
    async with house_and_clients() as (house, on):
        chat = await on.openai.chat.completions.with_raw_response.create(model="m", **CHAT)
        response = await on.openai.responses.with_raw_response.create(model="m", **RESPONSES)
        message = await on.anthropic.messages.with_raw_response.create(model="m", **MESSAGES)
        ids = [raw.headers["x-trivium-request-id"] for raw in (message, response, chat)]
        assert [record["id"] for record in await house.records()] == ids
    assert "capital of Italy" in (chat.parse().choices[0].message.content or "")
    # The upstream's own number, by which its vendor finds the request.
    assert (chat.parse()._request_id, response.parse()._request_id) == ("req_mock1", "req_mock2")
    assert (await message.parse())._request_id == "req_mock3"


async def test_a_chat_tool_loop_runs_over_streams_to_its_end() -> None:
    messages: list[Any] = [{"role": "user", "content": "Weather in Köln?"}]
    events: list[str] = []
    async with house_and_clients(*TOOL_LOOP) as (house, on):
        for _ in range(2):
            asked = on.openai.chat.completions.stream(model="m", messages=messages, tools=[CHAT_TOOL])
            async with asked as stream:
                events += [event.type async for event in stream]
                said = (await stream.get_final_completion()).choices[0]
            messages.append(said.message.model_dump(exclude_none=True, exclude={"parsed"}))
            for call in said.message.tool_calls or []:
                assert json.loads(call.function.arguments) == WEATHER.arguments
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
        finishes = [record["finish_reason"] for record in await house.records()]
    assert said.message.content == IN_WORDS
    assert events.count("tool_calls.function.arguments.done") == 1
    assert finishes == ["stop", "tool_calls"]


async def test_a_responses_tool_loop_sends_back_reasoning_and_calls_as_they_came() -> None:
    items: list[Any] = [{"role": "user", "content": "Weather in Köln?"}]
    events: list[str] = []
    async with house_and_clients(*TOOL_LOOP) as (house, on):
        for _ in range(2):
            async with on.openai.responses.stream(model="m", input=items, tools=[RESPONSES_TOOL]) as stream:
                events += [event.type async for event in stream]
                answer = await stream.get_final_response()
            items += [item.model_dump(exclude_none=True) for item in answer.output]
            calls = [item for item in answer.output if item.type == "function_call"]
            for call in calls:
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
        second = house.upstream.requests[1].json["input"]
    assert answer.output_text == IN_WORDS
    kinds = [item.get("type") for item in second]
    assert kinds == [None, "reasoning", "message", "function_call", "function_call_output"]
    assert second[1]["encrypted_content"] == "c2ln"
    assert "response.function_call_arguments.done" in events


async def test_a_messages_tool_loop_sends_back_the_signed_thinking() -> None:
    messages: list[Any] = [{"role": "user", "content": "Weather in Köln?"}]
    events: list[str] = []
    async with house_and_clients(*TOOL_LOOP) as (house, on):
        for _ in range(2):
            asked = on.anthropic.messages.stream(
                model="m",
                max_tokens=50,
                messages=messages,
                tools=[MESSAGES_TOOL],
            )
            async with asked as stream:
                events += [event.type async for event in stream]
                said = await stream.get_final_message()
            messages.append({"role": "assistant", "content": said.content})
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
                for block in said.content
                if block.type == "tool_use" and block.input == WEATHER.arguments
            ]
            messages.append({"role": "user", "content": results})
        second = house.upstream.requests[1].json["messages"][1]["content"]
    assert said.content[0].type == "text"
    assert said.content[0].text == IN_WORDS
    assert (second[0]["thinking"], second[0]["signature"]) == ("Look it up.", "c2ln")
    assert {"thinking", "signature", "text", "input_json"} <= set(events)


THREADED = pytest.param({})
"""By default the runner asks the server to hold the conversation, and sends it whole once the server says it cannot."""


@pytest.mark.parametrize("options", [{"thread": False}, THREADED], ids=["unthreaded", "default"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_runner_of_the_messages_beta_calls_the_tool_itself(
    options: dict[str, Any], stream: bool
) -> None:
    asked_for: list[str] = []

    @beta_async_tool
    async def weather(city: str) -> str:
        """The weather in a city."""
        asked_for.append(city)
        return "sunny"

    async with house_and_clients(*TOOL_LOOP) as (_, on):
        runner: Any = on.anthropic.beta.messages.tool_runner(
            model="m", messages=QUESTION, max_tokens=50, tools=[weather], stream=stream, **options
        )
        final = await runner.until_done()
    assert final.content[0].text == IN_WORDS
    assert asked_for == ["Köln"]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_runner_of_responses_calls_the_tool_itself(stream: bool) -> None:
    async def weather(arguments: dict[str, object]) -> str:
        return f"sunny in {arguments['city']}"

    runner = AsyncResponsesToolRunner(functions=[AsyncRegisteredFunction(RESPONSES_TOOL, weather)])
    async with house_and_clients(*TOOL_LOOP) as (house, on):
        final = await runner.run(on.openai, {"model": "m", "input": "Weather in Köln?", "store": False}, stream=stream)
        assert "sunny in Köln" in str(house.upstream.requests[1].json["input"])
    assert final.output_text == IN_WORDS


async def test_all_three_parse_a_structured_answer() -> None:
    async with house_and_clients(Reply(text='{"name": "Köln", "people": 1}')) as (house, on):
        chat = await on.openai.chat.completions.parse(model="m", response_format=City, **CHAT)
        response = await on.openai.responses.parse(model="m", text_format=City, **RESPONSES)
        message = await on.anthropic.messages.parse(model="m", output_format=City, **MESSAGES)
        sent = [request.json for request in house.upstream.requests]
    expected = City(name="Köln", people=1)
    assert (chat.choices[0].message.parsed, response.output_parsed, message.parsed_output) == (expected,) * 3
    assert sent[0]["response_format"]["json_schema"]["name"] == "City"
    assert sent[1]["text"]["format"]["name"] == "City"
    assert sent[2]["output_config"]["format"]["type"] == "json_schema"


async def test_tokens_are_counted_by_the_upstream_and_are_no_requests_of_a_model() -> None:
    counted = Rule(Reply(usage=Usage(input=1234)), Match(path="*_tokens"))
    async with house_and_clients(counted) as (house, on):
        question = {"model": "m", "messages": MESSAGES["messages"]}
        counts = [
            (await on.anthropic.messages.count_tokens(**question)).input_tokens,
            (await on.anthropic.beta.messages.count_tokens(**question)).input_tokens,
            (await on.openai.responses.input_tokens.count(model="m", input="hi")).input_tokens,
        ]
        records = await house.records()
        assert await house.gateway.operations.perform("usage", {}) == []
    assert counts == [1234, 1234, 1234]
    assert {(record["operation"], record["outcome"]) for record in records} == {("count_tokens", "success")}


async def test_both_vendors_sdks_list_and_retrieve_models() -> None:
    options = {"provider": f'{ALL_APIS}\nmodels = ["vendor/m", "n"]', "settings": '[aliases]\nquick = "up/n"'}
    async with house_and_clients(**options) as (_, on):
        openai = [model.id async for model in on.openai.models.list()]
        page = await on.anthropic.models.list(limit=2)
        anthropic = [model.id async for model in page]
        assert (page.has_more, page.first_id, page.last_id) == (True, anthropic[0], anthropic[1])
        for name in ("quick", "n", "up/vendor/m"):
            assert (await on.openai.models.retrieve(name)).id == name
            assert (await on.anthropic.models.retrieve(name)).id == name
    assert openai == anthropic
    assert {"quick", "vendor/m", "n"} <= set(openai)
