"""How much to reason: steps, budgets, and the nearest of what a model knows."""

from __future__ import annotations

import pytest

from trivium.canon.request import EFFORTS
from trivium.wire.effort import SMALLEST_BUDGET, budget_within, effort_of, nearest


def budget_of(effort: str | None) -> int:
    """Where there is room for all of it."""
    return budget_within(effort, 1_000_000)


@pytest.mark.parametrize(
    ("budget", "effort"),
    [
        (0, "minimal"), (1024, "minimal"), (1025, "low"), (2048, "low"), (2049, "medium"), (8192, "medium"),
        (8193, "high"), (24_576, "high"), (24_577, "xhigh"), (1_000_000, "xhigh"),
    ],
)  # fmt: skip
def test_a_budget_has_a_step(budget: int, effort: str) -> None:
    assert effort_of(budget) == effort


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_a_step_comes_back_from_its_budget(effort: str) -> None:
    assert effort_of(budget_of(effort)) == effort


def test_budgets_grow_with_the_ladder_and_none_is_smaller_than_anthropics_least() -> None:
    budgets = [budget_of(effort) for effort in EFFORTS[1:]]
    assert budgets == sorted(budgets)
    assert budgets[0] >= SMALLEST_BUDGET


def test_no_word_and_one_that_nobody_knows_are_the_middle() -> None:
    assert budget_of(None) == budget_of("a_new_word") == budget_of("medium")


@pytest.mark.parametrize(
    ("effort", "share"),
    [("minimal", 100), ("low", 200), ("medium", 500), ("high", 800), ("xhigh", 950), ("max", 950), (None, 500)],
)
def test_a_step_takes_a_share_of_the_limit(effort: str | None, share: int) -> None:
    assert budget_within(effort, 10_000) == max(SMALLEST_BUDGET, min(budget_of(effort), share * 10))
    assert budget_within(effort, SMALLEST_BUDGET + 1) == SMALLEST_BUDGET


@pytest.mark.parametrize(
    ("asked", "known", "told"),
    [
        ("high", ("low", "medium", "high"), "high"),
        ("xhigh", ("low", "medium", "high"), "high"),
        ("minimal", ("low", "medium", "high"), "low"),
        ("none", ("low", "medium", "high"), "low"),
        ("minimal", ("none", "low", "medium"), "low"),
        ("medium", ("minimal", "xhigh"), "minimal"),
        ("max", ("high",), "high"),
        ("a_new_word", ("low", "medium", "high"), "a_new_word"),
        ("high", (), "high"),
        ("high", ("none", "default"), "default"),
        ("default", ("none", "default"), "default"),
        ("low", ("default", "high"), "default"),
    ],
)
def test_a_step_that_a_model_lacks_becomes_the_nearest_and_of_two_the_lower(
    asked: str, known: tuple[str, ...], told: str
) -> None:
    assert nearest(asked, known) == told
