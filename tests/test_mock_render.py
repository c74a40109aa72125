"""From a reply to status, headers and bytes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from test_mock_asked import CHAT, MESSAGES, RESPONSES, asked, user
from trivium.mock import Error, Model, Reply, ToolCall, Usage
from trivium.mock.asked import Asked
from trivium.mock.render import Rendered, render

WHOLE = asked(CHAT, {"model": "m", "messages": [user("Hi")]})
STREAM = asked(CHAT, {"model": "m", "messages": [user("Hi")], "stream": True})


def rendered(reply: Reply, request: Asked = WHOLE, models: list[Model] | None = None) -> Rendered:
    return render(reply, request, models or [])


def body(reply: Reply, request: Asked = WHOLE, models: list[Model] | None = None) -> Any:
    return msgspec.json.decode(b"".join(rendered(reply, request, models).pieces))


def test_the_same_request_to_the_same_reply_gives_the_same_bytes() -> None:
    for path in (CHAT, RESPONSES, MESSAGES):
        request = asked(path, {"model": "m", "messages": [user("Hi")], "stream": True})
        reply = Reply(text="Hello", reasoning="Hm.", tool_calls=[ToolCall("f")])
        assert rendered(reply, request) == rendered(reply, request)


def test_a_stream_is_asked_for_by_the_request() -> None:
    assert rendered(Reply()).headers["content-type"] == "application/json"
    assert rendered(Reply(), STREAM).headers["content-type"] == "text/event-stream; charset=utf-8"
    assert rendered(Reply(), STREAM).pieces[-1] == b"data: [DONE]\n\n"


def test_headers_are_added_replaced_and_left_out() -> None:
    reply = Reply(headers={"Retry-After": "2", "X-Request-Id": ""}, content_type="text/html")

    assert rendered(reply).headers == {"content-type": "text/html", "retry-after": "2"}


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_generation_is_named_in_a_header(path: str) -> None:
    request = asked(path, {"model": "m", "stream": True})

    assert rendered(Reply(generation="gen-1"), request).headers["x-generation-id"] == "gen-1"
    assert "x-generation-id" not in rendered(Reply(), request).headers


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_the_terminal_event_can_be_left_out(path: str) -> None:
    request = asked(path, {"model": "m", "stream": True})

    assert rendered(Reply(omit_terminal=True), request).pieces == rendered(Reply(), request).pieces[:-1]


def test_captures_are_replayed_verbatim(tmp_path: Path) -> None:
    stream, page = tmp_path / "capture.sse", tmp_path / "error.json"
    stream.write_bytes(b": hi\r\n\r\ndata: 1\r\n\r\n")
    page.write_bytes(b'{"a": "\xff"}')

    assert rendered(Reply(file=str(stream))).pieces == [b": hi\r\n\r\n", b"data: 1\r\n\r\n"]
    assert rendered(Reply(file=str(stream))).stream
    assert rendered(Reply(file=str(page), status=502), STREAM).pieces == [b'{"a": "\xff"}']
    assert rendered(Reply(file=str(page), status=502), STREAM).status == 502
    assert rendered(Reply(sse="data: 1\n\ndata: 2")).pieces == [b"data: 1\n\n", b"data: 2"]
    assert body(Reply(body='{"a": 1}'), STREAM) == body(Reply(body={"a": 1}), STREAM) == {"a": 1}
    assert rendered(Reply(body="")).pieces == [b""]


def test_gzip_holds_for_whole_answers_and_for_every_event() -> None:
    for request in (WHOLE, STREAM):
        plain, packed = rendered(Reply(text="Hello"), request), rendered(Reply(text="Hello", gzip=True), request)
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.pieces) == len(plain.pieces)
        assert gzip.decompress(b"".join(packed.pieces)) == b"".join(plain.pieces)


def test_counts_are_estimated_or_scripted() -> None:
    counting = asked("/v1/messages/count_tokens", {"messages": [user("x" * 36)]})

    assert body(Reply(), counting) == {"input_tokens": 10}
    assert body(Reply(usage=Usage(input=1, cache_read=2)), counting) == {"input_tokens": 3}
    assert rendered(Reply(status=404), counting).status == 404
    assert body(Reply(status=404), counting)["error"]["type"] == "not_found_error"


def test_models_are_listed_in_the_shape_that_the_client_expects() -> None:
    models = [Model("a"), Model("b", "Bee", {"context_length": 8})]
    openai = asked("/v1/models", method="GET")
    anthropic = asked("/v1/models", method="GET", headers=[("anthropic-version", "2023-06-01")])

    assert body(Reply(), openai, models) == {
        "object": "list",
        "data": [
            {"id": "a", "object": "model", "created": 1767225600, "owned_by": "mock"},
            {
                "id": "b",
                "object": "model",
                "created": 1767225600,
                "owned_by": "mock",
                "name": "Bee",
                "context_length": 8,
            },
        ],
    }
    assert body(Reply(), anthropic, models)["data"][1] == {
        "type": "model",
        "id": "b",
        "display_name": "Bee",
        "created_at": "2026-01-01T00:00:00Z",
    }
    assert body(Reply(), anthropic, []) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_an_in_band_error_of_a_stream_defaults_to_its_start() -> None:
    reply = Reply(text="Hello", error=Error(message="No."))

    assert [b'"message":"No."' in piece for piece in rendered(reply, STREAM).pieces] == [True]
