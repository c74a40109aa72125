"""The composition root: settings in, the real parts put together out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from trivium import __version__
from trivium.admin.face import Face
from trivium.clock import Clock, SystemClock
from trivium.config import database_url, identity, redis_url, secret_keys, token_key
from trivium.errors import RequestError, StoreUnavailable
from trivium.metering.book import Override, PriceBook, entries
from trivium.operations.abuse import abuse_table
from trivium.operations.alerts import alert_table
from trivium.operations.byok import ByokOperations
from trivium.operations.custom_models import CustomModelOperations
from trivium.operations.explain import ExplainOperations
from trivium.operations.house import HouseOperations
from trivium.operations.housekeeping import Housekeeping
from trivium.operations.limits import LimitOperations
from trivium.operations.operations import Operations
from trivium.operations.price_table import price_table
from trivium.operations.prices import PriceOperations
from trivium.operations.reconcile import ReconcileOperations
from trivium.operations.routes import RouteOperations
from trivium.operations.secrets import SecretOperations
from trivium.operations.table import Table
from trivium.pipeline.deps import Deps
from trivium.pipeline.explain import Explanation
from trivium.pipeline.hold import CREDITS
from trivium.policy.access import HouseSettings
from trivium.policy.destinations import check_url, destinations
from trivium.policy.spending import DEFAULT_ACCOUNT
from trivium.providers import builtin
from trivium.providers.house import check_routes
from trivium.providers.identity import default_salt
from trivium.providers.provider import Provider
from trivium.providers.vendors import VENDORS
from trivium.routing.auto import autos
from trivium.routing.catalog import ModelEntry, catalog
from trivium.routing.routes import check_routing, routed_models
from trivium.server.desk import Desk
from trivium.server.explaining import explainer
from trivium.server.screening import screening
from trivium.settings import Settings, wrong_setting
from trivium.store.counters import counters
from trivium.store.rotation import status
from trivium.store.store import Store
from trivium.store.tokens import TokenStore
from trivium.upstream.client import UpstreamClient
from trivium.upstream.credentials import check_accounts
from trivium.upstream.generation import Generations
from trivium.upstream.guard import Guard
from trivium.upstream.http1 import Http1Client
from trivium.upstream.local import LocalModel
from trivium.upstream.local_model import MODEL
from trivium.upstream.pool import PoolLimits
from trivium.upstream.tls import check_networks

_LOG = logging.getLogger("trivium.gateway")
_LOCAL_READY = 120.0
"""Seconds that a call waits for the embedded model's first start."""
_FOLLOWED = 0.5
"""Seconds between two looks at what other gateways of the same database were told: half of the second that is
promised, as the looks themselves take their part."""
_ITSELF = "gateway"
"""The actor where nobody else is."""
_LAST_WORD = 5.0
"""Seconds that an ending gateway waits for generation records."""


