"""Names with `*` and `?`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.wildcard import compiled, fitting, is_wild, precision


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", True),
        ("a/*", "b/a/c", False),
        ("a/?", "a/b", True),
        ("a/?", "a/bc", False),
        ("a/m[1]", "a/m[1]", True),
        ("a/m[1]", "a/m1", False),
        ("a/b", "A/b", False),
        ("*", "", True),
    ],
)
def test_a_pattern_fits_whole_names(pattern: str, name: str, fits: bool) -> None:
    assert (compiled(pattern).fullmatch(name) is not None) is fits
    assert bool(fitting(pattern)(name)) is fits


@given(st.text("ab*?[", max_size=12), st.text("ab[", max_size=12))
def test_both_ways_of_reading_a_pattern_agree(pattern: str, name: str) -> None:
    assert bool(fitting(pattern)(name)) == (compiled(pattern).fullmatch(name) is not None)


def test_a_list_of_stars_needs_no_regular_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one takes a millisecond, and members may write many."""
    monkeypatch.setattr("trivium.canon.wildcard.compiled", None)
    assert fitting("a*b*c")("a--b--c")


def test_an_exact_name_is_more_precise_than_any_pattern_and_letters_decide_among_those() -> None:
    patterns = ["a/b", "a/long-prefix-*", "a/lon?", "a/*", "*"]
    assert sorted(sorted(patterns), key=precision, reverse=True) == patterns
    assert [is_wild(pattern) for pattern in patterns] == [False, True, True, True, True]
