"""Responses streams."""

import json
from typing import Any

import pytest

from trivium.canon.events import (
    Apart,
    Begin,
    End,
    Event,
    Fault,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    ToolCallEnd,
    UsageReport,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import Citation, Reasoning, Seal, Text, ToolCall, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.responses.stream import StreamDecoder
from trivium.wire.sse import ServerSentEvent

Said = dict[str, Any]
USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}


def event(kind: str, **more: Any) -> Said:
    return {"type": f"response.{kind}", **more}


def created(id: str = "r1") -> Said:
    return event("created", response={"id": id, "model": "m", "status": "in_progress", "output": [], "usage": None})


def completed(*output: Said, status: str = "completed", id: str = "r1", **more: Any) -> Said:
    response = {"id": id, "model": "m", "status": status, "output": output, "usage": USAGE, **more}
    return event(status, response=response)


def message(*texts: str) -> Said:
    return {"type": "message", "id": "msg", "content": [{"type": "output_text", "text": said} for said in texts]}


def reasoning(*, summary: tuple[str, ...] = (), content: tuple[str, ...] = ()) -> Said:
    return {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": said} for said in summary],
        "content": [{"type": "reasoning_text", "text": said} for said in content],
    }


def function(arguments: str = "", id: str = "call_1", name: str = "f") -> Said:
    return {"type": "function_call", "id": "fc", "call_id": id, "name": name, "arguments": arguments}


def added(at: int, item: Said) -> Said:
    return event("output_item.added", output_index=at, item=item)


def done(at: int, item: Said) -> Said:
    return event("output_item.done", output_index=at, item=item)


def text_delta(at: int, said: str, part: int = 0) -> Said:
    return event("output_text.delta", output_index=at, content_index=part, delta=said, obfuscation="xyz")


def arguments_delta(at: int, said: str) -> Said:
    return event("function_call_arguments.delta", output_index=at, delta=said)


def decode(*said: Said) -> list[Event]:
    decoder = StreamDecoder()
    events = [out for one in said for out in decoder.decode(ServerSentEvent(None, json.dumps(one).encode()))]
    return events + decoder.close()


def read(*said: Said) -> Answer:
    return fold(decode(*said))


def test_texts_of_different_messages_are_apart_and_those_of_one_are_not() -> None:
    output = message("A", "B"), function("{}"), message("C"), message("D", "E")
    parts = (Text("A"), Text("B"), Text("C", apart=True), Text("D", apart=True), Text("E"))
    whole = read(created(), completed(*output)).parts
    assert tuple(part for part in whole if isinstance(part, Text)) == parts
    said = [text_delta(0, "A"), text_delta(0, "B", 1), text_delta(2, "C"), text_delta(3, "D"), text_delta(3, "E", 1)]
    events = decode(created(), *said, completed(message("A", "B"), message("C"), message("D", "E")))
    assert fold(events).parts == parts
    assert events[3:7] == [Apart(2), TextDelta("C", 2), Apart(3), TextDelta("D", 3)]


def test_what_no_other_api_has_of_an_item_is_foreign_and_told_once() -> None:
    spoken = {**message("A"), "phase": "commentary", "agent": {"agent_name": "a"}, "status": "completed"}
    called = {**function("{}"), "caller": {"type": "program", "caller_id": "p"}, "async": False, "namespace": None}
    direct = {**function("{}", "call_2"), "caller": {"type": "direct"}}
    thought = {**reasoning(summary=("Hm",)), "format": "f", "signature": "s"}
    items = spoken, called, direct, thought
    told = ["output[0].phase", "output[0].agent", "output[1].caller", "output[3].signature"]
    assert [*read(created(), *(done(at, item) for at, item in enumerate(items)), completed(*items)).foreign] == told
    assert [*read(created(), completed(*items)).foreign] == told


def test_parts_of_unknown_types_are_foreign() -> None:
    spoken = {"type": "message", "content": [{"type": "output_widget"}, *message("A")["content"]]}
    answer = read(created(), completed(spoken))
    assert (answer.text, answer.foreign) == ("A", ("output[0].content (output_widget)",))
    search = {"type": "file_search_call", "content": [{"type": "page"}]}
    assert read(created(), completed(search)).foreign == ("output[0] (file_search_call)",)


def test_a_plain_stream_is_told_as_it_comes() -> None:
    said = [
        text_delta(0, "Hel"),
        text_delta(0, "lo"),
        event("output_text.done", output_index=0, content_index=0, text="Hello"),
    ]
    assert decode(created(), added(0, message()), *said, done(0, message("Hello")), completed(message("Hello"))) == [
        Begin("r1", "m"),
        TextDelta("Hel", 0),
        TextDelta("lo", 0),
        UsageReport(Usage(input_uncached=5, output=7)),
        Finish(FinishReason.STOP, "completed"),
        End(),
    ]


