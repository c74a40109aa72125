"""A reply that has met its request."""

from __future__ import annotations

from test_mock_asked import CHAT, asked, user
from trivium.mock import Reply, ToolCall, Usage
from trivium.mock.answer import compose

ASKED = asked(CHAT, {"model": "m", "messages": [user("x" * 40)]})


def test_a_string_falls_into_words_and_a_list_stays_as_it_is() -> None:
    assert compose(Reply(text="  Hello there,\nfriend. "), ASKED).text == ["  Hello", " there,", "\nfriend.", " "]
    assert compose(Reply(text=["a b", "", "c"]), ASKED).text == ["a b", "", "c"]


def test_tool_calls_decide_the_finish_unless_it_is_given() -> None:
    calls = [ToolCall("f")]

    assert compose(Reply(text="Hi"), ASKED).finish == "stop"
    assert compose(Reply(tool_calls=calls), ASKED).finish == "tool_calls"
    assert compose(Reply(tool_calls=calls, finish="length"), ASKED).finish == "length"
    assert compose(Reply(tool_calls=calls, stop_sequence="END"), ASKED).finish == "stop"


def test_arguments_go_as_json_or_verbatim_and_in_fragments() -> None:
    table, text = compose(Reply(tool_calls=[ToolCall("f", {"city": "Köln"}), ToolCall("f", "{broken")]), ASKED).calls

    assert table.arguments == '{"city":"Köln"}'
    assert table.fragments == ['{"city":', '"Köln"}']
    assert text.arguments == "{broken"


def test_usage_left_out_is_estimated_the_same_for_the_same_texts() -> None:
    reply = Reply(text="Twelve chars", reasoning="eight ch", tool_calls=[ToolCall("f", {})])

    assert compose(reply, ASKED).usage == compose(reply, ASKED).usage == Usage(input=11, output=6, reasoning=2)
    assert compose(Reply(usage=Usage(input=1)), ASKED).usage == Usage(input=1)
    assert compose(Reply(no_usage=True, usage=Usage(input=1)), ASKED).usage is None


def test_a_signature_alone_is_reasoning_that_is_not_shown() -> None:
    assert compose(Reply(signature="s"), ASKED).reasoning == []
    assert compose(Reply(), ASKED).reasoning is None
