"""How a Messages request asks Claude to think, in a form that the model takes.

Claude thinks by a budget up to 4.5 and by an effort since 4.7; 4.6 takes both, and each of the others refuses what it
does not take. A client writes what the model of the name that it knows takes, and an alias or a further route may lead
to another one.
"""

from __future__ import annotations

from typing import Any

from trivium.canon.traits import Traits
from trivium.wire.draft import Draft
from trivium.wire.effort import FIXED_EFFORT, SMALLEST_BUDGET, budget_within, effort_of, nearest
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.unthinking import chain_is_thought, without_thinking

_UNSAID = "high"
"""The effort of `adaptive` where none is said (platform.claude.com/docs/en/build-with-claude/effort)."""
_LITTLE = "low"
_ASKING = ("adaptive", "enabled")


def fit_thinking(draft: Draft, traits: Traits) -> None:
    """What cannot be said in another form is a loss. Raises InvalidJson."""
    thinking, config = mapping(draft.value("thinking")), mapping(draft.value("output_config"))
    form, effort = text(thinking.get("type")), text(config.get("effort"))
    wanted, spent = effort, False
    if form in _ASKING and traits.thinking is None:
        _turn_off(draft, "this model does not think")
    elif form == "adaptive" and form in traits.refused:
        spent = _think_by_budget(draft, thinking, effort or _UNSAID, traits.max_tokens)
    elif form == "enabled" and form in traits.refused:
        budget = thinking.pop("budget_tokens", None)
        draft.set("thinking", {"display": "summarized", **thinking, "type": "adaptive"})
        wanted = effort or (effort_of(budget) if type(budget) is int else "")
    elif form == "disabled" and not traits.thinking_off:
        draft.remove("thinking", "this model always thinks; it is asked to think little")
        wanted = effort or _LITTLE
    if "effort" in traits.refused:
        if effort and not spent:
            draft.losses.add("output_config.effort", FIXED_EFFORT)
        _say(draft, config, "")
    else:
        _say(draft, config, nearest(wanted, traits.efforts) if wanted else "")


def _think_by_budget(draft: Draft, thinking: dict[str, Any], effort: str, most: int) -> bool:
    """Whether it was possible: there must be room, and calls that go on must have been thought."""
    limit = draft.value("max_tokens")
    if type(limit) is not int:  # to be counted, or to be refused
        limit = most
    if limit <= SMALLEST_BUDGET:
        _turn_off(draft, f"thinking takes {SMALLEST_BUDGET} tokens at least, and the limit leaves no room for them")
    elif not chain_is_thought(sequence(draft.value("messages"))):
        _turn_off(draft, "the last turn with calls came without thinking that this model would take back")
    else:
        draft.set("thinking", {**thinking, "type": "enabled", "budget_tokens": budget_within(effort, limit)})
        return True
    return False


def _turn_off(draft: Draft, why: str) -> None:
    for name, said in without_thinking(draft.members(), why, draft.losses).items():
        draft.put(name, said)


def _say(draft: Draft, config: dict[str, Any], effort: str) -> None:
    if text(config.get("effort")) == effort:
        return
    rest = {name: said for name, said in config.items() if name != "effort"}
    if effort or rest:
        draft.set("output_config", {"effort": effort, **rest} if effort else rest)
    else:
        draft.remove("output_config", None)
