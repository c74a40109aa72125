"""Which lists would become more objects than everybody can wait for."""

from __future__ import annotations

import json

import msgspec
import pytest

from trivium.wire.crowd import has_more_names, is_crowded


@pytest.mark.parametrize(
    ("written", "crowded"),
    [
        (b"[%b{}]" % (b"{}," * 299_999), False),
        (b"[%b{}]" % (b"{}," * 300_000), True),
        (b'["%b"]' % (b"{" * 700_000), False),
        (b'["%b{"]' % (b'\\"{' * 400_000), False),
        (b'["\\\\",%b{}]' % (b"{}," * 300_000), True),
        (b"[%b{}]" % (b'{"a":"}"},' * 300_000), True),
    ],
    ids=["most", "one more", "in a text", "behind quotes in a text", "behind a text", "with texts"],
)
def test_objects_are_counted_and_texts_are_not(written: bytes, *, crowded: bool) -> None:
    assert is_crowded(msgspec.Raw(written)) is crowded


def test_another_mark_may_be_counted() -> None:
    numbers = msgspec.Raw(b"[%b1]" % (b"1," * 400_000))
    assert is_crowded(numbers, b",")
    assert not is_crowded(numbers)


@pytest.mark.parametrize("colon", [b":", b" :", b"\t\r\n :"], ids=["no blanks", "a blank", "all blanks"])
def test_names_are_counted_whatever_stands_before_their_colons(colon: bytes) -> None:
    members = b",".join([b'"role"%b"user"' % colon] * 50_000)
    assert has_more_names(b"{%b}" % members, 49_999)
    assert not has_more_names(b"{%b}" % members, 50_000)


def test_names_in_texts_are_none() -> None:
    assert not has_more_names(json.dumps({"output": json.dumps([{"a": 1}] * 100_000)}).encode(), 50_000)
