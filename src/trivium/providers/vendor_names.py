"""By which names lists of models mean a vendor's model: whatever leads there must be judged alike.

A name that a caller writes becomes the vendor's own id (`vendors.match`). The names here are the way back from that id:
every namespace of the vendor, every spelling that becomes the same id, with and without the gateways that serve it too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import product

import msgspec

from trivium.providers.openrouter import openrouter_id
from trivium.providers.vendors import GATEWAYS, VENDORS, Match, match, match_served, plain
from trivium.providers.vercel import VERCEL_IDS, vercel_id

_PLACES = 4
"""Of an id, that may be spelt in two ways: no real one has more, and names double with each."""
_MAKERS = tuple(vendor for vendor in VENDORS if vendor not in GATEWAYS)
_OWN_ROWS = frozenset(row for vendor in _MAKERS if vendor != "custom" for row in VENDORS[vendor].rows)
_AT_GATEWAYS: dict[str, Callable[[Match], str]] = {"openrouter": openrouter_id, "vercel": vercel_id}


@lru_cache(10_000)
def spellings(vendor: str, model: str) -> tuple[str, ...]:
    """The vendor's id of a model, and other ways to write it."""
    found = [model]
    for pattern, replacement in VENDORS[vendor].spelt:
        found += [one for id in found for one in _respelt(id, pattern, replacement)]
    return tuple(dict.fromkeys(found))


class Beside(msgspec.Struct, frozen=True):
    """What else leads to a vendor's model in a house: the names of its providers."""

    gateways: tuple[str, ...] = ()
    """That serve other vendors' models."""
    own: tuple[str, ...] = ()
    """That are the vendor."""
    at_vercel: bool = False
    """It is called there, where some ids are one model."""


_NOTHING = Beside()


@lru_cache(10_000)
def known_as(vendor: str, model: str, beside: Beside = _NOTHING) -> tuple[str, ...]:
    """The names of a vendor's model, in small letters."""
    model = model.strip()
    bare = model.partition(":")[0].rstrip()
    if vendor in GATEWAYS:
        made = match(plain(model), _MAKERS)
        ids = [id for id in (plain(model), bare, model) if id]
        names = [*(f"{by}/{id}" for by in (vendor, *beside.gateways) for id in ids), *ids]
        return _small([*names, *(known_as(made.vendor, made.model) if made is not None else ())])
    ids = [*_one_at_vercel(vendor, model), *_one_at_vercel(vendor, bare)] if beside.at_vercel else [model, bare]
    spelt = [id for one in dict.fromkeys(ids) for id in spellings(vendor, one)]
    named = [f"{space}/{id}" for space in (*(VENDORS[vendor].namespaces or (vendor,)), *beside.own) for id in spelt]
    return _small([*named, *spelt, *(f"{gateway}/{name}" for gateway in beside.gateways for name in (*named, *spelt))])


@lru_cache(10_000)
def served_as(kind: str, provider: str, model: str) -> tuple[str, ...]:
    """The names of a model that the house has from one of its providers, if it is known whose it is: a list that means
    `x-ai/grok-4` means it at Vercel too, where it is called `xai/grok-4`."""
    made = _made_by(kind, provider, model)
    return known_as(made.vendor, made.model) if made is not None else ()


@lru_cache(10_000)
def called_at(there: str, kind: str, provider: str, model: str) -> tuple[str, ...]:
    """What such a model is called at a provider of another kind, where that is known."""
    if there == "vercel" and (told := VERCEL_IDS.get(model.lower())) is not None:
        return (told,)
    made = _made_by(kind, provider, model)
    if made is None:
        return ()
    maker = VENDORS[made.vendor]
    if there in GATEWAYS:
        named = maker.vercel if there == "vercel" else maker.openrouter
        return (_AT_GATEWAYS[there](made),) if named is not None else ()
    return (made.model,) if there in maker.rows else ()


@lru_cache(10_000)
def is_anothers(there: str, kind: str, provider: str, model: str) -> bool:
    """Whether such a model cannot be had from a provider of this kind, a vendor's own: somebody else makes it."""
    made = _made_by(kind, provider, model) if there in _OWN_ROWS else None
    return made is not None and there not in VENDORS[made.vendor].rows


def _made_by(kind: str, provider: str, model: str) -> Match | None:
    return match_served(kind, provider, plain(model).lower(), _MAKERS)


def _one_at_vercel(vendor: str, model: str) -> list[str]:
    """Ids that Vercel calls alike."""
    called = vercel_id(Match(vendor, model))
    namespace = f"{VENDORS[vendor].vercel}/"
    others = {name for pair in VERCEL_IDS.items() if pair[1] == called for name in pair}
    return [model, *sorted(name.removeprefix(namespace) for name in others)]


def _respelt(id: str, pattern: str, replacement: str) -> Iterator[str]:
    """With every choice of the places that fit the pattern."""
    places = list(re.finditer(pattern, id))[:_PLACES]
    for choice in product((False, True), repeat=len(places)):
        text = id
        for place, chosen in zip(reversed(places), choice, strict=True):
            if chosen:
                text = text[: place.start()] + replacement + text[place.end() :]
        yield text


def _small(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.lower() for name in names))
