"""What a Responses client gets: each event that OpenAI's SDKs and Codex wait for, in OpenAI's order."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseUsage

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
from trivium.canon.parts import Citation, Seal, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.asked import Asked
from trivium.wire.losses import Losses
from trivium.wire.responses.encoder import ResponsesEncoder

BEGIN = Begin("id_1", "m")
STOP = Finish(FinishReason.STOP, "stop")
USAGE = UsageReport(Usage(input_uncached=7, cache_read=3, output=5))
Said = dict[str, Any]


def stream(*events: Event, origin: str | None = "up", losses: Losses | None = None) -> list[Said]:
    """The grammar checks numbers, ids, and that the whole repeats what was said."""
    encoding = encoder(Api.RESPONSES, origin=origin, losses=losses)
    return check(Api.RESPONSES, encoded(encoding, [BEGIN, *events, USAGE, End()]))


def events_of(*events: Event, origin: str | None = "up") -> list[Said]:
    """What is said between the beginning and the end, without numbers, and items by their place."""
    out = stream(*events, STOP, origin=origin)[2:-1]
    return [
        {name: value for name, value in event.items() if name not in ("sequence_number", "item_id")} for event in out
    ]


def kinds(*events: Event) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events_of(*events)]


def last(*events: Event, losses: Losses | None = None) -> Said:
    response: Said = stream(*events, losses=losses)[-1]["response"]
    return response


CALL = (ToolCallBegin(1, "b", "f"),)


def statuses(*events: Event) -> list[str]:
    """Of an answer's items: the same as they end, in the final response, and in an answer that is no stream."""
    said = stream(*events)
    found = [event["item"]["status"] for event in said if event["type"] == "response.output_item.done"]
    assert [item["status"] for item in said[-1]["response"]["output"]] == found
    whole = json.loads(encoder(Api.RESPONSES, origin="up").whole(fold([BEGIN, *events, USAGE, End()])))
    assert [item["status"] for item in whole["output"]] == found
    return found


def output_text(said: str, **more: Any) -> Said:
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": [], **more}


