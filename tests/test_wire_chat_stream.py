"""Chat Completions streams."""

import json
from typing import Any

import pytest

from trivium.canon.events import (
    Begin,
    End,
    Event,
    Fault,
    Finish,
    FinishReason,
    Foreign,
    ReasoningDelta,
    ReasoningSeal,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import Citation, Reasoning, Seal, Text, ToolCall, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.chat.stream import StreamDecoder
from trivium.wire.sse import ServerSentEvent

DONE = "[DONE]"
STOP: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def say(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(**fragment: Any) -> dict[str, Any]:
    return say(tool_calls=[fragment])


def decode(*said: Any) -> list[Event]:
    decoder = StreamDecoder()
    events: list[Event] = []
    for one in said:
        data = one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else json.dumps(one).encode()
        events += decoder.decode(ServerSentEvent(None, data))
    return events + decoder.close()


def read(*said: Any) -> Answer:
    return fold(decode(*said))


def test_a_plain_stream_is_told_as_it_comes() -> None:
    first = {"id": "c1", "model": "m", **say(role="assistant", content="")}
    assert decode(first, say(content="Hel"), say(content="lo"), STOP, DONE) == [
        Begin("c1", "m"),
        TextDelta("Hel", 0),
        TextDelta("lo", 0),
        Finish(FinishReason.STOP, "stop"),
        End(),
    ]


def test_a_nameless_first_chunk_waits_for_the_names() -> None:
    nameless = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    told = decode(nameless, {"id": "c1", "model": "m", **STOP}, DONE)
    assert told[:2] == [Foreign("prompt_filter_results"), Begin("c1", "m")]


def test_a_service_tier_counts_wherever_it_is_named() -> None:
    told = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    for last, tier in (({}, "default"), ({"service_tier": "flex"}, "flex")):
        usage = read({**say(content="Hi"), "service_tier": "default"}, say("stop"), {**told, **last}, told).usage
        assert usage is not None
        assert usage.service_tier == tier


def test_whom_a_gateway_asked_is_told_once() -> None:
    first = {"id": "c1", "model": "m", "provider": "Acme", **say(content="Hi")}
    events = decode(first, {"provider": "Other", **say(content="!")}, {"provider": "Other", **STOP}, DONE)
    assert [event for event in events if isinstance(event, Begin)] == [Begin("c1", "m", served_by="Acme")]
    later = decode({"id": "c1", "model": "m", "provider": None, **say(content="Hi")}, {"provider": "Acme", **STOP})
    assert fold(later).served_by == "Acme"
    assert read({"provider": {"name": "Acme"}, **say(content="Hi")}, STOP).served_by is None


@pytest.mark.parametrize("where", ["chunk", "delta"])
def test_whom_vercel_asked_is_told_at_the_end(where: str) -> None:
    routing = {"resolvedProvider": "vertex", "finalProvider": "google"}
    beside = {"provider_metadata": {"gateway": {"routing": routing}}}
    last = {**beside, **STOP} if where == "chunk" else say("stop", **beside)
    assert read(say(content="Hi"), last, DONE).served_by == "google"


def test_parts_are_numbered_in_the_order_in_which_they_begin() -> None:
    events = decode(
        say(reasoning="a"), say(content="b"), call(index=0, id="c", function={"name": "f"}), say(content="d"), STOP
    )
    assert events[:4] == [ReasoningDelta("a", 0), TextDelta("b", 1), ToolCallBegin(2, "c", "f"), TextDelta("d", 3)]


def test_parts_of_content_that_no_other_api_has_are_foreign() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    parts = [{"type": "text", "text": "a"}, image, {"type": "reference", "reference_ids": [1]}, {"type": "text"}]
    answer = read(say(content=parts), STOP, DONE)
    assert answer.text == "a"
    assert answer.foreign == ("choices[0].message.content (image_url)", "choices[0].message.content (reference)")


def test_only_choice_zero_is_read() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    answer = read(say(content="yes"), other, STOP, DONE)
    assert (answer.text, answer.finish) == ("yes", "stop")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "why"},
        {"reasoning": "why"},
        {"reasoning": "why", "reasoning_content": "why"},
        {"reasoning": "why", "reasoning_details": [{"type": "reasoning.text", "text": "why"}]},
        {"reasoning": None, "reasoning_details": [{"type": "reasoning.summary", "summary": "why"}]},
        {"reasoning": "why", "reasoning_details": [{"type": "reasoning.encrypted", "data": "abc"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "w"}, {"type": "text", "text": "hy"}]}
            ]
        },
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]}]},
    ],
)
def test_reasoning_is_told_once_whatever_its_field(delta: dict[str, Any]) -> None:
    answer = read(say(**delta), say(content="so"), STOP, DONE)
    assert (answer.reasoning, answer.text) == ("why", "so")


