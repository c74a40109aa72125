"""Which model a client is proposed that asks for a default. Pure.

In this order the first that a request could name: the organization's own; the house's; the organization's list of
allowed models, where it names one and not a pattern; the house's preferred models (vendor rules, "Clients of the seed's
gateway").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trivium.canon import wildcard
from trivium.policy.caller import Policy

_NO_POLICY = Policy()


def proposed(
    policy: Policy | None, house_default: str | None, preferred: Iterable[str], usable: Callable[[str], bool]
) -> str | None:
    """None: nothing of all that can be used. `usable`: whether a request of this caller could name a model."""
    policy = policy or _NO_POLICY
    names = (policy.default_model, house_default, *policy.models_allow, *preferred)
    return next((name for name in names if name is not None and not wildcard.is_wild(name) and usable(name)), None)
