"""Whether this caller may do this, before anything is spent: the API, the model, the provider (behaviour page, section
2, checks 9, 11 and 12). The rules are in `policy/access.py`; the same ones make the list of models that a caller sees.
"""

from __future__ import annotations

from trivium.errors import Forbidden
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.free import is_free
from trivium.policy.access import check_api, check_model, check_provider
from trivium.policy.caller import Caller
from trivium.policy.free import ANONYMOUS, check_house_model
from trivium.routing.catalog import ModelEntry, Target


def check_call(caller: Caller | None, call: Call, deps: Deps) -> None:
    """Raises ApiNotAvailable."""
    check_api(caller or ANONYMOUS, call.api, deps.house)


def check_target(caller: Caller | None, target: Target, deps: Deps) -> None:
    """Raises ModelNotFound, ModelEnded, ModelNotAllowed, ProviderNotAllowed."""
    deps.catalog.check_offered(target)
    provider, caller = target.provider, caller or ANONYMOUS
    check_model(caller, *target.known_as, deps.house)
    if caller.organization is None:
        return
    policy, collects, retains = caller.organization.settings.policy, provider.collects_data, provider.retains_data
    if target.house is None:
        check_provider(policy, provider.name, collects=collects, retains=retains)
    else:
        check_house_model(policy, target.house, provider.name, collects=collects, retains=retains)


def visible_entries(caller: Caller | None, time_ms: int, deps: Deps) -> list[ModelEntry]:
    """The models that a caller sees: those that a request could name."""
    return [
        entry
        for entry, target in deps.catalog.entries()
        if (caller is not None or is_free(target, time_ms, deps)) and _is_open(caller, target, deps)
    ]


def _is_open(caller: Caller | None, target: Target, deps: Deps) -> bool:
    try:
        check_target(caller, target, deps)
    except Forbidden:
        return False
    return True
