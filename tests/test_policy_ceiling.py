"""Limits that are set from outside the house."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import OperationError
from trivium.policy.caller import Limits
from trivium.policy.ceiling import within

NUMBERS = st.none() | st.integers(0, 5)
LIMITS = st.builds(Limits, requests_per_minute=NUMBERS, concurrent_requests=NUMBERS)


def effective(own: Limits, house: Limits, name: str) -> float:
    """What holds of a limit."""
    said = [value for limits in (own, house) if (value := getattr(limits, name)) is not None]
    return said[0] if said else float("inf")


@given(LIMITS, LIMITS, LIMITS)
def test_what_holds_afterwards_is_never_more_than_before(asked: Limits, own: Limits, house: Limits) -> None:
    try:
        within(asked, own, house)
    except OperationError:
        return
    for name in ("requests_per_minute", "concurrent_requests"):
        assert effective(asked, house, name) <= effective(own, house, name)


def test_lower_ones_and_those_of_nobody_are_free() -> None:
    within(Limits(requests_per_minute=4), Limits(requests_per_minute=5), Limits())
    within(Limits(requests_per_minute=9**9), Limits(), Limits())
    within(Limits(), Limits(), Limits(requests_per_minute=1))


def test_the_refusal_names_the_limit() -> None:
    with pytest.raises(OperationError, match="requests_per_minute is 5 and can only be lowered"):
        within(Limits(requests_per_minute=6), Limits(), Limits(requests_per_minute=5))