def test_content_may_be_a_list_of_parts() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "b"},
        7,
    ]
    assert read(say(content=parts), STOP).text == "ab"


def test_a_refusal_is_no_text_and_the_finish_word_stays() -> None:
    assert decode(say(content=None, refusal="No."), STOP)[:2] == [
        RefusalDelta("No.", 0),
        Finish(FinishReason.STOP, "stop"),
    ]


class TestSeals:
    def test_a_signature_seals_the_reasoning_before_it(self) -> None:
        thought = say(reasoning="why", reasoning_details=[{"type": "reasoning.text", "text": "why", "index": 0}])
        signed = say(reasoning_details=[{"type": "reasoning.text", "signature": "sig", "index": 0, "text": None}])
        sealed = Seal("detail", '{"signature":"sig","type":"reasoning.text"}')
        assert decode(thought, signed, say(content="so"), STOP)[:3] == [
            ReasoningDelta("why", 0),
            ReasoningSeal(0, sealed),
            TextDelta("so", 1),
        ]
        assert read(thought, signed, STOP).parts == (Reasoning("why", seal=sealed),)

    def test_reasoning_behind_a_signature_is_another_part(self) -> None:
        signed = [{"type": "reasoning.text", "text": "b", "signature": "s"}]
        events = decode(say(reasoning="a", reasoning_details=signed), say(reasoning="c"), STOP)
        assert [event.index for event in events if isinstance(event, ReasoningDelta)] == [0, 1]

    def test_encrypted_reasoning_is_a_seal_without_a_text(self) -> None:
        detail = {"type": "reasoning.encrypted", "data": "abc", "id": "r", "index": 2, "format": None}
        sealed = Seal("detail", '{"data":"abc","id":"r","type":"reasoning.encrypted"}')
        assert decode(say(reasoning_details=[detail]), STOP)[:1] == [ReasoningSeal(0, sealed)]

    def test_googles_signature_of_a_call_comes_before_the_call(self) -> None:
        extra = {"google": {"thought_signature": "g"}}
        made = call(index=0, id="a", function={"name": "f", "arguments": "{}"}, extra_content=extra)
        assert decode(made, STOP)[:2] == [ReasoningSeal(0, Seal("google", "g")), ToolCallBegin(1, "a", "f")]


def test_a_cited_page_has_its_place_in_its_part_of_the_text() -> None:
    page = {"url": "https://a.example/", "title": "A", "start_index": 5, "end_index": 7}
    cited = say(annotations=[{"type": "url_citation", "url_citation": page}])
    answer = read(say(content="one "), say(reasoning="hm"), say(content="two"), cited, STOP, DONE)
    assert answer.parts[2] == Text("two", citations=(Citation("https://a.example/", "A", 1, 3),))


