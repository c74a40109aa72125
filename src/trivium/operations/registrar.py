"""Own keys whose vendor is called through OpenRouter: registered there while they are switched on here, and only then.

A key is registered before it is kept, and removed there after it is gone here, so that a failure is told to whoever
adds it and changes nothing. What a crash, or OpenRouter's not being there, leaves between the two is put right by
`reconcile`: what is kept here decides, whatever else has a name of ours in the workspace goes. A registration is never
changed. A new key, or one that is switched on again, gets a new one, and the old one goes.

Several gateways may do so at once: what one has just made, another leaves alone for a while, though it is not kept yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets as random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from trivium.clock import Clock
from trivium.config import management_key
from trivium.errors import ConfigError, OperationError, SecretUnreadable, StoreUnavailable
from trivium.providers.credential import Credential
from trivium.providers.openrouter import KIND, KeptCredential, Registration, kept
from trivium.providers.provider import Provider
from trivium.providers.vendors import VENDORS
from trivium.settings import Settings
from trivium.store.secrets import SealedSecret, Secrets
from trivium.upstream.client import UpstreamClient
from trivium.upstream.openrouter_keys import OpenRouterKeys, Registry, There

_LOG = logging.getLogger("trivium.byok")
_PAUSE = 600.0
_PAUSE_AFTER_FAILURE = 30.0
"""Seconds between two looks."""
_FRESH_MS = 15 * 60_000
"""So long something there may be what another gateway is about to keep."""
_MONTHLY = "monthly"


class Registrar:
    """Belongs to one event loop."""

    def __init__(  # noqa: PLR0917
        self,
        secrets: Secrets,
        client: UpstreamClient,
        clock: Clock,
        settings: Callable[[], Settings],
        providers: Callable[[], Mapping[str, Provider]],
        env: Mapping[str, str],
        seal_key: bytes,
    ) -> None:
        self._secrets = secrets
        self._client = client
        self._clock = clock
        self._settings = settings
        self._providers = providers
        self._env = env
        self._mark = f"trivium-{hashlib.sha256(b'openrouter' + seal_key).hexdigest()[:12]}-"
        """How the names begin of what this installation has registered."""
        self._wanted = asyncio.Event()

    def handles(self, vendor: str) -> bool:
        """Whether keys for a vendor are registered."""
        return self._settings().byok.via.get(vendor) == KIND

    async def registered(self, vendor: str, credential: Credential) -> KeptCredential:
        """The key as it is to be kept, after it was registered. Raises OperationError."""
        slug = VENDORS[vendor].openrouter
        assert slug is not None
        name = self._mark + random.token_hex(8)
        return kept(credential, await self._there().register(slug, credential.key, name))

    async def forget(self, before: KeptCredential | None) -> None:
        """Removes a registration that is not needed any more; if that fails, `reconcile` does."""
        if before is None or before.at_openrouter is None:
            return
        try:
            await self._there().remove(before.at_openrouter)
        except OperationError as error:
            self.soon()
            _LOG.warning("a key is still registered at OpenRouter, and is removed later: %s", error.message)

    def soon(self) -> None:
        """Has `run` look at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Ends by being cancelled."""
        while True:
            pause = _PAUSE
            try:
                await self.reconcile()
            except (OperationError, StoreUnavailable) as error:
                _LOG.error("own keys and what is registered of them at OpenRouter may differ: %s", error.message)
                pause = _PAUSE_AFTER_FAILURE
            except Exception:
                _LOG.exception("own keys could not be compared with what is registered of them at OpenRouter")
            self._wanted.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)

    async def reconcile(self) -> None:
        """Registers what is kept here and is not, or not rightly, registered there, and removes what is there and not
        kept here. Raises OperationError, StoreUnavailable."""
        settings = self._settings().byok
        if settings.openrouter is None:
            return
        vendors = settings.vendors_via(KIND)
        rows = await self._secrets.every(vendors) if vendors else []
        keys, unreadable = self._read(rows)
        there = await self._there().there()
        standing: set[str] = set()
        problems: list[str] = []
        for row, key in keys:
            try:
                stands = self._stands(row.shown.vendor, key.at_openrouter, there)
                known = (key if stands else await self._renewed(row, key)).at_openrouter
            except OperationError as error:
                known = key.at_openrouter
                problems.append(error.message)
            if known is not None:
                standing |= {known.hash, known.credential_id}
        if not unreadable:  # of what cannot be read nobody knows what stands for it
            await self._clear(there, standing)
        if problems:
            raise OperationError(f"{problems[0]} ({len(problems)} of {len(keys)} keys)")

    def _read(self, rows: Iterable[SealedSecret]) -> tuple[list[tuple[SealedSecret, KeptCredential]], int]:
        """The keys that are to be registered, and how many more cannot be opened. Those with a base URL of their own
        are of a time when their vendor was called otherwise."""
        keys, unreadable = [], 0
        for row in rows:
            if row.shown.base_url is not None:
                continue
            try:
                keys.append((row, read(self._secrets.plain(row))))
            except SecretUnreadable:
                unreadable += 1
        return keys, unreadable

    async def _renewed(self, row: SealedSecret, key: KeptCredential) -> KeptCredential:
        fresh = await self.registered(row.shown.vendor, key)
        if not await self._secrets.reseal(row, msgspec.json.encode(fresh)):
            await self.forget(fresh)  # the key was changed or removed meanwhile
            return key
        await self.forget(key)
        _LOG.info("the key %s of %s was registered at OpenRouter anew", row.shown.id, row.shown.owner)
        return fresh

    def _stands(self, vendor: str, registration: Registration | None, there: There) -> bool:
        if registration is None:
            return False
        api_key = there.api_keys.get(registration.hash)
        credential = there.credentials.get(registration.credential_id)
        if api_key is None or credential is None or api_key.disabled:
            return False
        limited = (api_key.limit, api_key.limit_reset) == (self._registry().limit_usd, _MONTHLY)
        return limited and credential.is_for(registration.hash, VENDORS[vendor].openrouter or "")

    async def _clear(self, there: There, standing: Iterable[str]) -> None:
        """API keys go first, as ever."""
        api, before_ms = self._there(), self._clock.now_ms() - _FRESH_MS
        for hash, key in there.api_keys.items():
            if self._is_left(key.name, key.created_at.timestamp(), before_ms) and hash not in standing:
                await api.remove_api_key(hash)
        for id, one in there.credentials.items():
            if self._is_left(one.name or "", one.created_at.timestamp(), before_ms) and id not in standing:
                await api.remove_credential(id)

    def _is_left(self, name: str, created: float, before_ms: int) -> bool:
        return name.startswith(self._mark) and created * 1000 < before_ms

    def _there(self) -> OpenRouterKeys:
        return OpenRouterKeys(self._client, self._registry())

    def _registry(self) -> Registry:
        """Raises OperationError."""
        settings = self._settings()
        said = settings.byok.openrouter
        provider = next((one for one in self._providers().values() if one.kind == KIND), None)
        try:
            key = management_key(settings, self._env)
        except ConfigError as error:
            raise OperationError(f"Keys cannot be registered at OpenRouter: {error.message}") from None
        if said is None or provider is None or key is None:
            raise OperationError("Keys cannot be registered at OpenRouter: the configuration does not say where.")
        return Registry(
            url=provider.base_url,
            key=key,
            workspace=said.workspace,
            limit_usd=said.monthly_limit_usd,
            network=provider.network,
        )


def read(plain: bytes) -> KeptCredential:
    """What is sealed of a key."""
    return msgspec.json.decode(plain, type=KeptCredential)
