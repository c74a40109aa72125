"""The same model at another provider: where the canary and an emergency lead (vendors page, "Routing")."""

from __future__ import annotations

import msgspec

from trivium.providers.vendor_names import called_at, is_anothers
from trivium.routing.catalog import Catalog, Target


def twin(catalog: Catalog, target: Target, provider: str, *, unlisted: bool = False) -> Target | None:
    """The same model at another provider, if that is known to have it, or says so by a wildcard; `unlisted`: also if
    nothing is known of what it has."""
    if provider == target.provider.name or target.house is not None or provider not in catalog.providers:
        return None
    id = _id_there(catalog, target, provider, unlisted=unlisted)
    if id is None:
        return None
    found = catalog.target(provider, id)
    also = tuple(dict.fromkeys(found.also + target.also))
    return msgspec.structs.replace(found, also=also, led=target.led)


def _id_there(catalog: Catalog, target: Target, provider: str, *, unlisted: bool) -> str | None:
    """A wildcard means a model by what that provider calls it, and so many names that the maker has to fit too."""
    there, served = catalog.providers[provider].kind, (target.provider.kind, target.provider.name, target.model)
    called = called_at(there, *served)
    for id in (target.model, *called, *target.also):
        if catalog.lists(provider, id):
            return id
    wild = [pattern for pattern, whose in catalog.patterns if whose == provider]
    knows_all = unlisted and provider in catalog.unlisted
    if not (wild or knows_all) or is_anothers(there, *served):
        return None
    ids = called or (target.model,)
    return ids[0] if knows_all else next((id for id in ids for one in wild if one.fullmatch(id)), None)