class Gateway:
    """Everything of one gateway; `open` before its first call. Raises ConfigError, StoreUnavailable."""

    def __init__(self, settings: Settings, folder: Path, env: Mapping[str, str]) -> None:
        self.settings = settings
        self.folder = folder
        self.providers: dict[str, Provider] = builtin.build(settings, env)
        self.local, self.local_absent = _local(settings, folder)
        if self.local is not None:
            self.providers[builtin.EMBEDDED] = builtin.embedded(MODEL)
        self._listed: dict[str, tuple[ModelEntry, ...]] = {}
        self._routed = routed_models(settings.catalog.models)
        self._priced = entries(settings)
        clock = SystemClock()
        self.store = Store(folder, clock, database_url(settings, env), secret_keys(settings, env))
        client = _client(settings)
        generations = Generations(client, clock)
        self.counters = counters(clock, redis_url(settings, env), settings.limits.redis_timeout)
        self.deps = Deps(
            settings=settings.server,
            billing=settings.billing,
            clock=clock,
            keys=self.store.keys,
            own=self.store.secrets,
            byok=settings.byok,
            ledger=self.store.ledger,
            prices=PriceBook(entries=self._priced),
            generations=generations,
            client=client,
            local=Embedded(self.local) if self.local else None,
            catalog=catalog(self.providers.values(), settings.aliases, {}, settings.free, self._routed),
            free=settings.free,
            seal_key=self.store.seal_key,
            screening=screening(settings, env, client, clock),
            keeps_prompts=settings.records.prompts,
            tokens=_tokens(settings, env, self.store, clock),
            counters=self.counters,
            custom_models=self.store.custom_models,
            routing=settings.routing,
        )
        self.deps.autos = autos(settings, self.providers)
        self.deps.identity = identity(settings, env, default_salt(self.store.seal_key))
        self.deps.adapt = settings.adapt
        self.desk = Desk(self.deps, self.store, settings.catalog)
        check_routes(settings, self.providers)
        check_routing(settings, self.providers)
        check_accounts(settings, self.providers)
        check_networks(settings, self.providers)
        self._check_aliases()
        self._check_byok()
        self.housekeeping = Housekeeping(
            self.store.database,
            self.store.ledger,
            lambda: self.deps.prices,
            generations,
            self.providers,
            clock,
            note_uses=self.store.note_uses,
        )
        self.operations = Operations(self.store, self._tables(clock, client), self.deps.keep_counted)
        self.admin = Face(self.operations, self.store, __version__) if settings.admin.enabled else None

    async def open(self) -> None:
        """Reads what the ledger and the price book keep in the store. Raises StoreUnavailable."""
        await self.store.ledger.load()
        await self.counters.start()
        if self.settings.billing.mode == CREDITS:
            await self.store.accounts.create("Keys without an account", "organization", DEFAULT_ACCOUNT, _ITSELF)
        self._ruled(await asyncio.to_thread(self.store.prices.overrides))
        self.deps.house = (await self.store.house.get()).settings
        await self.store.secrets.load()
        await self.store.custom_models.load()
        for one in await status(self.store.secrets, each=False):
            if one.problem is not None:
                _LOG.error("%s %d upstream keys of callers cannot be read.", one.problem, one.unreadable)

    async def read_prices(self) -> str | None:
        """Brings the price data into the book; why there is none. Takes a moment the first time."""
        table = await asyncio.to_thread(price_table, self.folder)
        self.deps.prices = PriceBook(table.dataset, self._priced, await asyncio.to_thread(self.store.prices.overrides))
        self.learn({})
        return table.absent

    async def follow(self) -> None:
        """Takes in what operators say through other gateways of the same database. Ends by being cancelled."""
        known: tuple[Override, ...] = ()
        while self.store.database.shared:
            with contextlib.suppress(StoreUnavailable):
                told = await asyncio.to_thread(self.store.prices.overrides)
                if told != known:
                    self._ruled(told)
                    known = told
                self.deps.house = (await self.store.house.get()).settings
                await self.store.secrets.refresh()
                await self.store.custom_models.refresh()
            await asyncio.sleep(_FOLLOWED)

    def learn(self, listed: Mapping[str, tuple[ModelEntry, ...]]) -> None:
        """Takes in what providers said they serve; a provider that said nothing keeps its last list."""
        self._listed.update(listed)
        settings = self.settings
        self.deps.catalog = catalog(
            self.providers.values(), settings.aliases, self._listed, settings.free, self._routed
        )
        self.deps.prices = self.deps.prices.with_listed(
            {name: {entry.id: entry for entry in told} for name, told in self._listed.items()}
        )

    def _ruled(self, overrides: Sequence[Override]) -> None:
        self.deps.prices = self.deps.prices.with_overrides(overrides)

    def _tables(self, clock: Clock, client: UpstreamClient) -> list[Table]:
        """The operations that need more than the store."""
        prices = PriceOperations(
            self.store.prices,
            clock,
            book=lambda: self.deps.prices,
            catalog=lambda: self.deps.catalog,
            on_change=self._ruled,
            correct=self.store.accounts.correct,
        )
        limits = LimitOperations(lambda: self.counters.state)
        reconcile = ReconcileOperations(self.store.database, self.providers, clock, client)
        looks = self.deps.screening
        return [
            prices.table,
            limits.table,
            reconcile.table,
            HouseOperations(self.store, self._decided).table,
            *secret_tables(self.store, self.settings, self.folder),
            RouteOperations(lambda: self.deps.health, clock).table,
            ExplainOperations(explainer(self.deps, self.store.keys), Explanation).table,
            alert_table(self.deps.alerts.all),
            abuse_table(lambda: looks.status() if looks is not None else {"mode": "off"}),
        ]

    def _decided(self, house: HouseSettings) -> None:
        self.deps.house = house

    def _check_aliases(self) -> None:
        """An alias must lead somewhere, as far as the providers' lists are known at the start."""
        if self.deps.catalog.unlisted:
            return
        for alias, target in self.settings.aliases.items():
            if self.deps.autos.get(alias) is not None:
                continue
            try:
                self.deps.catalog.resolve(alias)
            except RequestError as error:
                problem = f"leads to {target!r}: {error.message}"
                raise wrong_setting(self.settings.source, ("aliases", alias), problem) from None

    def _check_byok(self) -> None:
        """Keys go through Vercel only where Vercel takes them, and the house has an account there."""
        for vendor, via in self.settings.byok.via.items():
            problem = None
            if vendor not in VENDORS:
                problem = f"no such vendor; expected one of {', '.join(VENDORS)}"
            elif via == "vercel" and VENDORS[vendor].vercel is None:
                problem = "Vercel takes no keys for this vendor"
            elif via == "vercel" and not any(one.kind == "vercel" for one in self.providers.values()):
                problem = "needs a provider of the type `vercel`"
            if problem is not None:
                raise wrong_setting(self.settings.source, ("byok", "via", vendor), problem)

    async def close(self) -> None:
        """Ends what runs beside us, settles what waits for a provider's word, and makes every record durable."""
        await self.deps.lookups.close(_LAST_WORD)
        if self.deps.screening is not None:
            await self.deps.screening.close(_LAST_WORD)
        await self.counters.close()
        await self.deps.client.close()
        if self.local is not None:
            await self.local.stop()
        self.deps.keep_counted()
        await self.store.close()


def secret_tables(store: Store, settings: Settings, folder: Path) -> list[Table]:
    """The operations on upstream keys and custom models, which need the settings beside the store."""
    rules = destinations(settings.security)
    byok = ByokOperations(store.secrets, lambda url: check_url(url, rules))
    custom = CustomModelOperations(store.custom_models, lambda url: check_url(url, rules))
    rotation = SecretOperations(store.secrets, folder, configured=bool(settings.secrets.keys))
    return [byok.table, custom.table, rotation.table]


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


def _tokens(settings: Settings, env: Mapping[str, str], store: Store, clock: Clock) -> TokenStore | None:
    key = token_key(settings, env)
    if key is None:
        return None
    from trivium.store.issuer import Issuer  # noqa: PLC0415 # 70 ms for who does not use it

    return TokenStore(store.database, store.keys, clock, Issuer(settings.tokens, key))


def _client(settings: Settings) -> UpstreamClient:
    guard = Guard(destinations(settings.security))
    if settings.upstream.client == "aiohttp":
        from trivium.upstream.aiohttp_client import AiohttpClient  # noqa: PLC0415 # 0.1 s and 8 MB for who does not use it

        return AiohttpClient(guard=guard)
    return Http1Client(limits=PoolLimits(connections=settings.upstream.max_connections), guard=guard)