class TestForeign:
    @pytest.mark.parametrize(
        ("said", "field"),
        [
            (say(annotations=[{"type": "url_citation"}]), "choices[0].message.annotations"),
            (say(audio={"id": "x"}), "choices[0].message.audio"),
            (
                {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "a"}]}}]},
                "choices[0].logprobs",
            ),
            ({"choices": [], "citations": ["https://x"]}, "citations"),
        ],
    )
    def test_what_only_chat_can_say_is_told_as_such(self, said: Any, field: str) -> None:
        assert read(say(content="a"), said, STOP, DONE).foreign == (field,)

    def test_what_every_answer_has_is_not(self) -> None:
        usual = {"object": "chat.completion.chunk", "created": 1, "service_tier": "default", "obfuscation": "xy"}
        usage = {"choices": [], "usage": {"prompt_tokens": 1}}
        assert read({**usual, **say(content="a", role="assistant")}, STOP, {**usual, **usage}, DONE).foreign == ()


class TestToolCalls:
    def test_fragments_of_parallel_calls_are_sorted_by_index(self) -> None:
        answer = read(
            call(index=0, id="a", type="function", function={"name": "add", "arguments": ""}),
            call(index=1, id="b", type="function", function={"name": "mul", "arguments": '{"x"'}),
            call(index=0, function={"arguments": '{"y"'}),
            call(index=1, function={"arguments": ":1}"}),
            call(index=0, function={"arguments": ":2}"}),
            say("tool_calls"),
            DONE,
        )
        assert answer.tool_calls == (ToolCall("a", "add", '{"y":2}'), ToolCall("b", "mul", '{"x":1}'))
        assert answer.finish == "tool_calls"

    def test_a_call_may_come_whole_and_with_the_finish(self) -> None:
        whole = say("tool_calls", tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{}"}, "index": 0}])
        assert read(whole, DONE).tool_calls == (ToolCall("a", "f", "{}"),)

    def test_without_index_the_id_tells_calls_apart_and_may_be_repeated(self) -> None:
        answer = read(
            call(id="a", function={"name": "f", "arguments": '{"x"'}),
            call(id="a", function={"name": "f", "arguments": ":1}"}),
            call(id="b", function={"name": "f", "arguments": "{}"}),
            STOP,
        )
        assert answer.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", "{}"))

    def test_without_index_and_id_a_name_begins_a_call_and_the_rest_goes_on(self) -> None:
        answer = read(
            call(function={"name": "f", "arguments": '{"x"'}),
            call(function={"arguments": ":1}"}),
            call(function={"name": "g", "arguments": "{}"}),
            STOP,
        )
        assert answer.tool_calls == (ToolCall("", "f", '{"x":1}'), ToolCall("", "g", "{}"))

    def test_one_index_for_all_calls_does_not_melt_them_together(self) -> None:
        answer = read(
            call(index=0, id="a", function={"name": "f", "arguments": "{}"}),
            call(index=0, id="b", function={"name": "f", "arguments": "{}"}),
            call(index=0, id="", function={"name": "g", "arguments": "{}"}),
            STOP,
        )
        assert [made.name for made in answer.tool_calls] == ["f", "f", "g"]

    def test_nor_where_none_has_an_id_and_one_tool_is_called_twice(self) -> None:
        f, g = (call(index=0, id="", function={"name": "f", "arguments": f'{{"x":{n}}}'}) for n in (1, 2))
        assert read(f, g, STOP).tool_calls == (ToolCall("", "f", '{"x":1}'), ToolCall("", "f", '{"x":2}'))

    @pytest.mark.parametrize("pieces", [('{"x":', "1}"), ('{"x":1}', "")])
    def test_a_name_that_is_said_again_begins_no_call_where_the_last_one_goes_on(self, pieces: tuple[str, str]) -> None:
        fragments = [call(index=0, function={"name": "f", "arguments": said}) for said in pieces]
        assert read(*fragments, STOP).tool_calls == (ToolCall("", "f", '{"x":1}'),)

    def test_id_and_name_repeated_with_every_fragment_are_one_call(self) -> None:
        fragments = [call(index=0, id="a", function={"name": "f", "arguments": said}) for said in ("{", "}")]
        assert read(*fragments, STOP).tool_calls == (ToolCall("a", "f", "{}"),)

    def test_an_id_that_comes_after_the_name_is_waited_for(self) -> None:
        late = [call(index=0, function={"name": "f"}), call(index=0, id="a", function={"arguments": "{}"})]
        assert read(*late, STOP).tool_calls == (ToolCall("a", "f", "{}"),)

    def test_a_name_that_comes_after_the_arguments_is_waited_for(self) -> None:
        late = [
            call(index=0, id="a", function={"arguments": "{"}),
            call(index=0, function={"name": "f", "arguments": "}"}),
        ]
        assert read(*late, STOP).tool_calls == (ToolCall("a", "f", "{}"),)

    def test_a_call_whose_name_never_comes_is_told_without(self) -> None:
        assert read(call(index=0, id="a", function={"arguments": "{}"}), STOP).tool_calls == (ToolCall("a", "", "{}"),)

    def test_arguments_that_are_an_object_are_written_as_json(self) -> None:
        made = call(index=0, id="a", function={"name": "f", "arguments": {"x": 1.50}})
        assert read(made, STOP).tool_calls == (ToolCall("a", "f", '{"x":1.5}'),)

    def test_the_old_function_call_is_a_call_without_an_id(self) -> None:
        old = [say(function_call={"name": "f", "arguments": ""}), say(function_call={"arguments": "{}"})]
        answer = read(*old, say("function_call"), DONE)
        assert (answer.tool_calls, answer.finish) == ((ToolCall("", "f", "{}"),), "tool_calls")

    def test_a_custom_tool_has_input_instead_of_arguments(self) -> None:
        made = call(index=0, id="a", type="custom", custom={"name": "sql", "input": "select 1"})
        assert read(made, STOP).tool_calls == (ToolCall("a", "sql", "select 1", ToolKind.CUSTOM),)

    @pytest.mark.parametrize("none", [[], None, {}, [None], ""])
    def test_no_calls_are_no_calls(self, none: Any) -> None:
        answer = read(say(content="a", tool_calls=none), STOP, DONE)
        assert answer.text == "a"
        assert answer.tool_calls == ()

    def test_arguments_are_told_fragment_by_fragment(self) -> None:
        events = decode(call(index=0, id="a", function={"name": "f"}), call(index=0, function={"arguments": "{"}), STOP)
        assert events[:2] == [ToolCallBegin(0, "a", "f"), ToolCallDelta(0, "{")]


class TestFinish:
    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("stop", "stop"),
            ("length", "length"),
            ("tool_calls", "tool_calls"),
            ("content_filter", "content_filter"),
            ("eos", "stop"),
            ("sensitive", "content_filter"),  # Z.ai
            ("model_context_window_exceeded", "length"),
            ("guardrail_intervened", "content_filter"),  # Bedrock
            ("MAX_TOKENS", "length"),
            ("SAFETY", "content_filter"),
            ("content_filter: PROHIBITED_CONTENT", "content_filter"),  # Google
            ("a-new-word", "stop"),
        ],
    )
    def test_a_finish_word_is_read(self, word: str, reason: str) -> None:
        answer = read(say(content="a"), say(word), DONE)
        assert (answer.finish, answer.native_finish, answer.error) == (reason, word, None)

    @pytest.mark.parametrize("word", ["a-new-word", "", None])
    def test_an_unknown_word_after_a_call_means_the_call(self, word: str | None) -> None:
        assert read(call(index=0, id="a", function={"name": "f"}), say(word), DONE).finish == "tool_calls"

    @pytest.mark.parametrize("word", ["", None])
    def test_without_a_word_done_is_an_end(self, word: str | None) -> None:
        answer = read(say(content="a"), say(word), DONE)
        assert (answer.finish, answer.error, answer.ended) == ("stop", None, True)

    def test_an_empty_word_in_an_otherwise_silent_chunk_is_an_end_without_done(self) -> None:
        assert read(say("", content="a"), say(""), {"choices": [], "usage": {"prompt_tokens": 1}}).finish == "stop"
        assert read(say("", content="a")).error == Fault(
            "upstream_disconnected", "The stream ended before the answer did"
        )

    def test_the_providers_own_word_is_kept(self) -> None:
        choice = {"index": 0, "delta": {}, "finish_reason": "stop", "native_finish_reason": "end_turn"}
        assert read({"choices": [choice]}, DONE).native_finish == "end_turn"

    def test_the_end_of_the_stream_after_a_finish_is_a_good_end(self) -> None:
        answer = read(say(content="a"), STOP)
        assert (answer.error, answer.ended) == (None, True)

    def test_the_end_of_the_stream_without_a_finish_is_an_error(self) -> None:
        answer = read(say(content="cut"))
        assert (answer.text, answer.finish, answer.ended) == ("cut", "error", False)
        assert answer.error
        assert answer.error.type == "upstream_disconnected"

    def test_a_stream_of_done_alone_is_no_answer(self) -> None:
        assert read(DONE).finish == "error"
        assert read().finish == "error"


