"""What was found out about bytes that come again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trivium.wire.again import Again


def test_what_passed_is_not_looked_at_again_and_what_failed_is() -> None:
    looked: list[bytes] = []

    def has_no_x(raw: bytes) -> bool:
        looked.append(raw)
        return b"x" not in raw

    passes = Again(has_no_x)
    assert [passes(raw) for raw in (b"abc", b"abc", b"abx", b"abx", b"abd", b"abc")] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert looked == [b"abc", b"abx", b"abx", b"abd", b"abc"]


@given(st.lists(st.binary(max_size=3), max_size=200))
def test_it_says_what_the_test_says(those: list[bytes]) -> None:
    passes = Again(lambda raw: b"\0" not in raw)
    assert [passes(raw) for raw in those] == [b"\0" not in raw for raw in those]


def test_a_result_is_remembered_whatever_it_is() -> None:
    letters = Again(lambda raw: raw.decode().split())
    assert letters(b"a b") is letters(b"a b")
    assert letters(b"c d") == ["c", "d"]


def test_little_is_remembered() -> None:
    passes = Again(lambda _: True)
    for length in range(1000):
        passes(b"a" * length * 400)
    kept = passes._known.values()
    assert len(kept) <= 16
    assert max(len(raw) for raw, _ in kept) <= 256 * 1024
