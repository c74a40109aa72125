"""What somebody outside the house sets: it may be lower than what is in force or what the house has set, not higher."""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.errors import OperationError
from trivium.policy import addresses
from trivium.policy.caller import Limits, Patterns, Scopes, matches, meant


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """What the house has set of a key; empty: nothing. Times are milliseconds since the epoch."""

    scopes: Scopes = Scopes()
    limits: Limits = Limits()
    expires_ms: int | None = None


FIELDS = frozenset(Ceiling.__struct_fields__)
"""They are named as a key's are."""


def within(asked: Limits, *in_force: Limits) -> None:
    """`in_force`: the first that says something of a limit has the last word about it. Raises OperationError."""
    for name in Limits.__struct_fields__:
        most = next((said for limits in in_force if (said := getattr(limits, name)) is not None), None)
        wanted = getattr(asked, name)
        # Where nothing is asked for, an own limit would be gone, and the house's own holds again.
        given_up = wanted is None and getattr(in_force[0], name) is not None
        if most is not None and (given_up or (wanted is not None and wanted > most)):
            raise OperationError(
                f"{name} is {most} and can only be lowered. The operators of the gateway can raise it."
            )


def within_ceiling(key: Any, ceiling: Ceiling) -> None:
    """`key` has fields of the same names. Raises OperationError where one of them is more than the house has set."""
    within(key.limits, ceiling.limits)
    most = ceiling.expires_ms
    if most is not None and (key.expires_ms is None or key.expires_ms > most):
        raise OperationError(_LOWER.format("When the key expires"))
    asked, scopes = key.scopes, ceiling.scopes
    if scopes.apis and not (asked.apis and set(asked.apis) <= set(scopes.apis)):
        raise OperationError(_LOWER.format("Which APIs the key is good for"))
    if scopes.models and not (asked.models and all(_is_part(one, scopes.models) for one in asked.models)):
        raise OperationError(_LOWER.format("Which models the key is good for"))
    if scopes.networks and not (asked.networks and _are_inside(asked.networks, scopes.networks)):
        raise OperationError(_LOWER.format("From where the key may be used"))


_LOWER = "{} was set by the operators of the gateway: it can be less than that, and they can make it more."


def _is_part(pattern: str, patterns: Patterns) -> bool:
    """Whether all that a pattern means is meant by one of the others, as far as that shows: a `*` stands for any text,
    also for that of a pattern; a `?` for one character, as which a `*` does not count. An exact name means the model
    without its suffix, so that one has to be among them."""
    return pattern in patterns or matches(tuple(one for one in patterns if "?" not in one), (meant(pattern),))


def _are_inside(asked: tuple[str, ...], allowed: tuple[str, ...]) -> bool:
    there = [(network.version, int(network[0]), int(network[-1])) for network in addresses.networks(allowed)]
    return all(
        any(
            version == network.version and first <= int(network[0]) and int(network[-1]) <= last
            for version, first, last in there
        )
        for network in addresses.networks(asked)
    )
