"""How much to reason, as the vendors' ladders and budgets say it (wire notes, section 10, "Reasoning")."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.canon.request import EFFORTS

FIXED_EFFORT = "how much this model reasons cannot be chosen"
_NO_REASONING = "this model does not reason"
_NO_CHOICE = "whether this model reasons cannot be chosen"
SMALLEST_BUDGET = 1024
"""Tokens; Anthropic's least."""
LEAST_TOP_P = 0.95
"""That Claude takes while it thinks."""
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
_SHARES = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}
"""Percent of a limit that a step may take (OpenRouter's page on reasoning tokens): the rest is for the answer."""
_DEFAULT = "medium"


def budget_within(effort: str | None, limit: int) -> int:
    """Tokens for a step of the ladder where thinking and answer together have a limit; for an unknown word those of the
    middle."""
    step = effort if effort in _BUDGETS else _DEFAULT
    return max(SMALLEST_BUDGET, min(_BUDGETS[step], limit * _SHARES[step] // 100))


def effort_of(budget: int) -> str:
    """The step for a budget."""
    return next((effort for effort in ("minimal", "low", "medium", "high") if budget <= _BUDGETS[effort]), "xhigh")


def told_as(effort: str, known: Sequence[str] | None) -> tuple[str | None, str | None]:
    """The word by which a model is asked to reason so much, of those that it knows (None: it does not reason); or none,
    and why, where something is lost by that."""
    if known is None:
        return None, None if effort == "none" else _NO_REASONING
    if effort == "none" and effort not in known:
        return None, _NO_CHOICE
    return (nearest(effort, known), None) if known else (None, FIXED_EFFORT)


def nearest(effort: str, known: Sequence[str]) -> str:
    """The step among those known that is nearest, the lower of two; a word that nobody knows stays as it is.

    Not to reason at all is near to nothing. A known word that is no step ("default") stands for the one in the middle.
    """
    if effort in known or effort not in EFFORTS or not known:
        return effort
    wanted = EFFORTS.index(effort)
    steps = [step for step in known if step != "none"] or known
    places = {step: EFFORTS.index(step if step in EFFORTS else _DEFAULT) for step in steps}
    return min(steps, key=lambda step: (abs(places[step] - wanted), places[step]))
