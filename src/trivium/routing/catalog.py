"""The catalogue: which names there are and where each leads. A frozen snapshot, replaced whole when lists change.

A name is read in this order (behaviour page, section 7): an exact alias, the ids of the catalogue's models and of
those that the house gives away among them; `provider/upstream-id`; a bare id that only one provider serves. A provider
whose list is not known yet, or that has none, may serve any bare id that no other provider is known to serve.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property

import msgspec

from trivium.canon import wildcard
from trivium.errors import ModelAmbiguous, ModelEnded, ModelNotFound
from trivium.metering.prices import Price, Quote
from trivium.providers.custom import CustomModel
from trivium.providers.house import HouseModel, house_models
from trivium.providers.provider import Provider
from trivium.providers.vendor_names import served_as
from trivium.routing.names import alias_names, without_blanks
from trivium.routing.routes import RoutedModel
from trivium.settings import NOTHING_FREE, FreeSettings

_OURS = "trivium"
_LONGEST_NAME = 500
"""Characters. What is remembered of routes and sessions by names that callers make up must have an end."""
_REMEMBERED = 10_000
"""Who owns a name that the house made up."""


class Target(msgspec.Struct, frozen=True, dict=True):
    """Where a name leads."""

    provider: Provider
    model: str
    """The upstream's own id."""
    house: HouseModel | None = None
    """The model of the house that was asked for, if it was one."""
    free: bool = False
    """The house gives it away, whatever it costs the house; but see `given_away`."""

    also: tuple[str, ...] = ()
    """Further names by which lists of what is allowed may mean it."""
    custom: CustomModel | None = None
    """The custom model that was asked for, if it was one."""
    routed: RoutedModel | None = None
    """The catalogue's model that was asked for, if it was one; this is one of its routes."""
    weight: int = 0
    """The route's."""
    led: bool = False
    """An auto model led there, which may be to one that is hidden, and which says how it is asked."""
    alias: str = ""
    """The one of `[aliases]` by which it was asked for, if it was."""
    listed: bool = False
    """The operator or the provider says that there is such a model; else a caller may have made up its name."""

    @cached_property
    def route(self) -> str:
        """`provider/model`, as routes are written and told: of a custom model by the name that its callers know."""
        return f"{self.provider.name}/{self.model if self.custom is None else self.custom.name}"

    @property
    def place(self) -> str:
        """What rests and is told where a route has several keys: `provider/model#2`."""
        return f"{self.route}#{self.provider.key_number}" if self.provider.key_number else self.route

    @cached_property
    def stealth(self) -> bool:
        """Nobody may be told who answers."""
        return self.house is not None and self.house.stealth

    def covered_for(self, organization_id: str | None) -> str | None:
        """The name that a caller whose calls this organization pays for sees in place of the upstream's own; None:
        that one is no secret to them. What another organization's server calls a custom model is its owner's business.
        """
        lent = self.custom is not None and self.custom.organization_id != organization_id
        return self.public if lent or self.stealth else None

    def given_away(self, quote: Quote | None) -> bool:
        """Whether its callers are charged nothing, whatever it costs the house. Of a model that a pattern means the
        operator's own word on its price counts more."""
        return self.free and (self.house is not None or quote is None or not quote.is_set)

    @cached_property
    def known_as(self) -> tuple[str, str]:
        """Provider and model as gates, scopes, lists and limits know them: one of the house is its id alone."""
        return "" if self.house is not None else self.provider.name, self.public

    @cached_property
    def public(self) -> str:
        """The name that callers may be told, and that lists and gates mean."""
        if self.house is not None:
            return self.house.id
        return self.model if self.custom is None else self.custom.name


class ModelEntry(msgspec.Struct, frozen=True):
    """A model in the list that clients see."""

    id: str
    owned_by: str
    created: int = 0
    """Seconds since the epoch; 0 where the provider does not tell."""
    display_name: str | None = None
    price: Price | None = None
    """What the provider itself says it costs."""
    context: int | None = None
    """Tokens, as the provider says."""
    output_limit: int | None = None
    takes: tuple[str, ...] = ()
    """What it reads, as the provider says: `text`, `image`, `file`, ...; empty where it does not tell."""
    gives: tuple[str, ...] = ()
    parameters: tuple[str, ...] | None = None
    """Settings of a request that it knows, by OpenRouter's names; None where the provider does not tell."""
    house: HouseModel | None = None
    leads_to: tuple[Target, ...] = ()
    """Of an auto model: what it may lead to at the moment."""


