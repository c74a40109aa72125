"""Whom a gateway is let ask: what the client prefers, and over that what its organization allows, in OpenRouter's words
(`provider`) or Vercel's (`providerOptions.gateway`).

An organization's lists of providers mean vendors behind a gateway too: by their bare names at every gateway, as
`GATEWAY/VENDOR` at one. `providers/preferences.py` has the names.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from trivium.canon.api import RESPONSES
from trivium.errors import ProviderNotAllowed
from trivium.policy.caller import Policy, matches
from trivium.providers.preferences import VENDORS, VERCEL_VENDORS, preferred, vercel_name
from trivium.providers.provider import Provider
from trivium.wire.draft import Draft
from trivium.wire.lenient import mapping, sequence

PROVIDER, OPTIONS = "provider", "providerOptions"
_OVERRULED = "the organization's policy says otherwise"
_NO_PREFERENCES = "this provider asks nobody else, or cannot be told whom"
_AT_VERCEL = "Vercel cannot be told that"
_NO_POLICY = Policy()


def for_openrouter(draft: Draft, provider: Provider, model: str, policy: Policy | None, *, prefers: bool) -> None:
    """Raises ProviderNotAllowed where nobody is left to ask, InvalidJson."""
    if policy is None and not prefers:
        return
    said = _said(draft)
    told = _ruled(said, provider, policy or _NO_POLICY, draft)
    if prefers and (first := _first(told, model)) is not None:
        told = {**told, "order": [first]}
    if told != said:
        draft.set(PROVIDER, told)


def for_vercel(draft: Draft, provider: Provider, model: str, policy: Policy | None, *, prefers: bool) -> None:
    """Raises ProviderNotAllowed where nobody is left to ask, InvalidJson."""
    if PROVIDER not in draft and policy is None and not prefers:
        return
    policy = policy or _NO_POLICY
    told = _ruled(_said(draft), provider, policy, draft)
    if prefers and (first := _first(told, model)) is not None:
        told["order"] = [first]
    ruled = {"data_collection"} if policy.data_collection == "deny" else set()
    for name, value in told.items():
        if value is not None and name not in {"only", "order", "ignore", "zdr", *ruled}:
            draft.losses.add(f"{PROVIDER}.{name}", _AT_VERCEL)
    draft.remove(PROVIDER, None)
    if options := _gateway(told):
        draft.set(OPTIONS, {"gateway": options})


def for_nobody(draft: Draft) -> None:
    draft.remove(PROVIDER, _NO_PREFERENCES)


def effort_at_vercel(draft: Draft) -> None:
    """What is beside it in Responses' `text` stays. Raises InvalidJson."""
    form = mapping(draft.value("text")) if draft.api is RESPONSES else {}
    effort = form.get("verbosity") if draft.api is RESPONSES else draft.value("verbosity")
    if not isinstance(effort, str):
        return
    options = mapping(draft.value(OPTIONS))
    if rest := {name: value for name, value in form.items() if name != "verbosity"}:
        draft.set("text", rest)
    else:
        draft.remove("text" if form else "verbosity", None)
    draft.set(OPTIONS, {**options, "anthropic": {"effort": effort}})


def _gateway(told: dict[str, Any]) -> dict[str, Any]:
    """In Vercel's words. Raises ProviderNotAllowed."""
    only, order, ignore = _names(told, "only"), _names(told, "order"), _names(told, "ignore")
    if ignore:
        # Whom to leave out cannot be said: so it is said who is left.
        out = {vercel_name(name) for name in ignore if "/" not in name}
        only = [name for name in only or sorted(VERCEL_VENDORS) if name not in ignore and vercel_name(name) not in out]
        if not only:
            raise ProviderNotAllowed(
                "Nobody is left who may answer: whoever could is in `provider.ignore`, or denied by the organization.",
                param=PROVIDER,
            )
    options: dict[str, Any] = {}
    if only:
        options["only"] = list(dict.fromkeys(map(vercel_name, only)))
    if order:
        options["order"] = list(dict.fromkeys(map(vercel_name, order)))
    if told.get("zdr") is True:
        options["zeroDataRetention"] = True
    return options


def _said(draft: Draft) -> dict[str, Any]:
    value = draft.value(PROVIDER)
    if value is not None and not isinstance(value, dict):
        draft.losses.add(PROVIDER, "not an object of preferences")
    return dict(mapping(value))


def _ruled(said: dict[str, Any], provider: Provider, policy: Policy, draft: Draft) -> dict[str, Any]:
    """The preferences with the organization's over the client's."""
    told = dict(said)
    forced = {"data_collection": "deny"} if policy.data_collection == "deny" else {}
    for name, value in {**forced, **({"zdr": True} if policy.zdr else {})}.items():
        if said.get(name) not in (None, value):
            draft.losses.add(f"{PROVIDER}.{name}", _OVERRULED)
        told[name] = value
    return _limited(told, _behind(policy.providers_allow, provider), _behind(policy.providers_deny, provider), draft)


def _limited(told: dict[str, Any], allowed: frozenset[str], denied: frozenset[str], draft: Draft) -> dict[str, Any]:
    """The preferences within an organization's lists. Raises ProviderNotAllowed."""
    if not (allowed or denied):
        return told
    asked = _names(told, "only")
    only = [
        name
        for name in asked or sorted(allowed)
        if (not allowed or _vendor(name) in allowed or name in allowed) and _vendor(name) not in denied
    ]
    if len(only) < len(asked):
        draft.losses.add(f"{PROVIDER}.only", _OVERRULED)
    if not only and (asked or allowed):
        raise ProviderNotAllowed("The organization allows none of the providers that could answer.", param=PROVIDER)
    if only:
        told["only"] = only
    if denied:
        told["ignore"] = list(dict.fromkeys((*_names(told, "ignore"), *sorted(denied))))
    return told


def _vendor(name: str) -> str:
    """Without a region or kind of server behind a slash."""
    return name.partition("/")[0]


def _first(told: dict[str, Any], model: str) -> str | None:
    """Whom to ask first where the client says nothing, if they may be asked."""
    first = preferred(model)
    only = [_vendor(name) for name in _names(told, "only")]
    if first is None or _names(told, "order") or first in _names(told, "ignore") or (only and first not in only):
        return None
    return first


def _names(told: dict[str, Any], name: str) -> list[str]:
    return [one.strip().lower() for one in sequence(told.get(name)) if isinstance(one, str) and one.strip()]


def _behind(patterns: tuple[str, ...], provider: Provider) -> frozenset[str]:
    return _vendors(patterns, (provider.name.lower(), provider.kind)) if patterns else frozenset()


@lru_cache(1_000)
def _vendors(patterns: tuple[str, ...], gateway: tuple[str, str]) -> frozenset[str]:
    """The vendors that a list means behind a gateway; none where it means all of them, as `*` does."""
    found = {name for name in VENDORS if matches(patterns, (name, *(f"{one}/{name}" for one in gateway)))}
    if found == VENDORS:
        return frozenset()
    for pattern in patterns:
        one, slash, vendor = pattern.strip().lower().partition("/")
        if slash and one in gateway and "*" not in vendor:
            found.add(vendor)
    return frozenset(found)
