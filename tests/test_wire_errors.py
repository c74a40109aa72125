"""Errors in the words of each API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium import errors
from trivium.canon.api import Api
from trivium.canon.fold import Fold
from trivium.errors import TriviumError
from trivium.wire.codec import stream_decoder
from trivium.wire.errors import ErrorValue, is_native, render, render_in_stream
from trivium.wire.sse import ServerSentEvent, SseParser

ANTHROPIC_TYPES = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "request_too_large", "rate_limit_error", "timeout_error", "api_error", "overloaded_error",
}  # fmt: skip


def tree(root: type[TriviumError]) -> Iterator[type[TriviumError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


TREE = [kind for kind in tree(TriviumError) if kind.__module__ == "trivium.errors"]


def error(status: int = 400, message: str = "no", **fields: Any) -> ErrorValue:
    return ErrorValue(status=status, code="some_code", message=message, request_id="req_1", **fields)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__
    for kind in TREE[1:]:
        assert kind.__name__ in errors.__doc__


def test_every_error_has_a_status_and_a_code_of_its_own() -> None:
    assert all(400 <= kind.status <= 599 for kind in TREE)
    assert len({kind.code for kind in TREE}) == len(TREE)
    assert all(kind("x").retry_after == 1 for kind in tree(errors.Unavailable))


def test_every_code_that_somebody_can_be_told_stands_on_the_page_with_its_status() -> None:
    page = (Path(__file__).parents[1] / "docs/errors.md").read_text(encoding="utf-8")
    codes = page.partition("\n## Codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"\n\| (\d+) \| (.+?) \|", codes)
    of_calls = {(int(status), code) for status, named in rows for code in re.findall(r"`(\w+)`", named)}
    told = [kind for kind in TREE if kind not in (errors.ConfigError, errors.Forbidden)]  # the start; never by itself
    ours = [kind for kind in told if not issubclass(kind, errors.OperationError | errors.UpstreamError)]
    assert [kind for kind in ours if (kind.status, kind.code) not in of_calls] == []
    assert [kind for kind in told if f"`{kind.code}`" not in codes] == []


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_can_be_read_where_the_sdks_look(kind: type[TriviumError]) -> None:
    value = error(kind.status, param="model")
    for api in (Api.CHAT, Api.RESPONSES):
        assert json.loads(render(api, value)) == {
            "error": {"message": "no", "type": json.loads(render(api, value))["error"]["type"],
                      "param": "model", "code": "some_code"}
        }  # fmt: skip
    body = json.loads(render(Api.MESSAGES, value))
    assert (body["type"], body["request_id"]) == ("error", "req_1")
    assert (body["error"]["message"], body["error"]["code"]) == ("no", "some_code")
    assert body["error"]["type"] in ANTHROPIC_TYPES


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "invalid_request_error", "authentication_error"),
        (402, "insufficient_quota", "billing_error"),
        (403, "permission_error", "permission_error"),
        (404, "invalid_request_error", "not_found_error"),
        (413, "invalid_request_error", "request_too_large"),
        (422, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "overloaded_error"),
        (408, "invalid_request_error", "timeout_error"),
        (504, "server_error", "timeout_error"),
        (529, "server_error", "overloaded_error"),
    ],
)
def test_the_type_goes_with_the_status(status: int, openai: str, anthropic: str) -> None:
    assert json.loads(render(Api.CHAT, error(status)))["error"]["type"] == openai
    assert json.loads(render(Api.MESSAGES, error(status)))["error"]["type"] == anthropic


def events_of(block: bytes) -> list[ServerSentEvent]:
    parser = SseParser()
    return parser.feed(block) + parser.close()


@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("message", ["no", "a\n\ndata: {}\r\n\r\n", "é\u2028😀", '"}', ""])
def test_an_error_in_a_stream_is_whole_events_that_the_decoders_read(api: Api, message: str) -> None:
    block = render_in_stream(api, error(502, message), 7, "resp_9")
    said = events_of(block)
    assert block.endswith(b"\n\n")
    assert block.count(b"\n\n") == len(said) == (2 if api is Api.RESPONSES else 1)
    decoder, folding = stream_decoder(api), Fold()
    for event in [event for one in said for event in decoder.decode(one)] + decoder.close():
        folding.add(event)
    answer = folding.answer()
    assert answer.error
    assert message in answer.error.message
    assert answer.finish == "error"


def test_a_failed_response_goes_on_with_the_numbers_of_its_stream() -> None:
    first, last = events_of(render_in_stream(Api.RESPONSES, error(502), 7, "resp_9"))
    told, failed = json.loads(first.data), json.loads(last.data)
    assert (first.event, told["type"], told["sequence_number"]) == ("error", "error", 7)
    assert (last.event, failed["type"], failed["sequence_number"]) == ("response.failed", "response.failed", 8)
    assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_9", "failed")
    assert failed["response"]["error"] == {"code": "some_code", "message": "no"}
    *_, nameless = events_of(render_in_stream(Api.RESPONSES, error(502), 0, None))
    assert json.loads(nameless.data)["response"]["id"] == "req_1"


@pytest.mark.parametrize("api", list(Api))
def test_our_own_errors_are_native(api: Api) -> None:
    assert is_native(api, render(api, error()))


@pytest.mark.parametrize(
    ("body", "openai", "anthropic"),
    [
        (b'{"error":{"message":"no"}}', True, False),
        (b'{"error":{"message":"no","type":null,"code":429}}', True, False),
        (b'{"type":"error","error":{"type":"x","message":"no"}}', True, True),
        (b'{"type":"error","error":{"message":"no"}}', True, False),
        (b'{"error":"no"}', False, False),
        (b'{"error":{"message":null}}', False, False),
        (b'{"message":"no"}', False, False),
        (b'[{"error":{"message":"no"}}]', False, False),
        (b"<html>", False, False),
        (b"", False, False),
        (b"\xff", False, False),
        (b"[" * 100_000, False, False),
    ],
)
def test_an_upstreams_error_passes_only_in_the_shape_that_the_client_parses(
    body: bytes, openai: bool, anthropic: bool
) -> None:
    assert [is_native(api, body) for api in Api] == [openai, openai, anthropic]


@settings(deadline=None)
@given(st.text(), st.sampled_from(list(Api)), st.integers(400, 599))
def test_any_message_can_be_said(message: str, api: Api, status: int) -> None:
    assert json.loads(render(api, error(status, message)))["error"]["message"] == message
