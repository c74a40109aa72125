"""What a Chat Completions client gets: chunks that OpenAI's SDKs add up, and reasoning in two dialects of others."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from openai.lib.streaming._deltas import accumulate_delta

from support_grammar import check, told
from support_translation import encoded, encoder
from trivium.canon.api import Api
from trivium.canon.events import (
    Apart,
    Begin,
    Cited,
    End,
    Event,
    Fault,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReasoningSeal,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.fold import fold
from trivium.canon.parts import Citation, Seal, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.losses import Losses

BEGIN = Begin("id_1", "m")
STOP = Finish(FinishReason.STOP, "end_turn")
USAGE = UsageReport(Usage(input_uncached=7, cache_read=3, output=5))
DETAIL = '{"format":"f","signature":"s","type":"reasoning.text"}'


def stream(*events: Event, origin: str | None = "up", losses: Losses | None = None) -> list[dict[str, Any]]:
    encoding = encoder(Api.CHAT, origin=origin, losses=losses)
    return check(Api.CHAT, encoded(encoding, [BEGIN, *events, USAGE, End()]))


def deltas(*events: Event, origin: str | None = "up") -> list[dict[str, Any]]:
    """What is said between the role and the finish."""
    chunks = [event for event in stream(*events, STOP, origin=origin) if event.get("choices")]
    return [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]]


def finish(*events: Event, losses: Losses | None = None) -> str | None:
    """The word of the chunk that ends the choice."""
    *_, last = [event for event in stream(*events, losses=losses) if event.get("choices")]
    word: str | None = last["choices"][0]["finish_reason"]
    return word


def call(index: int, **said: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **said}]}


def test_a_text_from_its_first_chunk_to_its_last_byte() -> None:
    encoding = encoder(Api.CHAT, origin="up")
    head = b'data: {"id":"id_1","object":"chat.completion.chunk","created":1,"model":"m","choices":['
    assert encoding.encode([BEGIN]) == b""
    assert encoding.encode([TextDelta("Hi \u2028", 0)]) == (
        head + b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
        + head + b'{"index":0,"delta":{"content":"Hi \xe2\x80\xa8"},"logprobs":null,"finish_reason":null}]}\n\n'
    )  # fmt: skip
    assert encoding.encode([STOP, USAGE, End()]) == b""
    assert encoding.close() == (
        head + b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
        + head + b'],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":'
        b'{"cached_tokens":3,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}\n\ndata: [DONE]\n\n'
    )  # fmt: skip


class TestReasoning:
    def test_it_is_told_in_both_dialects_and_sealed_by_us(self) -> None:
        *said, sealed, text = deltas(ReasoningDelta("H", 0), ReasoningDelta("m", 0), TextDelta("Hi", 1))
        for delta, piece in zip(said, ("H", "m"), strict=True):
            detail = {"type": "reasoning.text", "text": piece, "index": 0}
            assert delta == {"reasoning_content": piece, "reasoning_details": [detail]}
        (last,) = sealed["reasoning_details"]
        assert (last["type"], last["index"]) == ("reasoning.text", 0)
        assert last["signature"].split(".")[2] == "plain"
        assert "reasoning_content" not in sealed
        assert text == {"content": "Hi"}

    def test_each_part_has_its_own_details(self) -> None:
        seal = Seal("signature", "s")
        thoughts: list[Event] = [ReasoningDelta("A", 0), ReasoningSeal(0, seal), ReasoningDelta("B", 1)]
        details = [delta["reasoning_details"][0] for delta in deltas(*thoughts)]
        assert [detail["index"] for detail in details] == [0, 0, 1, 1]
        assert details[1]["signature"].split(".")[2] == "signature"
        assert details[1]["signature"].endswith(".s")

    @pytest.mark.parametrize("origin", ["up", None])
    def test_parts_have_a_blank_line_between_them_where_they_lie_together(self, origin: str | None) -> None:
        """In the member that all of them share, as in a body. What is sealed stays as it was for who reads both."""
        seal = Seal("detail", DETAIL)
        one: list[Event] = [ReasoningDelta("On", 0), ReasoningDelta("e", 0), ReasoningSeal(0, seal)]
        thoughts = [*one, TextDelta("Hi", 1), ReasoningDelta("Two", 2), ReasoningSeal(2, seal)]
        said = deltas(*thoughts, origin=origin)
        assert [delta["reasoning_content"] for delta in said if "reasoning_content" in delta] == [
            "On",
            "e",
            "\n\nTwo",
        ]
        details = [detail for delta in said for detail in delta.get("reasoning_details", [])]
        assert [(detail["index"], detail["text"]) for detail in details if "text" in detail] == [
            (0, "On"),
            (0, "e"),
            (1, "Two"),
        ]
        whole = json.loads(encoder(Api.CHAT, origin=origin).whole(fold([BEGIN, *thoughts, STOP])))
        assert whole["choices"][0]["message"]["reasoning_content"] == "One\n\nTwo"

    def test_openrouters_own_seal_passes_as_it_is(self) -> None:
        said = deltas(ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("detail", DETAIL)), origin=None)
        assert said[-1] == {
            "reasoning_details": [{"type": "reasoning.text", "signature": "s", "format": "f", "index": 0}]
        }

    def test_nothing_but_a_seal_is_encrypted(self) -> None:
        (said,) = deltas(ReasoningSeal(0, Seal("redacted", "ZGF0YQ")))
        (detail,) = said["reasoning_details"]
        assert (detail["type"], detail["index"]) == ("reasoning.encrypted", 0)
        assert detail["data"].split(".")[2] == "redacted"

    def test_googles_own_seal_is_a_part_of_the_call_behind_it(self) -> None:
        begun, _ = deltas(
            ReasoningSeal(0, Seal("google", "c2ln")), ToolCallBegin(1, "a", "f"), ToolCallDelta(1, "{}"), origin=None
        )
        assert begun["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}


class TestCalls:
    def test_parallel_calls_follow_each_other(self) -> None:
        one: list[Event] = [ToolCallBegin(0, "a", "f"), ToolCallDelta(0, '{"x":'), ToolCallDelta(0, "1}")]
        assert deltas(*one, ToolCallBegin(1, "b", "g"), ToolCallDelta(1, "{}")) == [
            call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
            call(0, function={"arguments": '{"x":'}),
            call(0, function={"arguments": "1}"}),
            call(1, id="b", type="function", function={"name": "g", "arguments": ""}),
            call(1, function={"arguments": "{}"}),
        ]

    def test_interleaved_calls_are_put_in_order(self) -> None:
        begun: list[Event] = [ToolCallBegin(0, "a", "f"), ToolCallBegin(1, "b", "g")]
        mixed: list[Event] = [ToolCallDelta(1, "{"), ToolCallDelta(0, '{"x":1}'), ToolCallDelta(1, "}")]
        fragments = [delta["tool_calls"][0] for delta in deltas(*begun, *mixed)]
        assert [(part["index"], part["function"]["arguments"]) for part in fragments] == [
            (0, ""), (0, '{"x":1}'), (1, ""), (1, "{"), (1, "}"),
        ]  # fmt: skip

    def test_a_free_text_tool_has_input(self) -> None:
        assert deltas(ToolCallBegin(0, "a", "patch", ToolKind.CUSTOM), ToolCallDelta(0, 'say "')) == [
            call(0, id="a", type="custom", custom={"name": "patch", "input": ""}),
            call(0, custom={"input": 'say "'}),
        ]

    def test_a_call_without_an_id_gets_one_and_an_odd_id_a_coded_one(self) -> None:
        said = deltas(ToolCallBegin(0, "", "f"), ToolCallDelta(0, "{}"), ToolCallBegin(1, "f:1", "f"))
        assert [delta["tool_calls"][0].get("id") for delta in said] == ["call_1_0", None, "tvid_Zjox"]

    def test_calls_are_numbered_without_the_parts_between_them(self) -> None:
        one: list[Event] = [TextDelta("Hi", 0), ToolCallBegin(1, "a", "f"), ToolCallDelta(1, "{}")]
        said = deltas(*one, TextDelta("and", 2), ToolCallBegin(3, "b", "f"))
        assert [delta["tool_calls"][0]["index"] for delta in said if "tool_calls" in delta] == [0, 0, 1]


def test_a_refusal_has_a_place_of_its_own() -> None:
    assert deltas(RefusalDelta("No", 0), RefusalDelta(".", 0)) == [{"refusal": "No"}, {"refusal": "."}]
    assert finish(RefusalDelta("No", 0), Finish(FinishReason.REFUSAL, "completed")) == "stop"
    assert finish(TextDelta("No", 0), Finish(FinishReason.REFUSAL, "refusal")) == "content_filter"


def test_citations_come_behind_their_text_with_places_in_all_of_the_content() -> None:
    cited = Cited(2, Citation("http://a", "A", 1, 3))
    said = deltas(
        TextDelta("One.", 0), ReasoningDelta("Hm", 1), cited, TextDelta("Two.", 2), Cited(0, Citation("http://b"))
    )
    assert said[-2:] == [
        {"content": "Two."},
        {
            "annotations": [
                {
                    "index": 0,
                    "type": "url_citation",
                    "url_citation": {"url": "http://a", "title": "A", "start_index": 5, "end_index": 7},
                }
            ]
        },
    ]


def test_texts_that_are_apart_have_a_blank_line_between_them() -> None:
    cited = Cited(2, Citation("http://a", "A", 1, 3))
    said = (Apart(0), TextDelta("One", 0), TextDelta(".", 1), Apart(2), cited, TextDelta("Two", 2), TextDelta(".", 2))
    *pieces, pages = deltas(*said)
    assert [piece["content"] for piece in pieces] == ["One", ".", "\n\n", "Two", "."]
    place = pages["annotations"][0]["url_citation"]
    assert (place["start_index"], place["end_index"]) == (7, 9)
    whole = json.loads(encoder(Api.CHAT, origin="up").whole(fold([BEGIN, *said, STOP])))["choices"][0]["message"]
    assert whole["content"] == "One.\n\nTwo."
    assert whole["annotations"] == [{"type": "url_citation", "url_citation": place}]


def test_a_text_that_waits_for_a_call_is_apart_all_the_same() -> None:
    call = ToolCallBegin(1, "a", "f"), ToolCallDelta(1, "{")
    said = deltas(TextDelta("A", 0), *call, Apart(2), TextDelta("B", 2), ToolCallDelta(1, "}"))
    assert [one["content"] for one in said if "content" in one] == ["A", "\n\n", "B"]


def test_probabilities_lie_beside_their_text() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    chunks = stream(TextDelta("Hi", 0, [token]), TextDelta("!", 0), STOP)
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks[1:3]] == [{"content": [token], "refusal": None}, None]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.TOOL_CALLS, "tool_calls"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
        (FinishReason.REFUSAL, "content_filter"),
        (FinishReason.PAUSE, "stop"),
    ],
)
def test_each_reason_has_its_word(reason: FinishReason, word: str) -> None:
    assert finish(TextDelta("Hi", 0), Finish(reason, "x")) == word


def test_what_the_word_does_not_tell_is_a_loss() -> None:
    losses = Losses()
    finish(TextDelta("Hi", 0), Finish(FinishReason.PAUSE, "pause_turn", "END"), losses=losses)
    assert [loss.field for loss in losses.told()] == ["stop_reason", "stop_sequence"]


def test_a_stop_behind_a_call_waits_for_its_result() -> None:
    assert finish(ToolCallBegin(0, "a", "f"), STOP) == "tool_calls"


class TestUsage:
    def test_it_comes_last_in_a_chunk_without_choices(self) -> None:
        *_, usage, done = stream(TextDelta("Hi", 0), STOP)
        assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 15)
        assert done == {"type": "[DONE]"}

    def test_a_client_that_did_not_ask_gets_none(self) -> None:
        encoding = encoder(Api.CHAT, origin="up", wants_usage=False)
        assert b"usage" not in encoded(encoding, [BEGIN, TextDelta("Hi", 0), STOP, USAGE])

    def test_none_is_made_up(self) -> None:
        losses = Losses()
        assert b"usage" not in encoded(encoder(Api.CHAT, origin="up", losses=losses), [BEGIN, TextDelta("Hi", 0), STOP])
        assert [loss.field for loss in losses.told()] == ["usage"]

    def test_everything_that_counts(self) -> None:
        usage = Usage(
            input_uncached=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, output=6, reasoning=5, audio_input=1,
            server_tools={"web_search": 2}, service_tier="standard", reported_cost=Decimal("0.0012"), is_byok=False,
        )  # fmt: skip
        *_, finished, last, _ = told(encoded(encoder(Api.CHAT, origin="up"), [BEGIN, STOP, UsageReport(usage)]))
        assert last["usage"] == {
            "prompt_tokens": 10,
            "completion_tokens": 6,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7, "audio_tokens": 1},
            "completion_tokens_details": {
                "reasoning_tokens": 5,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
            "server_tool_use_details": {"web_search_requests": 2},
            "cost": 0.0012,
            "is_byok": False,
        }
        assert (finished["service_tier"], last["service_tier"]) == ("default", "default")


def test_an_empty_answer_is_a_role_and_a_finish() -> None:
    role, finished, usage, _ = stream(STOP)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert finished["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert usage["choices"] == []


def test_an_answer_without_names_gets_an_id_of_ours() -> None:
    first = told(encoded(encoder(Api.CHAT), [TextDelta("Hi", 0), STOP]))[0]
    assert (first["id"], first["model"]) == ("chatcmpl-1", "")


def test_names_that_come_late_do_not_change_those_that_were_told() -> None:
    out = told(encoded(encoder(Api.CHAT), [TextDelta("Hi", 0), BEGIN, STOP, USAGE]))
    assert {event["id"] for event in out[:-1]} == {"chatcmpl-1"}


def test_a_ping_is_a_comment() -> None:
    assert encoder(Api.CHAT).ping() == b": keep-alive\n\n"


def test_a_fault_in_mid_stream_is_an_error_and_nothing_behind_it() -> None:
    fault = Fault("overloaded_error", "no more")
    events: list[Event] = [BEGIN, TextDelta("Hi", 0), fault, TextDelta("never", 0), STOP, End()]
    *chunks, last = check(Api.CHAT, encoded(encoder(Api.CHAT, origin="up"), events), failed=True)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None]
    assert last["error"]["message"] == "no more"
    assert last["error"]["code"] == "overloaded_error"


class TestWhole:
    def whole(self, *events: Event, origin: str | None = "up") -> dict[str, Any]:
        said: dict[str, Any] = json.loads(encoder(Api.CHAT, origin=origin).whole(fold([BEGIN, *events])))
        return said

    def message(self, *events: Event, origin: str | None = "up") -> dict[str, Any]:
        said: dict[str, Any] = self.whole(*events, origin=origin)["choices"][0]["message"]
        return said

    def test_a_body_says_what_a_stream_would(self) -> None:
        calls: list[Event] = [ToolCallBegin(2, "a", "f"), ToolCallDelta(2, '{"x": 1.50}')]
        body = self.whole(TextDelta("Hi", 0), RefusalDelta("No", 1), *calls, STOP, USAGE)
        usage = body.pop("usage")
        assert body == {
            "id": "id_1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Hi",
                        "refusal": "No",
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.50}'}}
                        ],
                    },
                    "logprobs": None,
                    "finish_reason": "tool_calls",
                }
            ],
        }
        assert usage["total_tokens"] == 15

    def test_no_text_is_null(self) -> None:
        assert self.message(STOP) == {"role": "assistant", "content": None, "refusal": None}

    def test_paragraphs_of_reasoning_are_one_detail(self) -> None:
        seal = Seal("encrypted", "gAAA")
        said = self.message(ReasoningDelta("One", 0), ReasoningDelta("Two", 1), ReasoningSeal(1, seal), STOP)
        (detail,) = said["reasoning_details"]
        assert (said["reasoning_content"], detail["text"], detail["index"]) == ("One\n\nTwo", "One\n\nTwo", 0)
        assert detail["signature"].split(".")[2] == "encrypted"

    def test_openrouters_own_details_pass_as_they_are(self) -> None:
        said = self.message(ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("detail", DETAIL)), STOP, origin=None)
        assert said["reasoning_details"] == [
            {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "f", "index": 0}
        ]

    def test_a_call_keeps_googles_own_seal(self) -> None:
        said = self.message(ReasoningSeal(0, Seal("google", "c2ln")), ToolCallBegin(1, "a", "f"), STOP, origin=None)
        assert said["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
        assert "reasoning_details" not in said


def test_openais_sdk_adds_up_the_citations_of_several_texts() -> None:
    """It knows entries of a list in further deltas by their `index` alone."""
    texts: list[Event] = [
        *(TextDelta("One.", 0), Cited(0, Citation("http://a")), Cited(0, Citation("http://b"))),
        *(ReasoningDelta("Hm", 1), TextDelta("Two.", 2), Cited(2, Citation("http://c"))),
    ]
    listed = [delta["annotations"] for delta in deltas(*texts) if "annotations" in delta]
    assert [[one["index"] for one in some] for some in listed] == [[0, 1], [2]]
    acc: dict[object, Any] = {}
    for delta in deltas(*texts):
        acc = accumulate_delta(acc, dict(delta.items()))
    assert [one["url_citation"]["url"] for one in acc["annotations"]] == ["http://a", "http://b", "http://c"]
