"""What may be had for nothing: how often, by whom, under which policies (behaviour page, section 4). Pure.

A request for a model of the house counts for its address; one without a key counts for it twice, in the hour and in the
day. Where a user's free requests are limited they count for the user, or for the key where it belongs to nobody.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from trivium.errors import (
    CredentialMissing,
    FreeLimitReached,
    ModelNotAllowed,
    ProviderNotAllowed,
    RateLimited,
    RequestError,
)
from trivium.policy.access import check_provider
from trivium.policy.caller import Caller, Policy, matches, names_of
from trivium.policy.counters import Claim, Denial
from trivium.providers.house import HouseModel
from trivium.settings import FreeSettings

HOUR, DAY = 3600, 86_400
"""Seconds."""
ANONYMOUS = Caller(id="")
"""Whoever sends no key: no user, no organization, no scopes. Gates are open to it where they are open to everyone."""
_ADDRESS, _STRANGER, _USER = "free:address:", "free:anonymous:", "free:user:"
PREFIX = "free:"
"""Of the keys of all counters here."""
_REFUSED = "free:refused:"
"""The same of those that count who was refused, which have no limit."""
LIMIT_REACHED = "free_limit"
"""The flag of a record of a call that one of these limits refused."""

Kind = Literal["address", "user", "key"]
Limit = Literal["per_ip_per_hour", "anonymous_per_ip_per_day", "per_user_per_hour", "per_user_per_day"]
"""As `[free]` calls them."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What a counter is about."""

    kind: Kind
    who: str
    """The subscriber's address, or the id."""
    limit: Limit
    refusals: bool
    """It counts refusals rather than requests."""


def claims_of(settings: FreeSettings, *, caller: Caller | None, house: bool, address: str) -> list[Claim]:
    """What a request for a free model counts for. `house`: the model is one of ours; `address`: the subscriber's."""
    claims = []
    if caller is None:
        claims.append(Claim(_STRANGER + address, settings.anonymous_per_ip_per_day, window_s=DAY))
    if house or caller is None:
        claims.append(Claim(_ADDRESS + address, settings.per_ip_per_hour, window_s=HOUR))
    if caller is not None:
        whose = _USER + (caller.user_id or f"key:{caller.id}")
        for limit, window in ((settings.per_user_per_hour, HOUR), (settings.per_user_per_day, DAY)):
            if limit is not None:
                claims.append(Claim(f"{whose}:{window}", limit, window_s=window))
    return claims


def refusal_key(claim: Claim) -> str:
    """Where it is counted, in a window as long as the limit's, that a limit has refused."""
    return _REFUSED + claim.key.removeprefix(PREFIX)


def standing_of(key: str, window_s: int) -> Standing | None:
    """What a counter with this key is about; None: about nothing here."""
    refusals = key.startswith(_REFUSED)
    prefix, _, who = key.removeprefix(_REFUSED if refusals else PREFIX).partition(":")
    if (of_address := _BY_ADDRESS.get(f"{PREFIX}{prefix}:")) is not None:
        return Standing("address", who, of_address, refusals)
    if f"{PREFIX}{prefix}:" != _USER:
        return None
    who, limit = who.rpartition(":")[0], _BY_USER[0 if window_s == HOUR else 1]
    kind: Kind = "key" if who.startswith("key:") else "user"
    return Standing(kind, who.removeprefix("key:"), limit, refusals)


def looks_of(kind: Kind, who: str, settings: FreeSettings) -> dict[Limit, Claim]:
    """Claims that ask how somebody stands, and count nothing: those of all limits that there are."""
    if kind == "address":
        pairs = [(limit, prefix + who) for prefix, limit in _BY_ADDRESS.items()]
    else:
        whose = _USER + (f"key:{who}" if kind == "key" else who)
        pairs = [(limit, f"{whose}:{WINDOWS[limit]}") for limit in _BY_USER]
    limits = {limit: (key, getattr(settings, limit)) for limit, key in pairs}
    return {
        limit: Claim(key, most, amount=0, window_s=WINDOWS[limit])
        for limit, (key, most) in limits.items()
        if most is not None
    }


_BY_ADDRESS: dict[str, Limit] = {_ADDRESS: "per_ip_per_hour", _STRANGER: "anonymous_per_ip_per_day"}
_BY_USER: tuple[Limit, ...] = ("per_user_per_hour", "per_user_per_day")
WINDOWS: dict[Limit, int] = {
    "per_ip_per_hour": HOUR,
    "anonymous_per_ip_per_day": DAY,
    "per_user_per_hour": HOUR,
    "per_user_per_day": DAY,
}
"""Seconds."""


def refused_by(denial: Denial, settings: FreeSettings) -> RequestError:
    """What a caller hears who has had as much as there is."""
    claim, wait = denial.claim, denial.retry_after
    if claim.key.startswith(_STRANGER):
        return FreeLimitReached(
            f"This address has made the {claim.limit} requests that 24 hours have without an API key. "
            f"{_get_a_key(settings)}, or come back in {_span(wait)}."
        )
    whose = "this user" if claim.key.startswith(_USER) else "this address"
    span = "in an hour" if claim.window_s == HOUR else "in 24 hours"
    return RateLimited(
        f"The limit of {claim.limit} requests for free models {span} is reached for {whose}. Try again in "
        f"{_span(wait)}, or use a model that is not free.",
        retry_after=wait,
    )


def key_needed(model: str, settings: FreeSettings) -> CredentialMissing:
    """For a caller without a key and a model that is not free, or that does not exist: which of them is not told."""
    return CredentialMissing(
        f"The model `{model[:100]}` needs an API key; without one there are free models only, and GET /v1/models lists "
        f"them. {_get_a_key(settings)} and send it as `Authorization: Bearer tv-...` or `x-api-key: tv-...`."
    )


def check_house_model(policy: Policy, model: HouseModel, provider: str, *, collects: bool, retains: bool) -> None:
    """Whether an organization's policy lets it use a model of the house, which its lists of models know by its id;
    `collects` and `retains` are the provider's. Raises ProviderNotAllowed,
    ModelNotAllowed.

    Who answers as a stealth model is not told. So its refusal must not depend on it: a policy about providers, or one
    that denies models, which it may break, refuses it always.
    """
    if model.collects(provider_collects=collects) and policy.data_collection == "deny":
        raise ProviderNotAllowed(
            f"`{model.id}` may collect data, which the organization does not allow.", param="model"
        )
    if model.stealth:
        if policy.providers_allow or policy.providers_deny or policy.zdr:
            raise ProviderNotAllowed(
                f"Who answers as `{model.id}` is not told, and the organization allows only providers that it chooses.",
                param="model",
            )
        if policy.models_deny:
            raise ModelNotAllowed(
                f"Who answers as `{model.id}` is not told, and the organization denies models.", param="model"
            )
        return
    check_provider(policy, provider, collects=False, retains=retains)
    if matches(policy.models_deny, names_of(provider, model.model)):
        raise ModelNotAllowed(
            f"The model `{model.id}` is not allowed: the organization denies the one that answers.", param="model"
        )


def _get_a_key(settings: FreeSettings) -> str:
    return f"Sign up for a key at {settings.sign_up_url}" if settings.sign_up_url else "Sign up for an API key"


def _span(seconds: int) -> str:
    """Whole minutes or hours, rounded up."""
    if seconds < 60:
        return f"{seconds} s"
    return f"{-(-seconds // 60)} min" if seconds < 2 * HOUR else f"{-(-seconds // HOUR)} h"
