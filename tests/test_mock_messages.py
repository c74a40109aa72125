"""Messages from the double, heard by the vendor's own SDK and held against a recording."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam

from test_mock_chat import CITED, COUNTED, PATCH, SIGNED, TWO_CALLS, data_lines, paths, playing
from trivium.mock import Error, Model, Reply, Script, ScriptedUpstream, ToolCall

RECORDINGS = Path(__file__).parents[2] / "shared/wire/recordings/messages/anthropic"
RECORDED = RECORDINGS / "thinking-streaming-08978e/response.sse"
SEARCHED = RECORDINGS / "test-web-search-c85555/response.sse"
HI: list[MessageParam] = [{"role": "user", "content": "Hi"}]
EVERYTHING = Reply(
    reasoning=["Let me", " see."], signature="sealed", text=["Hel", "lo"], tool_calls=TWO_CALLS, usage=COUNTED
)


def client(upstream: ScriptedUpstream) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=upstream.url, api_key="any", max_retries=0)


async def streamed(reply: Reply) -> list[dict[str, Any]]:
    async with playing(reply) as upstream, client(upstream) as api:
        raw = await api.messages.with_raw_response.create(model="m", max_tokens=9, messages=HI, stream=True)
        return data_lines("\n".join([line async for line in raw.http_response.aiter_lines()]))


async def test_a_whole_answer_says_blocks_stop_reason_and_usage_with_the_cache_outside() -> None:
    async with playing(EVERYTHING) as upstream, client(upstream) as api:
        answer = await api.messages.create(model="claude-x", max_tokens=9, messages=HI)

    thinking, text, look, wait = answer.content
    assert thinking.type == "thinking"
    assert (thinking.thinking, thinking.signature) == ("Let me see.", "sealed")
    assert text.type == "text"
    assert text.text == "Hello"
    assert look.type == wait.type == "tool_use"
    assert (look.id, look.name, look.input, wait.input) == ("call_a", "look", {"city": "Köln"}, {})
    assert (answer.model, answer.stop_reason) == ("claude-x", "tool_use")
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (10, 5, 7)
    assert answer.usage.cache_creation is not None
    assert answer.usage.cache_creation.ephemeral_5m_input_tokens == answer.usage.cache_creation_input_tokens == 3


async def test_a_stream_has_contiguous_blocks_and_the_vendors_deltas() -> None:
    events = await streamed(EVERYTHING)

    def said(event: dict[str, Any]) -> str:
        inner = event.get("content_block") or event.get("delta") or {}
        return (
            f"{event['type'].removeprefix('content_block_')} {event.get('index', '')} {inner.get('type', '')}".strip()
        )

    assert [said(event) for event in events] == [
        "message_start",
        "start 0 thinking",
        "ping",
        "delta 0 thinking_delta",
        "delta 0 thinking_delta",
        "delta 0 signature_delta",
        "stop 0",
        "start 1 text",
        "delta 1 text_delta",
        "delta 1 text_delta",
        "stop 1",
        "start 2 tool_use",
        "delta 2 input_json_delta",
        "delta 2 input_json_delta",
        "delta 2 input_json_delta",
        "stop 2",
        "start 3 tool_use",
        "delta 3 input_json_delta",
        "stop 3",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["usage"]["output_tokens"] == 1
    assert events[-2]["usage"]["output_tokens"] == 7
    assert events[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 2}


async def test_the_accumulating_stream_gathers_what_the_whole_answer_says() -> None:
    async with playing(EVERYTHING) as upstream, client(upstream) as api:
        whole = await api.messages.create(model="m", max_tokens=9, messages=HI)
        async with api.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            gathered = await stream.get_final_message()

    assert text == "Hello"
    assert [block.to_dict() for block in gathered.content[:3]] == [block.to_dict() for block in whole.content[:3]]
    assert gathered.stop_reason == whole.stop_reason
    assert gathered.usage.output_tokens == whole.usage.output_tokens


async def gathered(reply: Reply) -> list[dict[str, Any]]:
    """The blocks of a whole answer, once it is known that the accumulating stream gathers the same."""
    async with playing(reply) as upstream, client(upstream) as api:
        whole = await api.messages.create(model="m", max_tokens=9, messages=HI)
        async with api.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
            streamed = await stream.get_final_message()
    blocks = [[{**block.to_dict(), "id": None} for block in answer.content] for answer in (whole, streamed)]
    assert blocks[0] == blocks[1]
    return blocks[0]


async def test_a_redacted_block_is_whole_in_its_start() -> None:
    events = [event for event in await streamed(SIGNED) if event.get("index") == 1]

    assert [event["type"] for event in events] == ["content_block_start", "content_block_stop"]
    assert events[0]["content_block"] == {"type": "redacted_thinking", "data": "opaque"}
    assert [block["type"] for block in await gathered(SIGNED)] == ["thinking", "redacted_thinking", "text"]


async def test_citations_come_before_the_text_they_are_about() -> None:
    (block,) = await gathered(CITED)
    cited = [event["delta"] for event in await streamed(CITED) if event["type"] == "content_block_delta"]

    assert block["text"] == "Hello"
    assert [(citation["url"], citation["title"]) for citation in block["citations"]] == [
        ("https://a.example/", "A"),
        ("https://b.example/", "B"),
    ]
    assert [delta["type"] for delta in cited] == ["citations_delta"] * 2 + ["text_delta"] * 2
    assert [delta["citation"] for delta in cited[:2]] == block["citations"]


async def test_a_custom_call_is_a_tool_use_with_its_input_inside() -> None:
    (block,) = await gathered(Reply(tool_calls=[PATCH]))

    assert (block["name"], block["input"]) == ("patch", {"input": "*** Begin Patch"})


async def test_a_namespace_goes_before_the_name_and_blocks_never_overlap() -> None:
    calls = [ToolCall("look", {"at": 1}, namespace="maps"), ToolCall("go", {"to": 2}, namespace="mcp__a__")]
    events = await streamed(Reply(tool_calls=calls, calls_interleaved=True))
    places = [event["index"] for event in events if "index" in event]

    assert [block["name"] for block in await gathered(Reply(tool_calls=calls))] == ["maps__look", "mcp__a__go"]
    assert places == sorted(places)


async def test_a_stop_sequence_is_named() -> None:
    reply = Reply(text="Hi", stop_sequence="END")
    async with playing(reply) as upstream, client(upstream) as api:
        whole = await api.messages.create(model="m", max_tokens=9, messages=HI)

    assert (whole.stop_reason, whole.stop_sequence) == ("stop_sequence", "END")
    assert (await streamed(reply))[-2]["delta"] == {
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "stop_details": None,
    }


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause", "pause_turn"),
    ],
)
async def test_every_finish_has_its_word(finish: Any, word: str) -> None:
    delta = (await streamed(Reply(text="Hi", finish=finish)))[-2]["delta"]

    assert delta["stop_reason"] == word
    assert (delta["stop_details"] is not None) == (word == "refusal")


async def test_usage_can_be_left_out_and_can_carry_a_cost() -> None:
    silent = await streamed(Reply(text="Hi", no_usage=True))
    priced = await streamed(Reply(text="Hi", usage=COUNTED, cost=0.002))

    assert "usage" not in silent[0]["message"]
    assert "usage" not in silent[-2]
    assert priced[-2]["usage"]["cost"] == 0.002


async def test_broken_arguments_stay_broken() -> None:
    reply = Reply(tool_calls=[ToolCall("f", '{"a":')])
    async with playing(reply) as upstream, client(upstream) as api:
        block = (await api.messages.create(model="m", max_tokens=9, messages=HI)).content[0]

    assert block.type == "tool_use"
    assert repr(block.input) == repr('{"a":')
    assert [event["delta"] for event in await streamed(reply) if event["type"] == "content_block_delta"] == [
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"a":'},
    ]


async def test_the_synchronous_sdk_is_served_as_well() -> None:
    async with ScriptedUpstream() as upstream:

        def talk() -> tuple[str, str]:
            with anthropic.Anthropic(base_url=f"{upstream.url}/any", api_key="any", max_retries=0) as api:
                whole = api.messages.create(model="m", max_tokens=9, messages=HI).content[0]
                with api.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
                    return str(whole.to_dict()["text"]), stream.get_final_text()

        assert await asyncio.to_thread(talk) == ("You said: Hi", "You said: Hi")


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
        (500, anthropic.InternalServerError, "api_error"),
    ],
)
async def test_an_error_status_raises_in_the_sdk(
    status: int, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    async with playing(Reply(status=status, error=Error(message="Not now."))) as upstream, client(upstream) as api:
        with pytest.raises(raised) as error:
            await api.messages.create(model="m", max_tokens=9, messages=HI)

    assert error.value.status_code == status
    assert error.value.body == {
        "type": "error",
        "error": {"type": kind, "message": "Not now."},
        "request_id": "req_mock1",
    }
    assert error.value.request_id == "req_mock1"


async def test_an_error_inside_a_stream_comes_after_the_events_before_it() -> None:
    heard: list[str] = []
    reply = Reply(text="Hello", error=Error(message="Overloaded", type="overloaded_error"), error_after_events=4)
    async with playing(reply) as upstream, client(upstream) as api:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with api.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
                async for piece in stream.text_stream:
                    heard.append(piece)

    assert heard == ["Hello"]


async def test_tokens_are_counted_and_models_listed() -> None:
    script = Script(models=[Model("claude-x", "Claude X"), Model("claude-y")])
    async with ScriptedUpstream(script) as upstream, client(upstream) as api:
        counted = await api.messages.count_tokens(model="m", messages=[{"role": "user", "content": "x" * 40}])
        models = [model async for model in api.models.list()]

    assert counted.input_tokens == 11
    assert [(model.id, model.display_name) for model in models] == [("claude-x", "Claude X"), ("claude-y", "claude-y")]


@pytest.mark.skipif(not RECORDED.exists(), reason="the public recordings are not beside the project")
async def test_every_event_has_the_fields_of_the_recorded_one() -> None:
    def by_kind(events: list[dict[str, Any]]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for event in events:
            block = event.get("content_block") or event.get("delta") or {}
            found.setdefault(f"{event['type']} {block.get('type', '')}", set()).update(paths(event))
        return found

    recorded = by_kind(data_lines(RECORDED.read_text()))
    played = by_kind(await streamed(Reply(reasoning="Hm.", signature="s", tool_calls=[ToolCall("weather", {"a": 1})])))
    newer = {".delta.stop_details", ".usage.output_tokens_details", ".usage.output_tokens_details.thinking_tokens"}

    assert list(played) == list(recorded)
    for kind, names in played.items():
        assert names - newer == recorded[kind] - {".content_block.caller", ".content_block.caller.type"}, kind


@pytest.mark.skipif(not SEARCHED.exists(), reason="the public recordings are not beside the project")
async def test_a_citation_has_the_fields_of_the_recorded_one() -> None:
    def citations(events: list[dict[str, Any]]) -> list[set[str]]:
        return [paths(event) for event in events if event.get("delta", {}).get("type") == "citations_delta"]

    assert citations(await streamed(CITED))[0] == citations(data_lines(SEARCHED.read_text()))[0]
