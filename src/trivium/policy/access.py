"""Whether a caller may use an API, a model and a provider. Pure; raises the error that the caller gets.

Gates are the house's (behaviour page, section 3): an API or a model can be open to everyone, to the house's staff, or
to named organizations and users. Scopes are a key's, policies an organization's. All must agree.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, cast

import msgspec

from trivium.canon.api import Kind
from trivium.errors import ApiNotAvailable, CallerBlocked, KeyNotHere, ModelNotAllowed, NotAMember, ProviderNotAllowed
from trivium.policy import addresses
from trivium.policy.caller import ApiName, Caller, Limits, Pattern, Policy, Role, matches, names_of

JOIN = "Its owners and admins can add the key's user."
"""What somebody can do who is no member of an organization."""
_DENIED = "The organization denies it."


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom something is open."""

    open_to: Literal["everyone", "admins", "named"] = "everyone"
    """`admins`: the house's staff, and those who are named; `named`: these alone. People are who they are by their own
    keys and tokens, not by keys of an organization."""
    organizations: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


class HouseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the house's operators decide while it runs. Kept in the store; a snapshot of it is in memory."""

    apis: dict[ApiName, Gate] = {}
    models: Annotated[dict[Pattern, Gate], msgspec.Meta(max_length=1000)] = {}
    """By model, `*` and `?` as wildcards: every gate that fits must be open."""
    limits_by_model: Annotated[dict[Pattern, Limits], msgspec.Meta(max_length=1000)] = {}
    """Of all callers together."""
    key_limits: Limits = Limits()
    """Of each key, for what its own say nothing of."""
    user_limits: Limits = Limits()
    organization_limits: Limits = Limits()


def check_blocked(caller: Caller) -> None:
    """Raises CallerBlocked."""
    if caller.blocked:
        raise CallerBlocked("This user is blocked. The operator of this gateway can tell why.")


def check_caller(caller: Caller, client_ip: str | None) -> None:
    """Raises CallerBlocked, KeyNotHere, NotAMember."""
    check_blocked(caller)
    if caller.scopes.networks and not _is_in(client_ip, caller.scopes.networks):
        unknown = "This API key may be used from its networks alone, and from where this call comes is not known."
        elsewhere = "This API key may not be used from this address, but from its networks alone."
        raise KeyNotHere(f"{elsewhere if client_ip else unknown} Whoever made it can change them, or send another key.")
    if caller.organization is not None and caller.user_id is not None:
        if caller.role is None:
            raise NotAMember(
                f"The key's user is no member of {caller.organization.id}, which would pay for the call. {JOIN}"
            )
        if caller.role is Role.BILLING:
            raise NotAMember(
                f"A member of {caller.organization.id} for billing may spend nothing. Its owners and admins can give "
                "the key's user another role."
            )


def check_api(caller: Caller, api: Kind, house: HouseSettings) -> None:
    """Raises ApiNotAvailable."""
    gate = house.apis.get(cast("ApiName", api.value)) if house.apis else None
    if gate is not None and not _is_open(gate, caller):
        raise ApiNotAvailable(
            f"The API `{api.value}` is not available to this caller. Use another one, or ask the operator of this "
            "gateway to open it."
        )
    if caller.scopes.apis and api not in caller.scopes.apis:
        good_for = ", ".join(f"`{one}`" for one in caller.scopes.apis)
        raise ApiNotAvailable(
            f"The API `{api.value}` is not available to this key, which is good for {good_for}. Use one of these, or "
            "another key."
        )


def check_model(  # noqa: PLR0917
    caller: Caller,
    provider: str,
    model: str,
    house: HouseSettings,
    also: tuple[str, ...] = (),
    called: str | None = None,
) -> None:
    """`also` are further names that it goes by, `called` is the one that the caller knows. Raises ModelNotAllowed."""
    if not (house.models or caller.scopes.models or caller.organization):
        return
    names = names_of(provider, model) + also
    _check_gates(caller, names, called or model, house)
    if caller.scopes.models and not matches(caller.scopes.models, names):
        raise _not_allowed(called or model, "The API key is not good for it.")
    if caller.organization is not None and not permits(policy := caller.organization.settings.policy, names):
        denied = matches(policy.models_deny, names)
        raise _not_allowed(
            called or model, _DENIED if denied else "The organization's list of models does not have it."
        )


