"""The composition root: settings in, the real parts put together out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trivium import __version__
from trivium.admin.face import Face
from trivium.clock import Clock, SystemClock
from trivium.config import dashboard, database_url, identity, management_key, redis_url, secret_keys, token_key
from trivium.errors import Conflict
from trivium.metering.book import Entry, Override, PriceBook, entries
from trivium.operations.alerting import Alerting
from trivium.operations.byok import ByokOperations
from trivium.operations.catalog import catalog_table
from trivium.operations.config import differing, held
from trivium.operations.custom_models import CustomModelOperations
from trivium.operations.explain import explain_table
from trivium.operations.free_use import FreeUseOperations
from trivium.operations.house import HouseOperations
from trivium.operations.housekeeping import Housekeeping
from trivium.operations.lists import Lists, ModelLists
from trivium.operations.operations import Operations
from trivium.operations.price_table import price_table
from trivium.operations.prices import PriceOperations
from trivium.operations.reconcile import ReconcileOperations
from trivium.operations.registrar import Registrar
from trivium.operations.retention import RetentionOperations
from trivium.operations.routes import routes_table
from trivium.operations.secrets import SecretOperations
from trivium.operations.sessions import SessionOperations
from trivium.operations.table import Table, telling
from trivium.pipeline.bill import CREDITS
from trivium.pipeline.deps import Deps, Now
from trivium.pipeline.explain import Explanation
from trivium.pipeline.screening import Screening
from trivium.pipeline.turn import Turn
from trivium.policy.access import HouseSettings
from trivium.policy.alerts import Alert
from trivium.policy.destinations import check_url, destinations
from trivium.policy.spending import DEFAULT_ACCOUNT
from trivium.providers.builtin import EMBEDDED
from trivium.providers.identity import default_salt
from trivium.providers.provider import Provider
from trivium.routing.auto import Autos, autos
from trivium.routing.catalog import Catalog, ModelEntry
from trivium.server.alerting import AlertParts
from trivium.server.beside import Following
from trivium.server.capturing import Capturing, masks
from trivium.server.desk import Desk
from trivium.server.explaining import explainer
from trivium.server.panel import Panel
from trivium.server.parts import Embedded, catalogue, check, local_model, provided
from trivium.server.payments import Parts, payments
from trivium.server.reload import Reloading
from trivium.server.screening import screening
from trivium.server.telemetry import Telemetry, hide
from trivium.settings import Settings
from trivium.settings_dashboard import DashboardSettings
from trivium.settings_requests import IdentitySettings
from trivium.store.call_answers import call_answers
from trivium.store.counters import State, counters
from trivium.store.lists import ListFiles
from trivium.store.rotation import status
from trivium.store.store import Store
from trivium.store.tokens import TokenStore
from trivium.telemetry import logs
from trivium.telemetry.bodies import Masks
from trivium.upstream.client import UpstreamClient
from trivium.upstream.generation import Generations
from trivium.upstream.guard import Guard
from trivium.upstream.http1 import Http1Client
from trivium.upstream.local_model import CONTEXT, MODEL
from trivium.upstream.outbox import Outbox
from trivium.upstream.pool import PoolLimits

_LOG = logging.getLogger("trivium.gateway")
_ITSELF = "gateway"
"""The actor where nobody else is."""
_LAST_WORD = 5.0
"""Seconds that an ending gateway waits for generation records, and for its store."""


class Gateway:
    """Everything of one gateway; `open` before its first call. Raises ConfigError, StoreUnavailable."""

    def __init__(self, settings: Settings, folder: Path, env: Mapping[str, str]) -> None:
        self.settings = settings
        self.folder = folder
        self._env = env
        self.local, self.local_absent = local_model(settings, folder)
        self.providers = provided(settings, env, embedded=self.local is not None)
        management_key(settings, env)
        clock = self._clock = SystemClock()
        self._overrides: Sequence[Override] = ()
        self.store = Store(folder, clock, database_url(settings, env), secret_keys(settings, env))
        self.outbox = Outbox()
        client = _client(settings, self.outbox)
        generations = Generations(client, clock)
        self.counters = counters(clock, redis_url(settings, env), settings.limits.redis_timeout)
        self._changing = asyncio.Lock()
        """Held while the catalogue is built anew: of two who build at the same time, the first would be forgotten."""
        self.now = Now(
            Deps(
                clock=clock,
                keys=self.store.keys,
                own=self.store.secrets,
                ledger=self.store.ledger,
                prices=PriceBook(entries=entries(settings)),
                generations=generations,
                client=client,
                local=Embedded(self.local) if self.local else None,
                catalog=catalogue(settings, self.providers, {}),
                seal_key=self.store.seal_key,
                counters=self.counters,
                custom_models=self.store.custom_models,
                turn=Turn(self.outbox),
                answers=call_answers(self.store.ledger.writer, clock, settings.idempotency),
                **_plain(settings),
                screening=screening(settings, env, client, clock),
                tokens=_tokens(settings, env, self.store, clock),
            )
        )
        self.capturing = Capturing(self.store.captures, settings)
        self.lists = ModelLists(client, ListFiles(folder / "lists"), clock, self.learn)
        self.reloading = Reloading(settings, env, self.apply, clock, self.store.ledger.writer)
        self.desk = Desk(self.now, self.store)
        self.change(autos=autos(settings, self.providers), identity=self._identity(settings))
        for warning in check(settings, self.providers, self.deps.catalog):
            _LOG.warning(warning)
        self.housekeeping = self._housekeeping(generations)
        self.sessions = SessionOperations(self.store, dashboard(settings, env))
        self.registrar = self._registrar(client)
        self._alerts = AlertParts(settings, env, client, self.now, self.store, lambda: self.operations)
        self.payments = payments(settings, env, self.store, client, clock)
        self.operations = Operations(self.store, self._tables(clock, client), self._keep_counted)
        self.admin = Face(self.operations, self.store, __version__) if settings.admin.enabled else None
        self.panel = Panel(folder, settings.dashboard) if settings.dashboard.enabled else None
        hide(settings, env, self.providers)
        lost = None if self.panel is None else self.panel.lost
        self.telemetry = Telemetry(settings, env, self.now, self.store.ledger, self.admin, lost)
        self.change(propagation=self.telemetry.propagation, **self._captured(settings))
        self._alerts.follow(self.telemetry, lambda: self.change(ended=self.telemetry.ended))

    @property
    def alerting(self) -> Alerting:
        return self._alerts.alerting

    def _housekeeping(self, generations: Generations) -> Housekeeping:
        store, prices, providers = self.store, (lambda: self.deps.prices), (lambda: self.providers)
        return Housekeeping(
            store.database, store.ledger, prices, generations, providers, self._clock, note_uses=store.note_uses
        )

    def _registrar(self, client: UpstreamClient) -> Registrar:
        store, env = self.store, self._env
        settings, providers = (lambda: self.settings), (lambda: self.providers)
        return Registrar(store.secrets, client, self._clock, settings, providers, env, store.seal_key)

    def _captured(self, settings: Settings) -> dict[str, Any]:
        return {"captures": self.capturing if settings.capture.enabled else None}

    def _keep_counted(self) -> None:
        self.deps.keep_counted()

    async def _flush(self) -> None:
        await self.operations.flush()

    @property
    def deps(self) -> Deps:
        """What calls begin with now."""
        return self.now.deps

    def change(self, **parts: Any) -> None:
        """Lets calls from now on begin with other parts; those in progress keep what they have."""
        self.now.deps = self.now.deps.changed(**parts)

    async def open(self) -> None:
        """Reads what the ledger and the price book keep in the store. Raises StoreUnavailable."""
        await self.store.ledger.load()
        self.telemetry.start()
        await self.counters.start()
        await self._open_credits(self.settings)
        await self._look_at_prices()
        await self._look_at_house()
        await self.store.secrets.load()
        await self.store.custom_models.load()
        await self.store.alert_channels.load()
        self.lists.commit(await self.lists.plan(self.providers.values()), self.settings.catalog.refresh)
        await self.learn()
        for one in await status(self.store.secrets, each=False):
            if one.problem is not None:
                _LOG.error("%s %d upstream keys or other secrets cannot be read.", one.problem, one.unreadable)

    async def read_prices(self) -> str | None:
        """Brings the price data into the book; why there is none. Takes a moment the first time."""
        table = await asyncio.to_thread(price_table, self.folder)
        self.change(prices=self.deps.prices.with_dataset(table.dataset))
        return table.absent

    async def follow(self) -> None:
        """Takes in what operators say through other gateways of the same database. Ends by being cancelled."""
        if not self.store.database.shared:
            return
        store = self.store
        looks = {
            "prices": self._look_at_prices,
            "the house's rules": self._look_at_house,
            "upstream keys of callers": store.secrets.refresh,
            "custom models": store.custom_models.refresh,
            "channels of alerts": store.alert_channels.refresh,
        }
        await Following(looks).run()

    async def learn(self) -> None:
        """Takes in what providers say they serve. Thousands of models are indexed beside the event loop."""
        async with self._changing:
            settings, known = self.settings, self.lists.known
            built, index, found = await asyncio.to_thread(_indexed, self.providers, settings, known)
            self.change(catalog=built, prices=self.deps.prices.with_listed(index), autos=found)

    async def apply(self, wanted: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Lets calls from now on follow other settings: which sections have changed, and which settings wait for the
        next start. Raises ConfigError, StoreUnavailable, with everything as it was."""
        async with self._changing:
            before, (settings, waits), tokens = self.settings, held(self.settings, wanted), self.deps.tokens
            new = await asyncio.to_thread(self._read, settings)
            plan = await self.lists.plan(new.providers.values())
            built, index, found = await asyncio.to_thread(_indexed, new.providers, settings, plan.known)
            for warning in check(settings, new.providers, built):
                _LOG.warning(warning)
            hide(settings, self._env, new.providers)
            if before.billing.mode != CREDITS:
                await self._open_credits(settings)
            prices = self.deps.prices.with_listed(index, new.priced)
            parts = {**_plain(settings), "screening": new.screening, "tokens": new.tokens, "identity": new.identity}
            parts |= {"autos": found, **self._captured(settings)}
            self.capturing.allow(settings.capture, new.masks)
            self.change(catalog=built, prices=prices, **parts)
            self.deps.in_flight.allow(*settings.server.room)
            self.deps.health.allow(failures=settings.routing.failures, rest_s=settings.routing.rest)
            self.deps.health.forget([name for name, one in self.providers.items() if new.providers.get(name) != one])
            self.deps.sessions.allow(settings.routing.keep_session)
            self.lists.commit(plan, settings.catalog.refresh)
            self.deps.alerts.keep(new.providers)
            if tokens is not None:
                self.store.keys.forget()  # those of an issuer that is not trusted any more are remembered there
            if settings.log != before.log:
                logs.set_level(settings.log.level)
            changed = {*differing(before, settings), *(("providers",) if new.providers != self.providers else ())}
            self.settings, self.providers, self.sessions.settings = settings, new.providers, new.dashboard
            self.registrar.soon()
        return tuple(sorted(changed)), waits

    def _read(self, settings: Settings) -> _Read:
        """For a thread. Raises ConfigError."""
        management_key(settings, self._env)
        return _Read(
            providers=provided(settings, self._env, embedded=self.local is not None),
            priced=entries(settings),
            screening=screening(settings, self._env, self.deps.client, self._clock, self.deps.screening),
            tokens=_tokens(settings, self._env, self.store, self._clock),
            identity=self._identity(settings),
            masks=masks(settings),
            dashboard=dashboard(settings, self._env),
        )

    def _identity(self, settings: Settings) -> IdentitySettings:
        """Raises ConfigError."""
        return identity(settings, self._env, default_salt(self.store.seal_key))

    async def _open_credits(self, settings: Settings) -> None:
        if settings.billing.mode == CREDITS:
            with contextlib.suppress(Conflict):  # An earlier start has made it, or another gateway.
                await self.store.accounts.create("Keys without an account", "organization", DEFAULT_ACCOUNT, _ITSELF)

    async def _look_at_prices(self) -> None:
        self._ruled(await asyncio.to_thread(self.store.prices.overrides))

    async def _look_at_house(self) -> None:
        self._decided((await self.store.house.get()).settings)

    def _ruled(self, overrides: Sequence[Override]) -> None:
        if overrides != self._overrides:
            self._overrides = overrides
            self.change(prices=self.deps.prices.with_overrides(overrides))

    def _abuse(self) -> dict[str, Any]:
        looks = self.deps.screening
        return looks.status() if looks is not None else {"mode": "off"}

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
        reconcile = ReconcileOperations(self.store.database, lambda: self.providers, clock, client)
        return [
            prices.table,
            {"limits.show": telling(State, lambda: self.counters.state)},
            reconcile.table,
            HouseOperations(self.store, self._decided).table,
            *secret_tables(self.store, self.settings, self.folder, self.registrar),
            routes_table(lambda: self.deps.health, clock),
            explain_table(explainer(self.now, self.store.keys), Explanation),
            {"alerts.show": telling(list[Alert], self.deps.alerts.all)},
            self._alerts.table,
            self.sessions.table,
            FreeUseOperations(self.store, self.counters, lambda: self.deps.free, self._flush).table,
            {"abuse.status": telling(dict[str, Any], self._abuse)},
            self.lists.table,
            catalog_table(lambda: self.deps.catalog, lambda: self.deps.prices, clock),
            self.reloading.table,
            *(self._selling(self.payments) if self.payments is not None else ()),
        ]

    def _selling(self, payments: Parts) -> tuple[Table, ...]:
        return payments.table, RetentionOperations(self.store, payments.forget_card).table

    def _decided(self, house: HouseSettings) -> None:
        if house != self.deps.house:
            self.change(house=house)

    async def close(self, until: float = 0.0) -> None:
        """Ends what runs beside us, settles what waits for a provider's word, and makes every record durable, which is
        tried until that time of the loop, and for a few seconds in any case. Raises StoreUnavailable where something
        was lost."""
        await self.deps.lookups.close(_LAST_WORD)
        if self.deps.screening is not None:
            await self.deps.screening.close(_LAST_WORD)
        self.deps.keep_counted()
        await self.telemetry.close()
        await self._alerts.close()
        await self.counters.close()
        if self.panel is not None:
            await self.panel.stop()
        await self.deps.client.close()
        await self.capturing.close()
        if self.local is not None:
            await self.local.stop()
        await self.store.close(max(_LAST_WORD, until - asyncio.get_running_loop().time()))


