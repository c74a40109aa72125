"""Burn rates of histories whose answers are known."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.burn import RULES, SPANS, Tally, burning

NOW = 1000
"""The minute at which is evaluated."""


def history(*parts: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Minutes up to now, from the newest back: so many of them, each with these calls and bad ones."""
    minutes, at = [], NOW
    for many, calls, bad in parts:
        for _ in range(many):
            at -= 1
            minutes.append((at, calls, bad))
    return minutes


def windows(minutes: list[tuple[int, int, int]], until: int) -> dict[int, Tally]:
    """What the windows that end where the minute `until` begins have seen."""
    within = {span: [one for one in minutes if until - span <= one[0] < until] for span in SPANS}
    return {span: Tally(sum(one[1] for one in some), sum(one[2] for one in some)) for span, some in within.items()}


def said(*parts: tuple[int, int, int], objective: float = 0.999, minimum: int = 10) -> str | None:
    found = burning(windows(history(*parts), NOW), objective, minimum)
    return None if found is None else f"{found.rule.severity} {found.rule.long}"


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ([(360, 100, 0)], None),
        ([(5, 10_000, 144)], "page 5"),  # exactly 14.4 in both windows
        ([(1, 10_000, 143), (4, 10_000, 200)], "page 30"),  # the short window is just below 14.4, and above 6
        ([(5, 10_000, 143)], "page 30"),
        ([(1, 10_000, 144), (4, 10_000, 143)], "page 30"),  # the long window is just below
        ([(30, 1_000, 6)], "page 30"),  # exactly 6
        ([(3, 10_000, 59), (27, 10_000, 100)], "ticket 360"),
        ([(360, 1_000, 1)], "ticket 360"),  # exactly 1
        ([(360, 10_000, 9)], None),
        ([(30, 10_000, 9), (330, 1_000, 5)], None),  # it is over
        ([(30, 1_000, 2), (330, 1_000, 0)], None),  # it has just begun
        ([(30, 1_000, 5), (330, 1_000, 1)], "ticket 360"),
        ([(1, 0, 0), (29, 1_000, 1_000)], "page 30"),  # nobody has called for a minute
        ([(3, 0, 0), (27, 1_000, 1_000)], "ticket 360"),
        ([(30, 0, 0), (330, 1_000, 1_000)], None),
        ([(1, 10, 10)], "page 5"),
        ([(1, 9, 9)], None),  # too few calls
        ([(1, 9, 9), (4, 100, 100)], "page 30"),  # too few in one minute
    ],
)
def test_known_answers(parts: list[tuple[int, int, int]], answer: str | None) -> None:
    assert said(*parts) == answer


def test_the_objective_makes_the_budget() -> None:
    assert said((5, 100, 14), objective=0.99) == "page 30"
    assert said((5, 1_000, 144), objective=0.99) == "page 5"
    assert said((5, 1_000, 144), objective=0.9) == "ticket 360"
    assert said((5, 1_000, 1_000), objective=0.5) == "ticket 360"  # all that can fail is twice that budget


def brute(calls: list[tuple[int, bool]], objective: float, minimum: int) -> str | None:
    """The rule as the words have it, from single calls by their age in minutes."""
    budget = 1 - Fraction(str(objective))
    for rule in RULES:
        holds = True
        for span in (rule.long, rule.short):
            seen = [bad for age, bad in calls if age < span]
            enough = len(seen) >= minimum and len(seen) > 0
            holds = holds and enough and Fraction(sum(seen), len(seen)) / budget >= Fraction(rule.tenths, 10)
        if holds:
            return f"{rule.severity} {rule.long}"
    return None


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 29, 30, 200, 359, 360]), st.booleans()), max_size=60),
    st.sampled_from([0.5, 0.9, 0.93, 0.95, 0.99, 0.999, 0.9999]),
    st.integers(1, 12),
)
def test_minutes_say_what_the_single_calls_would(calls: list[tuple[int, bool]], objective: float, minimum: int) -> None:
    minutes = [(NOW - 1 - age, 1, int(bad)) for age, bad in calls]
    found = burning(windows(minutes, NOW), objective, minimum)
    assert (None if found is None else f"{found.rule.severity} {found.rule.long}") == brute(calls, objective, minimum)
