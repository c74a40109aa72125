"""The official SDKs before upstreams of each API: in all nine directions an answer is the same answer, and a helper
class sees the events of its own vendor."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from support_sdks import CHAT, QUESTION, STREAMED, WAYS, Clients, recorded
from support_translated import APIS, OTHERS, TALKS, before, by_model, heard
from trivium.mock import Citation, Reply, ToolCall, Usage

TEXT = "Roads meet here: grüße, 三, \u2028."
USAGE = Usage(input=20, cache_read=30, cache_write_5m=4, output=9, reasoning=3)
CALLS = [ToolCall("weather", {"city": "Köln am Rhein"}), ToolCall("weather", {"city": "Roma caput mundi"})]
EVERYTHING = Reply(reasoning="Look both up.", signature="c2ln", text="One moment.", tool_calls=CALLS, usage=USAGE)

# The types of a helper's events for an answer of reasoning, text and two calls, repetitions left out.
STEPS = {
    "chat": [
        "content.delta",
        "tool_calls.function.arguments.delta",
        "content.done",
        "tool_calls.function.arguments.delta",
        "tool_calls.function.arguments.done",
        "tool_calls.function.arguments.delta",
        "tool_calls.function.arguments.done",
    ],
    "responses": [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        *2
        * [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
        ],
        "response.completed",
    ],
    "messages": [
        "message_start",
        *("content_block_start", "thinking", "signature", "content_block_stop"),
        *("content_block_start", "text", "content_block_stop"),
        *2 * ("content_block_start", "input_json", "content_block_stop"),
        "message_delta",
        "message_stop",
    ],
}
FINISHES: dict[Any, dict[str, str]] = {
    # What the upstream's model did: how it looks in each client's API.
    "stop": {"chat": "stop", "responses": "completed", "messages": "end_turn"},
    "length": {"chat": "length", "responses": "max_output_tokens", "messages": "max_tokens"},
    "tool_calls": {"chat": "tool_calls", "responses": "completed", "messages": "tool_use"},
    "content_filter": {"chat": "content_filter", "responses": "content_filter", "messages": "refusal"},
}


@pytest.mark.parametrize("upstream", APIS)
async def test_every_client_reads_the_answer_and_the_record_tells_the_tokens_it_saw(upstream: str) -> None:
    async with before(upstream, Reply(text=TEXT, usage=USAGE), judged=False) as (house, on):
        for way, ask in WAYS.items():
            assert (way, *await ask(on, "m")) == (way, TEXT, 54, 30, 9)
            record = (await house.records())[0]
            assert (way, *recorded(record)) == (way, 54, 30, 9)
            assert (record["outcome"], record["status"], record["finish_reason"]) == ("success", 200, "stop")
            assert (record["upstream_api"].removesuffix("_completions"), record["stream"]) == (
                upstream,
                way.endswith(STREAMED),
            )
            assert record["first_token_us"] is not None or not record["stream"]
            assert heard(house, upstream) == [("user", QUESTION)]


@pytest.mark.parametrize("upstream", APIS)
async def test_a_helper_class_sees_the_events_of_its_own_vendor(upstream: str) -> None:
    async with before(upstream, EVERYTHING, judged=False) as (house, on):
        for client in APIS:
            talk = TALKS[client](on, tools=["weather"])
            told = await talk.ask()
            record = (await house.records())[0]
            assert (client, talk.steps()) == (client, STEPS[client])
            assert (client, told.text, told.finish) == (client, "One moment.", FINISHES["tool_calls"][client])
            assert [*told.calls.values()] == [("weather", call.arguments) for call in CALLS]
            # OpenRouter, whose words the scripted upstream uses, calls it `reasoning`.
            assert (client, told.reasoning) == (client, "" if client == upstream == "chat" else "Look both up.")
            assert (record["outcome"], record["finish_reason"]) == ("success", "tool_calls")


@pytest.mark.parametrize("upstream", APIS)
async def test_what_is_streamed_is_what_comes_whole(upstream: str) -> None:
    """The last value of a stream's helper, and the answer to the same question without a stream."""
    # A whole message does not tell how many of its tokens were thought.
    reply = msgspec.structs.replace(EVERYTHING, usage=Usage(input=20, cache_read=30, cache_write_5m=4, output=9))
    async with before(upstream, reply) as (house, on):
        for client in OTHERS[upstream]:
            extra = {"stream_options": {"include_usage": True}} if client == "chat" else {}
            streamed = TALKS[client](on, tools=["weather"], **extra)
            await streamed.ask()
            whole = await _whole(client, on, streamed.options)
            losses = {record["losses"] for record in (await house.records())[:2]}
            assert _bare(streamed.final.model_dump(exclude_none=True)) == _bare(whole.model_dump(exclude_none=True))
            assert (client, len(losses)) == (client, 1)


async def _whole(client: str, on: Clients, options: dict[str, Any]) -> Any:
    options = {key: value for key, value in options.items() if key != "stream_options"}
    if client == "chat":
        return await on.openai.chat.completions.create(messages=CHAT["messages"], **options)
    if client == "responses":
        return await on.openai.responses.create(input=CHAT["messages"], **options)
    return await on.anthropic.messages.create(messages=CHAT["messages"], max_tokens=4000, **options)


_LEFT_OUT = {"id", "call_id", "created", "created_at", "index", "format", "service_tier"}
"""Ids and times differ from call to call; of the rest the SDKs' accumulators keep the first word or all words."""


def _bare(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _bare(value) for key, value in said.items() if key not in _LEFT_OUT}
    return [_bare(one) for one in said] if isinstance(said, list) else said


