"""What may be had for nothing: how often, by whom, under which policies (behaviour page, section 4). Pure.

A request for a model of the house counts for its address; one without a key counts for it twice, in the hour and in the
day. Where a user's free requests are limited they count for the user, or for the key where it belongs to nobody.
"""

from __future__ import annotations

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

    Who answers as a stealth model is not told. So its refusal must not depend on it: a policy about providers, which it
    may break, refuses it always.
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
        return
    check_provider(policy, provider, collects=False, retains=retains)
    if policy.models_deny and matches(policy.models_deny, names_of(provider, model.model)):
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
