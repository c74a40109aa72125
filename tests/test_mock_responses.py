"""Responses from the double, heard by the vendor's own SDK and held against recordings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from test_mock_chat import CITED, COUNTED, PATCH, TWO_CALLS, client, data_lines, paths, playing
from trivium.mock import Error, Reply, ScriptedUpstream, ToolCall

RECORDINGS = Path(__file__).parents[2] / "shared/wire/recordings/responses/openai"
UNRECORDED = {".response.usage.input_tokens_details.cache_write_tokens"}
"""Newer than the recordings that are compared here."""
UNSAID = {
    ".obfuscation",
    ".item.phase",
    ".response.frequency_penalty",
    ".response.presence_penalty",
    ".response.prompt_cache_retention",
    ".response.moderation",
    ".response.output.phase",
    ".response.output.content.phase",
}
"""In recordings, but optional in the vendor's own types."""


async def streamed(reply: Reply) -> list[dict[str, Any]]:
    async with playing(reply) as upstream, client(upstream) as api:
        stream = await api.responses.create(model="m", input="Hi", stream=True)
        return [event.to_dict() async for event in stream]


async def test_a_whole_answer_says_items_status_and_usage_and_repeats_the_request() -> None:
    reply = Reply(reasoning="Hm.", signature="sealed", text="Hello", tool_calls=TWO_CALLS, usage=COUNTED, cost=0.002)
    async with playing(reply) as upstream, client(upstream) as api:
        answer = await api.responses.create(model="m", input="Hi", temperature=0.5, instructions="Be kind.")

    assert [item.type for item in answer.output] == ["reasoning", "message", "function_call", "function_call"]
    assert answer.output_text == "Hello"
    assert answer.status == "completed"
    assert (answer.temperature, answer.instructions, answer.tool_choice) == (0.5, "Be kind.", "auto")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (18, 7, 25)
    assert answer.usage.input_tokens_details.cached_tokens == 5
    assert answer.usage.to_dict()["cost"] == 0.002


async def test_a_stream_of_text_has_the_vendors_events_in_the_vendors_order() -> None:
    events = await streamed(Reply(text=["Hel", "lo"]))

    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"


async def test_the_encrypted_content_of_a_reasoning_item_is_final_only_when_it_is_done() -> None:
    events = await streamed(Reply(reasoning="Hm.", signature="sealed", text="Hi"))

    items = [event["item"] for event in events if event["type"].startswith("response.output_item")]
    assert [(item["type"], item.get("encrypted_content")) for item in items[:2]] == [
        ("reasoning", "sea"),
        ("reasoning", "sealed"),
    ]
    assert items[1]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert {event["output_index"] for event in events if "output_index" in event} == {0, 1}


async def test_the_accumulating_stream_gathers_text_and_parallel_calls() -> None:
    reply = Reply(reasoning="Hm.", text="Hello there", tool_calls=TWO_CALLS, usage=COUNTED)
    async with playing(reply) as upstream, client(upstream) as api:
        async with api.responses.stream(model="m", input="Hi") as stream:
            kinds = [event.type async for event in stream]
        answer = await stream.get_final_response()

    assert kinds.count("response.function_call_arguments.done") == 2
    assert answer.output_text == "Hello there"
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("call_a", "look", '{"city":"Köln"}'),
        ("call_mock1x1", "wait", "{}"),
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 25


async def test_redacted_reasoning_is_an_item_without_a_summary() -> None:
    events = await streamed(Reply(reasoning="Hm.", signature="sealed", redacted="opaque", text="Hi"))

    seen, opaque, _ = events[-1]["response"]["output"]
    assert (seen["summary"][0]["text"], seen["encrypted_content"]) == ("Hm.", "sealed")
    assert (opaque["summary"], opaque["encrypted_content"]) == ([], "opaque")
    assert [event["type"] for event in events if event.get("output_index") == 1] == [
        "response.output_item.added",
        "response.output_item.done",
    ]


async def test_citations_are_added_behind_the_text_and_are_in_the_part_when_it_is_done() -> None:
    async with playing(CITED) as upstream, client(upstream) as api:
        async with api.responses.stream(model="m", input="Hi") as stream:
            kinds = [event.type.removeprefix("response.") async for event in stream]
        (item,) = (await stream.get_final_response()).output
    events = await streamed(CITED)

    assert kinds[3:-2] == [
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
    ]
    assert item.type == "message"
    assert item.content[0].type == "output_text"
    annotations = [annotation.to_dict() for annotation in item.content[0].annotations]
    assert annotations[1] == {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 5,
        "url": "https://b.example/",
        "title": "B",
    }
    assert events[3]["part"]["annotations"] == []
    assert [(event["annotation_index"], event["annotation"]) for event in events[6:8]] == [*enumerate(annotations)]
    assert events[9]["part"]["annotations"] == annotations


async def test_the_input_of_a_custom_call_goes_out_verbatim() -> None:
    async with playing(Reply(tool_calls=[PATCH])) as upstream, client(upstream) as api:
        async with api.responses.stream(model="m", input="Hi") as stream:
            events: list[dict[str, Any]] = [event.to_dict() async for event in stream]
        (item,) = (await stream.get_final_response()).output

    assert item.type == "custom_tool_call"
    assert (item.call_id, item.name, item.input) == ("call_mock1x0", "patch", "*** Begin Patch")
    assert [(event["type"], event.get("delta", event.get("input"))) for event in events[3:-2]] == [
        ("response.custom_tool_call_input.delta", "*** Begi"),
        ("response.custom_tool_call_input.delta", "n Patch"),
        ("response.custom_tool_call_input.done", "*** Begin Patch"),
    ]
    assert events[2]["item"] == {**events[-2]["item"], "status": "in_progress", "input": ""}