def test_whom_a_gateway_asked_is_told() -> None:
    routing: Said = {"provider_metadata": {"gateway": {"routing": {"finalProvider": "google"}}}}
    assert read(created(), completed(message("Hi"), **routing)).served_by == "google"
    response = {"object": "response", "status": "completed", "output": [message("Hi")], "provider": "Acme", **routing}
    assert fold(StreamDecoder().whole(json.dumps(response).encode())).served_by == "Acme"
    told = fold(StreamDecoder().whole(json.dumps({"error": {"message": "no"}, **routing}).encode()))
    assert (told.error and told.error.message, told.served_by) == ("no", None)


class TestText:
    def test_all_messages_and_parts_are_joined(self) -> None:
        said = [text_delta(1, "a", 0), text_delta(1, "b", 1), text_delta(3, "c")]
        answer = read(created(), *said, completed(reasoning(), message("a", "b"), message("c")))
        assert answer.text == "abc"

    def test_what_no_delta_told_is_told_by_the_first_that_says_it(self) -> None:
        whole = event("output_text.done", output_index=0, content_index=0, text="Hello")
        for last_words in (
            [whole, completed()],
            [done(0, message("Hello")), completed()],
            [completed(message("Hello"))],
        ):
            assert read(created(), *last_words).text == "Hello"

    def test_what_some_deltas_lacked_is_completed_and_never_doubled(self) -> None:
        assert (
            read(created(), text_delta(0, "Hel"), done(0, message("Hello")), completed(message("Hello"))).text
            == "Hello"
        )

    def test_an_item_left_out_at_the_end_does_not_shift_the_others(self) -> None:
        said = [added(0, reasoning()), added(1, message()), text_delta(1, "Hello")]
        assert read(created(), *said, completed(message("Hello"))).text == "Hello"

    def test_a_content_index_that_is_no_position_does_not_double_the_part(self) -> None:
        said = [added(0, message()), text_delta(0, "Hello", part=1), done(0, message("Hello"))]
        assert read(created(), *said, completed(message("Hello"))).text == "Hello"

    def test_deltas_stay_where_the_end_has_no_output(self) -> None:
        assert read(created(), text_delta(0, "Hello"), completed()).text == "Hello"

    def test_item_ids_that_change_within_the_stream_do_not_matter(self) -> None:
        said = [{**text_delta(0, letter), "item_id": letter * 3} for letter in "abc"]
        assert read(created(), *said, completed({**message("abc"), "id": "zzz"})).text == "abc"

    def test_an_end_that_has_the_next_items_number_is_known_by_its_id(self) -> None:
        said = [added(0, {**message(), "id": "m"}), {**text_delta(0, "Hello"), "item_id": "m"}]
        said += [event("output_text.done", item_id="m", output_index=1, content_index=0, text="Hello")]
        said += [done(1, {**message("Hello"), "id": "m"}), added(1, function())]
        assert read(created(), *said, completed(message("Hello"), function("{}"))).text == "Hello"


class TestReasoning:
    def test_summaries_are_reasoning(self) -> None:
        said = [event("reasoning_summary_text.delta", output_index=0, summary_index=at, delta=str(at)) for at in (0, 1)]
        events = decode(
            created(), *said, done(0, reasoning(summary=("0", "1"))), completed(reasoning(summary=("0", "1")))
        )
        assert events[1:3] == [ReasoningDelta("0", 0), ReasoningDelta("1", 1)]
        assert fold(events).reasoning == "01"

    def test_contents_are_reasoning(self) -> None:
        said = event("reasoning_text.delta", output_index=0, content_index=0, delta="why")
        assert read(created(), said, completed(reasoning(content=("why",)))).reasoning == "why"

    def test_the_other_form_of_what_deltas_told_is_a_repetition(self) -> None:
        said = event("reasoning_text.delta", output_index=0, content_index=0, delta="why")
        assert read(created(), said, completed(reasoning(summary=("why",)))).reasoning == "why"

    def test_where_no_delta_told_anything_the_content_is_read_or_else_the_summary(self) -> None:
        assert read(created(), completed(reasoning(summary=("s",), content=("c",)))).reasoning == "c"
        assert read(created(), completed(reasoning(summary=("s",)))).reasoning == "s"

    def test_of_deltas_in_both_forms_the_first_counts(self) -> None:
        deltas = [event(f"reasoning_{form}.delta", output_index=0, delta=form[0]) for form in ("summary_text", "text")]
        both = completed(reasoning(summary=("s",), content=("t",)))
        assert read(created(), *deltas, both).reasoning == "s"
        assert read(created(), *deltas[::-1], both).reasoning == "t"