class TestErrors:
    def test_a_chunk_with_an_error_and_no_choices(self) -> None:
        answer = read({"error": {"code": 402, "message": "Insufficient credits"}})
        assert answer.error == Fault("billing_error", "Insufficient credits")

    def test_an_error_after_text_keeps_the_text(self) -> None:
        answer = read(say(content="Par"), {"error": {"code": 502, "message": "Gone"}, **say("error", content="")}, DONE)
        assert (answer.text, answer.finish, answer.error) == ("Par", "error", Fault("api_error", "Gone"))

    def test_an_error_inside_the_choice(self) -> None:
        choice = {"index": 0, "delta": {}, "finish_reason": "stop", "error": {"code": 502, "message": "Gone"}}
        assert read({"choices": [choice]}, DONE).error == Fault("api_error", "Gone")

    @pytest.mark.parametrize("native", ["error", "network_error"])
    def test_a_failure_behind_a_benign_finish(self, native: str) -> None:
        choice = {"index": 0, "delta": {"content": " "}, "finish_reason": "stop", "native_finish_reason": native}
        answer = read({"choices": [choice]}, DONE)
        assert answer.finish == "error"
        assert answer.error
        assert answer.error.type == native

    @pytest.mark.parametrize(
        "word",
        [
            "network_error",
            "insufficient_system_resource",
            "function_call_filter: MALFORMED_FUNCTION_CALL",
            "MALFORMED_FUNCTION_CALL",
            "abort",
        ],
    )
    def test_an_answer_that_the_provider_gave_up_is_no_good_end(self, word: str) -> None:
        answer = read(say(content="half a"), say(word), DONE)
        assert (answer.text, answer.finish, answer.native_finish) == ("half a", "error", word)
        assert answer.error == Fault(word, f"The provider gave up: {word}")

    def test_groqs_error_event(self) -> None:
        decoder = StreamDecoder()
        said = b'{"error":{"message":"Failed","type":"invalid_request_error","code":"tool_use_failed"}}'
        assert decoder.decode(ServerSentEvent("error", said)) == [
            Fault("invalid_request_error", "Failed", "tool_use_failed")
        ]
        assert decoder.close() == []

    def test_an_error_event_that_is_not_json(self) -> None:
        decoder = StreamDecoder()
        assert decoder.decode(ServerSentEvent("error", b"upstream timed out"))[0] == Fault(
            "upstream_invalid_response", "upstream timed out"
        )

    def test_an_error_in_a_list(self) -> None:
        assert read([{"error": {"code": 503, "status": "UNAVAILABLE", "message": "Overloaded"}}]).error == Fault(
            "UNAVAILABLE", "Overloaded"
        )

    def test_only_the_first_error_is_told(self) -> None:
        errors = [{"error": {"message": "1"}}, {"error": {"message": "2"}}]
        assert [event for event in decode(*errors) if isinstance(event, Fault)] == [Fault("api_error", "1")]

    def test_null_errors_are_none(self) -> None:
        assert read({"error": None, **STOP}, DONE).error is None


