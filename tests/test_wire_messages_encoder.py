"""What a Messages client gets: Anthropic's events in Anthropic's order."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from support_grammar import check, told
from support_translation import encoded, encoder
from trivium.canon.api import Api
from trivium.canon.events import (
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
from trivium.canon.parts import Citation, Seal, Text, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.losses import Loss, Losses

BEGIN = Begin("id_1", "m")
STOP = Finish(FinishReason.STOP, "stop")
USAGE = UsageReport(Usage(input_uncached=7, cache_read=3, output=5))
CALL: list[Event] = [ToolCallBegin(1, "a", "f"), ToolCallDelta(1, "{}")]


def stream(*events: Event, origin: str | None = "up", losses: Losses | None = None) -> list[dict[str, Any]]:
    """What is said between `message_start` and the end, by default for an upstream of another API."""
    encoding = encoder(Api.MESSAGES, origin=origin, losses=losses)
    out = check(Api.MESSAGES, encoded(encoding, [BEGIN, *events, USAGE, End()]))
    assert out[0]["type"] == "message_start"
    return out[1:]


def blocks(*events: Event, origin: str | None = "up") -> list[dict[str, Any]]:
    return stream(*events, STOP, origin=origin)[:-2]


def start(at: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": at, "content_block": block}


def delta(at: int, **said: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": at, "delta": said}


def stop(at: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": at}


def test_a_text_from_its_first_event_to_its_last_byte() -> None:
    encoding = encoder(Api.MESSAGES, origin="up")
    assert encoding.encode([BEGIN]) == b""
    assert encoding.encode([TextDelta("Hi \u2028", 0)]) == (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"id_1","type":"message",'
        b'"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,'
        b'"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
        b'{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"Hi \xe2\x80\xa8"}}\n\n'
    )
    assert encoding.encode([TextDelta("you", 0)]) == (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"you"}}\n\n'
    )
    assert encoding.encode([STOP]) == b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    assert encoding.encode([USAGE, End()]) == b""
    assert encoding.close() == (
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":3,"output_tokens":5}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


class TestReasoning:
    def test_reasoning_without_a_seal_is_sealed_by_us(self) -> None:
        thought: list[Event] = [ReasoningDelta("Hm", 0), ReasoningDelta("m", 0), TextDelta("Hi", 1)]
        *before, sealed, end, text = blocks(*thought)[:6]
        assert before == [
            start(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="Hm"),
            delta(0, type="thinking_delta", thinking="m"),
        ]
        assert sealed["delta"]["type"] == "signature_delta"
        assert sealed["delta"]["signature"].split(".")[2] == "plain"
        assert (end, text) == (stop(0), start(1, type="text", text=""))

    def test_a_seal_ends_its_block_in_our_envelope(self) -> None:
        said = blocks(ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("detail", "{}")), ReasoningDelta("So", 1))
        sealed = said[2]["delta"]["signature"]
        assert sealed.split(".")[2] == "detail"
        assert sealed.endswith(".{}")
        assert said[3:5] == [stop(0), start(1, type="thinking", thinking="", signature="")]

    def test_anthropics_own_signature_passes_as_it_is(self) -> None:
        said = blocks(ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("signature", "c2ln")), origin=None)
        assert said[2:] == [delta(0, type="signature_delta", signature="c2ln"), stop(0)]

    def test_nothing_but_a_seal_is_a_redacted_block(self) -> None:
        opened, closed = blocks(ReasoningSeal(0, Seal("encrypted", "gAAA")))
        assert opened["content_block"]["type"] == "redacted_thinking"
        assert opened["content_block"]["data"].split(".")[2] == "encrypted"
        assert closed == stop(0)

    def test_anthropics_own_redacted_block_passes_as_it_is(self) -> None:
        said = blocks(ReasoningSeal(0, Seal("redacted", "ZGF0YQ")), TextDelta("Hi", 1), origin=None)
        assert said[:2] == [start(0, type="redacted_thinking", data="ZGF0YQ"), stop(0)]

    def test_a_signature_of_no_thinking_at_all_passes_as_it_is(self) -> None:
        said = blocks(ReasoningSeal(0, Seal("signature", "c2ln")), origin=None)
        assert said == [start(0, type="thinking", thinking="", signature="c2ln"), stop(0)]


class TestThoughtBeforeCalls:
    """Who asked for thinking by a budget must hand in a thought before calls, if it goes on with Claude."""

    CALLS: tuple[Event, ...] = (ToolCallBegin(1, "a", "f"), ToolCallBegin(2, "b", "f"))

    def kinds(self, *events: Event, **asked: Any) -> list[str]:
        """Of the blocks, which are the same of a body and a stream."""
        whole = json.loads(encoder(Api.MESSAGES, **asked).whole(fold([BEGIN, *events, STOP])))["content"]
        out = told(encoded(encoder(Api.MESSAGES, **asked), [BEGIN, *events, STOP]))
        kinds = [event["content_block"]["type"] for event in out if event["type"] == "content_block_start"]
        assert [block["type"] for block in whole] == kinds
        return kinds

    def test_calls_without_one_get_an_empty_one(self) -> None:
        found = self.kinds(TextDelta("Hi", 0), *self.CALLS, origin="up", thoughtful=True)
        assert found == ["text", "redacted_thinking", "tool_use", "tool_use"]

    @pytest.mark.parametrize("thought", [ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("encrypted", "gAAA"))])
    def test_those_with_one_keep_it(self, thought: Event) -> None:
        found = self.kinds(thought, *self.CALLS, origin="up", thoughtful=True)
        assert found[1:] == ["tool_use", "tool_use"]

    def test_nobody_else_gets_any(self) -> None:
        assert self.kinds(TextDelta("Hi", 0), origin="up", thoughtful=True) == ["text"]
        assert self.kinds(*self.CALLS, origin="up") == ["tool_use", "tool_use"]
        assert self.kinds(*self.CALLS, thoughtful=True) == ["tool_use", "tool_use"]


class TestCalls:
    def test_parallel_calls_follow_each_other(self) -> None:
        calls: list[Event] = [ToolCallBegin(0, "a", "f"), ToolCallDelta(0, '{"x":'), ToolCallDelta(0, "1}")]
        assert blocks(*calls, ToolCallBegin(1, "b", "g"), ToolCallDelta(1, "{}")) == [
            start(0, type="tool_use", id="a", name="f", input={}),
            delta(0, type="input_json_delta", partial_json='{"x":'),
            delta(0, type="input_json_delta", partial_json="1}"),
            stop(0),
            start(1, type="tool_use", id="b", name="g", input={}),
            delta(1, type="input_json_delta", partial_json="{}"),
            stop(1),
        ]

    def test_interleaved_calls_are_put_in_order(self) -> None:
        begun = [ToolCallBegin(0, "a", "f"), ToolCallBegin(1, "b", "g")]
        mixed: list[Event] = [
            ToolCallDelta(1, "{"),
            ToolCallDelta(0, '{"x":'),
            ToolCallDelta(1, "}"),
            ToolCallDelta(0, "1}"),
        ]
        assert [event.get("delta", {}).get("partial_json") for event in blocks(*begun, *mixed)] == [
            None, '{"x":', "1}", None, None, "{", "}", None,
        ]  # fmt: skip

    def test_a_call_without_an_id_gets_one_and_an_odd_id_a_coded_one(self) -> None:
        said = blocks(ToolCallBegin(0, "", "f"), ToolCallDelta(0, "{}"), ToolCallBegin(1, "functions.f:1", "f"))
        ids = [event["content_block"]["id"] for event in said if event["type"] == "content_block_start"]
        assert ids == ["call_1_0", "tvid_ZnVuY3Rpb25zLmY6MQ"]

    def test_free_text_is_the_one_argument_of_a_call(self) -> None:
        call: list[Event] = [
            ToolCallBegin(0, "a", "patch", ToolKind.CUSTOM),
            ToolCallDelta(0, 'say "'),
            ToolCallDelta(0, '\\n"\n'),
        ]
        said = "".join(event["delta"]["partial_json"] for event in blocks(*call) if "delta" in event)
        assert json.loads(said) == {"input": 'say "\\n"\n'}

    def test_free_text_that_never_came_is_empty(self) -> None:
        said = "".join(
            event["delta"]["partial_json"]
            for event in blocks(ToolCallBegin(0, "a", "p", ToolKind.CUSTOM))
            if "delta" in event
        )
        assert json.loads(said) == {"input": ""}

    def test_a_tools_namespace_stays_away(self) -> None:
        said = blocks(ToolCallBegin(0, "a", "f", namespace="ns"))
        assert said[0] == start(0, type="tool_use", id="a", name="f", input={})


def test_a_refusal_is_text_and_told_by_the_stop_reason() -> None:
    said = stream(TextDelta("I", 0), RefusalDelta("No.", 1), STOP)
    assert said[3:5] == [start(1, type="text", text=""), delta(1, type="text_delta", text="No.")]
    assert said[-2]["delta"]["stop_reason"] == "refusal"


class TestBlanks:
    """A text of nothing else is refused by Claude when the conversation goes on there."""

    def test_those_before_a_text_go_out_with_its_first_word(self) -> None:
        pieces: list[Event] = [TextDelta(piece, 0) for piece in ("\n", " ", "\tHi ", " ", "you")]
        said = [delta(0, type="text_delta", text=text) for text in ("\n \tHi ", " ", "you")]
        assert blocks(*pieces) == [start(0, type="text", text=""), *said, stop(0)]

    def test_a_text_of_nothing_else_is_left_out(self) -> None:
        around: list[Event] = [TextDelta(" ", 0), TextDelta("\n", 0), *CALL, RefusalDelta(" ", 2), TextDelta("Hi", 3)]
        assert [event["content_block"]["type"] for event in blocks(*around) if "content_block" in event] == [
            "tool_use",
            "text",
        ]
        assert blocks(TextDelta(" \n", 0)) == []

    def test_they_count_as_kept_while_they_wait(self) -> None:
        encoding = encoder(Api.MESSAGES, origin="up")
        encoding.encode([BEGIN, TextDelta(" " * 1000, 0)])
        assert encoding.kept == 1000
        encoding.more(0, Text, ["\n", "Hi"])
        assert encoding.kept == 0
        encoding.encode([TextDelta("  ", 1), STOP])
        assert encoding.kept == 0


def test_citations_are_a_loss() -> None:
    losses = Losses()
    said = stream(TextDelta("Hi", 0), Cited(0, Citation("http://a")), STOP, losses=losses)
    assert [event["type"] for event in said[:3]] == ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [loss.field for loss in losses.told()] == ["annotations"]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "end_turn"),
        (FinishReason.LENGTH, "max_tokens"),
        (FinishReason.TOOL_CALLS, "tool_use"),
        (FinishReason.CONTENT_FILTER, "refusal"),
        (FinishReason.REFUSAL, "refusal"),
        (FinishReason.PAUSE, "pause_turn"),
    ],
)
def test_each_reason_has_its_word(reason: FinishReason, word: str) -> None:
    assert stream(TextDelta("Hi", 0), Finish(reason, "x"))[-2]["delta"] == {"stop_reason": word, "stop_sequence": None}


def test_the_stop_sequence_is_named() -> None:
    ended = stream(TextDelta("Hi", 0), Finish(FinishReason.STOP, "stop_sequence", "END"), origin=None)
    assert ended[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_a_stop_behind_a_call_waits_for_its_result() -> None:
    assert stream(ToolCallBegin(0, "a", "f"), STOP)[-2]["delta"]["stop_reason"] == "tool_use"


class TestUsage:
    def test_what_is_known_at_the_start_is_told_there_and_the_truth_at_the_end(self) -> None:
        first, last = Usage(input_uncached=7, cache_write_5m=2), Usage(input_uncached=9, cache_write_other=2, output=4)
        encoding = encoder(Api.MESSAGES, origin="up")
        events: list[Event] = [BEGIN, UsageReport(first), TextDelta("Hi", 0), STOP, UsageReport(last)]
        out = told(encoded(encoding, events))
        assert out[0]["message"]["usage"] == {
            "input_tokens": 7,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 0,
        }
        assert out[-2]["usage"]["input_tokens"] == 9
        assert out[-2]["usage"]["output_tokens"] == 4

    def test_everything_that_counts(self) -> None:
        usage = Usage(
            input_uncached=1,
            cache_read=2,
            cache_write_1h=3,
            output=5,
            reasoning=4,
            server_tools={"web_search": 2},
            service_tier="default",
            reported_cost=Decimal("0.0012"),
        )
        encoding = encoder(Api.MESSAGES, origin="up")
        assert told(encoded(encoding, [BEGIN, STOP, UsageReport(usage)]))[-2]["usage"] == {
            "input_tokens": 1,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 2,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 3},
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 4},
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
            "service_tier": "standard",
            "cost": 0.0012,
        }

    def test_unknown_usage_is_zeros_and_a_loss(self) -> None:
        losses = Losses()
        out = told(encoded(encoder(Api.MESSAGES, origin="up", losses=losses), [BEGIN, TextDelta("Hi", 0), STOP]))
        assert out[-2]["usage"]["output_tokens"] == 0
        assert losses.told() == (Loss("usage", "the upstream told none"),)


def test_an_empty_answer_has_no_blocks() -> None:
    out = check(Api.MESSAGES, encoded(encoder(Api.MESSAGES, origin="up"), [BEGIN, STOP, USAGE, End()]))
    assert [event["type"] for event in out] == ["message_start", "message_delta", "message_stop"]


def test_an_answer_without_names_gets_an_id_of_ours() -> None:
    message = told(encoded(encoder(Api.MESSAGES), [TextDelta("Hi", 0), STOP]))[0]["message"]
    assert (message["id"], message["model"]) == ("msg_1", "")


def test_a_ping_is_anthropics() -> None:
    assert encoder(Api.MESSAGES).ping() == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_a_fault_in_mid_stream_is_an_error_event_and_nothing_behind_it() -> None:
    fault = Fault("server_error", "no more", "overloaded_error")
    events: list[Event] = [BEGIN, TextDelta("Hi", 0), fault, TextDelta("never", 0), STOP, End()]
    out = check(Api.MESSAGES, encoded(encoder(Api.MESSAGES, origin="up"), events), failed=True)
    assert [event["type"] for event in out] == ["message_start", "content_block_start", "content_block_delta", "error"]
    error = out[-1]["error"]
    assert (error["type"], error["message"]) == ("overloaded_error", "no more")


def _is_input(event: dict[str, Any]) -> bool:
    return bool(event.get("delta", {}).get("type") == "input_json_delta")


class TestWhole:
    def whole(self, *events: Event, origin: str | None = "up") -> dict[str, Any]:
        said: dict[str, Any] = json.loads(encoder(Api.MESSAGES, origin=origin).whole(fold([BEGIN, *events])))
        return said

    def test_a_body_has_the_blocks_that_a_stream_would_have(self) -> None:
        call: list[Event] = [ToolCallBegin(2, "a", "f"), ToolCallDelta(2, '{"x": 1.50}')]
        said = self.whole(
            ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("signature", "s")), TextDelta("Hi", 1), *call, STOP
        )
        thought = said["content"].pop(0)
        assert (thought["type"], thought["thinking"]) == ("thinking", "Hm")
        assert thought["signature"].split(".")[2] == "signature"
        assert said == {
            "id": "id_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.5}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 0,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 0,
            },
        }

    def test_paragraphs_of_reasoning_are_one_block(self) -> None:
        (block,) = self.whole(ReasoningDelta("One", 0), ReasoningDelta("Two", 1), STOP)["content"]
        assert block["thinking"] == "One\n\nTwo"

    @pytest.mark.parametrize(
        ("arguments", "input"),
        [
            ("", {}),
            ("  ", {}),
            ('{"x": 1', {"unreadable_arguments": '{"x": 1'}),
            ("[1]", {"unreadable_arguments": "[1]"}),
            ("null", {}),
            (" null ", {}),
            ("nul", {"unreadable_arguments": "nul"}),
            ("nullable", {"unreadable_arguments": "nullable"}),
            (" \n[1]", {"unreadable_arguments": "[1]"}),
            ("null \n", {}),
            ('say "no"\n', {"unreadable_arguments": 'say "no"\n'}),
            ('\n {"x": "1"}', {"x": "1"}),
            ('\u00a0{"x": 1}', {"unreadable_arguments": '\u00a0{"x": 1}'}),
        ],
    )
    def test_arguments_that_are_no_object_are_kept_as_text(self, arguments: str, input: dict[str, Any]) -> None:
        call: list[Event] = [ToolCallBegin(0, "a", "f"), *([ToolCallDelta(0, arguments)] if arguments else [])]
        assert self.whole(*call, STOP)["content"][0]["input"] == input
        if not arguments.startswith("{"):  # what begins as an object goes on as it comes
            letters = [ToolCallBegin(0, "a", "f"), *(ToolCallDelta(0, letter) for letter in arguments)]
            for pieces in (call, letters):
                out = told(encoded(encoder(Api.MESSAGES, origin="up"), [BEGIN, *pieces, STOP]))
                streamed = "".join(event["delta"]["partial_json"] for event in out if _is_input(event))
                assert (json.loads(streamed) if streamed else {}) == input
                assert streamed == streamed.lstrip()

    @pytest.mark.parametrize("begin", ["", "null"])
    def test_blanks_without_number_are_dropped(self, begin: str) -> None:
        through = encoder(Api.MESSAGES, origin="up")
        through.encode([BEGIN, ToolCallBegin(0, "a", "f")])
        assert through.encode([ToolCallDelta(0, begin + " " * 4_000_000)]) == b""
        assert through.encode([ToolCallDelta(0, " ") for _ in range(50_000)]) == b""

    def test_a_free_text_is_the_one_argument(self) -> None:
        call: list[Event] = [ToolCallBegin(0, "a", "p", ToolKind.CUSTOM), ToolCallDelta(0, "*** Patch")]
        assert self.whole(*call, STOP)["content"][0]["input"] == {"input": "*** Patch"}

    def test_a_text_of_nothing_but_blanks_is_left_out(self) -> None:
        said = self.whole(TextDelta(" \n", 0), *CALL, TextDelta("\n\nHi", 2), STOP)
        assert said["content"] == [
            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            {"type": "text", "text": "\n\nHi"},
        ]

    def test_a_redacted_block_stays_one(self) -> None:
        said = self.whole(ReasoningSeal(0, Seal("redacted", "ZGF0YQ")), STOP, origin=None)
        assert said["content"] == [{"type": "redacted_thinking", "data": "ZGF0YQ"}]
