"""Captures in another API: what `trivium wire translate` does, without the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support_streams import CHAT, chunk, sse
from test_upstream_frames import STREAM as FRAMES
from trivium.canon.api import Api
from trivium.errors import FieldUnsupported, OperationError
from trivium.operations.translate import translate_request, translate_response, translate_stream
from trivium.operations.wire import read_capture

PLAIN: Any = {"model": None, "provider": None}
STREAM = sse(*CHAT)
SAID = "Grüße \u2028"
"""In the frames."""
WHOLE = json.dumps(
    {"id": "c1", "model": "m", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
).encode()


@pytest.mark.parametrize("to", [Api.RESPONSES, Api.MESSAGES])
@pytest.mark.parametrize("data", [STREAM, WHOLE], ids=["stream", "whole"])
def test_a_stream_and_a_whole_answer_become_whatever_is_asked_for(to: Api, data: bytes) -> None:
    whole = translate_response(data, Api.CHAT, to, **PLAIN).body
    stream = translate_stream(data, Api.CHAT, to, **PLAIN).body
    assert json.loads(whole)
    assert stream.startswith(b"event: ")
    assert (read_capture(whole, to).text, read_capture(stream, to).text) == ("Hi", "Hi")


def test_amazons_frames_are_a_stream_whatever_is_asked_for() -> None:
    whole = translate_response(FRAMES, Api.MESSAGES, Api.CHAT, **PLAIN).body
    stream = translate_stream(FRAMES, Api.MESSAGES, Api.CHAT, **PLAIN).body
    assert (read_capture(whole, Api.CHAT).text, read_capture(stream, Api.CHAT).text) == (SAID, SAID)


def test_between_equals_everything_passes_as_it_is() -> None:
    odd = b'{"model":  "m", "later": 1.50}'
    for translate in (translate_request, translate_response, translate_stream):
        assert translate(odd, Api.CHAT, Api.CHAT, **PLAIN) == (translate(odd, Api.CHAT, Api.CHAT, **PLAIN))
        assert translate(odd, Api.CHAT, Api.CHAT, **PLAIN).body == odd


def test_an_error_is_one_in_the_other_api_too() -> None:
    error = b'{"error":{"message":"Slow down.","type":"rate_limit_exceeded","code":"rate_limit_exceeded"}}'
    said = json.loads(translate_response(error, Api.CHAT, Api.MESSAGES, **PLAIN).body)
    assert (said["type"], said["error"]["type"], said["error"]["message"]) == (
        "error",
        "rate_limit_error",
        "Slow down.",
    )
    broken = translate_stream(sse(chunk(content="Hi")), Api.CHAT, Api.RESPONSES, **PLAIN).body
    assert b"response.failed" in broken


def test_a_request_goes_to_the_model_and_the_server_that_are_named() -> None:
    asked = b'{"model":"x","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
    told = json.loads(translate_request(asked, Api.MESSAGES, Api.CHAT, model="gpt-5", provider="openai").body)
    assert (told["model"], told["max_completion_tokens"]) == ("gpt-5", 9)
    assert json.loads(translate_request(asked, Api.MESSAGES, Api.CHAT, **PLAIN).body)["max_tokens"] == 9


def test_what_the_gateway_refuses_is_refused_here() -> None:
    with pytest.raises(FieldUnsupported, match="previous_response_id"):
        translate_request(b'{"model":"m","input":"x","previous_response_id":"r"}', Api.RESPONSES, Api.CHAT, **PLAIN)


def test_a_provider_that_nobody_knows_is_an_error() -> None:
    for translate in (translate_request, translate_response, translate_stream):
        with pytest.raises(OperationError, match="'opneai'"):
            translate(WHOLE, Api.CHAT, Api.MESSAGES, model=None, provider="opneai")
    assert translate_response(WHOLE, Api.CHAT, Api.MESSAGES, model=None, provider="xai").body
