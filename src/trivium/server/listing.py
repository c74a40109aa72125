"""The list of models as OpenRouter's clients read it, which are OpenAI's, too: each with its context, price and
abilities as far as they are known, preferred and free ones first.

Shapes: spec.md section 8 ("Models"), and what Kilo Code CLI 7.7.7 parses: it drops the whole list where one model has
no `name` or `context_length`, so that under `/api/` none is without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

from trivium.errors import RequestError
from trivium.metering.prices import MILLION, Limits, Quote
from trivium.money import usd_text
from trivium.pipeline.authorize import visible_entries
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.hold import account_of
from trivium.policy.caller import Caller
from trivium.routing.catalog import ModelEntry, Target
from trivium.server.models import entry_of
from trivium.settings import CatalogSettings

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

    def __init__(self, deps: Deps, settings: CatalogSettings) -> None:
        self._deps = deps
        self._assumed = settings.assumed_context
        self._preferred = {name: n for n, name in enumerate(settings.preferred)}

    def models(self, caller: Caller, call: Call) -> list[dict[str, Any]]:
        """All that a request of this caller could name: preferred ones in their order, then free ones, then others."""
        described = [self._described(entry, target, caller, call) for entry, target in targets(caller, self._deps)]
        last = len(self._preferred)
        return sorted(described, key=lambda model: (model.get("preferredIndex", last), not model.get("isFree")))

    def model(self, name: str, target: Target, caller: Caller, call: Call) -> dict[str, Any]:
        """One, by the name that led to the target."""
        entry = entry_of(visible_entries(caller, self._deps), target, name)
        return self._described(entry, target, caller, call)

    def _described(self, entry: ModelEntry, target: Target | None, caller: Caller, call: Call) -> dict[str, Any]:
        quote, limits = self._known(entry, target, caller, call)
        context, index = limits.context, self._preferred.get(entry.id)
        if context is None and call.kilo:
            context = self._assumed
        architecture = {"input_modalities": entry.takes, "output_modalities": entry.gives} if entry.takes else None
        told = {
            "id": entry.id,
            "object": "model",
            "created": entry.created,
            "owned_by": entry.owned_by,
            "name": _name(entry, call, free=quote is not None and quote.free, preferred=index is not None),
            "context_length": context,
            "architecture": architecture,
            "pricing": _pricing(quote) if quote else None,
            "top_provider": {"context_length": context, "max_completion_tokens": limits.output, "is_moderated": False},
            "supported_parameters": entry.parameters,
            "isFree": quote.free if quote else None,
            "preferredIndex": index,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _known(
        self, entry: ModelEntry, target: Target | None, caller: Caller, call: Call
    ) -> tuple[Quote | None, Limits]:
        """What it costs this caller now, and how much it takes."""
        if target is None:
            return None, Limits(entry.context, entry.output_limit)
        whose = account_of(caller, self._deps) or caller.account_id
        book = self._deps.prices
        limits = book.limits(target.provider, target.model)
        quote = book.quote(target.provider, target.model, whose, call.time_ms)
        return quote, Limits(entry.context or limits.context, entry.output_limit or limits.output)


def targets(caller: Caller, deps: Deps) -> Iterator[tuple[ModelEntry, Target | None]]:
    """The models that a caller sees, and where each leads in the catalogue."""
    for entry in visible_entries(caller, deps):
        target = None
        with suppress(RequestError):
            target = deps.catalog.resolve(entry.id)
        yield entry, target


def _name(entry: ModelEntry, call: Call, *, free: bool, preferred: bool) -> str:
    name = entry.display_name or entry.id
    if free and not name.endswith("(free)"):
        name += " (free)"
    if preferred and entry.created > call.time_ms // 1000 - _NEW_SECONDS:
        name += " (new)"
    return name


def _pricing(quote: Quote) -> dict[str, str]:
    """USD per token, and per request, with the markup that is charged on top."""
    rates = quote.price.rates
    found = {told: getattr(rates, name) for told, name in _RATES.items()}
    found["web_search"] = rates.tools.get("web_search")
    factor = MILLION + quote.markup_ppm
    return {told: usd_text(Decimal(rate * factor) / _UNITS) for told, rate in found.items() if rate is not None}
