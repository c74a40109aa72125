"""What clients ask for beside models and answers: their defaults, their profile, what is left for them.

Paths of behaviour page section 1 (`/providers`, `/models-by-provider`, `/usage`), and those that Kilo's clients know
(vendor rules, "Clients of the seed's gateway"). Each follows the same policy as requests do; where callers without a
key are answered, they hear of free models, and nothing of anybody.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from trivium.clock import HOUR_MS, rfc3339
from trivium.errors import CredentialMissing, NoDefaultModel, NotAMember, RequestError
from trivium.metering.prices import MILLION
from trivium.money import NANO
from trivium.pipeline.authenticate import authenticate
from trivium.pipeline.authorize import check_any, visible_entries
from trivium.pipeline.auto import auto_entries
from trivium.pipeline.bill import account_of, is_unsold
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps, Now
from trivium.pipeline.free import NO_KEY, check_anonymous, find
from trivium.policy.caller import BILLS, Caller
from trivium.policy.context import ORGANIZATION
from trivium.policy.proposal import proposed
from trivium.policy.spending import scopes_of, window_end, window_start
from trivium.routing.catalog import ModelEntry
from trivium.server.listing import Listing, targets
from trivium.server.own_models import OwnModels
from trivium.server.routes import PREFIXES
from trivium.store.own import OwnBudget
from trivium.store.store import Store
from trivium.store.usage import UsageQuery

_ORGANIZATIONS = re.compile(r"/api/organizations/([^/]+)(/models|/defaults)")
_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
_PERSONAL = ("key:", "user:", "member:")
"""Budgets that count the caller's own calls alone."""
_STATISTICS_MS = 30 * 24 * HOUR_MS
_STATISTICS_KEPT_NS = 60 * 10**9


