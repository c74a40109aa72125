"""How much a model should reason, where the gateway and not the client says so: the members of each API, laid over a
request (vendors page, "Auto models"). What the client said itself stays, and only members of its own API are set.

between equals   Chat       `reasoning {enabled, effort}` and `verbosity` of the gateways, or `reasoning_effort`
                 Responses  `reasoning {enabled}` and `text.verbosity`, or `reasoning {effort}`
                 Messages   `thinking {type}` and `output_config.effort`
translated       the same thoughts in the words that the translation carries on
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trivium.canon.api import Api, Solo
from trivium.canon.traits import Traits
from trivium.settings_auto import AutoChoice
from trivium.wire import body as json_body
from trivium.wire.effort import LEAST_TOP_P, SMALLEST_BUDGET, budget_within, nearest
from trivium.wire.losses import Loss
from trivium.wire.request import Request

_REASONING = ("reasoning", "reasoning_effort", "thinking", "output_config")
_SET: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("reasoning", "reasoning.effort", "reasoning_effort", "thinking", "output_config.effort"), _REASONING
    ),
    "verbosity": ("verbosity",),
    "text.verbosity": ("text",),
}
"""Fields that may be set here, and the members with which a client would have."""
_VERBOSITIES = ("low", "medium", "high", "xhigh", "max")
"""The steps of Claude's effort, as OpenRouter calls it."""
_ABOUT_EFFORT = ("effort", "max_tokens")
_ABOUT_REASONING = ("enabled", *_ABOUT_EFFORT)
_FORCED = ("any", "tool")

_Members = dict[str, bytes]


def dressed(request: Request, choice: AutoChoice, traits: Traits | None) -> Request:
    """The request with what the choice says. `traits`: of an upstream that speaks the client's API, of its Chat where
    that is Responses; None: the request will be translated."""
    if choice.reasoning is None and choice.effort is None and choice.verbosity is None:
        return request
    if isinstance(request.api, Solo):
        return request
    changes = _SETTERS[request.api](request, choice, traits)
    if not changes:
        return request
    body = json_body.patch(request.body, request.members, changes, request.members.keys() & _READ)
    members = {**request.members, **{name: msgspec.Raw(value) for name, value in changes.items()}}
    return msgspec.structs.replace(request, body=body, members=members)


def theirs(came: Request, losses: tuple[Loss, ...]) -> tuple[Loss, ...]:
    """What of this the client lost: of what was set here, and then could not be said, it knows nothing."""
    return tuple(
        loss
        for loss in losses
        if loss.field not in _SET or any(json_body.is_said(came.members, name) for name in _SET[loss.field])
    )


_READ = frozenset(("model", "reasoning", "reasoning_effort", "verbosity", "text", "thinking", "output_config"))
"""Members on whose values something is decided here."""


def _chat(request: Request, choice: AutoChoice, traits: Traits | None) -> _Members:
    members, said = request.members, json_body.inner(request.members, "reasoning")
    if said is None:
        return {}
    foreign = any(json_body.is_said(members, name) for name in ("reasoning_effort", "thinking"))
    changes: _Members = {}
    if traits is not None and traits.reasoning != "object":
        if not (foreign or json_body.is_said(members, "reasoning")):
            changes |= _named("reasoning_effort", _word(choice, traits))
    else:
        changes |= _under(request, "reasoning", said, _object(choice, said, traits, foreign=foreign))
    if not json_body.is_said(members, "verbosity"):
        effort_said = foreign or _any(said, _ABOUT_EFFORT)
        changes |= _named("verbosity", _verbosity(choice, traits, effort_said=effort_said))
    return changes


def _responses(request: Request, choice: AutoChoice, traits: Traits | None) -> _Members:
    said, form = json_body.inner(request.members, "reasoning"), json_body.inner(request.members, "text")
    if said is None or form is None:
        return {}
    if traits is not None and traits.reasoning != "object":
        inner = {} if _any(said, _ABOUT_REASONING) else _named("effort", _word(choice, traits))
    else:
        inner = _object(choice, said, traits, foreign=False)
    verbosity = _verbosity(choice, traits, effort_said=_any(said, _ABOUT_EFFORT))
    changes = _under(request, "reasoning", said, inner)
    if not json_body.is_said(form, "verbosity"):
        changes |= _under(request, "text", form, _named("verbosity", verbosity))
    return changes


