"""Whole Responses bodies."""

import json
from functools import partial
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.canon.events import (
    Begin,
    End,
    Fault,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.usage import Usage
from trivium.wire import codec

decode_answer = partial(codec.decode_answer, Api.RESPONSES)


def body(*output: dict[str, Any], status: str = "completed", **more: Any) -> bytes:
    usage = {"input_tokens": 5, "output_tokens": 7}
    response = {"id": "r1", "object": "response", "model": "m", "status": status, "output": output, "usage": usage}
    return json.dumps({**response, **more}).encode()


def read(data: bytes) -> Answer:
    return fold(decode_answer(data))


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}


def test_a_body_is_the_short_list_of_events_that_a_stream_would_be() -> None:
    assert decode_answer(body(THOUGHT, CALL, MESSAGE)) == [
        Begin("r1", "m"),
        UsageReport(Usage(input_uncached=5, output=7)),
        ReasoningDelta("Hm", 0),
        ToolCallBegin(1, "c", "f"),
        ToolCallDelta(1, '{"a":1}'),
        TextDelta("Hi", 2),
        Finish(FinishReason.TOOL_CALLS, "completed"),
        End(),
    ]


def test_a_text_in_an_item_of_reasoning_is_reasoning() -> None:
    """LocalAI's (mudler/LocalAI#9658)."""
    answer = read(
        body({"type": "reasoning", "summary": [], "content": [{"type": "output_text", "text": "Hm"}]}, MESSAGE)
    )
    assert (answer.reasoning, answer.text) == ("Hm", "Hi")


def test_two_calls_in_one_body_are_two_calls() -> None:
    assert [call.id for call in read(body(CALL, {**CALL, "call_id": "d"})).tool_calls] == ["c", "d"]


def test_a_body_cut_by_its_length_says_so() -> None:
    answer = read(body(MESSAGE, status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
    assert (answer.finish, answer.text, answer.error) == ("length", "Hi", None)


def test_a_failed_response_is_an_error() -> None:
    answer = read(body(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow down"}))
    assert answer.error == Fault("rate_limit_exceeded", "Slow down")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_is_still_under_way_has_no_end_and_no_error(status: str) -> None:
    answer = read(body(status=status))
    assert (answer.finish, answer.error, answer.ended) == ("unknown", None, False)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"[]", b'{"object":"list"}', b'{"error":null}', b'{"detail":"Not Found"}', b'{"error":"no"}'],
)
def test_a_body_that_is_no_answer_is_one_fault(data: bytes) -> None:
    assert [type(event) for event in decode_answer(data)] == [Fault]


def test_usage_without_a_response_is_not_lost() -> None:
    assert read(b'{"usage":{"input_tokens":3}}').usage == Usage(input_uncached=3)
