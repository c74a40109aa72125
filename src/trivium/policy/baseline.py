"""What rules the past suggests. Pure.

An objective that a model has kept is one that it can keep: the strictest of the usual ones whose budget its errors
would not have used up. First tokens that are slow are later than 99 of 100 were, with a quarter on top, so that a
model that goes on as before is silent.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trivium.policy.burn import WHOLE

OBJECTIVES = (999_900, 999_500, 999_000, 998_000, 995_000, 990_000, 980_000, 950_000, 900_000)
"""Parts per million, the strictest first."""
FEWEST = 100
"""Calls, or first tokens, from which on the past says anything."""
QUANTILE = 99
"""Percent."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Of a model, as it was called with the house's keys."""

    provider: str
    model: str
    calls: int
    errors: int
    streams: int = 0
    """First tokens that are known."""
    first_token_ms: int | None = None
    """The one that so many percent (`QUANTILE`) were not later than."""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    """`PROVIDER/MODEL`."""
    calls: int
    errors: int
    streams: int
    first_token_ms: int | None
    objective: float | None
    """Null: too few calls, or more errors than any objective leaves room for."""
    slow_ms: int | None
    """Null: too few first tokens."""


def suggest(past: Past) -> Suggestion:
    first_ms = past.first_token_ms
    return Suggestion(
        model=f"{past.provider}/{past.model}",
        calls=past.calls,
        errors=past.errors,
        streams=past.streams,
        first_token_ms=first_ms,
        objective=_objective(past) if past.calls >= FEWEST else None,
        slow_ms=rounded_up(-(-first_ms * 5 // 4)) if first_ms is not None and past.streams >= FEWEST else None,
    )


def _objective(past: Past) -> float | None:
    kept = (one for one in OBJECTIVES if past.errors * WHOLE <= (WHOLE - one) * past.calls)
    found = next(kept, None)
    return None if found is None else found / WHOLE


def rounded_up(number: int) -> int:
    """To two digits."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step


def suggestions(all_past: Iterable[Past]) -> list[Suggestion]:
    """The most called first."""
    return sorted(map(suggest, all_past), key=lambda one: (-one.calls, one.model))