def _messages(request: Request, choice: AutoChoice, traits: Traits | None) -> _Members:
    """Who says how to think, with a budget or not at all, has said how much: an effort beside it would contradict."""
    if json_body.is_said(request.members, "thinking"):
        return {}
    config = json_body.inner(request.members, "output_config")
    changes: _Members = {}
    if thinking := _thinking(request, choice, traits):
        changes["thinking"] = msgspec.json.encode(thinking)
    if config is not None and not json_body.is_said(config, "effort") and choice.effort is not None:
        if traits is None:
            changes |= _under(request, "output_config", config, _named("effort", choice.effort))
        elif traits.thinking == "adaptive":
            effort = nearest(choice.effort, traits.efforts)
            changes |= _under(request, "output_config", config, _named("effort", effort))
    return changes


_SETTERS: dict[Api, Callable[[Request, AutoChoice, Traits | None], _Members]] = {
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.MESSAGES: _messages,
}


def _object(choice: AutoChoice, said: json_body.Members, traits: Traits | None, *, foreign: bool) -> _Members:
    """What joins a `reasoning` object."""
    inner: _Members = {}
    if choice.reasoning is not None and not (foreign or _any(said, _ABOUT_REASONING)):
        inner["enabled"] = msgspec.json.encode(choice.reasoning)
    unheard = traits is not None and (not traits.efforts or (traits.effort_is_verbosity and choice.verbosity is None))
    free = choice.reasoning is not False and not (unheard or foreign or _any(said, _ABOUT_EFFORT))
    if choice.effort is not None and free:
        inner |= _named("effort", nearest(choice.effort, traits.efforts) if traits is not None else choice.effort)
    return inner


def _word(choice: AutoChoice, traits: Traits) -> str | None:
    """How much to reason as one word, for upstreams that know no more."""
    if traits.reasoning is None or not traits.efforts:
        return None
    if choice.reasoning is False:
        return "none" if "none" in traits.efforts else None
    return nearest(choice.effort, traits.efforts) if choice.effort is not None else None


def _verbosity(choice: AutoChoice, traits: Traits | None, *, effort_said: bool) -> str | None:
    if choice.verbosity is not None:
        return choice.verbosity if traits is None or traits.verbosity else None
    if traits is None or not traits.effort_is_verbosity or choice.effort is None or effort_said:
        return None
    return nearest(choice.effort, _VERBOSITIES)


def _thinking(request: Request, choice: AutoChoice, traits: Traits | None) -> dict[str, object]:
    """The `thinking` member; empty where it must not be set."""
    if choice.reasoning is None or (traits is not None and traits.thinking is None):
        return {}
    if not choice.reasoning:
        return {"type": "disabled"} if traits is None or traits.thinking_off else {}
    if traits is None:
        return {"type": "adaptive"}
    if _is_hindered(request, by_budget=traits.thinking == "budget"):
        return {}
    if traits.thinking == "adaptive":
        return {"type": "adaptive"}
    limit = request.max_tokens if request.max_tokens is not None else traits.max_tokens
    return {"type": "enabled", "budget_tokens": budget_within(choice.effort, limit)}


def _is_hindered(request: Request, *, by_budget: bool) -> bool:
    """Whether what the client set excludes thinking, so that a server would refuse both together (Anthropic's page on
    extended thinking): a forced tool, sampling of its own, no room for a budget, calls that were not thought."""
    found, conversation = request.members, bytes(request.members.get("messages", b""))
    choice = json_body.inner(request.members, "tool_choice") or {}
    forced = bytes(choice.get("type", b"")).strip(b'"').decode("ascii", "replace") in _FORCED
    sampled = (
        _number(found, "temperature", 1) != 1
        or _number(found, "top_p", 1) < LEAST_TOP_P
        or json_body.is_said(found, "top_k")
    )
    cramped = by_budget and request.max_tokens is not None and request.max_tokens <= SMALLEST_BUDGET
    thoughtless = by_budget and b'"tool_use"' in conversation and b'thinking"' not in conversation
    return forced or sampled or cramped or thoughtless


def _number(found: json_body.Members, name: str, otherwise: float) -> float:
    """One that cannot be read is the upstream's to refuse."""
    try:
        return float(bytes(found[name])) if json_body.is_said(found, name) else otherwise
    except ValueError:
        return otherwise


def _under(request: Request, name: str, said: json_body.Members, inner: _Members) -> _Members:
    """The change of an object that gets further members, every byte of its own as it was."""
    if not inner:
        return {}
    before = bytes(request.members[name]) if json_body.is_said(request.members, name) else b"{}"
    return {name: json_body.patch(before, said, inner, inner)}


def _named(name: str, word: str | None) -> _Members:
    return {} if word is None else {name: msgspec.json.encode(word)}


def _any(said: json_body.Members, names: tuple[str, ...]) -> bool:
    return any(json_body.is_said(said, name) for name in names)