class Desk:
    """Answers with values that become JSON."""

    def __init__(self, now: Now, store: Store) -> None:
        self._now = now
        self._store = store
        self.listing = Listing(now)
        self._own_models = OwnModels(now)
        self._statistics: list[dict[str, Any]] = []
        self._statistics_ns: int | None = None
        self._counting = asyncio.Lock()

    @property
    def _deps(self) -> Deps:
        return self._now.deps

    def find(self, path: str) -> Callable[[Call], Awaitable[Any]] | None:
        """What answers at a path; None: nothing here does. The answer raises what a caller without a valid credential
        gets, and NotAMember, NoDefaultModel, StoreUnavailable."""
        if (answer := _PATHS.get(path)) is not None:
            return lambda call: self._answer(answer, call, call.headers, None)
        if (found := _ORGANIZATIONS.fullmatch(path)) is None:
            return None
        organization_id, of_one = found[1], _OF_ORGANIZATION[found[2]]
        name = organization_id.encode("utf-8", "surrogateescape")
        return lambda call: self._answer(of_one, call, {**call.headers, ORGANIZATION[0]: name}, organization_id)

    async def _answer(
        self, answer: _Answer, call: Call, headers: Mapping[bytes, bytes], organization_id: str | None
    ) -> Any:
        caller = await authenticate(headers, call.client_ip, self._deps)
        if caller is None:
            if answer not in _OPEN or organization_id is not None:
                raise CredentialMissing(NO_KEY)
            check_anonymous(None, None, call.time_ms, self._deps)
        acting = caller.organization.id if caller and caller.organization else None
        if organization_id not in (None, acting):
            raise NotAMember(f"This API key is not one of {organization_id[:100]}'s members. Send a member's key.")
        return await answer(self, caller, call)

    async def entries(self, caller: Caller | None, call: Call) -> list[ModelEntry]:
        """The models that a caller sees, those of own upstream keys among them."""
        auto = auto_entries(caller, call.headers, call.time_ms, self._deps)
        named = {entry.id for entry in auto}
        entries = [one for one in visible_entries(caller, call.time_ms, self._deps) if one.id not in named]
        return auto + (entries if caller is None else await self._own_models.with_own(caller, entries))

    async def described(self, caller: Caller | None, call: Call) -> list[dict[str, Any]]:
        return await self.listing.models(await self.entries(caller, call), caller, call)

    async def models(self, caller: Caller | None, call: Call) -> Any:
        return {"object": "list", "data": await self.described(caller, call)}

    async def defaults(self, caller: Caller | None, call: Call) -> Any:
        """Raises NoDefaultModel."""
        policy = caller.organization.settings.policy if caller and caller.organization else None
        settings = self._deps.shown
        name = proposed(
            policy, settings.default_model, settings.preferred, lambda name: self._is_usable(caller, name, call)
        )
        if name is None:
            raise NoDefaultModel(
                "No default model is set that you may use. Name a model; GET /v1/models lists those that are allowed."
            )
        free = (
            model["id"]
            for model in await self.described(caller, call)
            if model.get("isFree") and model["id"] not in self._deps.autos.names
        )
        return {"defaultModel": name, "defaultFreeModel": next(free, None)}

    async def profile(self, caller: Caller, _call: Call) -> Any:
        """Of a key that is nobody's: the key itself."""
        own = self._store.own
        person = await own.person(caller.user_id) if caller.user_id else None
        memberships = await own.memberships(caller.user_id) if caller.user_id else []
        user = {"id": person.id, "name": person.name, "email": person.email or ""} if person else None
        return {
            "user": {**(user or {"id": caller.id, "name": caller.name, "email": ""}), "image": None},
            "organizations": [
                {
                    "id": one.organization_id,
                    "name": one.name,
                    "role": one.role,
                    "balance": one.free_nano / NANO if one.role in BILLS else None,
                }
                for one in memberships
            ],
            "selectedOrganizationId": caller.organization.id if caller.organization else None,
            "hasPersonalAccount": caller.organization is None,
        }

    async def balance(self, caller: Caller, _call: Call) -> Any:
        """A number for clients that compute with it, 0 where balances are not kept; null for whom it does not
        concern."""
        return {"balance": (await self._balance(caller) or 0) if caller.sees_bills else None}

    async def usage(self, caller: Caller, call: Call) -> Any:
        """Budgets and limits that count this caller's calls, and the balance, null where balances are not charged. Of
        what an organization's calls cost together only those hear who see its bills."""
        scopes, bills = scopes_of(caller, account_of(caller, self._deps)), caller.sees_bills
        told = [one for one in scopes if bills or one.startswith(_PERSONAL)]
        budgets = await self._store.own.budgets(told, call.time_ms)
        rates = {
            "key": caller.limits,
            "user": caller.user_limits,
            "organization": caller.organization.settings.limits if caller.organization else None,
        }
        return {
            "limits": [_limit(budget, call.time_ms) for budget in budgets],
            "rate_limits": {whose: limits for whose, limits in rates.items() if limits},
            "plan": None,
            "balance_usd": await self._balance(caller) if bills else None,
        }

    async def providers(self, caller: Caller | None, call: Call) -> Any:
        unknown = ("privacy_policy_url", "terms_of_service_url", "status_page_url", "headquarters", "datacenters")
        return {
            "data": [
                {"name": name, "slug": name, **dict.fromkeys(unknown), **self._data_policy(name)}
                for name in sorted({entry.owned_by for entry in await self.entries(caller, call)})
            ]
        }

    async def models_by_provider(self, caller: Caller | None, call: Call) -> Any:
        models = await self.described(caller, call)
        by_name: dict[str, list[dict[str, Any]]] = {}
        for model in models:
            by_name.setdefault(model["owned_by"], []).append({**model, "slug": model["id"]})
        providers = [
            {"name": name, "displayName": name, "slug": name, **self._data_policy(name), "models": by_name[name]}
            for name in sorted(by_name)
        ]
        return {
            "providers": providers,
            "total_providers": len(providers),
            "total_models": len(models),
            "generated_at": rfc3339(call.time_ms / 1000),
        }

    async def statistics(self, caller: Caller | None, call: Call) -> Any:
        """What models have cost here in 30 days, on average: USD per million tokens, and per request."""
        async with self._counting:
            now = self._deps.clock.monotonic_ns()
            if self._statistics_ns is None or now - self._statistics_ns > _STATISTICS_KEPT_NS:
                since = (call.time_ms - _STATISTICS_MS) // HOUR_MS * HOUR_MS
                query = UsageQuery(by=("model",), since_ms=max(0, since))
                self._statistics = await asyncio.to_thread(self._store.usage, query, public=True)
                self._statistics_ns = now
        by_target = {row["model"]: row for row in self._statistics}
        found = (
            (entry.id, by_target.get(f"{target.provider.name}/{target.model}"))
            for entry, target in targets(await self.entries(caller, call), caller, self._deps)
            if target is not None and entry.house is None  # whose costs would tell who answers
        )
        return [_average(name, row) for name, row in found if row and row["input_tokens"] + row["output_tokens"]]

    async def _balance(self, caller: Caller) -> float | None:
        account_id = account_of(caller, self._deps)
        return None if account_id is None else await self._store.own.free_nano(account_id) / NANO

    def _is_usable(self, caller: Caller | None, name: str, call: Call) -> bool:
        if (auto := self._deps.autos.get(name)) is not None:
            return any(one.id == auto.id for one in auto_entries(caller, call.headers, call.time_ms, self._deps))
        target = find(caller, name, self._deps)
        if isinstance(target, RequestError):
            return False
        try:
            if caller is None:
                check_anonymous(name, target, call.time_ms, self._deps)
            check_any(caller, target, self._deps)
        except RequestError:
            return False
        return not is_unsold(caller, target, call.time_ms, self._deps)

    def _data_policy(self, name: str) -> dict[str, Any]:
        provider = self._deps.catalog.providers.get(name)
        if provider is None:  # an alias, which may lead to any
            return {}
        policy = {"training": provider.collects_data, "retainsPrompts": provider.retains_data, "canPublish": False}
        return {"dataPolicy": policy}