def check_auto(caller: Caller, names: tuple[str, ...], called: str, house: HouseSettings) -> None:
    """Whether a caller may ask for an auto model, which is known by these names (in small letters): gates, and what an
    organization denies. Lists of what is allowed judge the model that it leads to. Raises ModelNotAllowed."""
    _check_gates(caller, names, called, house)
    if caller.organization is not None and matches(caller.organization.settings.policy.models_deny, names):
        raise _not_allowed(called, _DENIED)


def _check_gates(caller: Caller, names: tuple[str, ...], called: str, house: HouseSettings) -> None:
    """Every gate that fits must be open. Raises ModelNotAllowed."""
    for pattern, gate in house.models.items():
        if not _is_open(gate, caller) and matches((pattern,), names):
            raise _not_allowed(called, "It is not open to this caller.")


def permits(policy: Policy, names: tuple[str, ...]) -> bool:
    """Whether an organization lets its calls reach a model by these names."""
    if policy.models_deny and matches(policy.models_deny, names):
        return False
    return not policy.models_allow or matches(policy.models_allow, names)


def check_provider(policy: Policy, provider: str, *, collects: bool, retains: bool) -> None:
    """`collects`: the provider may keep prompts or learn from them; `retains`: it may keep anything for a while. Raises
    ProviderNotAllowed."""
    names = (provider.lower(),)
    allowed = not policy.providers_allow or matches(policy.providers_allow, names) or _leads(policy, names[0])
    if matches(policy.providers_deny, names):
        raise ProviderNotAllowed(f"The organization denies {provider}.")
    if not allowed:
        raise ProviderNotAllowed(f"The organization's list of providers does not have {provider}.")
    if policy.data_collection == "deny" and collects:
        raise ProviderNotAllowed(f"{provider} may collect data, which the organization does not allow.")
    if policy.zdr and retains:
        raise ProviderNotAllowed(f"{provider} may retain data, which the organization does not allow.")


def _leads(policy: Policy, provider: str) -> bool:
    """Whether the list allows somebody behind this provider, as `openrouter/amazon-bedrock` does."""
    return any(pattern.strip().lower().startswith(f"{provider}/") for pattern in policy.providers_allow)


def as_told(policy: Policy, honours: frozenset[str], *, collects: bool, retains: bool) -> tuple[bool, bool]:
    """What a provider does with the data of an organization's calls, whose policy it is told with each of them: whether
    it collects, whether it retains. `honours` is what it keeps to then; what is not retained is not collected."""
    zdr = policy.zdr and "zdr" in honours
    denies = policy.data_collection == "deny" and "data_collection" in honours
    return collects and not (zdr or denies), retains and not zdr


def _not_allowed(model: str, why: str) -> ModelNotAllowed:
    return ModelNotAllowed(
        f"The model `{model[:100]}` is not allowed. {why} GET /v1/models lists those that are.", param="model"
    )


def _is_open(gate: Gate, caller: Caller) -> bool:
    if gate.open_to == "everyone":
        return True
    if caller.personal and (caller.user_id in gate.users or (caller.staff and gate.open_to == "admins")):
        return True
    return caller.organization is not None and caller.organization.id in gate.organizations


@lru_cache(10_000)
def _is_in(address: str | None, allowed: tuple[str, ...]) -> bool:
    found = addresses.parsed(address)
    return found is not None and addresses.is_in(found, _networks(allowed))


@lru_cache(10_000)
def _networks(texts: tuple[str, ...]) -> tuple[addresses.Network, ...]:
    return addresses.networks(texts)
