"""The settings of a request for a Messages upstream: limits, sampling, thinking, the form of the answer.

They depend on each other: thinking is refused beside a forced tool, beside sampling, and where the last turn with calls
does not begin with thinking; a budget must be less than the limit, and one made of an effort leaves room to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.parts import Reasoning, ToolCall, ToolResult
from trivium.canon.request import Format, Request, Role, Turn
from trivium.wire.destination import Wanted, limit_of, path
from trivium.wire.effort import LEAST_TOP_P, SMALLEST_BUDGET, budget_within, effort_of, nearest
from trivium.wire.envelope import fits, is_empty
from trivium.wire.messages.grammar import Grammar
from trivium.wire.schemas import CONSTRAINTS, closed, enforceable, parsed

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_ANY_OBJECT = "Answer with one JSON object and nothing else."
_BY_SCHEMA = "Answer with one JSON value and nothing else, by this JSON Schema:\n"
ANSWER_TOOL = "json_answer"
"""The tool by which older models are made to answer in a form; its arguments are the answer."""
_UNSCHEMED = "this model cannot be held to a schema"
_CALL_ONE = "Call a tool. Do not answer with nothing but text."
_CALL_IT = "Call the tool `%s`. Do not answer with nothing but text."
_FORCED = ("required", "tool")


class Settings(msgspec.Struct, frozen=True):
    members: dict[str, Any]
    """Of the body."""
    instructions: tuple[str, ...] = ()
    """Further system text."""
    answer_tool: dict[str, Any] | None = None


def settings(request: Request, turns: tuple[Turn, ...], wanted: Wanted, grammar: Grammar) -> Settings:
    limit = limit_of(request, wanted) or wanted.to.traits.max_tokens
    thinking, effort = _thinking(request, turns, limit, wanted)
    is_on = thinking is not None and thinking["type"] != "disabled"
    can_force = wanted.to.traits.forced_calls and not is_on
    form, instructions, tool = _form(request, wanted, grammar, can_force=can_force)
    members: dict[str, Any] = {"max_tokens": limit, **_sampling(request, wanted, thinking=is_on)}
    if stop := _stop(request, wanted):
        members["stop_sequences"] = stop
    if thinking is not None:
        members["thinking"] = thinking
    if config := {**({"effort": effort} if effort else {}), **({"format": form} if form else {})}:
        members["output_config"] = config
    if request.service_tier in _TIERS:
        members["service_tier"] = _TIERS[request.service_tier]
    elif request.service_tier:
        wanted.losses.add(path(request, "service_tier"), "Messages has no such tier")
    wanted.lose(
        request,
        verbosity=request.verbosity,
        metadata=request.metadata or None,
        cache_key=request.cache_key,
        cache_retention=request.cache_retention,
    )
    wanted.lose_logprobs(request)
    return Settings(members, instructions + _call_in_words(request, wanted), tool)


def is_forced(request: Request) -> bool:
    """Whether the model must call a tool."""
    return bool(request.tools and request.tool_choice and request.tool_choice.mode in _FORCED)


def _call_in_words(request: Request, wanted: Wanted) -> tuple[str, ...]:
    """Models that cannot be made to call a tool are asked to, as Anthropic's page on Opus 5.5 has it."""
    choice = request.tool_choice
    if wanted.to.traits.forced_calls or choice is None or not is_forced(request):
        return ()
    wanted.losses.add(path(request, "tool_choice"), "this model cannot be made to call a tool; asked to in words")
    if choice.mode == "required":
        return (_CALL_ONE,)
    return (_CALL_IT % wanted.names.upstream(choice.name or "", choice.namespace),)


def _stop(request: Request, wanted: Wanted) -> list[str]:
    stops = [stop for stop in request.stop if stop.strip()]
    if len(stops) < len(request.stop):
        wanted.losses.add(path(request, "stop"), "Messages takes no stop sequences of nothing but blanks")
    return stops


def _sampling(request: Request, wanted: Wanted, *, thinking: bool) -> dict[str, Any]:
    traits, losses = wanted.to.traits, wanted.losses
    asked = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    said = {name: value for name, value in asked.items() if value is not None}
    if said.get("temperature", 0) > 1:
        losses.add("temperature", "Messages takes 1 at the most")
        said["temperature"] = 1
    for name in [*said]:
        if not traits.sampling:
            losses.add(name, "this model takes no sampling settings")
            del said[name]
        elif thinking and not _TAKEN_BESIDE_THINKING[name](said[name]):
            losses.add(name, "not possible while the model thinks")
            del said[name]
    if traits.one_of_temperature_and_top_p and {"temperature", "top_p"} <= said.keys():
        losses.add("top_p", "this model takes either a temperature or top_p")
        del said["top_p"]
    return said


_TAKEN_BESIDE_THINKING: dict[str, Callable[[float], bool]] = {
    "temperature": lambda value: value == 1,
    "top_p": lambda value: value >= LEAST_TOP_P,
    "top_k": lambda _: False,
}


