"""Bodies on a page: text and nothing else, laid out, and never more than a page holds."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from trivium.dashboard.bodies import shown

ROOM = 64 * 1024
STREAM = "text/event-stream"


def told(text: str, part: str = "answer") -> dict[str, Any]:
    return {"part": part, "text": text, "bytes": len(text), "kept": len(text), "cut": False}


def test_json_is_laid_out_and_what_is_none_stays() -> None:
    assert shown(told('{"a":[1,"ü"]}'), "application/json").text == '{\n  "a": [\n    1,\n    "ü"\n  ]\n}'
    for text in ('{"a": [1, "cut of', "", "[" * 200_000, "\ud800"):
        one = shown(told(text[:9000]), "application/json")
        assert one.text == text[:9000].replace("\ud800", "?")


def test_a_stream_is_its_events() -> None:
    text = ': ping\n\nevent: ping\ndata: {"type":"ping"}\n\ndata: [DONE]\n\ndata: {"cut'
    events = shown(told(text), f"{STREAM}; charset=utf-8").events
    assert [(one.name, one.head, one.text) for one in events] == [
        ("comment", ": ping", ": ping"),
        ("ping", '{"type":"ping"}', '{\n  "type": "ping"\n}'),
        ("data", "[DONE]", "[DONE]"),
        ("data", '{"cut', '{"cut'),
    ]


def test_what_a_client_sent_is_no_stream_whatever_the_answer_was() -> None:
    assert shown(told('{"a":1}', "request"), STREAM).text == '{\n  "a": 1\n}'


@pytest.mark.parametrize("letter", ["x", '"', "<", "&", "\U0001f600", "\u202e", "\n"])
def test_a_page_has_as_much_as_fits(letter: str) -> None:
    one = shown(told(letter * 300_000), "application/json")
    assert (one.whole, one.open) == (False, False)
    assert ROOM // 4 < len(html.escape(one.text).encode()) <= ROOM
    many = shown(told("".join(f"data: {json.dumps({'a': letter * 9, 'n': n})}\n\n" for n in range(9_000))), STREAM)
    assert not many.whole
    assert 50 < len(many.events) < 300
    assert sum(len(html.escape(event.head + event.text).encode()) for event in many.events) <= ROOM


def test_a_short_one_is_open() -> None:
    assert shown(told("{}"), "application/json").open
    assert not shown(told(json.dumps({"a": "x" * 5000})), "application/json").open
