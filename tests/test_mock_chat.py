"""Chat Completions from the double, heard by the vendor's own SDK and held against a recording."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from trivium.mock import Citation, Error, Reply, Rule, Script, ScriptedUpstream, ToolCall, Usage

RECORDINGS = Path(__file__).parents[2] / "shared/wire/recordings/chat"
RECORDED = RECORDINGS / "openai/openai-text-chunks-b7313e/response.sse"
REASONED = RECORDINGS / "openrouter/thinking-streaming-63b3a5/response.sse"
HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
COUNTED = Usage(input=10, cache_read=5, cache_write_5m=3, output=7, reasoning=2)
TWO_CALLS = [ToolCall("look", {"city": "Köln"}, "call_a"), ToolCall("wait")]
PATCH = ToolCall("patch", "*** Begin Patch", kind="custom")
SIGNED = Reply(reasoning=["Let me", " see."], signature="sealed", redacted="opaque", text=["Hel", "lo"])
CITED = Reply(text=["Hel", "lo"], citations=[Citation("https://a.example/", "A"), Citation("https://b.example/", "B")])


def playing(reply: Reply) -> ScriptedUpstream:
    return ScriptedUpstream(Script([Rule(reply)]))


def client(upstream: ScriptedUpstream) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="any", max_retries=0)


async def streamed(reply: Reply, **options: Any) -> list[dict[str, Any]]:
    """The chunks as the SDK yields them."""
    async with playing(reply) as upstream, client(upstream) as api:
        stream = await api.chat.completions.create(model="m", messages=HI, stream=True, **options)
        return [chunk.to_dict() async for chunk in stream]


async def deltas(reply: Reply) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in await streamed(reply)]


async def called(reply: Reply) -> list[dict[str, Any]]:
    """The fragments of tool calls in a stream."""
    return [delta["tool_calls"][0] for delta in await deltas(reply) if "tool_calls" in delta]


async def said(reply: Reply) -> dict[str, Any]:
    """The message of a whole answer."""
    async with playing(reply) as upstream, client(upstream) as api:
        return (await api.chat.completions.create(model="m", messages=HI)).choices[0].message.to_dict()


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


async def test_signed_reasoning_comes_in_details_with_the_signature_last_and_without_text() -> None:
    seen = {"format": "anthropic-claude-v1", "index": 0}
    opaque = {"type": "reasoning.encrypted", "data": "opaque", "format": "anthropic-claude-v1", "index": 1}
    again = {"content": "", "role": "assistant"}
    whole = await said(SIGNED)

    assert whole["reasoning"] == "Let me see."
    assert whole["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Let me see.", "signature": "sealed", **seen},
        opaque,
    ]
    assert "reasoning_content" not in whole
    assert (await deltas(SIGNED))[1:5] == [
        {**again, "reasoning": text, "reasoning_details": [{"type": "reasoning.text", "text": text, **seen}]}
        for text in ["Let me", " see."]
    ] + [
        {**again, "reasoning_details": [{"type": "reasoning.text", "signature": "sealed", **seen}]},
        {**again, "reasoning": None, "reasoning_details": [opaque]},
    ]


async def test_a_signature_alone_is_a_detail_without_text() -> None:
    whole = await said(Reply(signature="sealed", text="Hi"))

    assert whole["reasoning"] is None
    assert "text" not in whole["reasoning_details"][0]


async def test_what_is_only_redacted_stands_beside_unsigned_reasoning() -> None:
    reply = Reply(reasoning="Hm.", redacted="opaque", text="Hi")
    opaque = {"type": "reasoning.encrypted", "data": "opaque", "format": "anthropic-claude-v1", "index": 0}
    whole = await said(reply)

    assert (whole["reasoning_content"], whole["reasoning_details"]) == ("Hm.", [opaque])
    first, second = (await deltas(reply))[1:3]
    assert first == {"reasoning_content": "Hm."}
    assert second["reasoning_details"] == [opaque]


async def test_the_accumulating_stream_gathers_details_and_annotations() -> None:
    reply = Reply(reasoning=SIGNED.reasoning, signature="sealed", text="Hello", citations=CITED.citations)
    async with playing(reply) as upstream, client(upstream) as api:
        async with api.chat.completions.stream(model="m", messages=HI) as stream:
            await stream.until_done()
        gathered: dict[str, Any] = (await stream.get_final_completion()).choices[0].message.to_dict()

    whole = await said(reply)
    assert gathered["reasoning"] == whole["reasoning"]
    assert gathered["annotations"] == whole["annotations"]
    (detail,) = gathered["reasoning_details"]
    assert (detail["text"], detail["signature"]) == ("Let me see.", "sealed")


async def test_citations_are_annotations_in_one_delta_behind_the_text() -> None:
    async with playing(CITED) as upstream, client(upstream) as api:
        message = (await api.chat.completions.create(model="m", messages=HI)).choices[0].message

    cited = [annotation.url_citation for annotation in message.annotations or []]
    assert [(at.url, at.title, at.start_index, at.end_index) for at in cited] == [
        ("https://a.example/", "A", 0, 5),
        ("https://b.example/", "B", 0, 5),
    ]
    assert (await deltas(CITED))[2:] == [{"content": "lo"}, {"annotations": (await said(CITED))["annotations"]}, {}]


async def test_the_input_of_a_custom_call_goes_out_verbatim() -> None:
    reply = Reply(tool_calls=[PATCH])
    async with playing(reply) as upstream, client(upstream) as api:
        choice = (await api.chat.completions.create(model="m", messages=HI)).choices[0]

    (call,) = choice.message.tool_calls or []
    assert call.type == "custom"
    assert (call.custom.name, call.custom.input, choice.finish_reason) == ("patch", "*** Begin Patch", "tool_calls")
    assert await called(reply) == [
        {"index": 0, "id": "call_mock1x0", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "*** Begi"}},
        {"index": 0, "custom": {"input": "n Patch"}},
    ]


async def test_a_namespace_goes_before_the_name_and_a_thought_signature_beside_it() -> None:
    reply = Reply(
        tool_calls=[ToolCall("look", namespace="maps", thought_signature="sig"), ToolCall("go", namespace="mcp__a__")]
    )
    signed = {"google": {"thought_signature": "sig"}}

    whole = (await said(reply))["tool_calls"]
    begun = [fragment for fragment in await called(reply) if "id" in fragment]
    for calls in (whole, begun):
        assert [call["function"]["name"] for call in calls] == ["maps__look", "mcp__a__go"]
        assert [call.get("extra_content") for call in calls] == [signed, None]


async def test_interleaved_calls_take_turns_and_are_gathered_all_the_same() -> None:
    reply = Reply(tool_calls=[TWO_CALLS[0], ToolCall("wait", {"for": "the next train"})], calls_interleaved=True)
    async with playing(reply) as upstream, client(upstream) as api:
        async with api.chat.completions.stream(model="m", messages=HI) as stream:
            await stream.until_done()
        answer = await stream.get_final_completion()

    assert [fragment["index"] for fragment in await called(reply)] == [0, 1, 0, 1, 0, 1, 1]
    calls = [call for call in answer.choices[0].message.tool_calls or [] if call.type == "function"]
    assert [call.function.arguments for call in calls] == ['{"city":"Köln"}', '{"for":"the next train"}']


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


async def test_a_stop_sequence_is_a_stop_like_any_other() -> None:
    chunks = await streamed(Reply(text="Hi", stop_sequence="END"))

    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


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


@pytest.mark.skipif(not REASONED.exists(), reason="the public recordings are not beside the project")
async def test_deltas_of_signed_reasoning_have_the_fields_of_recorded_ones() -> None:
    recorded = [chunk["choices"][0]["delta"] for chunk in data_lines(REASONED.read_text())]
    theirs = {frozenset(paths(delta)) for delta in recorded if "reasoning_details" in delta}
    ours = {frozenset(paths(delta)) for delta in (await deltas(SIGNED))[1:4]}

    assert ours == theirs