def _thinking(
    request: Request, turns: tuple[Turn, ...], limit: int, wanted: Wanted
) -> tuple[dict[str, Any] | None, str | None]:
    """The `thinking` member, and the effort of `output_config`."""
    asked, traits = request.thinking, wanted.to.traits
    if asked is None or (asked.enabled is None and asked.effort is None and asked.budget is None):
        return None, None
    off = {"type": "disabled"} if traits.thinking and traits.thinking_off else None
    if asked.enabled is False and not traits.thinking_off:
        wanted.losses.add(path(request, "thinking"), "this model always thinks; it is asked to think little")
        return None, nearest("low", traits.efforts)
    if asked.enabled is False:
        return off, None
    if why := _hindrance(request, turns, limit, wanted):
        wanted.losses.add(path(request, "thinking"), why)
        return (off if asked.enabled else None), None
    shown = {"display": "summarized"} if not traits.thinking_shown and asked.summary != "none" else {}
    if traits.thinking == "adaptive":
        effort = asked.effort or (effort_of(asked.budget) if asked.budget else None)
        return {"type": "adaptive", **shown}, nearest(effort, traits.efforts) if effort else None
    own = asked.budget and max(SMALLEST_BUDGET, min(asked.budget, limit - 1))
    return {"type": "enabled", "budget_tokens": own or budget_within(asked.effort, limit)}, None


def _hindrance(request: Request, turns: tuple[Turn, ...], limit: int, wanted: Wanted) -> str | None:
    """Why the model cannot think in this call."""
    traits = wanted.to.traits
    forced = traits.forced_calls and is_forced(request)
    by_budget = traits.thinking == "budget"
    begun = traits.prefill and bool(turns) and turns[-1].role is Role.ASSISTANT
    hindrances = (
        (traits.thinking is None, "this model does not think"),
        (forced, "the model cannot think where a tool is forced"),
        (
            by_budget and limit <= SMALLEST_BUDGET,
            f"thinking takes {SMALLEST_BUDGET} tokens at least, and the limit leaves no room for them",
        ),
        (by_budget and begun, "the model cannot think where its answer is begun for it"),
        (
            by_budget and not _last_calls_were_thought(turns, wanted),
            "the last turn with calls came without thinking that this model would take back",
        ),
    )
    return next((why for is_so, why in hindrances if is_so), None)


def _last_calls_were_thought(turns: tuple[Turn, ...], wanted: Wanted) -> bool:
    """Whether the chain of calls whose last results are being handed in began with thinking (wire notes, section 10).

    A chain is turns with calls and turns with nothing but their results; only its first turn has to be thought.
    """
    first: Turn | None = None
    for turn in reversed(turns):
        if turn.role is Role.ASSISTANT and any(isinstance(part, ToolCall) for part in turn.parts):
            first = turn
        elif turn.role is Role.ASSISTANT or (first and not all(isinstance(part, ToolResult) for part in turn.parts)):
            break
    if first is None:
        return True
    lead = first.parts[0]
    return (
        isinstance(lead, Reasoning)
        and not is_empty(lead.seal, lead.text)
        and fits(lead.seal, wanted.to.origin, wanted.to.api)
    )


def _form(
    request: Request, wanted: Wanted, grammar: Grammar, *, can_force: bool
) -> tuple[dict[str, Any] | None, tuple[str, ...], dict[str, Any] | None]:
    """How the form of the answer is asked for: `output_config.format`, words, or a tool whose arguments it is."""
    form = request.format
    if form is None:
        return None, (), None
    if form.schema is None:
        wanted.losses.add(form.at, "Messages has no such form; asked for in words")
        return None, (_ANY_OBJECT,), None
    given = parsed(form.schema)
    schema = closed(given)
    why = grammar.refuses(given) if wanted.to.traits.schemas else _UNSCHEMED
    if why is None:
        return {"type": "json_schema", "schema": _held(schema, form, wanted)}, (), None
    if can_force and not request.tools and schema.get("type") == "object":
        wanted.names.answer = name = wanted.names.upstream(form.name or ANSWER_TOOL)
        if form.strict:
            wanted.losses.add(form.at, f"{why}; asked for as the call of a tool")
        about = form.description or "The answer. Call this and say nothing else."
        return None, (), {"name": name, "description": about, "input_schema": schema}
    wanted.losses.add(form.at, f"{why}; asked for in words")
    words = (form.description,) if form.description else ()
    return None, (_BY_SCHEMA + form.schema.decode("utf-8", "replace"), *words), None


def _held(schema: Any, form: Format, wanted: Wanted) -> Any:
    """The schema as Anthropic holds a model to it, with what the client says about it."""
    held = enforceable(schema)
    if held != schema:
        wanted.losses.add(form.at, CONSTRAINTS)
    return {"description": form.description, **held} if form.description and type(held) is dict else held
