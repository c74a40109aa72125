"""Whether this caller may do this, before anything is spent: the API, the model, the provider (behaviour page, section
2, checks 9, 11 and 12). The rules are in `policy/access.py`; the same ones make the list of models that a caller sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trivium.canon.api import Api
from trivium.errors import ModelNotFound, ProviderNotAllowed, RequestError
from trivium.pipeline.bill import is_unsold
from trivium.pipeline.call import Call
from trivium.pipeline.custom import custom_entries
from trivium.pipeline.deps import Deps
from trivium.pipeline.free import is_free
from trivium.pipeline.own import of_own_key, own_vendors
from trivium.policy.access import as_told, check_api, check_model, check_provider
from trivium.policy.caller import Caller, Policy
from trivium.policy.free import ANONYMOUS, check_house_model
from trivium.providers.provider import Provider
from trivium.routing.catalog import ModelEntry, Target, not_found


def check_call(caller: Caller | None, call: Call, deps: Deps) -> None:
    """Raises ApiNotAvailable."""
    check_api(caller or ANONYMOUS, call.api, deps.house)


def check_target(caller: Caller | None, target: Target, deps: Deps) -> None:
    """Raises ModelNotFound, ModelEnded, ModelNotAllowed, ProviderNotAllowed."""
    if target.custom is None:
        deps.catalog.check_offered(target)
    provider, caller = target.provider, caller or ANONYMOUS
    called = target.routed.id if target.routed is not None else None
    of, model = target.known_as
    check_model(caller, of, model, deps.house, target.also, called)
    if caller.organization is None:
        return
    policy = caller.organization.settings.policy
    collects, retains = _data_at(provider, policy)
    if target.house is None:
        check_provider(policy, provider.name, collects=collects, retains=retains)
    else:
        check_house_model(policy, target.house, provider.name, collects=collects, retains=retains)


def check_any(caller: Caller | None, target: Target, deps: Deps) -> None:
    """Whether a request that leads there may go by one route or another. Raises as `check_target` for the first."""
    if not is_open(caller, target, deps):
        check_target(caller, target, deps)


def is_told(caller: Caller | None, provider: Provider) -> bool:
    """Whether a call is allowed only since the provider is told the organization's policy with it."""
    if caller is None or caller.organization is None or not provider.honours:
        return False
    return _data_at(provider, caller.organization.settings.policy) != (provider.collects_data, provider.retains_data)


def keeps_to(wish: Policy, provider: Provider) -> bool:
    """Whether a provider, told this with the call, does with its data nothing that it forbids."""
    collects, retains = _data_at(provider, wish)
    try:
        check_provider(wish, provider.name, collects=collects, retains=retains)
    except ProviderNotAllowed:
        return False
    return True


def _data_at(provider: Provider, policy: Policy) -> tuple[bool, bool]:
    return as_told(policy, provider.honours, collects=provider.collects_data, retains=provider.retains_data)


@contextmanager
def named(name: str) -> Iterator[None]:
    """What does not exist is told by the name that was sent, which may lead to another."""
    try:
        yield
    except ModelNotFound:
        raise not_found(name) from None


def visible_entries(caller: Caller | None, time_ms: int, deps: Deps) -> list[ModelEntry]:
    """The models that a caller sees: those that a request could name, and whose price somebody knows where a balance
    pays. A custom one hides what has the same name."""
    if caller is None:
        entries = [(entry, target) for entry, target in deps.catalog.listed if is_free(target, time_ms, deps)]
        return [entry for entry, target in entries if is_open(None, target, deps)]
    custom = custom_entries(caller, deps)
    named = {entry.id for entry, _ in custom}
    entries = custom + [(entry, target) for entry, target in deps.catalog.listed if entry.id not in named]
    if own_vendors(caller, deps):
        entries = [(entry, of_own_key(caller, entry.id, target, Api.CHAT, deps) or target) for entry, target in entries]
    seen = [(entry, target) for entry, target in entries if is_open(caller, target, deps)]
    return [entry for entry, target in seen if not is_unsold(caller, target, time_ms, deps)]


def is_open(caller: Caller | None, target: Target, deps: Deps) -> bool:
    """Whether a request that leads there, by one route or another, would pass."""
    return any(passes(caller, route, deps) for route in deps.catalog.routes(target))


def passes(caller: Caller | None, target: Target, deps: Deps) -> bool:
    """Whether a request would that takes this very route."""
    try:
        check_target(caller, target, deps)
    except RequestError:
        return False
    return True