class TestUsage:
    def test_it_may_come_after_the_finish_without_choices(self) -> None:
        answer = read(
            say(content="a"), STOP, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}, DONE
        )
        assert answer.usage == Usage(input_uncached=9, output=2)

    def test_it_may_come_beside_a_repeated_finish(self) -> None:
        events = decode(STOP, {**STOP, "usage": {"prompt_tokens": 9, "completion_tokens": 2}}, DONE)
        assert [type(event) for event in events] == [Finish, UsageReport, End]

    def test_it_is_replaced_and_never_added(self) -> None:
        usages = [{"prompt_tokens": 12, "completion_tokens": said} for said in (0, 1, 3, 3)]
        answer = read(*({"usage": usage, **say(content="x")} for usage in usages), STOP, DONE)
        assert answer.usage == Usage(input_uncached=12, output=3)

    @pytest.mark.parametrize("usage", [None, {}, "none", {"prompt_tokens": None}])
    def test_where_it_says_nothing_it_is_unknown(self, usage: Any) -> None:
        assert read({**STOP, "usage": usage}, DONE).usage is None

    def test_groq_hides_it_in_x_groq_and_moonshot_in_the_choice(self) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        assert read({**STOP, "x_groq": {"usage": usage}}).usage == Usage(input_uncached=3, output=1)
        choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
        assert read({"choices": [choice]}).usage == Usage(input_uncached=3, output=1)

    def test_it_is_kept_when_the_stream_fails_later(self) -> None:
        answer = read({**say(content="a"), "usage": {"prompt_tokens": 3}}, {"error": {"message": "Gone"}})
        assert answer.usage == Usage(input_uncached=3)


