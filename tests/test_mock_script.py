"""Scripts as values: what they count, and which contradictions they refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trivium.mock import Reply, Rule, Script, ToolCall, Usage


def test_usage_counts_every_token_once() -> None:
    usage = Usage(input=10, cache_read=5, cache_write_5m=3, cache_write_1h=2, output=7)

    assert usage.cache_write == 5
    assert usage.whole_input == 20


def test_a_script_needs_no_more_than_a_reply() -> None:
    rule = Rule(Reply(text="Hello"))

    assert Script([rule]).rules[0].times is None
    assert Script().models[0].id == "mock-model"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"body": "{}", "sse": "data: 1\n\n"}, "expected one of `body`, `sse`"),
        ({"file": "a.sse", "raw": "HTTP/1.1 200 OK\r\n\r\n"}, "expected one of `file`, `raw`"),
        (
            {"abort_after_events": 1, "abort_after_bytes": 1},
            "expected one of `abort_after_events`, `abort_after_bytes`",
        ),
        ({"ping_every_ms": 5, "chunk_bytes": 1}, "a ping lies between events"),
        ({"ping_every_ms": 5, "gzip": True}, "a ping lies between events"),
        ({"abort": "end"}, "with `abort = 'end'`"),
        ({"finish": "length", "stop_sequence": "END"}, "with `stop_sequence`"),
        ({"citations": [{"url": "https://a.example/", "title": "A"}]}, "with `citations`"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Reply(**fields)
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(fields, Reply)


def test_the_input_of_a_custom_call_is_text() -> None:
    with pytest.raises(ValueError, match="expected a string"):
        ToolCall("patch", kind="custom")
    assert ToolCall("patch", "", kind="custom").arguments == ""