class Catalog(msgspec.Struct, frozen=True, dict=True):
    """Made by `catalog()`; the mappings are its indexes, so that a name costs look-ups and not a search."""

    providers: Mapping[str, Provider]
    aliases: Mapping[str, str]
    models: tuple[tuple[str, ModelEntry], ...]
    """Every model known by name, with its provider's name."""
    serving: Mapping[str, tuple[str, ...]]
    """The providers known to serve a bare id."""
    patterns: tuple[tuple[re.Pattern[str], str], ...]
    """(wildcard, provider name) from configuration."""
    unlisted: tuple[str, ...]
    """Providers that may serve anything, as far as is known."""
    house: Mapping[str, HouseModel]
    routed: Mapping[str, tuple[Target, ...]]
    """By the ids and aliases of the catalogue's models: where their routes lead, in order."""
    free: frozenset[tuple[str, str]]
    """(provider name, upstream id) of the models that free patterns mean. Only what a list has under exactly this name:
    where names are made up, as with a provider that answers to any, nothing is free for being named so."""
    hidden: tuple[re.Pattern[str], ...]

    def resolve(self, name: str) -> Target:
        """What is hidden is in nobody's way: a name leads there where it leads nowhere else, for auto models, and
        `check_offered` says of it that it does not exist. Raises ModelNotFound, ModelAmbiguous naming candidates."""
        if (known := self._found.get(name)) is not None:
            return known
        if len(name) > _LONGEST_NAME:
            raise not_found(name)
        found = self._search(name)
        if len(self._found) >= _REMEMBERED:  # callers make up names, and some providers answer to any
            self._found.clear()
        self._found[name] = found
        return found

    @cached_property
    def _found(self) -> dict[str, Target]:
        """Where names lead that were asked for."""
        return {}

    def _search(self, name: str) -> Target:
        aliased = self.aliases.get(name)
        return self._resolve(name, name) if aliased is None else _called(self._resolve(aliased, name), name)

    @property
    def unveiled(self) -> Catalog:
        """With nothing hidden, for the operator."""
        return msgspec.structs.replace(self, hidden=())

    def names_at_providers(self, name: str) -> tuple[str, ...]:
        """`provider/name` of all that may serve a name which does not say so itself."""
        return tuple(f"{provider.lower()}/{name.lower()}" for provider in self._candidates(name))

    def _resolve(self, name: str, called: str) -> Target:
        if (ours := self.house.get(name)) is not None and ours.provider in self.providers:
            return Target(self.providers[ours.provider], ours.model, house=ours, free=True, listed=True)
        if routes := self.routed.get(name):
            return routes[0]
        direct = None
        provider, slash, model = name.partition("/")
        if slash and model and provider in self.providers:
            # OpenRouter's own name for its router is `openrouter/auto` (openrouter.ai/docs: "Auto Router").
            whole = self.lists(provider, name) and not self.lists(provider, model)
            direct = self.target(provider, name if whole else model)
            if not self.is_hidden(direct):
                return direct
        candidates = self._seen_at(name)
        if not candidates and direct is not None:
            return direct
        candidates = candidates or self._candidates(name)[:1]
        if len(candidates) == 1:
            return self.target(candidates[0], name)
        if not candidates:
            raise not_found(called)
        choices = ", ".join(f"`{candidate}/{_short(name)}`" for candidate in candidates)
        raise ModelAmbiguous(f"Several providers serve `{_short(name)}`. Name one of {choices}.", param="model")

    def routes(self, target: Target) -> tuple[Target, ...]:
        """All that may answer in its place, in order, it among them."""
        if target.routed is None or not (target.alias or target.led):
            return self.routed[target.routed.id] if target.routed is not None else (target,)
        place = target.routed.id, target.alias, target.led
        if (known := self._ways.get(place)) is None:
            routes = self.routed[target.routed.id]
            known = self._ways[place] = tuple(_called(one, target.alias, led=target.led) for one in routes)
        return known

    @cached_property
    def _ways(self) -> dict[tuple[str, str, bool], tuple[Target, ...]]:
        """The routes of the catalogue's models that an alias or an auto model has led to."""
        return {}

    def is_hidden(self, target: Target) -> bool:
        """Whether nobody may see it, or reach it by its name."""
        return bool(self.hidden) and any(pattern.fullmatch(name) for name in _names(target) for pattern in self.hidden)

    def check_offered(self, target: Target) -> None:
        """Raises ModelNotFound for what is hidden, ModelEnded for what was free once."""
        if not target.led and self.is_hidden(target):
            raise not_found(target.public)
        if target.house is not None and target.house.said.disabled:
            raise ModelEnded(
                f"The free period for this model has ended: `{target.public}`. GET /v1/models lists the models.",
                param="model",
            )

    def entries(self) -> list[tuple[ModelEntry, Target]]:
        """All names that work as they stand, and where they lead: aliases, models of the house, then bare ids, with
        their provider where two serve the same. An alias whose target is not known yet is left out."""
        found: dict[str, tuple[ModelEntry, Target]] = {}
        for alias in self.aliases:
            with suppress(ModelNotFound, ModelAmbiguous):
                target = self.resolve(alias)
                found[alias] = self.entry(alias, target), target
        for id, ours in self.house.items():
            with suppress(ModelNotFound, ModelAmbiguous):
                found[id] = _entry_of_ours(id, ours), self.resolve(id)
        for id, (target, *_) in self.routed.items():
            if target.routed is not None and id == target.routed.id:
                found.setdefault(id, (self.entry(id, target), target))
        for provider, entry in self.models:
            name = entry.id if self._is_clear(entry.id, provider) else f"{provider}/{entry.id}"
            found.setdefault(name, (msgspec.structs.replace(entry, id=name), self.target(provider, entry.id)))
        return [(entry, target) for entry, target in found.values() if self._is_offered(target)]

    def entry(self, name: str, target: Target) -> ModelEntry:
        """What is known of the model that a name leads to, under this name. An alias is how the operator calls it."""
        if target.house is not None:
            return _entry_of_ours(name, target.house)
        owner = target.provider.name
        told = self._told.get((owner, target.model)) or ModelEntry(name, owner)
        if target.routed is not None:
            told = _routed_entry(target.routed, told)
        if target.alias:
            told = msgspec.structs.replace(told, owned_by=_OURS, display_name=None)
        return msgspec.structs.replace(told, id=name)

    @cached_property
    def _told(self) -> dict[tuple[str, str], ModelEntry]:
        """What is known of models, by provider and the provider's id."""
        return {(provider, entry.id): entry for provider, entry in self.models}

    @cached_property
    def listed(self) -> tuple[tuple[ModelEntry, Target], ...]:
        """As `entries`, made once: thousands of models take a while."""
        return tuple(self.entries())

    def target(self, provider: str, model: str) -> Target:
        """A model of a provider, by the provider's own id for it."""
        found = self.providers[provider]
        also = served_as(found.kind, provider, model)
        return Target(found, model, free=(provider, model) in self.free, also=also, listed=self.lists(provider, model))

    def lists(self, provider: str, model: str) -> bool:
        """Whether a provider is known to have a model of exactly this name."""
        return provider in self.serving.get(model, ())

    def _is_offered(self, target: Target) -> bool:
        try:
            self.check_offered(target)
        except (ModelNotFound, ModelEnded):
            return False
        return True

    def _is_clear(self, name: str, provider: str) -> bool:
        """Whether a bare id leads to this provider."""
        prefix, _, rest = name.partition("/")
        taken = name in self.aliases or name in self.house or name in self.routed or (rest and prefix in self.providers)
        return not taken and self._seen_at(name) == (provider,)

    def _seen_at(self, name: str) -> tuple[str, ...]:
        """The providers that may serve a bare id, but those where it is hidden."""
        candidates = self._candidates(name)
        if not self.hidden:
            return candidates
        return tuple(one for one in candidates if not self.is_hidden(self.target(one, name)))

    def _candidates(self, name: str) -> tuple[str, ...]:
        exact = self.serving.get(name, ())
        wild = tuple(provider for pattern, provider in self.patterns if pattern.fullmatch(name))
        return tuple(dict.fromkeys(exact + wild)) or self.unlisted


