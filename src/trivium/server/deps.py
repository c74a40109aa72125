"""The composition root: settings in, the real parts put together out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trivium.clock import SystemClock
from trivium.config import Settings
from trivium.errors import ConfigError, RequestError
from trivium.operations.operations import Operations
from trivium.pipeline.deps import Deps
from trivium.providers import builtin
from trivium.providers.provider import Provider
from trivium.routing.catalog import ModelEntry, catalog
from trivium.store.store import Store
from trivium.upstream.aiohttp_client import AiohttpClient
from trivium.upstream.client import UpstreamClient
from trivium.upstream.http1 import Http1Client
from trivium.upstream.local import LocalModel
from trivium.upstream.local_model import MODEL
from trivium.upstream.pool import PoolLimits

_LOCAL_READY = 120.0
"""Seconds that a call waits for the embedded model's first start."""


class Gateway:
    """Everything of one running gateway. Raises ConfigError, StoreUnavailable."""

    def __init__(self, settings: Settings, folder: Path, env: Mapping[str, str]) -> None:
        self.settings = settings
        self.folder = folder
        self.providers: dict[str, Provider] = builtin.build(settings, env)
        self.local, self.local_absent = _local(settings, folder)
        if self.local is not None:
            self.providers[builtin.EMBEDDED] = builtin.embedded(MODEL)
        self._listed: dict[str, tuple[ModelEntry, ...]] = {}
        clock = SystemClock()
        self.store = Store(folder, clock)
        self.deps = Deps(
            settings=settings.server,
            clock=clock,
            keys=self.store.keys,
            records=self.store.records,
            client=_client(settings),
            local=Embedded(self.local) if self.local else None,
            catalog=catalog(self.providers.values(), settings.aliases, {}),
            seal_key=self.store.seal_key,
        )
        self._check_aliases()
        self.operations = Operations(self.store, self.deps.keep_counted)

    def learn(self, listed: Mapping[str, tuple[ModelEntry, ...]]) -> None:
        """Takes in what providers said they serve; a provider that said nothing keeps its last list."""
        self._listed.update(listed)
        self.deps.catalog = catalog(self.providers.values(), self.settings.aliases, self._listed)

    def _check_aliases(self) -> None:
        """An alias must lead somewhere, as far as the providers' lists are known at the start."""
        if self.deps.catalog.unlisted:
            return
        for alias, target in self.settings.aliases.items():
            try:
                self.deps.catalog.resolve(alias)
            except RequestError as error:
                problem = f"leads to {target!r}: {error.message}"
                source = self.settings.source
                raise source.error(("aliases", alias), problem) if source else ConfigError(problem) from None

    async def close(self) -> None:
        """Ends what runs beside us and makes every record durable."""
        await self.deps.client.close()
        if self.local is not None:
            await self.local.stop()
        self.deps.keep_counted()
        await self.store.close()


class Embedded:
    """The embedded model as the pipeline sees it: started by the first call if it does not run yet."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    async def base_url(self) -> str:
        await self._model.start()
        await self._model.wait_ready(_LOCAL_READY)
        return self._model.base_url + "/v1"


def _local(settings: Settings, folder: Path) -> tuple[LocalModel | None, str | None]:
    """The embedded model, or why there is none."""
    if not settings.local.enabled:
        return None, "switched off in the configuration"
    model = LocalModel(folder)
    absent = model.available()
    return (None, absent) if absent else (model, None)


def _client(settings: Settings) -> UpstreamClient:
    if settings.upstream.client == "aiohttp":
        return AiohttpClient()
    return Http1Client(limits=PoolLimits(connections=settings.upstream.max_connections))