async def test_a_namespace_is_a_field_of_the_call() -> None:
    events = await streamed(Reply(tool_calls=[ToolCall("look", namespace="maps"), ToolCall("look")]))
    items = [event["item"] for event in events if event["type"] == "response.output_item.added"]

    for calls in (items, events[-1]["response"]["output"]):
        assert [(call["name"], call.get("namespace")) for call in calls] == [("look", "maps"), ("look", None)]


async def test_interleaved_calls_take_turns_and_are_gathered_all_the_same() -> None:
    reply = Reply(text="Hi", tool_calls=[TWO_CALLS[0], PATCH], calls_interleaved=True)
    async with playing(reply) as upstream, client(upstream) as api:
        async with api.responses.stream(model="m", input="Hi") as stream:
            places = [event.output_index async for event in stream if hasattr(event, "output_index")]
        _, look, patch = (await stream.get_final_response()).output

    assert [place for place in places if place] == [1, 2] * 5
    assert look.type == "function_call"
    assert patch.type == "custom_tool_call"
    assert (look.arguments, patch.input) == ('{"city":"Köln"}', "*** Begin Patch")


async def test_a_stop_sequence_completes_like_any_other_end() -> None:
    assert (await streamed(Reply(text="Hi", stop_sequence="END")))[-1]["type"] == "response.completed"


async def test_a_refusal_is_a_part_of_its_own() -> None:
    events = await streamed(Reply(text=["I", " won't"], finish="refusal"))

    assert [event["delta"] for event in events if event["type"] == "response.refusal.delta"] == ["I", " won't"]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "I won't"}]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("pause", "incomplete", None),
    ],
)
async def test_every_finish_has_its_status(finish: Any, status: str, reason: Any) -> None:
    last = (await streamed(Reply(text="Hi", finish=finish)))[-1]

    assert last["type"] == f"response.{status}"
    assert last["response"]["incomplete_details"] == reason
    assert last["response"]["output"][0]["status"] == status


async def test_the_synchronous_sdk_is_served_as_well() -> None:
    async with ScriptedUpstream() as upstream:

        def talk() -> tuple[str, str]:
            with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="any", max_retries=0) as api:
                whole = api.responses.create(model="m", input="Hi").output_text
                with api.responses.stream(model="m", input=[{"role": "user", "content": "Hi"}]) as stream:
                    return whole, stream.get_final_response().output_text

        assert await asyncio.to_thread(talk) == ("You said: Hi", "You said: Hi")


async def test_an_error_status_raises_in_the_sdk() -> None:
    async with playing(Reply(status=401)) as upstream, client(upstream) as api:
        with pytest.raises(openai.AuthenticationError, match=r"Scripted error\.") as error:
            await api.responses.create(model="m", input="Hi")

    assert error.value.code == "invalid_api_key"


async def test_an_error_inside_a_stream_is_followed_by_the_failed_response() -> None:
    reply = Reply(text="Hello", error=Error(message="Overloaded", type="server_error"), error_after_events=5)
    async with playing(reply) as upstream, client(upstream) as api:
        raw = await api.responses.with_raw_response.create(model="m", input="Hi", stream=True)
        events = data_lines("\n".join([line async for line in raw.http_response.aiter_lines()]))

    assert [event["type"] for event in events[4:]] == ["response.output_text.delta", "error", "response.failed"]
    assert events[-2]["error"]["message"] == "Overloaded"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "Overloaded"}
    assert [event["sequence_number"] for event in events] == list(range(7))


async def test_input_tokens_are_counted() -> None:
    async with ScriptedUpstream() as upstream, client(upstream) as api:
        counted = await api.responses.input_tokens.count(model="m", input="x" * 40)

    assert (counted.object, counted.input_tokens) == ("response.input_tokens", 10)


@pytest.mark.skipif(not RECORDINGS.exists(), reason="the public recordings are not beside the project")
@pytest.mark.parametrize(
    ("recording", "reply"),
    [
        ("test-responses-basic-streaming-b37112", Reply(text=["pong"])),
        ("test-responses-tool-use-streaming-70a533", Reply(tool_calls=[ToolCall("multiply", {"a": 1})])),
    ],
)
async def test_every_event_has_the_fields_of_the_recorded_one(recording: str, reply: Reply) -> None:
    recorded = {event["type"]: event for event in data_lines((RECORDINGS / recording / "response.sse").read_text())}
    played = {event["type"]: event for event in await streamed(reply)}

    assert list(played) == list(recorded)
    for kind, event in played.items():
        theirs = {path for path in paths(recorded[kind]) if not path.startswith(".response.tools.")}
        assert paths(event) - UNRECORDED == theirs - UNSAID, kind


@pytest.mark.skipif(not RECORDINGS.exists(), reason="the public recordings are not beside the project")
async def test_a_call_in_a_namespace_has_the_fields_of_the_recorded_one() -> None:
    def calls(events: list[dict[str, Any]]) -> dict[str, set[str]]:
        return {event["type"]: paths(event) for event in events if event.get("item", {}).get("type") == "function_call"}

    recorded = (RECORDINGS / "openai-tool-search-1-chunks-d4fbbd/response.sse").read_text()

    assert calls(await streamed(Reply(tool_calls=[ToolCall("look", namespace="maps")]))) == calls(data_lines(recorded))