def secret_tables(store: Store, settings: Settings, folder: Path, registrar: Registrar | None = None) -> list[Table]:
    """The operations on upstream keys and custom models, which need the settings beside the store."""
    rules = destinations(settings.security)
    byok = ByokOperations(store.secrets, lambda url: check_url(url, rules), registrar)
    custom = CustomModelOperations(store.custom_models, lambda url: check_url(url, rules))
    rotation = SecretOperations(store.secrets, folder, configured=bool(settings.secrets.keys))
    return [byok.table, custom.table, rotation.table]


class _Read(NamedTuple):
    """What settings mean, files of secrets read again."""

    providers: dict[str, Provider]
    priced: tuple[Entry, ...]
    screening: Screening | None
    tokens: TokenStore | None
    identity: IdentitySettings
    masks: Masks
    dashboard: DashboardSettings


def _plain(settings: Settings) -> dict[str, Any]:
    """The parts of `Deps` that are settings as they stand."""
    return {
        "settings": settings.server,
        "billing": settings.billing,
        "byok": settings.byok,
        "free": settings.free,
        "shown": settings.catalog,
        "routing": settings.routing,
        "records": settings.records,
        "adapt": settings.adapt,
    }


def _indexed(
    providers: Mapping[str, Provider], settings: Settings, known: Lists
) -> tuple[Catalog, dict[str, dict[str, ModelEntry]], Autos]:
    """The catalogue, lists by the ids of their models, and the auto models. For a thread, where nobody waits for what
    calls will need of them."""
    if EMBEDDED in providers:
        known = {**known, EMBEDDED: (ModelEntry(MODEL, EMBEDDED, context=CONTEXT),)}
    built, found = catalogue(settings, providers, known), autos(settings, providers)
    _ = built.listed
    found.prepare(built)
    return built, {name: {entry.id: entry for entry in told} for name, told in known.items()}, found


def _tokens(settings: Settings, env: Mapping[str, str], store: Store, clock: Clock) -> TokenStore | None:
    key = token_key(settings, env)
    if key is None:
        return None
    from trivium.store.issuer import Issuer  # noqa: PLC0415 # 70 ms for who does not use it

    return TokenStore(store.database, store.keys, clock, Issuer(settings.tokens, key))


def _client(settings: Settings, outbox: Outbox) -> UpstreamClient:
    guard = Guard(destinations(settings.security))
    if settings.upstream.client == "aiohttp":
        from trivium.upstream.aiohttp_client import AiohttpClient  # noqa: PLC0415 # 0.1 s and 8 MB for who does not use it

        return AiohttpClient(guard=guard)
    limits = PoolLimits(connections=settings.upstream.max_connections)
    return Http1Client(limits=limits, guard=guard, outbox=outbox)