_Answer = Callable[[Desk, Any, Call], Awaitable[Any]]
"""With the caller, or None for one without a key where the path is open to them."""
_OPEN: frozenset[_Answer] = frozenset({Desk.models, Desk.defaults, Desk.providers, Desk.models_by_provider})
"""What callers without a key may hear, where they may call at all; of an organization nothing."""
_ANYWHERE: Mapping[str, _Answer] = {
    "/providers": Desk.providers,
    "/models-by-provider": Desk.models_by_provider,
    "/usage": Desk.usage,
}
_PATHS: Mapping[str, _Answer] = {
    **{prefix + path: answer for prefix in PREFIXES for path, answer in _ANYWHERE.items()},
    "/api/defaults": Desk.defaults,
    "/api/profile": Desk.profile,
    "/api/profile/balance": Desk.balance,
    "/api/modelstats": Desk.statistics,
}
_OF_ORGANIZATION: Mapping[str, _Answer] = {"/models": Desk.models, "/defaults": Desk.defaults}


def _limit(budget: OwnBudget, now_ms: int) -> dict[str, Any]:
    start = window_start(budget.period, now_ms)
    end = window_end(budget.period, start)
    return {
        "scope": budget.scope,
        "period": _PERIODS[budget.period],
        "used": budget.used_nano / NANO if budget.window_ms == start else 0,
        "limit": budget.limit_nano / NANO,
        "reset_at": rfc3339(end / 1000) if end else None,
    }


def _average(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    usd, tokens = row["cost_nano"] / NANO, row["input_tokens"] + row["output_tokens"]
    return {"model": name, "cost": usd * MILLION / tokens, "costPerRequest": usd / (row["requests"] - row["refused"])}