@pytest.mark.parametrize("upstream", APIS)
async def test_an_answer_ends_for_the_reason_that_the_model_had(upstream: str) -> None:
    calls = {"tool_calls": CALLS}
    replies = {word: Reply(text="So far.", tool_calls=calls.get(word, []), finish=word) for word in FINISHES}
    async with before(upstream, *by_model(replies)) as (house, on):
        for word, finishes in FINISHES.items():
            for client in OTHERS[upstream]:
                told = await TALKS[client](on, tools=["weather"], model=word).ask()
                reason = (await house.records())[0]["finish_reason"]
                assert (word, client, told.text, told.finish) == (word, client, "So far.", finishes[client])
                # Anthropic calls both of the latter so.
                assert reason in (word, "refusal" if word == "content_filter" else word)


@pytest.mark.parametrize("upstream", APIS)
async def test_a_refusal_is_never_an_empty_success(upstream: str) -> None:
    async with before(upstream, Reply(text="That I will not do.", finish="refusal")) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on)
            told = await talk.ask()
            for final in (talk.final, await _whole(client, on, talk.options)):
                assert (client, told.text, *_refused(client, final)) == (
                    client,
                    *("That I will not do.",) * 2,
                    REFUSALS[client, upstream],
                )
        assert {record["outcome"] for record in await house.records()} == {"success"}


REFUSALS = {
    # An OpenAI upstream says its refusals in parts of their own, Anthropic's in the finish: no API is told less.
    ("chat", "responses"): "stop",
    ("chat", "messages"): "content_filter",
    ("responses", "chat"): "completed",
    ("responses", "messages"): "content_filter",
    ("messages", "chat"): "refusal",
    ("messages", "responses"): "refusal",
}


def _refused(client: str, final: Any) -> tuple[str, str]:
    if client == "chat":
        message = final.choices[0].message
        return message.refusal or message.content, final.choices[0].finish_reason
    if client == "responses":
        details = final.incomplete_details
        parts = [part for item in final.output for part in item.content]
        words = "".join(part.refusal if part.type == "refusal" else part.text for part in parts)
        return words, details.reason if details else final.status
    return "".join(block.text for block in final.content), final.stop_reason


@pytest.mark.parametrize(
    ("client", "upstream"), [("chat", "messages"), ("messages", "chat"), ("messages", "responses")]
)
async def test_stop_sequences_reach_whoever_takes_them_and_messages_tells_which(client: str, upstream: str) -> None:
    """Anthropic takes none of nothing but blanks, Responses none at all."""
    asked = {"chat": "stop", "messages": "stop_sequences"}
    async with before(upstream, Reply(text="So far", stop_sequence="END")) as (house, on):
        told = await TALKS[client](on, **{asked[client]: ["END", "\n\n"]}).ask()
        body, record = house.upstream.requests[0].json, await house.record()
    losses = [field for field, _ in json.loads(record["losses"] or "[]")]
    assert (told.text, told.finish) == ("So far", FINISHES["stop"][client])
    if upstream == "messages":
        assert body["stop_sequences"] == ["END"]
        assert losses == ["stop", "answer.stop_sequence"]
    elif upstream == "chat":
        assert body["stop"] == ["END", "\n\n"]
        assert losses == []
    else:
        assert losses == ["stop_sequences"]


async def test_a_client_of_messages_learns_which_stop_sequence_ended_the_answer() -> None:
    """From a server of its own API; the record keeps why the answer ended as the upstream said it."""
    async with before("messages", Reply(text="So far", stop_sequence="END"), judged=False) as (house, on):
        talk = TALKS["messages"](on, stop_sequences=["END"])
        assert (await talk.ask()).finish == "stop_sequence"
        record = await house.record()
    assert talk.final.stop_sequence == "END"
    assert (record["finish_reason"], record["native_finish_reason"]) == ("stop", "stop_sequence")


@pytest.mark.parametrize("upstream", APIS)
async def test_sources_stand_beside_the_text_where_the_clients_api_has_a_place_for_them(upstream: str) -> None:
    reply = Reply(text="So it is.", citations=[Citation("https://example.org/a", "A page")])
    async with before(upstream, reply) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on)
            assert (await talk.ask()).text == "So it is."
            for final in (talk.final, await _whole(client, on, talk.options)):
                assert (client, _sources(client, final)) == (client, [] if client == "messages" else ["A page"])
            lost = (await house.records())[0]["losses"] or ""
            assert ("answer.annotations" in lost) == (client == "messages")


def _sources(client: str, final: Any) -> list[str]:
    if client == "chat":
        return [said["url_citation"]["title"] for said in final.model_dump()["choices"][0]["message"]["annotations"]]
    if client == "responses":
        return [said.title for said in final.output[0].content[0].annotations]
    return [said.title for said in final.content[0].citations or []]


@pytest.mark.parametrize("upstream", ["chat", "messages"])
async def test_the_usual_service_tier_is_called_by_the_word_of_the_clients_vendor(upstream: str) -> None:
    words = {"chat": "default", "responses": "default", "messages": "standard"}
    async with before(upstream, Reply(text="Hi.", usage=USAGE), judged=False) as (_, on):
        for client in OTHERS[upstream]:
            final = await _whole(client, on, {"model": "m"})
            told = final.usage.service_tier if client == "messages" else final.service_tier
            assert (client, told) == (client, words[client])


async def test_a_chat_stream_without_usage_options_shows_none_and_is_metered_all_the_same() -> None:
    async with before("messages", Reply(text=TEXT, usage=USAGE)) as (house, on):
        chunks = [chunk async for chunk in await on.openai.chat.completions.create(model="m", stream=True, **CHAT)]
        record = await house.record()
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert recorded(record) == (54, 30, 9)
