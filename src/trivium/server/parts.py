"""What settings mean, and whether their parts fit together: at the start, for a reload, for `trivium config check`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from trivium.clock import SystemClock
from trivium.config import dashboard, database_url, identity, management_key, redis_url, secret_keys, token_key
from trivium.errors import ConfigError, ModelNotFound, RequestError
from trivium.metering.book import entries
from trivium.operations.lists import Lists
from trivium.policy.destinations import destinations
from trivium.providers import builtin
from trivium.providers.house import check_routes
from trivium.providers.openrouter import KIND as OPENROUTER
from trivium.providers.provider import Provider
from trivium.providers.vendors import GATEWAYS, VENDORS
from trivium.routing.auto import Autos, autos
from trivium.routing.catalog import Catalog, catalog
from trivium.routing.routes import check_routing, routed_models
from trivium.server.alerting import channels
from trivium.server.capturing import masks
from trivium.server.payments import processor_of
from trivium.server.screening import screening
from trivium.server.telemetry import check_telemetry
from trivium.settings import Settings, wrong_setting
from trivium.store.counters import counters
from trivium.store.envelopes import deciphered
from trivium.upstream.credentials import check_accounts
from trivium.upstream.http1 import Http1Client
from trivium.upstream.local import LocalModel
from trivium.upstream.local_model import MODEL
from trivium.upstream.tls import as_on_disk, check_networks

LOCAL_READY = 120.0
"""Seconds that a call waits for the embedded model's first start."""


def provided(settings: Settings, env: Mapping[str, str], *, embedded: bool) -> dict[str, Provider]:
    """All providers by name. Raises ConfigError."""
    providers = {name: as_on_disk(one) for name, one in builtin.build(settings, env).items()}
    if embedded:
        providers[builtin.EMBEDDED] = builtin.embedded(MODEL)
    return providers


def local_model(settings: Settings, folder: Path) -> tuple[LocalModel | None, str | None]:
    """The embedded model, or why there is none."""
    if not settings.local.enabled:
        return None, "switched off in the configuration"
    model = LocalModel(folder)
    absent = model.available()
    return (None, absent) if absent else (model, None)


class Embedded:
    """The embedded model as the pipeline sees it: started by the first call if it does not run yet."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    async def base_url(self) -> str:
        await self._model.start()
        await self._model.wait_ready(LOCAL_READY)
        return self._model.base_url + "/v1"


def catalogue(settings: Settings, providers: Mapping[str, Provider], listed: Lists) -> Catalog:
    """The catalogue of what is configured and what providers told. For a thread where they told of thousands."""
    routed = routed_models(settings.catalog.models)
    return catalog(providers.values(), settings.aliases, listed, settings.free, routed)


def check(settings: Settings, providers: Mapping[str, Provider], built: Catalog) -> tuple[str, ...]:
    """Whether what one setting names is there by another; returns what is worth a warning. Raises ConfigError."""
    check_routes(settings, providers)
    check_routing(settings, providers)
    check_accounts(settings, providers)
    check_networks(settings, providers)
    automatic = autos(settings, providers)
    _check_names(settings, built, automatic)
    _check_byok(settings, providers)
    return tuple(_idle_names(settings, built, automatic))


def check_workers(settings: Settings) -> None:
    """Whether several processes can do together what is set: money in one ledger, limits counted once. Raises
    ConfigError."""
    count, path = settings.server.workers, ("server", "workers")
    if count == 1:
        return
    if sys.platform != "linux":
        raise wrong_setting(settings.source, path, "more than one needs Linux, which spreads connections over workers")
    if settings.storage.url is None:
        raise wrong_setting(
            settings.source,
            path,
            f"{count} workers cannot share an SQLite file, which one process owns: set `[storage] url` to a PostgreSQL "
            "database, or `[server] workers` to 1",
        )
    if settings.limits.redis_url is None:
        raise wrong_setting(
            settings.source,
            path,
            f"{count} workers would count limits each for itself: set `[limits] redis_url`, or `[server] workers` to 1",
        )
    if settings.server.room[0] < settings.server.max_body_bytes:
        raise wrong_setting(
            settings.source,
            ("server", "max_in_flight_bytes"),
            f"the part of each of {count} workers is less than one request may have (`max_body_bytes`)",
        )


def check_whole(settings: Settings, folder: Path, env: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Everything that a start would find wrong with the settings, without starting; returns the providers' names, and
    what is worth a warning. Raises ConfigError."""
    providers = provided(settings, env, embedded=local_model(settings, folder)[0] is not None)
    entries(settings)
    masks(settings)
    for read in (dashboard, database_url, management_key, token_key):
        read(settings, env)
    identity(settings, env, salt="")
    deciphered(secret_keys(settings, env))
    counters(SystemClock(), redis_url(settings, env), settings.limits.redis_timeout)
    destinations(settings.security)
    screening(settings, env, Http1Client(), SystemClock())
    check_telemetry(settings, env, providers)
    channels(settings, env, Http1Client())
    processor_of(settings, env, Http1Client())
    told = check(settings, providers, catalogue(settings, providers, {}))
    check_workers(settings)
    return tuple(providers), told


def _check_names(settings: Settings, built: Catalog, automatic: Autos) -> None:
    """An alias must lead somewhere, and a soft block, as far as the providers' lists are known."""
    if built.unlisted:
        return
    for alias, target in settings.aliases.items():
        if automatic.get(alias) is None:
            _check_name(settings, built, ("aliases", alias), alias, target)
    if (cheaper := settings.abuse.soft_block_model) is not None:
        _check_name(settings, built, ("abuse", "soft_block_model"), cheaper, cheaper)


def _idle_names(settings: Settings, built: Catalog, automatic: Autos) -> Iterator[str]:
    """The first that is proposed, or shown before others, and that nobody has. It may be a custom model, of which an
    organization's callers alone know, so that it is no fault."""
    said = settings.catalog
    for setting, names in ("default_model", [said.default_model]), ("preferred", said.preferred):
        try:
            for name in names if not built.unlisted else ():
                if name is not None and automatic.get(name) is None:
                    _check_name(settings, built, ("catalog", setting), name, name)
        except ConfigError as error:
            yield error.message


def _check_name(settings: Settings, built: Catalog, path: tuple[str, ...], name: str, target: str) -> None:
    try:
        built.resolve(name)
    except RequestError as error:
        provider, slash, _ = target.partition("/")
        if slash and provider not in built.providers:
            why = f"there is no provider {provider!r}; expected one of {', '.join(built.providers)}"
        else:
            why = "no provider has it" if isinstance(error, ModelNotFound) else error.message
        raise wrong_setting(settings.source, path, f"leads to {target!r}: {why}") from None


def _check_byok(settings: Settings, providers: Mapping[str, Provider]) -> None:
    """Keys go through a gateway only where it takes them, and the house has an account there."""
    for vendor, via in settings.byok.via.items():
        problem = None
        if vendor not in VENDORS:
            problem = f"no such vendor; expected one of {', '.join(VENDORS)}"
        elif via in GATEWAYS and getattr(VENDORS[vendor], via) is None:
            problem = f"{VENDORS[via].title} takes no keys for this vendor"
        elif via in GATEWAYS and not any(one.kind == via for one in providers.values()):
            problem = f"needs a provider of the type `{via}`"
        elif via == OPENROUTER and settings.byok.openrouter is None:
            problem = "needs `[byok.openrouter]`, which says where keys are registered"
        if problem is not None:
            raise wrong_setting(settings.source, ("byok", "via", vendor), problem)
