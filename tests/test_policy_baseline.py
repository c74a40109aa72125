"""What rules the past suggests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.baseline import Past, rounded_up, suggest, suggestions


def past(calls: int, errors: int, streams: int = 0, first_token_ms: int | None = None, model: str = "m") -> Past:
    return Past(provider="up", model=model, calls=calls, errors=errors, streams=streams, first_token_ms=first_token_ms)


@pytest.mark.parametrize(
    ("calls", "errors", "objective"),
    [
        (10_000, 0, 0.9999),
        (10_000, 1, 0.9999),  # just what it leaves room for
        (10_000, 2, 0.9995),
        (10_000, 10, 0.999),
        (10_000, 11, 0.998),
        (100, 10, 0.9),
        (100, 11, None),  # nothing to hold on to
        (99, 0, None),  # too few
    ],
)
def test_the_objective_is_one_that_was_kept(calls: int, errors: int, objective: float | None) -> None:
    assert suggest(past(calls, errors)).objective == objective


def test_slow_is_a_quarter_later_than_ninety_nine_of_a_hundred_were() -> None:
    told = suggest(past(500, 0, 100, 1_235))
    assert (told.first_token_ms, told.slow_ms) == (1235, 1600)  # 1543.75, rounded up to two digits
    assert suggest(past(500, 0, 99, 1_235)).slow_ms is None
    assert suggest(past(500, 0, 100, 8)).slow_ms == 10


@given(st.integers(1, 10**7))
def test_rounding_goes_up_and_not_far(number: int) -> None:
    rounded = rounded_up(number)
    assert number <= rounded <= number * 1.1
    assert len(str(rounded).rstrip("0")) <= 2


def test_the_most_called_come_first() -> None:
    told = suggestions([past(5, 0, model="a"), past(9, 0, model="b"), past(5, 0, model="A")])
    assert [one.model for one in told] == ["up/b", "up/A", "up/a"]
