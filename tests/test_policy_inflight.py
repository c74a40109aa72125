"""The budget of bytes and calls."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import Overloaded
from trivium.policy.inflight import InFlight


def test_what_fits_exactly_is_taken_and_one_byte_more_is_not() -> None:
    budget = InFlight(max_bytes=100, max_calls=1)
    budget.take(100)
    with pytest.raises(Overloaded) as raised:
        budget.take(1)
    assert (raised.value.status, raised.value.retry_after, raised.value.detail) == (503, 1, "max_in_flight_bytes")
    assert budget.bytes == 100


def test_to_look_is_not_to_take() -> None:
    budget = InFlight(max_bytes=100, max_calls=1)
    budget.check(100)
    budget.check(100)
    assert budget.bytes == 0


def test_bytes_are_given_back_even_where_the_budget_is_overdrawn() -> None:
    budget = InFlight(max_bytes=100, max_calls=1)
    budget.take(60)
    budget.take(-60)
    budget.take(0)
    budget.take(100)
    assert budget.bytes == 100


def test_a_call_too_many_is_not_counted() -> None:
    budget = InFlight(max_bytes=1, max_calls=2)
    budget.enter()
    budget.enter()
    with pytest.raises(Overloaded) as raised:
        budget.enter()
    assert raised.value.detail == "max_calls"
    budget.leave()
    budget.enter()
    assert budget.calls == 2


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50)))
def test_whatever_is_taken_and_given_back_the_limit_holds_and_nothing_is_lost(sizes: list[int]) -> None:
    budget, held = InFlight(max_bytes=100, max_calls=1), 0
    for size in sizes:
        if held + size < 0:
            continue
        try:
            budget.take(size)
            held += size
        except Overloaded:
            assert held + size > 100
        assert budget.bytes == held <= 100