class TestSeals:
    SEALED = Seal("encrypted", "enc")

    def test_encrypted_content_seals_the_last_of_an_items_summaries_once(self) -> None:
        item = {**reasoning(summary=("a", "b")), "encrypted_content": "enc"}
        said = [
            event("reasoning_summary_text.delta", output_index=0, summary_index=at, delta="ab"[at]) for at in (0, 1)
        ]
        answer = read(created(), added(0, {**reasoning(), "encrypted_content": "early"}), *said, done(0, item),
                      completed({**item, "encrypted_content": "again"}))  # fmt: skip
        assert answer.parts == (Reasoning("a"), Reasoning("b", seal=self.SEALED))

    def test_an_item_without_summaries_is_nothing_but_its_seal(self) -> None:
        item = {**reasoning(), "encrypted_content": "enc"}
        for last_words in ([done(0, item), completed(item)], [completed(item)]):
            assert read(created(), *last_words).parts == (Reasoning("", seal=self.SEALED),)


def test_a_cited_page_is_told_once_however_it_comes() -> None:
    annotation = {"type": "url_citation", "url": "https://a.example/", "title": "A", "start_index": 0, "end_index": 1}
    noted = message("a")
    noted["content"][0]["annotations"] = [annotation]
    told = event("output_text.annotation.added", output_index=0, content_index=0, annotation=annotation)
    for stream in ([text_delta(0, "a"), told, completed(noted)], [completed(noted)]):
        (text,) = read(created(), *stream).parts
        assert text == Text("a", citations=(Citation("https://a.example/", "A", 0, 1),))


def test_annotations_that_are_no_pages_are_foreign_however_they_come() -> None:
    noted = message("a")
    noted["content"][0]["annotations"] = [{"type": "url_citation"}]
    told = event("output_text.annotation.added", output_index=0, content_index=0, annotation={})
    for stream in ([text_delta(0, "a"), told, completed(message("a"))], [completed(noted)]):
        assert read(created(), *stream).foreign == ("output[0].content.annotations",)


