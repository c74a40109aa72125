"""Figures that are read when somebody looks: health of routes, connections, the ledger's lag. And what labels call
providers and models, of which callers can name any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

from trivium import __version__
from trivium.errors import RequestError
from trivium.pipeline.deps import Deps, Now
from trivium.providers.custom import is_custom
from trivium.providers.provider import Provider
from trivium.providers.semantic import provider_name
from trivium.providers.vendors import VENDORS
from trivium.routing.catalog import Catalog
from trivium.routing.health import STATES
from trivium.server.capturing import Capturing
from trivium.store.ledger import Ledger
from trivium.telemetry import instruments as told
from trivium.telemetry.instruments import NONE, OTHER, Family, Instrument
from trivium.upstream.client import UpstreamClient
from trivium.upstream.http1 import Http1Client
from trivium.upstream.target import Origin, parse_url

_CUSTOM = "custom"
"""All servers that organizations brought along."""


class Names:
    """Labels for providers and models, as the catalogue of the moment has them."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._catalog: Catalog | None = None
        self._led: frozenset[tuple[str, str]] = frozenset()

    def __call__(self, provider: str | None, model: str | None) -> tuple[str, str]:
        if provider is None:
            return NONE, NONE
        if is_custom(provider):
            return _CUSTOM, OTHER
        catalog = self._now.deps.catalog
        if provider not in catalog.providers and provider not in VENDORS:
            return OTHER, OTHER
        if model is not None and (
            provider in catalog.serving.get(model, ()) or self._leads_to(catalog, provider, model)
        ):
            return provider, model
        return provider, OTHER

    def semantic(self, provider: str) -> str:
        """What OpenTelemetry's conventions call it."""
        if is_custom(provider):
            return _CUSTOM
        known = self._now.deps.catalog.providers.get(provider)
        return provider_name(provider if known is None else known.kind, provider)

    def _leads_to(self, catalog: Catalog, provider: str, model: str) -> bool:
        if catalog is not self._catalog:
            self._catalog, self._led = catalog, frozenset(_led(catalog))
        return (provider, model) in self._led


def _led(catalog: Catalog) -> Iterable[tuple[str, str]]:
    """Models that no list has, but a name of the house leads to."""
    yield from ((ours.provider, ours.model) for ours in catalog.house.values())
    yield from ((one.provider.name, one.model) for routes in catalog.routed.values() for one in routes)
    for alias in catalog.aliases:
        with suppress(RequestError):
            target = catalog.resolve(alias)
            yield target.provider.name, target.model


def readings(deps: Deps, ledger: Ledger, lost: Mapping[str, int], *, most_routes: int) -> list[Family]:
    """On the event loop. `lost`: processes of the dashboard, by how."""
    writer = ledger.writer
    return [
        _one(told.CALLS, deps.in_flight.calls),
        _one(told.HELD_BYTES, deps.in_flight.bytes),
        _one(told.OPEN_STARTS, ledger.open_calls),
        _one(told.BACKLOG, writer.backlog),
        _one(told.LEDGER_LAG, writer.lag),
        _one(told.STORE_FAILING, writer.failing is not None),
        Family(told.REFUSING, [((name,), 1) for name in deps.alerts.standing]),
        Family(told.DASHBOARD_LOST, [((how,), float(count)) for how, count in lost.items()]),
        Family(told.BUILD, [((__version__,), 1)]),
        *_routes(deps, most_routes),
        *_captures(deps),
        *_pools(deps.client, deps.catalog.providers.values()),
    ]


def _one(instrument: Instrument, value: float) -> Family:
    return Family(instrument, [((), float(value))])


def _captures(deps: Deps) -> list[Family]:
    """Where the house keeps any."""
    if not isinstance(deps.captures, Capturing):
        return []
    counts = [((result,), float(count)) for result, count in deps.captures.counts.items()]
    return [Family(told.CAPTURES, counts), _one(told.CAPTURES_WAITING, deps.captures.waiting)]


def _routes(deps: Deps, most: int) -> list[Family]:
    """Of more routes than that, those with the most calls."""
    now_ms = deps.clock.monotonic_ns() // 1_000_000
    rates = {name: rates for name, (rates, _) in deps.health.all(now_ms).items()}
    if len(rates) > most:
        rates = dict(sorted(rates.items(), key=lambda item: -item[1].calls)[:most])
    states = {route: deps.health.state(route, now_ms) for route in rates}
    return [
        Family(told.ROUTE_CALLS, [((route,), one.calls) for route, one in rates.items()]),
        Family(told.ROUTE_ERRORS, [((route,), one.rate) for route, one in rates.items()]),
        Family(
            told.ROUTE_STATE,
            [((route, state), float(state == now)) for route, now in states.items() for state in STATES],
        ),
    ]


def _pools(client: UpstreamClient, providers: Iterable[Provider]) -> list[Family]:
    """By provider; where several are one server, by all their names. Only of our own client, which knows."""
    if not isinstance(client, Http1Client):
        return []
    named: dict[Origin, list[str]] = {}
    for provider in providers:
        for door in (provider, *provider.elsewhere):
            if door.base_url:
                named.setdefault(parse_url(door.base_url, door.guarded, door.network).origin, []).append(provider.name)
    active: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for origin, use in client.uses():
        name = "+".join(sorted(set(named[origin]))) if origin in named else OTHER
        active[name] += use.active
        idle[name] += use.idle
        waiting[name] += use.waiting
    states = (("active", active), ("idle", idle))
    return [
        Family(told.POOL, [((name, state), counts[name]) for state, counts in states for name in counts]),
        Family(told.POOL_WAITING, [((name,), count) for name, count in waiting.items()]),
    ]
