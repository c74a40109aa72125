"""Names with `*` and `?`."""

from __future__ import annotations

import pytest

from trivium.canon.wildcard import compiled, is_wild, precision


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


def test_an_exact_name_is_more_precise_than_any_pattern_and_letters_decide_among_those() -> None:
    patterns = ["a/b", "a/long-prefix-*", "a/lon?", "a/*", "*"]
    assert sorted(sorted(patterns), key=precision, reverse=True) == patterns
    assert [is_wild(pattern) for pattern in patterns] == [False, True, True, True, True]
