"""The list of models as OpenRouter's clients read it, which are OpenAI's, too: each with its context, price and
abilities as far as they are known, preferred and free ones first.

Shapes: spec.md section 8 ("Models"), and what Kilo Code CLI 7.7.7 parses: it drops the whole list where one model has
no `name` or `context_length`, so that under `/api/` none is without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from trivium.metering.prices import MILLION, Limits, Quote
from trivium.money import usd_text
from trivium.pipeline.bill import account_of
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps, Now
from trivium.pipeline.free import find
from trivium.policy.caller import Caller
from trivium.routing.catalog import ModelEntry, Target
from trivium.settings import FreeModelSettings

_AT_A_TIME = 10
"""Models that are described before others have their turn: a list may have thousands."""
_FREE = {"prompt": "0", "completion": "0"}
_FREE_CACHED = {**_FREE, "input_cache_read": "0"}
"""Clients take a model that has a price for it for one with a cache."""
_FIRST = -1
"""The index of auto models: before all others."""
_AUTO_PARAMETERS = ("tools", "reasoning")
_NEW_SECONDS = 7 * 86_400
_RATES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "internal_reasoning": "reasoning",
    "audio": "audio_input",
    "request": "request",
}
"""OpenRouter's names of what has a price, and ours."""
_UNITS = Decimal(MILLION * MILLION * 10**9)
"""A rate is nanodollars per million units, a markup parts per million."""


class Listing:
    """Describes models for callers."""

    def __init__(self, now: Now) -> None:
        self._now = now

    @property
    def _deps(self) -> Deps:
        return self._now.deps

    async def models(self, entries: Iterable[ModelEntry], caller: Caller | None, call: Call) -> list[dict[str, Any]]:
        """What a caller sees, described: those with a place of their own first, then free ones, then others."""
        deps = self._deps
        described: list[dict[str, Any]] = []
        for entry, target in targets(entries, caller, deps):
            described.append(_described(entry, target, caller, call, deps))
            if not len(described) % _AT_A_TIME:
                await asyncio.sleep(0)
        last = len(deps.shown.places)

        def place(model: dict[str, Any]) -> tuple[int, bool]:
            index = model.get("preferredIndex", last)
            return index, index != _FIRST and not model.get("isFree")

        return sorted(described, key=place)

    def model(self, entry: ModelEntry, target: Target | None, caller: Caller | None, call: Call) -> dict[str, Any]:
        """One, which leads to the target."""
        return _described(entry, target, caller, call, self._deps)


def _place(entry: ModelEntry, places: Mapping[str, int]) -> int | None:
    """Where in the list a model stands, if not among the others."""
    return _FIRST if entry.leads_to else places.get(entry.id)


def _described(
    entry: ModelEntry, target: Target | None, caller: Caller | None, call: Call, deps: Deps
) -> dict[str, Any]:
    known, index = _known(entry, target, caller, call, deps), _place(entry, deps.shown.places)
    context = known.limits.context
    if context is None and call.kilo:
        context = deps.shown.assumed_context
    told = {
        "id": entry.id,
        "object": "model",
        "created": entry.created,
        "owned_by": entry.owned_by,
        "name": _name(entry, call, free=known.free is True, preferred=index is not None),
        "context_length": context,
        "architecture": {"input_modalities": known.takes, "output_modalities": known.gives} if known.takes else None,
        "pricing": known.pricing,
        "top_provider": {
            "context_length": context,
            "max_completion_tokens": known.limits.output,
            "is_moderated": False,
        },
        "supported_parameters": known.parameters,
        "isFree": known.free,
        "preferredIndex": index,
    }
    return {name: value for name, value in told.items() if value is not None}


