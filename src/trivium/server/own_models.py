"""Models that a caller reaches by own upstream keys alone, for the list of models.

The vendors are asked for their lists with the caller's key, at most every ten minutes for each key. A vendor that does
not answer in time is left out until it does, and asked again after half a minute: the list of models waits for nobody
long. Some of these servers are the caller's, who may have them say anything: little of it is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

import msgspec

from trivium.canon.api import Api
from trivium.errors import SecretUnreadable, StoreUnavailable, TriviumError
from trivium.operations.discover import ask
from trivium.pipeline.authorize import is_open
from trivium.pipeline.deps import Deps, Now
from trivium.pipeline.free import find
from trivium.pipeline.own import own_owner, own_vendors
from trivium.policy.caller import Caller
from trivium.providers.openrouter import KeptCredential
from trivium.providers.provider import Provider
from trivium.providers.vendors import door_of, provider_of, with_key
from trivium.routing.catalog import ModelEntry, Target

_PATIENCE = 3.0
"""Seconds that a list may take to come."""
_FRESH_MS = 600_000
_AGAIN_MS = 30_000
MOST = 1_000
"""Models that are added for a caller."""
MOST_KEPT = 50_000
"""Models and words about them, of all callers together, at some 100 bytes; lists that were asked for longest ago go."""
_MOST_OF_LIST = 20_000

_Key = tuple[str, ...]
_Models = tuple[ModelEntry, ...]


class _Told(msgspec.Struct, frozen=True):
    models: _Models
    until_ms: int
    weight: int


class OwnModels:
    def __init__(self, now: Now) -> None:
        self._now = now
        self._told: OrderedDict[_Key, _Told] = OrderedDict()
        self._weight = 0
        self._asking: dict[_Key, asyncio.Task[_Models]] = {}

    @property
    def _deps(self) -> Deps:
        return self._now.deps

    async def with_own(self, caller: Caller, entries: list[ModelEntry]) -> list[ModelEntry]:
        """The entries, and behind them what the caller's own keys reach beside."""
        having = own_vendors(caller, self._deps)
        if not having:
            return entries
        found = await asyncio.gather(*(self._models(own_owner(caller) or "", vendor) for vendor in having))
        known = {entry.id for entry in entries}
        own = (
            msgspec.structs.replace(model, id=name)
            for vendor, models in zip(having, found, strict=True)
            for model in models
            if (id := model.id) not in known and (name := f"{vendor}/{id}") not in known
        )
        return entries + [one for one in islice(own, MOST) if self._is_open(caller, one.id)]

    async def _models(self, owner: str, vendor: str) -> _Models:
        """What a vendor tells the first of the owner's keys; who asks at the same time hears the same answer."""
        try:
            sealed = (await self._deps.own.keys(owner, vendor))[0]
            key = (owner, vendor, sealed.shown.id, sealed.shown.hint, sealed.shown.base_url or "")
            told = self._told.get(key)
            if told is not None and self._deps.clock.now_ms() < told.until_ms:
                self._told.move_to_end(key)
                return told.models
            if (asking := self._asking.get(key)) is not None:
                return await asyncio.shield(asking)
            credential = msgspec.json.decode(self._deps.own.plain(sealed), type=KeptCredential)
        except (IndexError, SecretUnreadable, StoreUnavailable):
            return ()
        door = door_of(vendor, "", Api.CHAT, own_url=sealed.shown.base_url is not None)
        where = {"base_url": sealed.shown.base_url, "region": sealed.shown.region}
        provider = with_key(provider_of(vendor, door), door, credential, **where)[-1]
        learning = self._learned(key, provider, credential.secrets())
        asking = self._asking[key] = asyncio.create_task(learning)
        asking.add_done_callback(lambda _: self._asking.pop(key))
        return await asyncio.shield(asking)

    async def _learned(self, key: _Key, provider: Provider, secrets: Sequence[bytes]) -> _Models:
        found = await self._asked(provider)
        fresh_ms = _FRESH_MS if found is not None else _AGAIN_MS
        old = self._told.pop(key, None)
        models = _little_of(found, secrets) if found is not None else old.models if old is not None else ()
        told = _Told(models, self._deps.clock.now_ms() + fresh_ms, _weight(models))
        self._told[key] = told
        self._weight += told.weight - (old.weight if old is not None else 0)
        while self._weight > MOST_KEPT:
            _, gone = self._told.popitem(last=False)
            self._weight -= gone.weight
        return models

    async def _asked(self, provider: Provider) -> _Models | None:
        """None: the vendor told nothing. What is signed by AWS's rules has no list of that kind."""
        if provider.signing is not None:
            return ()
        with suppress(TimeoutError, TriviumError, ValueError, RecursionError):
            async with asyncio.timeout(_PATIENCE):
                told = await ask(self._deps.client, provider)
                return told.models if told is not None else None
        return None

    def _is_open(self, caller: Caller, name: str) -> bool:
        target = find(caller, name, self._deps)
        return isinstance(target, Target) and is_open(caller, target, self._deps)


def _little_of(models: _Models, secrets: Sequence[bytes]) -> _Models:
    """Where there are too many words about models, none; and no model with the key in its name, which not all who see
    the list have."""
    kept = tuple(one for one in models[:MOST] if not _tells(one, secrets))
    if _weight(kept) <= _MOST_OF_LIST:
        return kept
    return tuple(msgspec.structs.replace(model, takes=(), gives=(), parameters=None) for model in kept)


def _tells(model: ModelEntry, secrets: Sequence[bytes]) -> bool:
    words = (model.id, model.display_name or "", *model.takes, *model.gives, *(model.parameters or ()))
    told = "\n".join(words).encode()
    return any(secret in told for secret in secrets)


def _weight(models: _Models) -> int:
    return 1 + sum(1 + len(model.takes) + len(model.gives) + len(model.parameters or ()) for model in models)