def test_a_text_from_its_first_event_to_its_last() -> None:
    created, in_progress, *between, completed = stream(TextDelta("Hi ", 0), TextDelta("you", 0), STOP)
    shell = {
        "id": "id_1", "object": "response", "created_at": 1, "status": "in_progress", "error": None,
        "incomplete_details": None, "model": "m", "output": [], "usage": None, "instructions": None,
        "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "store": False, "temperature": None,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": None,
        "truncation": "disabled",
    }  # fmt: skip
    assert created == {"type": "response.created", "sequence_number": 0, "response": shell}
    assert in_progress == {"type": "response.in_progress", "sequence_number": 1, "response": shell}
    item = {"id": "msg_1_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    done = {**item, "status": "completed", "content": [output_text("Hi you")]}
    at: Said = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    assert between == [
        {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item},
        {"type": "response.content_part.added", "sequence_number": 3, **at, "part": output_text("")},
        {"type": "response.output_text.delta", "sequence_number": 4, **at, "delta": "Hi ", "logprobs": []},
        {"type": "response.output_text.delta", "sequence_number": 5, **at, "delta": "you", "logprobs": []},
        {"type": "response.output_text.done", "sequence_number": 6, **at, "text": "Hi you", "logprobs": []},
        {"type": "response.content_part.done", "sequence_number": 7, **at, "part": output_text("Hi you")},
        {"type": "response.output_item.done", "sequence_number": 8, "output_index": 0, "item": done},
    ]
    usage = completed["response"].pop("usage")
    shell = {name: value for name, value in shell.items() if name != "usage"}
    assert completed == {
        "type": "response.completed",
        "sequence_number": 9,
        "response": {**shell, "status": "completed", "output": [done], "service_tier": None},
    }
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (10, 5, 15)


def test_every_event_is_named() -> None:
    encoding = encoder(Api.RESPONSES, origin="up")
    first = encoding.encode([BEGIN, TextDelta("Hi \u2028", 0)]).split(b"\n\n")[4]
    assert first == (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1_0",'
        b'"output_index":0,"content_index":0,"delta":"Hi \xe2\x80\xa8","logprobs":[],"sequence_number":4}'
    )


class TestReasoning:
    def test_it_is_a_summary_that_we_seal(self) -> None:
        *said, done = events_of(ReasoningDelta("H", 0), ReasoningDelta("m", 0), TextDelta("Hi", 1))[:7]
        part = {"type": "summary_text", "text": "Hm"}
        at = {"output_index": 0, "summary_index": 0}
        empty = {"id": "rs_1_0", "type": "reasoning", "summary": []}
        blank = {"type": "summary_text", "text": ""}
        assert said == [
            {"type": "response.output_item.added", "output_index": 0, "item": empty},
            {"type": "response.reasoning_summary_part.added", **at, "part": blank},
            {"type": "response.reasoning_summary_text.delta", **at, "delta": "H"},
            {"type": "response.reasoning_summary_text.delta", **at, "delta": "m"},
            {"type": "response.reasoning_summary_text.done", **at, "text": "Hm"},
            {"type": "response.reasoning_summary_part.done", **at, "part": part},
        ]
        sealed = done["item"].pop("encrypted_content")
        assert sealed.split(".")[2] == "plain"
        assert done["item"] == {"id": "rs_1_0", "type": "reasoning", "summary": [part]}

    def test_paragraphs_are_parts_of_one_summary_under_one_seal(self) -> None:
        seal = ReasoningSeal(1, Seal("signature", "s"))
        said = events_of(ReasoningDelta("One", 0), ReasoningDelta("Two", 1), seal, ReasoningDelta("Else", 2))
        first, second = (event["item"] for event in said if event["type"] == "response.output_item.done")
        assert [part["text"] for part in first["summary"]] == ["One", "Two"]
        assert first["encrypted_content"].split(".")[2] == "signature"
        assert [part["text"] for part in second["summary"]] == ["Else"]
        assert [event["summary_index"] for event in said if event["type"].endswith("summary_part.done")] == [0, 1, 0]

    def test_openais_own_seal_passes_as_it_is(self) -> None:
        said = events_of(ReasoningDelta("Hm", 0), ReasoningSeal(0, Seal("encrypted", "gAAA")), origin=None)
        assert said[-1]["item"]["encrypted_content"] == "gAAA"

    def test_openais_own_reasoning_without_a_seal_stays_without(self) -> None:
        said = events_of(ReasoningDelta("One", 0), ReasoningDelta("Two", 1), origin=None)
        assert said[-1]["item"] == {
            "id": "rs_1_0",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
        }

    def test_nothing_but_a_seal_is_an_item_without_a_summary(self) -> None:
        added, done = events_of(ReasoningSeal(0, Seal("redacted", "ZGF0YQ")))
        assert added["item"] == done["item"]
        assert (done["item"]["type"], done["item"]["summary"]) == ("reasoning", [])
        assert done["item"]["encrypted_content"].split(".")[2] == "redacted"


class TestCalls:
    def test_a_call_from_its_name_to_its_item(self) -> None:
        item = {"id": "fc_1_0", "type": "function_call", "status": "in_progress", "call_id": "a", "name": "f"}
        assert events_of(ToolCallBegin(0, "a", "f"), ToolCallDelta(0, '{"x":'), ToolCallDelta(0, "1}")) == [
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"x":'},
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "1}"},
            {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"x":1}'},
            {
                "type": "response.output_item.done",
                "output_index": 0,
                "item": {**item, "status": "completed", "arguments": '{"x":1}'},
            },
        ]

    def test_a_free_text_tool_has_input(self) -> None:
        _, delta, whole, done = events_of(ToolCallBegin(0, "a", "patch", ToolKind.CUSTOM), ToolCallDelta(0, "***"))
        assert delta == {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "***"}
        assert whole == {"type": "response.custom_tool_call_input.done", "output_index": 0, "input": "***"}
        assert done["item"] == {
            "id": "ctc_1_0", "type": "custom_tool_call", "status": "completed", "call_id": "a", "name": "patch",
            "input": "***",
        }  # fmt: skip

    def test_a_tool_keeps_its_namespace(self) -> None:
        added, *_, done = events_of(ToolCallBegin(0, "a", "close_agent", namespace="multi_agent_v1"))
        assert added["item"]["namespace"] == done["item"]["namespace"] == "multi_agent_v1"

    @pytest.mark.parametrize("blank", ["", " "])
    def test_a_function_without_arguments_has_an_empty_object_of_them(self, blank: str) -> None:
        said = events_of(ToolCallBegin(0, "a", "f"), ToolCallDelta(0, blank))
        (whole,) = [event["arguments"] for event in said if event["type"].endswith("arguments.done")]
        assert (json.loads(whole), "".join(event.get("delta", "") for event in said)) == ({}, whole)
        begun: list[Event] = [BEGIN, ToolCallBegin(0, "a", "f"), ToolCallDelta(0, blank)]
        (item,) = json.loads(encoder(Api.RESPONSES).whole(fold(begun)))["output"]
        assert json.loads(item["arguments"]) == {}
        free = events_of(ToolCallBegin(0, "a", "patch", ToolKind.CUSTOM))
        assert free[-1]["item"]["input"] == ""

    def test_interleaved_calls_are_put_in_order(self) -> None:
        begun: list[Event] = [ToolCallBegin(0, "a", "f"), ToolCallBegin(1, "b", "g")]
        mixed: list[Event] = [ToolCallDelta(1, "{"), ToolCallDelta(0, '{"x":1}'), ToolCallDelta(1, "}")]
        said = events_of(*begun, *mixed)
        assert [(event["output_index"], event["delta"]) for event in said if "delta" in event] == [
            (0, '{"x":1}'), (1, "{"), (1, "}"),
        ]  # fmt: skip

    def test_a_call_without_an_id_gets_one_and_an_odd_id_a_coded_one(self) -> None:
        said = events_of(ToolCallBegin(0, "", "f"), ToolCallDelta(0, "{}"), ToolCallBegin(1, "f:1", "f"))
        assert [event["item"]["call_id"] for event in said if event["type"].endswith("item.done")] == [
            "call_1_0", "tvid_Zjox",
        ]  # fmt: skip


