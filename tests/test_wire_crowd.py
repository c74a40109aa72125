"""Which lists would become more objects than everybody can wait for."""

from __future__ import annotations

import msgspec
import pytest

from trivium.wire.crowd import is_crowded


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