class TestCalls:
    def test_calls_without_a_number_are_told_apart_by_their_ids(self) -> None:
        said = [{**added(0, {**function(), "id": id, "call_id": id}), "output_index": None} for id in ("a", "b")]
        said += [
            event("function_call_arguments.delta", item_id=id, delta=delta)
            for id, delta in [("a", '{"n"'), ("b", "{"), ("a", ":1}"), ("b", "}")]
        ]
        calls = read(created(), *said, completed()).tool_calls
        assert calls == (ToolCall("a", "f", '{"n":1}'), ToolCall("b", "f", "{}"))

    def test_what_is_added_where_an_item_was_before_is_another_item(self) -> None:
        thought = {**reasoning(summary=("why",)), "id": "rs"}
        calls = [{**function(said, id), "id": id} for id, said in (("a", "{}"), ("b", '{"x":1}'))]
        output = [thought, *calls, {**message("Hi"), "id": "m"}]
        said = [one for item in output for one in (added(0, {**item, "summary": [], "content": []}), done(0, item))]
        answer = read(created(), *said, completed(*output))
        assert answer.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "f", '{"x":1}'))
        assert (answer.text, answer.reasoning) == ("Hi", "why")

    def test_items_without_a_number_and_an_id_follow_each_other(self) -> None:
        output = [reasoning(content=("why",)), {"type": "message", "content": message("Hi")["content"]}]
        said = [event("output_item.added", item={"type": "reasoning"}), event("reasoning_text.delta", delta="why")]
        said += [event("output_item.done", item=output[0]), event("output_item.added", item={"type": "message"})]
        said += [event("output_text.delta", delta="Hi"), event("output_item.done", item=output[1])]
        answer = read(created(), *said, completed(*output))
        assert (answer.text, answer.reasoning) == ("Hi", "why")

    def test_a_call_is_told_in_fragments(self) -> None:
        said = [added(1, function()), arguments_delta(1, '{"a"'), arguments_delta(1, ":1}")]
        events = decode(created(), *said, done(1, function('{"a":1}')), completed(reasoning(), function('{"a":1}')))
        assert events[1:4] == [ToolCallBegin(0, "call_1", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}")]
        assert fold(events).tool_calls == (ToolCall("call_1", "f", '{"a":1}'),)
        assert fold(events).finish == "tool_calls"

    def test_arguments_may_come_in_done_alone(self) -> None:
        whole = event("function_call_arguments.done", output_index=0, arguments='{"a":1}')
        for last_words in ([whole, done(0, function('{"a":1}'))], [whole], [done(0, function('{"a":1}'))], []):
            answer = read(created(), added(0, function()), *last_words, completed(function('{"a":1}')))
            assert answer.tool_calls == (ToolCall("call_1", "f", '{"a":1}'),)

    def test_a_call_that_only_the_end_knows_is_told(self) -> None:
        assert read(created(), completed(function("{}"))).tool_calls == (ToolCall("call_1", "f", "{}"),)

    def test_arguments_before_their_call_are_not_lost(self) -> None:
        answer = read(created(), arguments_delta(0, "{}"), done(0, function("{}")), completed())
        assert answer.tool_calls == (ToolCall("call_1", "f", "{}"),)

    def test_parallel_calls_keep_their_own_arguments(self) -> None:
        calls = [function("{}", "a", "f"), function('{"x":1}', "b", "g")]
        said = [added(0, function("", "a", "f")), added(1, function("", "b", "g")), arguments_delta(1, '{"x":1}')]
        assert read(created(), *said, arguments_delta(0, "{}"), completed(*calls)).tool_calls == (
            ToolCall("a", "f", "{}"),
            ToolCall("b", "g", '{"x":1}'),
        )

    def test_absent_arguments_are_the_empty_string(self) -> None:
        assert read(created(), completed(function(""))).tool_calls == (ToolCall("call_1", "f", ""),)

    def test_a_custom_tool_takes_free_text(self) -> None:
        item = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "", "namespace": "db"}
        said = [added(0, item), event("custom_tool_call_input.delta", output_index=0, delta="select 1")]
        answer = read(created(), *said, completed({**item, "input": "select 1"}))
        assert answer.tool_calls == (ToolCall("c", "sql", "select 1", ToolKind.CUSTOM, "db"),)
        assert answer.finish == "tool_calls"

    def test_that_a_free_text_is_over_is_told_once(self) -> None:
        item = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"}
        said = [added(0, {**item, "input": ""}), event("custom_tool_call_input.delta", output_index=0, delta="select")]
        whole = event("custom_tool_call_input.done", output_index=0, input="select 1")
        for last_words in ([whole, done(0, item)], [whole], [done(0, item)], []):
            events = decode(created(), *said, *last_words, completed(item))
            told = [event for event in events if isinstance(event, ToolCallDelta | ToolCallEnd)]
            assert told == [ToolCallDelta(0, "select"), ToolCallDelta(0, " 1"), ToolCallEnd(0)]
        empty = [added(0, {**item, "input": ""}), event("custom_tool_call_input.done", output_index=0, input="")]
        assert ToolCallEnd(0) in decode(created(), *empty)

    @pytest.mark.parametrize(
        "kind",
        ["web_search_call", "mcp_call", "tool_search_call", "mcp_approval_request", "apply_patch_call", "new_call"],
    )
    def test_hosted_tools_are_no_calls(self, kind: str) -> None:
        item = {"type": kind, "id": "x", "call_id": "c", "name": "n", "arguments": "{}", "status": "completed"}
        said = [added(0, item), event(f"{kind}.in_progress", output_index=0), done(0, item), text_delta(1, "a")]
        answer = read(created(), *said, completed(item, message("a")))
        assert (answer.tool_calls, answer.finish, answer.text) == ((), "stop", "a")
        assert answer.foreign == (f"output[0] ({kind})",)


