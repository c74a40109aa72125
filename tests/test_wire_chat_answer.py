"""Whole Chat Completions bodies."""

import json
from functools import partial
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.canon.events import Begin, End, Fault, Finish, FinishReason, TextDelta, UsageReport
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import ToolCall
from trivium.canon.usage import Usage
from trivium.wire import codec

decode_answer = partial(codec.decode_answer, Api.CHAT)


def body(finish: str | None = "stop", **message: Any) -> bytes:
    choices = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]
    return json.dumps({"id": "c1", "model": "m", "choices": choices, "usage": {"prompt_tokens": 4}}).encode()


def read(data: bytes) -> Answer:
    return fold(decode_answer(data))


def test_a_body_is_the_short_list_of_events_that_a_stream_would_be() -> None:
    assert decode_answer(body(content="Hello")) == [
        Begin("c1", "m"),
        TextDelta("Hello", 0),
        UsageReport(Usage(input_uncached=4)),
        Finish(FinishReason.STOP, "stop"),
        End(),
    ]


def test_blank_lines_that_kept_the_connection_alive_are_passed_over() -> None:
    assert read(b"\n\n         \n" + body(content="Hello")).text == "Hello"


def test_every_entry_of_tool_calls_is_a_call_of_its_own() -> None:
    made = {"id": "", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = read(body("tool_calls", content=None, tool_calls=[made, made]))
    assert answer.tool_calls == (ToolCall("", "f", "{}"),) * 2
    assert answer.finish == "tool_calls"


def test_a_call_without_id_arguments_and_finish_word_is_still_a_call() -> None:
    answer = read(body(None, tool_calls=[{"function": {"name": "f"}}]))
    assert (answer.tool_calls, answer.finish) == ((ToolCall("", "f", ""),), "tool_calls")


@pytest.mark.parametrize("word", [None, "", "nonsense"])
def test_a_body_without_a_known_finish_word_stopped(word: str | None) -> None:
    assert read(body(word, content="a")).finish == "stop"


def test_of_several_choices_the_one_numbered_zero_is_read() -> None:
    choices = [{"index": at, "message": {"content": str(at)}, "finish_reason": "stop"} for at in (1, 0)]
    assert read(json.dumps({"choices": choices}).encode()).text == "0"


def test_a_refusal_is_the_text_where_there_is_no_other() -> None:
    answer = read(body(content=None, refusal="I cannot help."))
    assert (answer.text, answer.finish) == ("I cannot help.", "stop")


def test_an_error_body_is_one_fault() -> None:
    assert decode_answer(b'{"error":{"message":"No key","type":"invalid_request_error"}}') == [
        Fault("invalid_request_error", "No key")
    ]
    assert decode_answer(b'\n  {"error": {"code": 429, "message": "Slow"}}') == [Fault("rate_limit_error", "Slow")]


@pytest.mark.parametrize(
    "data", [b"", b"<html>502</html>", b"[]", b"null", b'{"object":"list","data":[]}', b"{" * 5000]
)
def test_a_body_that_is_no_answer_is_one_fault(data: bytes) -> None:
    answer = read(data)
    assert answer.error
    assert (answer.error.type, answer.finish, answer.usage) == ("upstream_invalid_response", "error", None)


def test_usage_without_a_choice_is_not_lost() -> None:
    answer = read(b'{"id":"c1","choices":[],"usage":{"prompt_tokens":3}}')
    assert (answer.usage, answer.error, answer.finish) == (Usage(input_uncached=3), None, "unknown")


def test_null_content_is_no_text() -> None:
    assert (read(body(content=None)).text, read(body(content=None)).finish) == ("", "stop")
