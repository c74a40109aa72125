"""How fast an error budget burns. Pure; exact, for a rate that is just reached has to count.

An objective says which part of calls has to be good; what it leaves is the budget. The burn rate is the part that was
bad, in budgets: at 1 the budget lasts for just the period that it is meant for, at 14.4 two percent of a month's are
gone in an hour (Google, The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"; the windows
here are shorter). A rule holds where both of its windows reach its rate with enough calls: the long one shows that it
matters, the short one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from trivium.settings_alerts import Severity

WHOLE = 1_000_000
"""Objectives are compared as parts per million."""


class BurnRule(NamedTuple):
    severity: Severity
    long: int
    """Minutes."""
    short: int
    tenths: int
    """The burn rate."""


RULES = (
    BurnRule("page", 5, 1, 144),
    BurnRule("page", 30, 3, 60),
    BurnRule("ticket", 360, 30, 10),
)
"""The most urgent first."""
SPANS = tuple(sorted({span for rule in RULES for span in (rule.long, rule.short)}))
LONGEST = SPANS[-1]


class Tally(NamedTuple):
    """What a window has seen."""

    calls: int = 0
    bad: int = 0


class Burning(NamedTuple):
    """A rule that holds."""

    rule: BurnRule
    seen: Tally
    """In the long window."""
    rate: float


def burning(seen: Mapping[int, Tally], objective: float, minimum: int) -> Burning | None:
    """The most urgent rule that holds, of windows by their minutes."""
    budget = WHOLE - round(objective * WHOLE)
    for rule in RULES:
        windows = [seen.get(span, Tally()) for span in (rule.long, rule.short)]
        if all(_reaches(window, budget, rule.tenths, minimum) for window in windows):
            return Burning(rule, windows[0], burn_rate(windows[0], budget))
    return None


def burn_rate(seen: Tally, budget: int) -> float:
    """`budget`: parts per million that may be bad."""
    return float(Fraction(seen.bad * WHOLE, seen.calls * budget)) if seen.calls else 0.0


def _reaches(seen: Tally, budget: int, tenths: int, minimum: int) -> bool:
    return seen.calls >= max(1, minimum) and seen.bad > 0 and seen.bad * WHOLE * 10 >= tenths * budget * seen.calls
