"""Events into an answer."""

from trivium.canon.events import (
    Begin,
    End,
    Fault,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.fold import Fold, ToolCall, fold
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
            Begin("a1", "m"),
            TextDelta("old"),
            ToolCallBegin(1, "c", "f"),
            UsageReport(Usage(output=3)),
            Begin("a2", "m2", restarted=True),
            TextDelta("new", 2),
        ]
    )
    assert (answer.id, answer.model, answer.text, answer.tool_calls) == ("a2", "m2", "new", ())
    assert answer.usage == Usage(output=3)


def test_a_later_begin_only_adds_what_was_missing() -> None:
    answer = fold([Begin("a1"), Begin("zz", "m")])
    assert (answer.id, answer.model) == ("a1", "m")


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