def test_text_and_refusal_side_by_side_share_a_message() -> None:
    assert kinds(TextDelta("I", 0), RefusalDelta("No.", 1), ToolCallBegin(2, "a", "f")) == [
        "output_item.added",
        "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "content_part.added", "refusal.delta", "refusal.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
    ]  # fmt: skip
    (item,) = last(TextDelta("I", 0), RefusalDelta("No.", 1), STOP)["output"]
    assert item["content"] == [output_text("I"), {"type": "refusal", "refusal": "No."}]


def test_citations_come_at_the_end_of_their_text_and_again_with_it() -> None:
    cited = [Cited(0, Citation("http://a", "A", 1, 2)), Cited(0, Citation("http://b"))]
    said = events_of(TextDelta("Text", 0), *cited)
    notes = [event for event in said if event["type"] == "response.output_text.annotation.added"]
    assert [note["annotation_index"] for note in notes] == [0, 1]
    assert [note["annotation"] for note in notes] == [
        {"type": "url_citation", "url": "http://a", "title": "A", "start_index": 1, "end_index": 2},
        {"type": "url_citation", "url": "http://b", "title": "http://b", "start_index": 0, "end_index": 4},
    ]
    assert said[-1]["item"]["content"][0]["annotations"] == [note["annotation"] for note in notes]


