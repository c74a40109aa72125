"""Models of the catalogue: an id of the house, and the routes by which a call for it can be answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from trivium.canon.api import Kind, kind_of
from trivium.settings import Settings, wrong_setting
from trivium.settings_routing import CatalogModelSettings, RouteSettings


class Route(msgspec.Struct, frozen=True):
    """One way to an answer."""

    provider: str
    """By its name."""
    model: str
    """The provider's own id."""
    weight: int = 0
    apis: frozenset[Kind] | None = None
    """Those of the provider's in which it has the model; None: all."""
    collects: bool = False
    """Prompts may be kept or learnt from by this route, whatever is known of its provider."""
    retains: bool = False


class RoutedModel(msgspec.Struct, frozen=True):
    """A model of the catalogue."""

    id: str
    routes: tuple[Route, ...]
    said: CatalogModelSettings

    @property
    def names(self) -> tuple[str, ...]:
        """By which lists of what is allowed may mean it."""
        return tuple(dict.fromkeys(name.strip().lower() for name in (self.id, *self.said.aliases)))


def routed_models(said: Mapping[str, CatalogModelSettings]) -> dict[str, RoutedModel]:
    """All that are configured, by their ids and aliases."""
    found: dict[str, RoutedModel] = {}
    for id, model in said.items():
        routed = RoutedModel(id, tuple(map(_route, model.routes)), model)
        found |= dict.fromkeys((id, *model.aliases), routed)
    return found


def _route(said: RouteSettings) -> Route:
    provider, _, model = said.to.partition("/")
    return Route(
        provider,
        model,
        weight=said.weight,
        apis=frozenset(map(kind_of, said.apis)) if said.apis else None,
        collects="data_collection" in said.needs,
        retains="data_retention" in said.needs,
    )


def check_routing(settings: Settings, providers: Collection[str]) -> None:
    """Whatever routes name is there, and once: a route that failed is not tried again by its other name. Raises
    ConfigError."""
    named: list[tuple[tuple[str, ...], str]] = [
        (("catalog", "models", id, "routes"), route.to.partition("/")[0])
        for id, model in settings.catalog.models.items()
        for route in model.routes
    ]
    routing = settings.routing
    if routing.emergency_provider is not None:
        named.append((("routing", "emergency_provider"), routing.emergency_provider))
    if routing.canary is not None:
        named += [
            (("routing", "canary", "main"), routing.canary.main),
            (("routing", "canary", "to"), routing.canary.to),
        ]
    for id, model in settings.catalog.models.items():
        places = [(route.to, route.apis) for route in model.routes]
        if twice := next((to for to, apis in places if places.count((to, apis)) > 1), None):
            raise wrong_setting(settings.source, ("catalog", "models", id, "routes"), f"{twice!r} stands there twice")
    if routing.canary is not None and routing.canary.main == routing.canary.to:
        raise wrong_setting(settings.source, ("routing", "canary", "to"), "the canary must be another provider")
    for path, provider in named:
        if provider not in providers:
            raise wrong_setting(settings.source, path, f"there is no provider {provider!r}")
