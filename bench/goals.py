"""What Trivium means to reach (issue 7), and whether it does: a figure against a number and against other gateways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tables import shown

Figures = Mapping[str, Mapping[str, float]]
"""Medians: by gateway, by figure."""


class Goal(NamedTuple):
    figure: str
    label: str
    most: float
    unit: str
    times: Mapping[str, float] = {}
    """At most so many times another gateway's."""


GOALS = (
    Goal("small", "small request, everything on", 180, "us", {"nginx": 10, "tensorzero": 0.85}),
    Goal("64k", "64 KB request", 260, "us", {"nginx": 6, "tensorzero": 0.1}),
    Goal("event", "streamed event, full speed", 6, "us", {"nginx": 1.5, "tensorzero": 0.4}),
    Goal("paced", "streamed event, paced", 45, "us", {"nginx": 2.3, "tensorzero": 0.75}),
    Goal("translated", "streamed event, translated, full speed", 12, "us"),
    Goal("p50", "added latency p50 at 20 requests/s", 0.7, "ms"),
    Goal("p99", "added latency p99 at 20 requests/s", 1.2, "ms"),
    Goal("held p50", "added latency p50, priced, durable hold", 4, "ms"),
    Goal("rest", "memory at rest", 70, "MB"),
    Goal("after", "memory after 100,000 requests", 80, "MB"),
    Goal("cold", "cold start to first answer", 1.0, "s"),
)
HEADER = ("Trivium against its goals", "goal", "is", "")


class Verdict(NamedTuple):
    label: str
    goal: str
    value: str
    met: bool

    @property
    def cells(self) -> tuple[str, str, str, str]:
        return self.label, self.goal, self.value, "met" if self.met else "**missed**"


def verdicts(figures: Figures) -> list[Verdict]:
    """One for each number and each ratio that was measured."""
    return [verdict for goal in GOALS for verdict in _verdicts(goal, figures)]


def _verdicts(goal: Goal, figures: Figures) -> Iterator[Verdict]:
    value = figures["trivium"].get(goal.figure)
    if value is None:
        return
    yield Verdict(goal.label, f"{goal.most:g} {goal.unit}", f"{shown(value)} {goal.unit}", value <= goal.most)
    for other, most in goal.times.items():
        theirs = figures.get(other, {}).get(goal.figure)
        if theirs:
            ratio = value / theirs
            yield Verdict("", f"{most:g} x {other}", f"{shown(ratio)} x", ratio <= most)


def rows(found: Sequence[Verdict]) -> list[Sequence[str]]:
    return [verdict.cells for verdict in found]
