"""Models that a caller reaches by own upstream keys alone, for the list of models.

The vendors are asked for their lists with the caller's key, at most every ten minutes for each key. A vendor that does
not answer in time is left out until it does: the list of models waits for nobody long.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

import msgspec

from trivium.canon.api import Api
from trivium.errors import Forbidden, SecretUnreadable, StoreUnavailable
from trivium.operations.discover import discover
from trivium.pipeline.authorize import check_target
from trivium.pipeline.deps import Deps
from trivium.pipeline.own import of_own_key, own_owner, own_vendors
from trivium.policy.caller import Caller
from trivium.providers.credential import Credential
from trivium.providers.provider import Provider
from trivium.providers.vendors import door_of, provider_of, with_key
from trivium.routing.catalog import ModelEntry

_PATIENCE = 3.0
"""Seconds that a list may take to come."""
_FRESH_MS = 600_000
_CACHED = 1_000


class _Told(msgspec.Struct, frozen=True):
    models: tuple[ModelEntry, ...]
    time_ms: int


class OwnModels:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._told: OrderedDict[tuple[str, ...], _Told] = OrderedDict()

    async def with_own(self, caller: Caller, entries: list[ModelEntry]) -> list[ModelEntry]:
        """The entries, and behind them what the caller's own keys reach beside."""
        having = own_vendors(caller, self._deps)
        if not having:
            return entries
        found = await asyncio.gather(*(self._models(own_owner(caller) or "", vendor) for vendor in having))
        known = {entry.id for entry in entries}
        own = [
            msgspec.structs.replace(model, id=f"{vendor}/{id}")
            for vendor, models in zip(having, found, strict=True)
            for model in models
            if (id := model.id.removeprefix("models/")) not in known
        ]
        return entries + [one for one in own if one.id not in known and self._is_open(caller, one.id)]

    async def _models(self, owner: str, vendor: str) -> tuple[ModelEntry, ...]:
        """What a vendor tells the first of the owner's keys."""
        try:
            sealed = (await self._deps.own.keys(owner, vendor))[0]
            key = (owner, vendor, sealed.shown.id, sealed.shown.hint, sealed.shown.base_url or "")
            told, now = self._told.get(key), self._deps.clock.now_ms()
            if told is not None and now - told.time_ms < _FRESH_MS:
                return told.models
            credential = msgspec.json.decode(self._deps.own.plain(sealed), type=Credential)
        except (IndexError, SecretUnreadable, StoreUnavailable):
            return ()
        door = door_of(vendor, "", Api.CHAT, own_url=sealed.shown.base_url is not None)
        where = {"base_url": sealed.shown.base_url, "region": sealed.shown.region}
        models = await self._asked(with_key(provider_of(vendor, door), door, credential, **where)[-1])
        if models is None:
            return told.models if told is not None else ()
        self._told[key] = _Told(models, now)
        if len(self._told) > _CACHED:
            self._told.popitem(last=False)
        return models

    async def _asked(self, provider: Provider) -> tuple[ModelEntry, ...] | None:
        """None: the vendor told nothing. What is signed by AWS's rules has no list of that kind."""
        if provider.signing is not None:
            return ()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                return (await discover(self._deps.client, [provider])).get(provider.name)
        return None

    def _is_open(self, caller: Caller, name: str) -> bool:
        target = of_own_key(caller, name, None, Api.CHAT, self._deps)
        if target is None:
            return False
        try:
            check_target(caller, target, self._deps)
        except Forbidden:
            return False
        return True
