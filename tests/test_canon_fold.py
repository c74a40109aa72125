"""Events into an answer."""

from trivium.canon.events import (
    Begin,
    Cited,
    End,
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
from trivium.canon.fold import Fold, fold
from trivium.canon.parts import Citation, Reasoning, Refusal, Seal, Text, ToolCall, ToolKind
from trivium.canon.usage import Usage


def test_a_full_answer_is_told_in_order() -> None:
    answer = fold(
        [
            Begin("a1", "m"),
            ReasoningDelta("Hm", 0),
            ReasoningDelta("m.", 0),
            TextDelta("He", 1),
            TextDelta("llo", 1),
            ToolCallBegin(2, "c1", "add"),
            ToolCallDelta(2, '{"a"'),
            ToolCallBegin(3, "c2", "now"),
            ToolCallDelta(2, ":1}"),
            UsageReport(Usage(output=1)),
            UsageReport(Usage(output=7)),
            Finish(FinishReason.TOOL_CALLS, "tool_use"),
            End(),
        ]
    )
    assert (answer.id, answer.model) == ("a1", "m")
    assert (answer.reasoning, answer.text) == ("Hmm.", "Hello")
    assert answer.tool_calls == (ToolCall("c1", "add", '{"a":1}'), ToolCall("c2", "now", ""))
    assert answer.usage == Usage(output=7)
    assert (answer.finish, answer.native_finish, answer.ended) == ("tool_calls", "tool_use", True)


def test_a_refusal_is_the_text_only_where_there_is_no_other() -> None:
    assert fold([RefusalDelta("No.")]).text == "No."
    assert fold([RefusalDelta("No."), TextDelta("Yes.")]).text == "Yes."


def test_an_error_outdoes_every_finish_word_and_the_first_error_counts() -> None:
    answer = fold([Finish(FinishReason.STOP, "stop"), Fault("first", "1"), Fault("second", "2")])
    assert answer.finish == "error"
    assert answer.error == Fault("first", "1")


def test_a_restart_voids_what_was_said_but_not_what_was_used() -> None:
    answer = fold(
        [
            Begin("a1", "m", served_by="Acme"),
            TextDelta("old"),
            ToolCallBegin(1, "c", "f"),
            UsageReport(Usage(output=3)),
            Begin("a2", "m2", restarted=True),
            TextDelta("new", 2),
        ]
    )
    assert (answer.id, answer.model, answer.served_by) == ("a2", "m2", None)
    assert (answer.text, answer.tool_calls) == ("new", ())
    assert answer.usage == Usage(output=3)


def test_a_later_begin_only_adds_what_was_missing() -> None:
    answer = fold([Begin("a1"), Begin("zz", "m"), Begin("zz", "n", served_by="Acme"), Begin(served_by="Other")])
    assert (answer.id, answer.model, answer.served_by) == ("a1", "m", "Acme")


def test_nothing_said_is_an_answer_whose_end_and_usage_are_unknown() -> None:
    answer = fold([])
    assert (answer.text, answer.finish, answer.usage, answer.ended) == ("", "unknown", None, False)


def test_arguments_of_a_call_that_never_began_are_left_out() -> None:
    assert fold([ToolCallDelta(4, "{}")]).tool_calls == ()


def test_the_answer_so_far_can_be_asked_for_at_any_time() -> None:
    folding = Fold()
    folding.add(TextDelta("a"))
    assert folding.answer().text == "a"
    folding.add(TextDelta("b"))
    assert folding.answer().text == "ab"


class TestParts:
    def test_they_stand_in_the_order_in_which_they_began(self) -> None:
        answer = fold(
            [
                ReasoningDelta("Hm.", 0),
                TextDelta("I ", 1),
                ToolCallBegin(2, "c1", "f"),
                RefusalDelta("No.", 3),
                ToolCallBegin(4, "c2", "sql", ToolKind.CUSTOM, "db"),
                ToolCallDelta(4, "select 1"),
                ToolCallDelta(2, "{}"),
                TextDelta("try.", 1),
            ]
        )
        calls = (ToolCall("c1", "f", "{}"), ToolCall("c2", "sql", "select 1", ToolKind.CUSTOM, "db"))
        assert answer.parts == (Reasoning("Hm."), Text("I try."), calls[0], Refusal("No."), calls[1])
        assert answer.tool_calls == calls

    def test_parts_of_one_kind_stay_apart_and_are_joined_as_text(self) -> None:
        answer = fold([TextDelta("a", 0), ReasoningDelta("x", 1), TextDelta("b", 2), ReasoningDelta("y", 3)])
        assert answer.parts == (Text("a"), Reasoning("x"), Text("b"), Reasoning("y"))
        assert (answer.text, answer.reasoning) == ("ab", "xy")

    def test_a_citation_belongs_to_the_text_of_its_part(self) -> None:
        page = Citation("https://x", "X", 0, 1)
        answer = fold([TextDelta("a", 0), Cited(0, page), TextDelta("b", 1)])
        assert answer.parts == (Text("a", citations=(page,)), Text("b"))

    def test_a_restart_voids_them(self) -> None:
        assert fold([TextDelta("old", 0), Begin("a2", restarted=True), TextDelta("new", 1)]).parts == (Text("new"),)


class TestSeals:
    SEAL = Seal("signature", "s")

    def test_one_seals_the_reasoning_of_its_part(self) -> None:
        answer = fold([ReasoningDelta("a", 0), ReasoningSeal(0, self.SEAL), ReasoningDelta("b", 1)])
        assert answer.parts == (Reasoning("a", seal=self.SEAL), Reasoning("b"))

    def test_one_without_a_text_is_reasoning_all_the_same_and_of_several_the_last_counts(self) -> None:
        answer = fold([ReasoningSeal(0, Seal("signature", "early")), ReasoningSeal(0, self.SEAL)])
        assert (answer.parts, answer.reasoning) == ((Reasoning("", seal=self.SEAL),), "")


def test_what_only_one_api_can_say_is_named_once_in_the_order_in_which_it_came() -> None:
    answer = fold([Foreign("b"), Foreign("a"), TextDelta("x"), Foreign("b")])
    assert (answer.foreign, answer.text) == (("b", "a"), "x")


def test_the_stop_sequence_is_that_of_the_last_finish() -> None:
    assert fold([Finish(FinishReason.STOP, "stop_sequence", "END")]).stop_sequence == "END"
    assert (
        fold([Finish(FinishReason.STOP, "stop_sequence", "END"), Finish(FinishReason.STOP, "x")]).stop_sequence is None
    )