class TestFinish:
    @pytest.mark.parametrize(
        ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")]
    )
    def test_incomplete_has_its_reason(self, reason: str | None, finish: str) -> None:
        answer = read(
            created(), text_delta(0, "a"), completed(status="incomplete", incomplete_details={"reason": reason})
        )
        assert (answer.finish, answer.error, answer.usage) == (finish, None, Usage(input_uncached=5, output=7))

    def test_a_refusal_is_the_reason_where_a_part_refused(self) -> None:
        said = [event("refusal.delta", output_index=0, content_index=0, delta=half) for half in ("I ", "won't")]
        item = {"type": "message", "content": [{"type": "refusal", "refusal": "I won't"}]}
        events = decode(created(), *said, done(0, item), completed(item))
        assert events[1:3] == [RefusalDelta("I ", 0), RefusalDelta("won't", 0)]
        assert (fold(events).finish, fold(events).text) == ("refusal", "I won't")

    def test_failed_is_an_error(self) -> None:
        answer = read(
            created(), text_delta(0, "a"), completed(status="failed", error={"code": "server_error", "message": "boom"})
        )
        assert (answer.error, answer.finish, answer.text, answer.ended) == (
            Fault("server_error", "boom"),
            "error",
            "a",
            True,
        )

    def test_cancelled_is_an_error(self) -> None:
        assert read(created(), completed(status="cancelled", error=None)).error == Fault(
            "response_cancelled", "The response was cancelled"
        )

    @pytest.mark.parametrize(
        "said",
        [
            {"type": "error", "code": "server_error", "message": "boom", "param": None},
            {"type": "error", "error": {"type": "server_error", "code": "x", "message": "boom", "param": None}},
            {"error": {"code": "server_error", "message": "boom"}},
        ],
    )
    def test_an_error_is_flat_or_nested_and_failed_after_it_repeats_it(self, said: Said) -> None:
        failed = completed(status="failed", error={"code": "other", "message": "again"})
        code = "x" if "x" in str(said) else None
        for stream in ([created(), said], [created(), said, failed]):
            assert read(*stream).error == Fault("server_error", "boom", code)
            assert read(*stream).finish == "error"

    def test_the_end_of_the_stream_without_a_terminal_event_is_an_error(self) -> None:
        answer = read(created(), text_delta(0, "cut"), done(0, message("cut")))
        assert (answer.text, answer.finish, answer.ended) == ("cut", "error", False)
        assert answer.error
        assert answer.error.type == "upstream_disconnected"

    def test_a_response_event_that_is_not_terminal_ends_nothing(self) -> None:
        odd = event("in_progress", response={"id": "r1", "output": [message("no")], "status": "completed"})
        assert read(created(), odd, text_delta(0, "yes"), completed(message("yes"))).text == "yes"

    def test_done_after_the_terminal_event_changes_nothing(self) -> None:
        decoder = StreamDecoder()
        decoder.decode(ServerSentEvent(None, json.dumps(completed(message("a"))).encode()))
        assert decoder.decode(ServerSentEvent(None, b"[DONE]")) == []
        assert decoder.close() == []
        assert decoder.malformed == 0

    def test_a_second_terminal_event_repeats_nothing(self) -> None:
        assert read(created(), completed(message("a")), completed(message("a"))).text == "a"


def test_another_response_in_the_same_stream_begins_the_answer_anew() -> None:
    first = [created("r1"), added(0, function()), completed(function("{}"))]
    answer = read(*first, created("r2"), text_delta(0, "Hi"), completed(message("Hi"), id="r2"))
    assert (answer.id, answer.text, answer.tool_calls, answer.finish) == ("r2", "Hi", (), "stop")


def test_its_counts_are_its_own() -> None:
    old, new = (
        {"input_tokens": 10, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": 2} for cached in (9, 0)
    )
    answer = read(created("r1"), completed(usage=old), created("r2"), completed(message("Hi"), id="r2", usage=new))
    assert answer.usage == Usage(input_uncached=10, output=2)


def test_the_event_field_stands_in_for_a_missing_type() -> None:
    decoder = StreamDecoder()
    said = ServerSentEvent("response.output_text.delta", b'{"output_index":0,"content_index":0,"delta":"a"}')
    assert decoder.decode(said) == [TextDelta("a", 0)]


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [None], True])
def test_odd_values_do_not_take_their_neighbours_with_them(odd: Any) -> None:
    stream = [
        {"type": odd, "response": odd},
        event("created", response=odd),
        event("output_item.added", output_index=odd, item=odd),
        event("output_item.done", output_index=5, item={"type": odd, "content": odd, "summary": odd}),
        event(
            "output_item.done", output_index=6, item={"type": "message", "content": [odd, {"type": odd, "text": odd}]}
        ),
        event("output_item.done", output_index=7, item={"type": "reasoning", "summary": odd, "content": odd}),
        event("output_text.delta", output_index=odd, content_index=odd, delta=odd),
        event("output_text.done", output_index=odd, content_index=odd, text=odd),
        event("function_call_arguments.done", output_index=9, arguments=odd),
        {"type": odd, "object": odd, "error": None},
        text_delta(0, "a"),
        event("completed", response={"id": odd, "output": odd, "usage": odd, "status": odd, "error": odd and None}),
    ]
    answer = read(*stream)
    assert answer.text.endswith("a")
    assert (answer.error, answer.ended) == (None, True)
