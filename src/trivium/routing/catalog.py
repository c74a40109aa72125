"""The catalogue: which names there are and where each leads. A frozen snapshot, replaced whole when lists change.

A name is read in this order (behaviour page, section 7): an exact alias; `provider/upstream-id`; a bare id that only
one provider serves. A provider whose list is not known yet, or that has none, may serve any bare id that no other
provider is known to serve.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from trivium.canon import wildcard
from trivium.errors import ModelAmbiguous, ModelNotFound
from trivium.metering.prices import Price
from trivium.providers.provider import Provider


class Target(msgspec.Struct, frozen=True):
    """Where a name leads."""

    provider: Provider
    model: str
    """The upstream's own id."""


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


class Catalog(msgspec.Struct, frozen=True):
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

    def resolve(self, name: str) -> Target:
        """Raises ModelNotFound, or ModelAmbiguous naming the candidates."""
        name = self.aliases.get(name, name)
        provider, slash, model = name.partition("/")
        if slash and model and provider in self.providers:
            return Target(self.providers[provider], model)
        candidates = self._candidates(name)
        if len(candidates) == 1:
            return Target(self.providers[candidates[0]], name)
        if not candidates:
            raise ModelNotFound(
                f"The model `{_short(name)}` does not exist. GET /v1/models lists the models; "
                "`provider/model` names one that is not listed.",
                param="model",
            )
        choices = ", ".join(f"`{candidate}/{_short(name)}`" for candidate in candidates)
        raise ModelAmbiguous(f"Several providers serve `{_short(name)}`. Name one of {choices}.", param="model")

    def entries(self) -> list[tuple[ModelEntry, Target]]:
        """All names that work as they stand, and where they lead: aliases, then bare ids, with their provider where two
        serve the same. An alias whose target is not known yet is left out."""
        found: dict[str, tuple[ModelEntry, Target]] = {}
        for alias in self.aliases:
            with suppress(ModelNotFound, ModelAmbiguous):
                found[alias] = ModelEntry(alias, "trivium"), self.resolve(alias)
        for provider, entry in self.models:
            name = entry.id if self._is_clear(entry.id, provider) else f"{provider}/{entry.id}"
            target = Target(self.providers[provider], entry.id)
            found.setdefault(name, (msgspec.structs.replace(entry, id=name), target))
        return list(found.values())

    def _is_clear(self, name: str, provider: str) -> bool:
        """Whether a bare id leads to this provider."""
        prefix, _, rest = name.partition("/")
        taken = name in self.aliases or (rest and prefix in self.providers)
        return not taken and self._candidates(name) == (provider,)

    def _candidates(self, name: str) -> tuple[str, ...]:
        exact = self.serving.get(name, ())
        wild = tuple(provider for pattern, provider in self.patterns if pattern.fullmatch(name))
        return tuple(dict.fromkeys(exact + wild)) or self.unlisted


def catalog(
    providers: Iterable[Provider],
    aliases: Mapping[str, str],
    listed: Mapping[str, tuple[ModelEntry, ...]],
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
    return Catalog(
        providers=by_name,
        aliases=dict(aliases),
        models=tuple(models),
        serving=serving,
        patterns=tuple(patterns),
        unlisted=tuple(name for name, p in by_name.items() if p.models is None and name not in listed),
    )


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:100]}..."
