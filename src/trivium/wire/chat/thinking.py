"""How a Chat Completions upstream is asked to reason; Responses has the same word for how much."""

from __future__ import annotations

from typing import Any

from trivium.canon.request import Request, Thinking
from trivium.wire.destination import Wanted, path
from trivium.wire.effort import FIXED_EFFORT, effort_of, nearest, told_as


def thinking(request: Request, wanted: Wanted) -> dict[str, Any]:
    asked, traits = request.thinking, wanted.to.traits
    if asked is None:
        return {}
    if asked.enabled is False and traits.unthinking:
        return dict([traits.unthinking])
    if traits.reasoning != "object":
        return effort_member(request, wanted, "reasoning_effort")
    if not traits.efforts:
        return _whether(request, asked, wanted)
    effort = asked.effort and nearest(asked.effort, traits.efforts)
    said: dict[str, Any] = {"effort": effort, "enabled": asked.enabled, "max_tokens": asked.budget}
    # No `exclude`, though a client need not see the reasoning: it would never get its seal, nor what that is of.
    told = {name: value for name, value in said.items() if value is not None}
    if {"effort", "max_tokens"} <= told.keys():
        del told["max_tokens"]
    return {"reasoning": told} if told else {}


def _whether(request: Request, asked: Thinking, wanted: Wanted) -> dict[str, Any]:
    """For a model that can be asked to reason, and not how much: who says how much wants it to."""
    enabled = asked.enabled
    if enabled is not False and (asked.effort or asked.budget):
        wanted.losses.add(path(request, "thinking"), FIXED_EFFORT)
        enabled = True
    return {} if enabled is None else {"reasoning": {"enabled": enabled}}


def is_sampled(request: Request, wanted: Wanted) -> bool:
    """Whether the model may be told how to sample. OpenAI's that reason take it where they are told not to."""
    asked, traits = request.thinking, wanted.to.traits
    return traits.sampling or (asked is not None and asked.enabled is False and "none" in traits.efforts)


def effort_member(request: Request, wanted: Wanted, name: str) -> dict[str, Any]:
    """The effort as one word, for upstreams that know no more; nothing where nothing was asked for."""
    asked, traits = request.thinking, wanted.to.traits
    if asked is None:
        return {}
    effort = asked.effort or (effort_of(asked.budget) if asked.budget else None)
    if asked.enabled is False:
        effort = "none"
    if effort is None:
        return {}
    told, why = told_as(effort, None if traits.reasoning is None else traits.efforts)
    if why is not None:
        wanted.losses.add(path(request, "thinking"), why)
    return {} if told is None else {name: told}