def test_probabilities_lie_beside_their_deltas_and_again_with_the_whole() -> None:
    token = {"token": "100%d", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    said = events_of(TextDelta("100%d", 0, [token]), TextDelta("!", 0))
    assert [event["logprobs"] for event in said if "logprobs" in event] == [[token], [], [token]]
    assert said[-1]["item"]["content"][0]["logprobs"] == [token]


class TestEnd:
    @pytest.mark.parametrize(
        ("reason", "status", "details"),
        [
            (FinishReason.STOP, "completed", None),
            (FinishReason.TOOL_CALLS, "completed", None),
            (FinishReason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
            (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
            (FinishReason.REFUSAL, "incomplete", {"reason": "content_filter"}),
            (FinishReason.PAUSE, "incomplete", {"reason": "pause_turn"}),
        ],
    )
    def test_each_reason_has_its_status(self, reason: FinishReason, status: str, details: Said | None) -> None:
        *_, ended = stream(TextDelta("Hi", 0), Finish(reason, "x"))
        assert ended["type"] == f"response.{status}"
        assert (ended["response"]["status"], ended["response"]["incomplete_details"]) == (status, details)

    @pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
    def test_what_is_cut_short_is_an_incomplete_item(self, reason: FinishReason) -> None:
        cut = Finish(reason, "cut")
        assert statuses(TextDelta("Hel", 0), cut) == ["incomplete"]
        assert statuses(TextDelta("Hm", 0), *CALL, ToolCallDelta(1, '{"a'), cut) == ["completed", "incomplete"]
        assert statuses(TextDelta("Hm", 0), *CALL, ToolCallDelta(1, '{"a":1}'), cut) == ["completed", "completed"]
        assert statuses(*CALL, ToolCallDelta(1, '{"a":1}'), TextDelta("Hm", 2), cut) == ["completed", "incomplete"]
        both = (*CALL, ToolCallBegin(2, "c", "g"), ToolCallDelta(1, "{"), ToolCallDelta(2, "{}"))
        assert statuses(*both, cut) == ["incomplete", "completed"]
        free = ToolCallBegin(3, "d", "h", ToolKind.CUSTOM)
        assert statuses(free, ToolCallDelta(3, "begin"), cut) == ["incomplete"]

    def test_what_is_not_cut_short_is_complete(self) -> None:
        assert statuses(TextDelta("Hel", 0), STOP) == ["completed"]
        assert statuses(TextDelta("Hel", 0), Finish(FinishReason.PAUSE, "pause_turn")) == ["completed"]
        assert statuses(RefusalDelta("No", 0), Finish(FinishReason.REFUSAL, "refusal")) == ["completed"]
        assert statuses(*CALL, ToolCallDelta(1, '{"a'), Finish(FinishReason.TOOL_CALLS, "t")) == ["completed"]

    def test_a_refusal_that_was_said_is_complete(self) -> None:
        assert last(RefusalDelta("No", 0), Finish(FinishReason.REFUSAL, "refusal"))["status"] == "completed"

    def test_a_stop_sequence_is_a_loss(self) -> None:
        losses = Losses()
        last(TextDelta("Hi", 0), Finish(FinishReason.STOP, "stop_sequence", "END"), losses=losses)
        assert [loss.field for loss in losses.told()] == ["stop_sequence"]

    def test_usage_is_everything_that_counts(self) -> None:
        usage = Usage(
            input_uncached=1, cache_read=2, cache_write_5m=3, output=6, reasoning=5, server_tools={"web_search": 2},
            service_tier="standard", reported_cost=Decimal("0.0012"),
        )  # fmt: skip
        out = told(encoded(encoder(Api.RESPONSES, origin="up"), [BEGIN, STOP, UsageReport(usage)]))
        assert out[-1]["response"]["usage"] == {
            "input_tokens": 6,
            "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
            "output_tokens": 6,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 12,
            "server_tool_use_details": {"web_search_requests": 2},
            "cost": 0.0012,
        }
        assert out[-1]["response"]["service_tier"] == "default"

    def test_details_that_count_nothing_are_told_where_the_sdk_requires_them(self) -> None:
        usage = UsageReport(Usage(input_uncached=5, output=2))
        out = told(encoded(encoder(Api.RESPONSES, origin="up"), [BEGIN, STOP, usage]))
        details = ResponseUsage.model_validate(out[-1]["response"]["usage"]).input_tokens_details
        assert (details.cached_tokens, details.cache_write_tokens) == (0, 0)

    def test_unknown_usage_is_none_and_a_loss(self) -> None:
        losses = Losses()
        out = told(encoded(encoder(Api.RESPONSES, origin="up", losses=losses), [BEGIN, TextDelta("Hi", 0), STOP]))
        assert out[-1]["response"]["usage"] is None
        assert [loss.field for loss in losses.told()] == ["usage"]

    def test_an_empty_answer_has_no_items(self) -> None:
        out = stream(STOP)
        assert [event["type"] for event in out] == ["response.created", "response.in_progress", "response.completed"]
        assert out[-1]["response"]["output"] == []


def test_the_request_is_repeated() -> None:
    echo = {"tools": msgspec.Raw(b'[{"type":"function"}]'), "temperature": 0.5, "store": False}
    encoding = ResponsesEncoder(Asked(id="1", created=1, origin="up", echo=echo), Losses())
    first, *_, ended = told(encoded(encoding, [BEGIN, TextDelta("Hi", 0), STOP]))
    for response in (first["response"], ended["response"]):
        assert (response["tools"], response["temperature"]) == ([{"type": "function"}], 0.5)


def test_an_answer_without_names_gets_an_id_of_ours() -> None:
    response = told(encoded(encoder(Api.RESPONSES), [TextDelta("Hi", 0), STOP]))[0]["response"]
    assert (response["id"], response["model"]) == ("resp_1", "")


def test_a_ping_is_a_comment() -> None:
    assert encoder(Api.RESPONSES).ping() == b": keep-alive\n\n"


def test_a_fault_in_mid_stream_is_an_error_and_a_failed_response_that_go_on_counting() -> None:
    fault = Fault("overloaded_error", "no more")
    events: list[Event] = [BEGIN, TextDelta("Hi", 0), fault, TextDelta("never", 0), STOP, End()]
    out = check(Api.RESPONSES, encoded(encoder(Api.RESPONSES, origin="up"), events), failed=True)
    assert [event["type"] for event in out[-3:]] == ["response.output_text.delta", "error", "response.failed"]
    begun, failed = out[0]["response"], out[-1]["response"]
    assert begun.keys() <= failed.keys()
    assert {name for name in begun if begun[name] != failed[name]} == {"status", "error"}
    assert out[-2]["error"]["message"] == "no more"
    assert out[-1]["response"]["id"] == "id_1"
    assert out[-1]["response"]["error"] == {"code": "overloaded_error", "message": "no more"}


class TestWhole:
    def whole(self, *events: Event, origin: str | None = "up") -> Said:
        said: Said = json.loads(encoder(Api.RESPONSES, origin=origin).whole(fold([BEGIN, *events])))
        return said

    def test_a_body_is_the_response_that_a_stream_would_end_with(self) -> None:
        seal = ReasoningSeal(1, Seal("signature", "s"))
        thoughts: list[Event] = [ReasoningDelta("One", 0), ReasoningDelta("Two", 1), seal, ReasoningDelta("Else", 2)]
        texts: list[Event] = [TextDelta("Hi", 3), Cited(3, Citation("http://a", "A", 0, 1)), RefusalDelta("No", 4)]
        calls: list[Event] = [
            ToolCallBegin(5, "a", "f", namespace="ns"),
            ToolCallDelta(5, '{"x": 1.50}'),
            ToolCallBegin(6, "b", "p", ToolKind.CUSTOM),
            ToolCallDelta(6, "***"),
        ]
        events = [*thoughts, *texts, *calls, STOP, USAGE]
        assert self.whole(*events) == last(*events)

    def test_an_answer_in_progress_says_so(self) -> None:
        assert self.whole()["status"] == "in_progress"

    def test_reasoning_of_openais_without_a_seal_stays_without(self) -> None:
        (item,) = self.whole(ReasoningDelta("One", 0), ReasoningDelta("Two", 1), STOP, origin=None)["output"]
        assert item["summary"] == [{"type": "summary_text", "text": text} for text in ("One", "Two")]
        assert "encrypted_content" not in item