def catalog(
    providers: Iterable[Provider],
    aliases: Mapping[str, str],
    listed: Mapping[str, tuple[ModelEntry, ...]],
    free: FreeSettings = NOTHING_FREE,
    routed: Mapping[str, RoutedModel] = {},
) -> Catalog:
    """`listed` holds what providers told of themselves; a provider's configured `models` win over it."""
    by_name = {provider.name: provider for provider in providers}
    models: list[tuple[str, ModelEntry]] = []
    serving: dict[str, tuple[str, ...]] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    for name, provider in by_name.items():
        if provider.models is None:
            models += [(name, entry) for entry in listed.get(name, ())]
            continue
        for model in provider.models:
            if wildcard.is_wild(model):
                patterns.append((wildcard.compiled(model), name))
            else:
                models.append((name, ModelEntry(model, name)))
    for name, entry in models:
        serving[entry.id] = (*serving.get(entry.id, ()), name)
    unlisted = tuple(name for name, p in by_name.items() if p.models is None and name not in listed)
    given = tuple(wildcard.compiled(pattern) for pattern in free.patterns)
    given_away = frozenset((name, entry.id) for name, entry in models if _fits(given, name, entry.id))
    ways = {name: _ways(one, by_name, given_away) for name, one in routed.items()}
    return Catalog(
        providers=by_name,
        aliases=dict(aliases),
        models=tuple(models),
        serving=serving,
        patterns=tuple(patterns),
        unlisted=unlisted,
        house=house_models(free),
        routed={name: targets for name, targets in ways.items() if targets},
        free=given_away,
        hidden=tuple(wildcard.compiled(pattern.strip().lower()) for pattern in free.hidden),
    )


