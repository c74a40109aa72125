"""Messages streams."""

import json
from typing import Any

import pytest

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
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import Citation, Reasoning, Seal, Text, ToolCall
from trivium.canon.usage import Usage
from trivium.wire.messages.stream import StreamDecoder
from trivium.wire.sse import ServerSentEvent

STOP = {"type": "message_stop"}
PING = {"type": "ping"}


def start(id: str = "m1", **usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": id, "model": "claude", "content": [], "usage": usage or None}}


def block(at: int, type: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": at, "content_block": {"type": type, **more}}


def delta(at: int, type: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": at, "delta": {"type": type, **more}}


def stop(at: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": at}


def finish(word: str | None, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None}, "usage": usage}


def text(at: int, said: str) -> list[dict[str, Any]]:
    return [block(at, "text", text=""), delta(at, "text_delta", text=said), stop(at)]


def tool(at: int, *fragments: str, type: str = "tool_use") -> list[dict[str, Any]]:
    said = [delta(at, "input_json_delta", partial_json=fragment) for fragment in fragments]
    return [block(at, type, id=f"t{at}", name="f", input={}), *said, stop(at)]


def decode(*said: dict[str, Any]) -> list[Event]:
    decoder = StreamDecoder()
    events = [
        event
        for one in said
        for event in decoder.decode(ServerSentEvent(one.get("type"), json.dumps(one).encode() + b"   "))
    ]
    return events + decoder.close()


def read(*said: dict[str, Any]) -> Answer:
    return fold(decode(*said))


def test_a_plain_stream_is_told_as_it_comes() -> None:
    thinking = [block(0, "thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="Hm")]
    signed = [delta(0, "signature_delta", signature="abc"), stop(0), PING]
    stream = [
        start(input_tokens=9),
        *thinking,
        *signed,
        *text(1, "Hi"),
        *tool(2, '{"a"', ":1}"),
        finish("tool_use"),
        STOP,
    ]
    assert decode(*stream) == [
        Begin("m1", "claude"),
        UsageReport(Usage(input_uncached=9)),
        ReasoningDelta("Hm", 0),
        ReasoningSeal(0, Seal("signature", "abc")),
        TextDelta("Hi", 1),
        ToolCallBegin(2, "t2", "f"),
        ToolCallDelta(2, '{"a"'),
        ToolCallDelta(2, ":1}"),
        Finish(FinishReason.TOOL_CALLS, "tool_use"),
        End(),
    ]


class TestTools:
    def test_no_delta_at_all_is_an_empty_object(self) -> None:
        assert read(start(), *tool(0), finish("tool_use"), STOP).tool_calls == (ToolCall("t0", "f", "{}"),)
        assert read(start(), *tool(0, ""), finish("tool_use"), STOP).tool_calls == (ToolCall("t0", "f", "{}"),)

    def test_an_input_that_is_whole_in_the_start_is_read(self) -> None:
        made = block(0, "tool_use", id="t", name="f", input={"a": 1.10})
        assert read(start(), made, stop(0), finish("tool_use"), STOP).tool_calls[0].arguments == '{"a":1.1}'

    def test_an_input_told_in_the_start_and_in_deltas_is_told_once(self) -> None:
        made = [
            block(0, "tool_use", id="t", name="f", input={"a": 1}),
            delta(0, "input_json_delta", partial_json='{"a":1}'),
        ]
        assert read(start(), *made, stop(0), finish("tool_use"), STOP).tool_calls[0].arguments == '{"a":1}'

    def test_a_block_that_nobody_closed_is_closed_by_the_end(self) -> None:
        unclosed = tool(0)[:-1]
        assert read(start(), *unclosed, finish("tool_use"), STOP).tool_calls[0].arguments == "{}"

    def test_arguments_cut_by_the_length_stay_as_they_are(self) -> None:
        answer = read(start(), *tool(0, '{"a": "b'), finish("max_tokens"), STOP)
        assert (answer.tool_calls[0].arguments, answer.finish) == ('{"a": "b', "length")

    @pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use"])
    def test_tools_that_ran_upstream_are_no_calls(self, kind: str) -> None:
        result = [block(1, "web_search_tool_result", content=[{"type": "web_search_result", "title": "x"}]), stop(1)]
        answer = read(start(), *tool(0, '{"q":1}', type=kind), *result, *text(2, "Found"), finish("end_turn"), STOP)
        assert (answer.tool_calls, answer.text, answer.finish) == ((), "Found", "stop")
        assert answer.foreign == (f"content[0] ({kind})", "content[1] (web_search_tool_result)")


def test_a_redacted_block_is_a_seal_without_a_text() -> None:
    redacted = [block(0, "redacted_thinking", data="abc"), stop(0)]
    assert read(start(), *redacted, *text(1, "Hi"), finish("end_turn"), STOP).parts[0] == Reasoning(
        "", seal=Seal("redacted", "abc")
    )


def test_thinking_that_is_not_shown_is_a_signature_without_a_text() -> None:
    hidden = [block(0, "thinking", thinking="", signature=""), delta(0, "signature_delta", signature="abc"), stop(0)]
    assert read(start(), *hidden, *text(1, "Hi"), finish("end_turn"), STOP).parts[0] == Reasoning(
        "", seal=Seal("signature", "abc")
    )


def test_the_stop_sequence_that_ended_it_is_told() -> None:
    last = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "usage": {}}
    assert read(start(), *text(0, "a"), last, STOP).stop_sequence == "END"


def test_blocks_without_text_of_the_model_say_nothing() -> None:
    silent = [
        block(0, "redacted_thinking", data="abc"),
        stop(0),
        block(1, "compaction", content=None),
        delta(1, "compaction_delta", content="summary"),
        stop(1),
        block(2, "fallback"),
        stop(2),
        block(3, "a_new_kind", text="?"),
        delta(3, "a_new_delta", text="?"),
        stop(3),
    ]
    answer = read(start(), *silent, *text(4, "Hi"), finish("end_turn"), STOP)
    assert (answer.text, answer.reasoning) == ("Hi", "")
    assert answer.foreign == ("content[1] (compaction)", "content[2] (fallback)", "content[3] (a_new_kind)")


def test_a_page_that_was_found_is_cited_before_its_text() -> None:
    citation = {"type": "web_search_result_location", "url": "https://a.example/", "title": "A", "cited_text": "B"}
    for cited in (
        [block(0, "text", text="", citations=[]), delta(0, "citations_delta", citation=citation)],
        [block(0, "text", text="", citations=[citation])],
    ):
        answer = read(start(), *cited, delta(0, "text_delta", text="B"), stop(0), finish("end_turn"), STOP)
        assert answer.parts == (Text("B", citations=(Citation("https://a.example/", "A"),)),)


def test_citations_of_documents_are_passed_over_and_texts_are_joined() -> None:
    cited = [
        block(0, "text", text="A", citations=[]),
        delta(0, "citations_delta", citation={"cited_text": "no"}),
        stop(0),
    ]
    answer = read(start(), *cited, *text(1, "B"), finish("end_turn"), STOP)
    assert (answer.text, answer.foreign) == ("AB", ("content[0].citations",))


@pytest.mark.parametrize("between", [tool(1), tool(1, type="server_tool_use"), [block(1, "thinking", thinking="Hm")]])
def test_texts_with_another_block_between_them_are_apart(between: list[dict[str, Any]]) -> None:
    said = (start(), *between, *text(2, "A"), *text(3, "B"), *between, *text(4, "C"), *text(5, "D"), STOP)
    texts = [part for part in read(*said).parts if isinstance(part, Text)]
    assert texts == [Text("A"), Text("B"), Text("C", apart=True), Text("D")]
    events = decode(*said)
    (apart,) = [event for event in events if isinstance(event, Apart)]
    assert events[events.index(apart) + 1] == TextDelta("C", apart.index)


def test_a_page_before_a_text_that_is_apart_is_cited_behind_the_word_for_it() -> None:
    citation = {"type": "web_search_result_location", "url": "https://a.example/"}
    page = delta(2, "citations_delta", citation=citation)
    *_, apart, cited, _ = decode(start(), *text(0, "A"), *tool(1, type="server_tool_use"), block(2, "text"), page)
    assert (apart, cited) == (Apart(1), Cited(1, Citation("https://a.example/")))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("a_new_word", "stop"),
        (None, "stop"),
    ],
)
def test_a_stop_reason_is_read(word: str | None, reason: str) -> None:
    answer = read(start(), *text(0, "a"), finish(word), STOP)
    assert (answer.finish, answer.native_finish, answer.error) == (reason, word, None)


def test_why_it_refused_only_this_api_can_say() -> None:
    """It is no content: nobody has generated it, and nobody pays for it."""
    last = finish("refusal")
    last["delta"]["stop_details"] = {"type": "refusal", "category": "cyber", "explanation": "It is not allowed."}
    answer = read(start(), last, STOP)
    assert (answer.text, answer.finish, answer.foreign) == ("", "refusal", ("stop_details",))


def test_an_unknown_word_after_a_call_means_the_call() -> None:
    assert read(start(), *tool(0), finish("a_new_word"), STOP).finish == "tool_calls"


class TestUsage:
    def test_the_delta_overrides_the_start_field_by_field(self) -> None:
        first = start(input_tokens=2060, cache_read_input_tokens=0, output_tokens=1)
        answer = read(
            first, finish("end_turn", input_tokens=2088, cache_read_input_tokens=46134, output_tokens=50), STOP
        )
        assert answer.usage == Usage(input_uncached=2088, cache_read=46134, output=50)

    def test_a_delta_of_output_alone_keeps_the_start(self) -> None:
        answer = read(
            start(input_tokens=11, cache_read_input_tokens=1031, output_tokens=1),
            finish("end_turn", output_tokens=7),
            STOP,
        )
        assert answer.usage == Usage(input_uncached=11, cache_read=1031, output=7)

    def test_a_start_of_zeros_is_overridden(self) -> None:
        answer = read(start(input_tokens=0, output_tokens=0), finish("end_turn", input_tokens=13, output_tokens=5))
        assert answer.usage == Usage(input_uncached=13, output=5)

    def test_a_stream_cut_after_its_start_keeps_the_input(self) -> None:
        answer = read(start(input_tokens=25, output_tokens=1))
        assert (answer.usage, answer.finish) == (Usage(input_uncached=25, output=1), "error")

    def test_vercels_costs_lie_beside_the_usage(self) -> None:
        last = {**finish("end_turn", output_tokens=5), "provider_metadata": {"gateway": {"marketCost": "0.000375"}}}
        answer = read(start(input_tokens=3), last, STOP)
        assert answer.usage
        assert str(answer.usage.market_cost) == "0.000375"
        assert answer.usage.reported_cost is None

    def test_whom_a_gateway_asked_is_told(self) -> None:
        routing = {"provider_metadata": {"gateway": {"routing": {"finalProvider": "google"}}}}
        assert read(start(), {**finish("end_turn"), **routing}, STOP).served_by == "google"
        whole = {"type": "message", "content": [], "stop_reason": "end_turn", "provider": "Acme", **routing}
        assert fold(StreamDecoder().whole(json.dumps(whole).encode())).served_by == "Acme"

    def test_it_alone_is_no_answer(self) -> None:
        routing = {"provider_metadata": {"gateway": {"routing": {"finalProvider": "google"}}}}
        told = fold(StreamDecoder().whole(json.dumps({"error": {"message": "no"}, **routing}).encode()))
        assert (told.error and told.error.message, told.served_by) == ("no", None)


class TestEnd:
    def test_message_stop_is_the_end(self) -> None:
        assert read(start(), finish("end_turn"), STOP).ended

    def test_a_stop_reason_without_message_stop_is_a_good_end_too(self) -> None:
        answer = read(start(), finish("end_turn"))
        assert (answer.finish, answer.error, answer.ended) == ("stop", None, False)

    def test_the_end_of_the_stream_without_either_is_an_error(self) -> None:
        answer = read(start(), *text(0, "cut"))
        assert (answer.text, answer.finish) == ("cut", "error")
        assert answer.error
        assert answer.error.type == "upstream_disconnected"

    def test_an_error_in_the_middle_keeps_what_was_said(self) -> None:
        broken = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"}
        answer = read(start(input_tokens=25), *text(0, "Hi"), broken)
        assert answer.error == Fault("overloaded_error", "Overloaded")
        assert (answer.text, answer.finish, answer.usage) == ("Hi", "error", Usage(input_uncached=25))

    def test_an_error_of_another_dialect_is_understood(self) -> None:
        assert read(start(), {"error": {"code": 429, "message": "Slow"}}).error == Fault("rate_limit_error", "Slow")


class TestRestarts:
    def test_an_echo_of_the_start_is_passed_over(self) -> None:
        events = decode(start(input_tokens=1), start(input_tokens=1), *text(0, "Hi"), finish("end_turn"), STOP)
        assert [event for event in events if isinstance(event, Begin)] == [Begin("m1", "claude")]

    def test_another_message_spliced_in_begins_the_answer_anew(self) -> None:
        first = [start("m1"), *text(0, "old"), *tool(1, '{"x":"Spark')[:-1]]
        second = [start("m2"), *text(0, "new"), *tool(1, "{}"), finish("tool_use"), STOP]
        answer = read(*first, *second)
        assert (answer.id, answer.text, answer.tool_calls) == ("m2", "new", (ToolCall("t1", "f", "{}"),))
        assert (answer.finish, answer.error) == ("tool_calls", None)

    def test_its_counts_are_its_own(self) -> None:
        first = [start("m1", input_tokens=7, cache_read_input_tokens=900), finish("tool_use", output_tokens=5), STOP]
        second = [start("m2", input_tokens=950, cache_read_input_tokens=0), finish("end_turn", output_tokens=2), STOP]
        assert read(*first, *second).usage == Usage(input_uncached=950, output=2)

    def test_a_call_left_open_by_the_first_message_says_nothing_in_the_second(self) -> None:
        events = decode(start("m1"), *tool(0)[:-1], start("m2"), *text(0, "new"), finish("end_turn"), STOP)
        assert not any(isinstance(event, ToolCallDelta) for event in events)


class TestOddities:
    def test_the_event_field_stands_in_for_a_missing_type(self) -> None:
        decoder = StreamDecoder()
        said = json.dumps({"delta": {"stop_reason": "end_turn"}}).encode()
        assert decoder.decode(ServerSentEvent("message_delta", said)) == [Finish(FinishReason.STOP, "end_turn")]

    def test_a_text_delta_whose_block_never_began_is_still_text(self) -> None:
        assert read(start(), delta(3, "text_delta", text="a"), finish("end_turn"), STOP).text == "a"

    def test_thinking_inside_a_text_block_is_reasoning_in_a_part_of_its_own(self) -> None:
        mixed = [block(0, "text", text="a"), delta(0, "thinking_delta", thinking="b"), delta(0, "text_delta", text="c")]
        assert decode(start(), *mixed)[1:4] == [TextDelta("a", 0), ReasoningDelta("b", 1), TextDelta("c", 2)]

    def test_a_whole_message_in_one_event_is_read(self) -> None:
        whole = {"type": "message", "id": "m1", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
        answer = read(whole)
        assert (answer.text, answer.finish, answer.ended) == ("Hi", "stop", True)

    @pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [None], True])
    def test_odd_values_do_not_take_their_neighbours_with_them(self, odd: Any) -> None:
        stream = [
            {"type": "message_start", "message": odd},
            {"type": "content_block_start", "index": odd, "content_block": odd},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": odd, "name": odd, "input": odd},
            },
            {"type": "content_block_delta", "index": odd, "delta": odd},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": odd}},
            {"type": "content_block_stop", "index": odd},
            {"type": "message_delta", "delta": odd, "usage": odd, "provider_metadata": odd},
            {
                "type": "message_delta",
                "delta": {"stop_reason": odd},
                "usage": {"input_tokens": odd, "cache_creation": odd},
            },
        ]
        answer = read(*stream, *text(9, "a"), STOP)
        assert answer.text.endswith("a")
        assert answer.ended
