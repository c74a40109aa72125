"""Chat Completions from the double, heard by the vendor's own SDK and held against a recording."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from trivium.mock import Error, Reply, Rule, Script, ScriptedUpstream, ToolCall, Usage

RECORDED = Path(__file__).parents[2] / "shared/wire/recordings/chat/openai/openai-text-chunks-b7313e/response.sse"
HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
COUNTED = Usage(input=10, cache_read=5, cache_write_5m=3, output=7, reasoning=2)
TWO_CALLS = [ToolCall("look", {"city": "Köln"}, "call_a"), ToolCall("wait")]


def playing(reply: Reply) -> ScriptedUpstream:
    return ScriptedUpstream(Script([Rule(reply)]))


def client(upstream: ScriptedUpstream) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="any", max_retries=0)


async def streamed(reply: Reply, **options: Any) -> list[dict[str, Any]]:
    """The chunks as the SDK yields them."""
    async with playing(reply) as upstream, client(upstream) as api:
        stream = await api.chat.completions.create(model="m", messages=HI, stream=True, **options)
        return [chunk.to_dict() async for chunk in stream]


def paths(value: Any, at: str = "") -> set[str]:
    """The names in a JSON value, each with those above it."""
    if isinstance(value, list):
        return {path for item in value for path in paths(item, at)}
    if not isinstance(value, dict):
        return set()
    return {path for key, inner in value.items() for path in {f"{at}.{key}", *paths(inner, f"{at}.{key}")}}


def data_lines(stream: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    return [msgspec.json.decode(line) for line in lines]


async def test_a_whole_answer_says_text_finish_and_usage_with_the_cache_inside() -> None:
    async with playing(Reply(text="Hello", usage=COUNTED, cost=0.002)) as upstream, client(upstream) as api:
        answer = await api.chat.completions.create(model="gpt-mini", messages=HI)

    assert answer.model == "gpt-mini"
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (18, 7, 25)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    assert answer.usage.to_dict()["cost"] == 0.002


async def test_a_stream_says_role_reasoning_text_calls_finish_and_then_the_usage_that_was_asked_for() -> None:
    reply = Reply(reasoning="Hm.", text=["Hel", "lo"], tool_calls=[ToolCall("f", {"a": 1}, "call_a")], usage=COUNTED)
    chunks = await streamed(reply, stream_options={"include_usage": True})

    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "Hm."},
        {"content": "Hel"},
        {"content": "lo"},
        {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [*[None] * 6, "tool_calls"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 25
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_a_stream_keeps_the_usage_to_itself_if_nobody_asked() -> None:
    assert all("usage" not in chunk for chunk in await streamed(Reply(text="Hello", usage=COUNTED)))
    silent = await streamed(Reply(text="Hello", no_usage=True), stream_options={"include_usage": True})
    assert all("usage" not in chunk for chunk in silent)


async def test_the_accumulating_stream_gathers_parallel_calls() -> None:
    async with playing(Reply(tool_calls=TWO_CALLS)) as upstream, client(upstream) as api:
        async with api.chat.completions.stream(model="m", messages=HI) as stream:
            kinds = [event.type async for event in stream]
        answer = await stream.get_final_completion()

    assert kinds.count("tool_calls.function.arguments.done") == 2
    calls = [call for call in answer.choices[0].message.tool_calls or [] if call.type == "function"]
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_a", "look", '{"city":"Köln"}'),
        ("call_mock1x1", "wait", "{}"),
    ]
    assert answer.choices[0].message.content is None


async def test_a_refusal_comes_in_its_own_field() -> None:
    reply = Reply(text=["I", " won't"], finish="refusal")
    async with playing(reply) as upstream, client(upstream) as api:
        whole = await api.chat.completions.create(model="m", messages=HI)

    assert (whole.choices[0].message.refusal, whole.choices[0].message.content) == ("I won't", None)
    assert whole.choices[0].finish_reason == "stop"
    assert {"refusal": " won't"} in [chunk["choices"][0]["delta"] for chunk in await streamed(reply)]


@pytest.mark.parametrize(
    ("finish", "word"),
    [("length", "length"), ("content_filter", "content_filter"), ("pause", "stop"), ("tool_calls", "tool_calls")],
)
async def test_every_finish_has_its_word(finish: Any, word: str) -> None:
    chunks = await streamed(Reply(text="Hi", finish=finish))

    assert chunks[-1]["choices"][0]["finish_reason"] == word


async def test_the_synchronous_sdk_is_served_as_well() -> None:
    async with ScriptedUpstream() as upstream:

        def talk() -> tuple[str | None, str]:
            with openai.OpenAI(base_url=f"{upstream.url}/api/v1", api_key="any", max_retries=0) as api:
                whole = api.chat.completions.create(model="m", messages=HI).choices[0].message.content
                stream = api.chat.completions.create(model="m", messages=HI, stream=True)
                return whole, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

        assert await asyncio.to_thread(talk) == ("You said: Hi", "You said: Hi")


@pytest.mark.parametrize(
    ("status", "raised", "code"),
    [
        (400, openai.BadRequestError, None),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (503, openai.InternalServerError, "server_error"),
    ],
)
async def test_an_error_status_raises_in_the_sdk(status: int, raised: type[openai.APIStatusError], code: Any) -> None:
    async with playing(Reply(status=status, error=Error(message="Not now."))) as upstream, client(upstream) as api:
        with pytest.raises(raised) as error:
            await api.chat.completions.create(model="m", messages=HI, stream=True)

    assert error.value.code == code
    assert error.value.body == {"message": "Not now.", "type": error.value.type, "param": None, "code": code}
    assert error.value.request_id == "req_mock1"


async def test_an_error_inside_a_stream_comes_after_the_events_before_it() -> None:
    heard: list[str] = []
    reply = Reply(text=["Hel", "lo"], error=Error(message="Overloaded", code="overloaded"), error_after_events=2)
    async with playing(reply) as upstream, client(upstream) as api:
        with pytest.raises(openai.APIError, match="Overloaded") as error:
            async for chunk in await api.chat.completions.create(model="m", messages=HI, stream=True):
                heard.append(chunk.choices[0].delta.content or "")

    assert "".join(heard) == "Hel"
    assert error.value.code == "overloaded"


async def test_an_error_in_a_whole_200_is_its_body() -> None:
    async with playing(Reply(error=Error(message="Sorry"))) as upstream, client(upstream) as api:
        answer = await api.chat.completions.create(model="m", messages=HI)

    assert answer.to_dict()["error"]["message"] == "Sorry"  # type: ignore[index]


@pytest.mark.skipif(not RECORDED.exists(), reason="the public recordings are not beside the project")
async def test_chunks_have_the_fields_of_recorded_ones() -> None:
    recorded = data_lines(RECORDED.read_text())
    played = await streamed(Reply(text=["Hel", "lo"]), stream_options={"include_usage": True})

    added = {".usage.prompt_tokens_details.cache_write_tokens"}
    assert paths(played) - added == paths(recorded) - {".obfuscation"}