def _ways(
    model: RoutedModel, providers: Mapping[str, Provider], free: frozenset[tuple[str, str]]
) -> tuple[Target, ...]:
    """Where its routes lead; a provider has there what the route says of it."""
    found = []
    for route in model.routes:
        if (provider := providers.get(route.provider)) is not None:
            changes = {
                "apis": provider.apis if route.apis is None else provider.apis & route.apis,
                "collects_data": provider.collects_data or route.collects,
                "retains_data": provider.retains_data or route.retains,
            }
            also = (*served_as(provider.kind, route.provider, route.model), *model.names)
            here = msgspec.structs.replace(provider, **changes)
            is_free = (route.provider, route.model) in free
            found.append(
                Target(here, route.model, free=is_free, also=also, routed=model, weight=route.weight, listed=True)
            )
    return tuple(found)


def _fits(patterns: Iterable[re.Pattern[str]], provider: str, model: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in patterns for name in (model, f"{provider}/{model}"))


def _names(target: Target) -> tuple[str, ...]:
    """By which a model may be hidden; whoever asks chooses their case, and writes blanks that upstreams overlook."""
    if target.house is not None:
        return target.house.id.lower(), *target.also
    model = without_blanks(target.model.lower())
    return model, f"{target.provider.name}/{model}", *target.also


def _called(target: Target, alias: str, *, led: bool = False) -> Target:
    """The target for a call that asks for it by this alias, if by one."""
    also = target.also + alias_names(alias) if alias else target.also
    return msgspec.structs.replace(target, also=also, alias=alias, led=led, listed=True)


def _entry_of_ours(id: str, model: HouseModel) -> ModelEntry:
    """A name that means a model of the house."""
    said = model.said
    return ModelEntry(
        id, _OURS, display_name=said.name, context=said.context, output_limit=said.output_limit, house=model
    )


def _routed_entry(model: RoutedModel, told: ModelEntry) -> ModelEntry:
    """What is said of it; else what the first route's provider says."""
    said = model.said
    return msgspec.structs.replace(
        told,
        owned_by=_OURS,
        display_name=said.name or told.display_name,
        context=said.context or told.context,
        output_limit=said.output_limit or told.output_limit,
        takes=tuple(said.modalities) if said.modalities is not None else told.takes,
        parameters=tuple(said.capabilities) if said.capabilities is not None else told.parameters,
    )


def not_found(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"The model `{_short(name)}` does not exist. GET /v1/models lists the models; "
        "`provider/model` names one that is not listed.",
        param="model",
    )


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:100]}..."