class TestOddities:
    @pytest.mark.parametrize("data", [b"{", b"[1]", b"7", b"null", b'"x"', b"\xff", b"[" * 9999])
    def test_what_is_no_object_is_counted_and_passed_over(self, data: bytes) -> None:
        decoder = StreamDecoder()
        assert decoder.decode(ServerSentEvent(None, data)) == []
        assert decoder.malformed == 1
        assert decoder.decode(ServerSentEvent(None, json.dumps(say(content="a")).encode())) == [TextDelta("a", 0)]

    def test_an_empty_event_is_nothing_at_all(self) -> None:
        decoder = StreamDecoder()
        assert decoder.decode(ServerSentEvent(None, b" ")) == []
        assert decoder.malformed == 0

    @pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [None], [[]], True])
    def test_odd_values_do_not_take_their_neighbours_with_them(self, odd: Any) -> None:
        chunks = [
            {"id": odd, "model": odd, "choices": [{"index": None, "delta": {"content": "a", "tool_calls": odd}}, odd]},
            {"choices": odd},
            {"choices": [{"delta": odd, "finish_reason": odd, "native_finish_reason": odd, "error": odd}]},
            say(reasoning=odd, reasoning_content=odd, reasoning_details=odd, refusal=odd, function_call=odd),
            {"choices": [], "usage": odd, "x_groq": odd, "provider_metadata": odd},
            call(index=odd, id=odd, function=odd),
        ]
        answer = read(*chunks, STOP, DONE)
        assert answer.text.startswith("a")
        assert answer.ended

    def test_a_chunk_with_delta_and_a_growing_message_is_read_by_its_delta(self) -> None:
        chunks = [
            {"choices": [{"index": 0, "delta": {"content": said}, "message": {"content": all}, "finish_reason": None}]}
            for said, all in (("a", "a"), ("b", "ab"))
        ]
        assert read(*chunks, STOP).text == "ab"