def _known(entry: ModelEntry, target: Target | None, caller: Caller | None, call: Call, deps: Deps) -> _Known:
    if entry.house is not None:
        return _of_the_house(entry, entry.house.said)
    if entry.leads_to:
        return _of_auto(entry, caller, call, deps)
    limits, quote, free = Limits(entry.context, entry.output_limit), None, None
    if target is not None and target.custom is None:
        book, whose = deps.prices, _whose(caller, deps)
        found = book.limits(target.provider, target.model)
        limits = Limits(entry.context or found.context, entry.output_limit or found.output)
        quote = book.quote(target.provider, target.model, whose, call.time_ms)
        free = True if target.given_away(quote) else quote.free if quote else None
        if target.routed is not None:  # as free and as dear as the dearest of its routes
            paid = _paid(deps.catalog.routes(target), whose, call, deps)
            free, quote = not paid, max(filter(None, paid), key=_dearness, default=quote)
    pricing = _FREE if free else _pricing(quote) if quote else None
    return _Known(limits, free, pricing, entry.takes, entry.gives, entry.parameters)


def _of_auto(entry: ModelEntry, caller: Caller | None, call: Call, deps: Deps) -> _Known:
    """At the price of the dearest that it may lead to; free where all of them are."""
    routes = (route for one in entry.leads_to for route in deps.catalog.routes(one))
    paid = _paid(routes, _whose(caller, deps), call, deps)
    told = [quote for quote in paid if quote is not None]
    pricing = _pricing(max(told, key=_dearness)) if told else None if paid else _FREE
    takes = ("text", "image")
    return _Known(Limits(entry.context, entry.output_limit), not paid, pricing, takes, ("text",), _AUTO_PARAMETERS)


def _paid(routes: Iterable[Target], whose: str | None, call: Call, deps: Deps) -> list[Quote | None]:
    """What those cost that are not free; None: nobody knows."""
    quotes = [(one, deps.prices.quote(one.provider, one.model, whose, call.time_ms)) for one in routes]
    return [quote for one, quote in quotes if not one.given_away(quote) and not (quote and quote.free)]


def _whose(caller: Caller | None, deps: Deps) -> str | None:
    return None if caller is None else account_of(caller, deps) or caller.account_id


class _Known(NamedTuple):
    """What can be told of a model to this caller now."""

    limits: Limits
    free: bool | None
    pricing: dict[str, str] | None
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    parameters: tuple[str, ...] | None


def _of_the_house(entry: ModelEntry, said: FreeModelSettings) -> _Known:
    """What is configured, and nothing else: whoever answers may be a secret. Clients for coding drop a model of which
    they hear that it can something, but not that it calls tools."""
    takes = ("text", "image") if said.vision else ("text",)
    parameters = ("tools", "reasoning") if said.reasoning else None
    pricing = _FREE_CACHED if said.prompt_cache else _FREE
    return _Known(Limits(entry.context, entry.output_limit), True, pricing, takes, ("text",), parameters)


def targets(
    entries: Iterable[ModelEntry], caller: Caller | None, deps: Deps
) -> Iterator[tuple[ModelEntry, Target | None]]:
    """Models, and where each leads."""
    for entry in entries:
        target = find(caller, entry.id, deps)
        yield entry, target if isinstance(target, Target) else None


def _name(entry: ModelEntry, call: Call, *, free: bool, preferred: bool) -> str:
    name = entry.display_name or entry.id
    if free and not name.endswith("(free)"):
        name += " (free)"
    if preferred and entry.created > call.time_ms // 1000 - _NEW_SECONDS:
        name += " (new)"
    return name


def _dearness(quote: Quote) -> int:
    rates = quote.price.rates
    return (rates.input or 0) + (rates.output or 0)


def _pricing(quote: Quote) -> dict[str, str]:
    """USD per token, and per request, with the markup that is charged on top."""
    rates = quote.price.rates
    found = {told: getattr(rates, name) for told, name in _RATES.items()}
    found["web_search"] = rates.tools.get("web_search")
    factor = MILLION + quote.markup_ppm
    return {told: usd_text(Decimal(rate * factor) / _UNITS) for told, rate in found.items() if rate is not None}
