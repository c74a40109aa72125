"""Reading captures."""

import base64
import json
import zlib
from decimal import Decimal
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.canon.events import Fault, FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import ToolCall
from trivium.canon.usage import Usage
from trivium.operations.wire import as_json, as_text, read_capture

CHUNK = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
WHOLE = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
STREAM = b"data: " + json.dumps(CHUNK).encode() + b"\n\ndata: [DONE]\n\n"


def frame(event: dict[str, Any]) -> bytes:
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    prelude = (16 + len(payload)).to_bytes(4, "big") + bytes(4)
    body = prelude + zlib.crc32(prelude).to_bytes(4, "big") + payload
    return body + zlib.crc32(body).to_bytes(4, "big")


@pytest.mark.parametrize(
    "data",
    [
        STREAM,
        STREAM.replace(b"\n", b"\r\n"),
        STREAM.replace(b"\n", b"\r"),
        b": OPENROUTER PROCESSING\n\n: \n\n" + STREAM,
        b"\xef\xbb\xbf" + STREAM,
        b"\n \n" + STREAM,
        b"event: message\n" + STREAM,
        json.dumps(WHOLE).encode(),
        b"\n\n      \n" + json.dumps(WHOLE, indent=1).encode(),
        b"\xef\xbb\xbf" + json.dumps(WHOLE).encode(),
    ],
)
def test_a_capture_is_told_apart_by_its_content(data: bytes) -> None:
    answer = read_capture(data, Api.CHAT)
    assert (answer.id, answer.text, answer.finish, answer.error) == ("c", "Hi", "stop", None)


def test_bedrocks_frames_are_read() -> None:
    message = {"type": "message_start", "message": {"id": "m1", "model": "claude", "usage": {"input_tokens": 3}}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    data = frame(message) + frame(delta) + frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    answer = read_capture(data + frame({"type": "message_stop"}), Api.MESSAGES)
    assert (answer.text, answer.finish, answer.usage) == ("Hi", "stop", Usage(input_uncached=3))
    assert read_capture(data[:80], Api.MESSAGES).error


@pytest.mark.parametrize("data", [b"", b"   ", b"<html>\n:root{}\n</html>", b"\x00\x01\x02", b"{", b": \n\n"])
def test_what_is_no_answer_is_an_error_and_no_exception(data: bytes) -> None:
    for api in Api:
        assert read_capture(data, api).error


def test_the_provider_says_how_it_counts() -> None:
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    data = json.dumps({**WHOLE, "usage": usage}).encode()
    for provider, output in (("google-compat", 74), ("openai", 12), (None, 12)):
        found = read_capture(data, Api.CHAT, provider).usage
        assert found
        assert found.output == output


def test_the_json_has_exactly_these_fields() -> None:
    usage = Usage(
        input_uncached=1,
        cache_read=2,
        cache_write_5m=3,
        cache_write_1h=4,
        cache_write_other=5,
        output=9,
        reasoning=6,
        audio_input=1,
        audio_output=2,
        server_tools={"web_search": 1},
        reported_cost=Decimal("7.02E-5"),
    )
    answer = Answer(
        id="a",
        model="m",
        text="t",
        reasoning="r",
        tool_calls=(ToolCall("c", "f", '{"x":1.5}'),),
        finish=FinishReason.TOOL_CALLS,
        native_finish="tool_use",
        usage=usage,
    )
    assert as_json(answer) == {
        "id": "a",
        "model": "m",
        "text": "t",
        "reasoning": "r",
        "tool_calls": [{"id": "c", "name": "f", "arguments": {"x": 1.5}}],
        "finish": "tool_calls",
        "native_finish": "tool_use",
        "usage": {
            "input": 15,
            "cache_read": 2,
            "cache_write_5m": 3,
            "cache_write_1h": 4,
            "cache_write": 12,
            "output": 9,
            "reasoning": 6,
            "audio_input": 1,
            "audio_output": 2,
            "server_tools": {"web_search": 1},
        },
        "reported_cost_usd": "0.0000702",
        "error": None,
    }


def test_usage_that_never_arrived_is_null_and_an_error_is_told() -> None:
    said = as_json(Answer(finish=FinishReason.ERROR, error=Fault("overloaded_error", "Overloaded")))
    assert (said["usage"], said["reported_cost_usd"]) == (None, None)
    assert said["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert said["finish"] == "error"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("", ""),
        ("{}", {}),
        ('{"a": "b', '{"a": "b'),
        ("select 1", "select 1"),
        ("[" * 9999, "[" * 9999),
        ("[" * 500 + "]" * 500, "[" * 500 + "]" * 500),
    ],
)
def test_arguments_are_parsed_where_they_are_json(arguments: str, shown: Any) -> None:
    answer = Answer(tool_calls=(ToolCall("c", "f", arguments),))
    assert as_json(answer)["tool_calls"][0]["arguments"] == shown


@pytest.mark.parametrize(
    ("cost", "shown"), [("0", "0"), ("1.500", "1.5"), ("20", "20"), ("1E-10", "0.0000000001"), ("0.00", "0")]
)
def test_a_cost_is_shown_in_plain_digits(cost: str, shown: str) -> None:
    assert as_json(Answer(usage=Usage(reported_cost=Decimal(cost))))["reported_cost_usd"] == shown


def test_the_text_for_a_terminal_names_what_there_is_and_nothing_else() -> None:
    usage = Usage(input_uncached=3, output=2, reported_cost=Decimal("0.10"))
    answer = Answer(id="a", model="m", text="one\ntwo", finish=FinishReason.STOP, native_finish="end_turn", usage=usage)
    assert as_text(answer, "x.sse").splitlines() == [
        "x.sse",
        "  answer    a m",
        "  finish    stop (end_turn)",
        "  text      one",
        "            two",
        "  usage     input 3, output 2, cost 0.1 USD",
    ]
    assert "none arrived" in as_text(Answer(), "y")


def test_nothing_in_the_text_can_steer_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\u202egnp.exe\x9b31m"
    answer = Answer(id=evil, text=evil, error=Fault(evil, evil), tool_calls=(ToolCall(evil, evil, evil),))
    shown = as_text(answer, evil)
    assert all(letter.isprintable() for letter in shown.replace("\n", ""))
    assert "\\x1b]0;owned\\x07" in shown
