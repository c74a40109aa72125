"""Whole Messages bodies."""

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
    ReasoningSeal,
    TextDelta,
    UsageReport,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import Seal, ToolCall
from trivium.canon.usage import Usage
from trivium.wire import codec

decode_answer = partial(codec.decode_answer, Api.MESSAGES)


def body(*content: dict[str, Any], stop_reason: str | None = "end_turn", **more: Any) -> bytes:
    message = {"id": "m1", "type": "message", "model": "claude", "content": content, "stop_reason": stop_reason, **more}
    return json.dumps(message).encode()


def read(data: bytes) -> Answer:
    return fold(decode_answer(data))


def test_a_body_is_the_short_list_of_events_that_a_stream_would_be() -> None:
    thought, said = {"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "Hi"}
    assert decode_answer(body(thought, said, usage={"input_tokens": 3, "output_tokens": 2})) == [
        Begin("m1", "claude"),
        ReasoningDelta("Hm", 0),
        ReasoningSeal(0, Seal("signature", "s")),
        TextDelta("Hi", 1),
        UsageReport(Usage(input_uncached=3, output=2)),
        Finish(FinishReason.STOP, "end_turn"),
        End(),
    ]


def test_tool_inputs_are_written_as_json_and_none_is_an_empty_object() -> None:
    calls = [
        {"type": "tool_use", "id": id, "name": "f", "input": input} for id, input in (("a", {"x": [1]}), ("b", {}))
    ]
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    answer = read(body(server, *calls, stop_reason="tool_use"))
    assert answer.tool_calls == (ToolCall("a", "f", '{"x":[1]}'), ToolCall("b", "f", "{}"))
    assert answer.foreign == ("content[0] (server_tool_use)",)


def test_the_stop_sequence_that_ended_it_is_told() -> None:
    assert read(body(stop_reason="stop_sequence", stop_sequence="END")).stop_sequence == "END"
    assert read(body(stop_sequence=None)).stop_sequence is None


@pytest.mark.parametrize("content", [None, [], "text", [None, 7], {}])
def test_a_message_without_content_is_still_an_answer(content: Any) -> None:
    answer = read(json.dumps({"type": "message", "content": content, "stop_reason": None}).encode())
    assert (answer.text, answer.finish, answer.error) == ("", "stop", None)


def test_an_error_body_is_one_fault() -> None:
    said = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"},"request_id":"r"}'
    assert decode_answer(said) == [Fault("authentication_error", "invalid x-api-key")]


def test_bedrocks_bare_message_is_an_error() -> None:
    assert decode_answer(b'{"message":"Too many tokens"}') == [Fault("api_error", "Too many tokens")]


@pytest.mark.parametrize("data", [b"", b"Bad Gateway", b'{"input_tokens":12}', b"[]", b"3"])
def test_a_body_that_is_no_answer_is_one_fault(data: bytes) -> None:
    answer = read(data)
    assert answer.error
    assert (answer.error.type, answer.finish) == ("upstream_invalid_response", "error")


def test_usage_without_a_message_is_not_lost() -> None:
    answer = read(b'{"usage":{"input_tokens":100,"output_tokens":50,"cost":0.0012,"is_byok":false}}')
    assert answer.usage
    assert (answer.usage.input, str(answer.usage.reported_cost), answer.error) == (100, "0.0012", None)
