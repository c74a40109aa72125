"""Prints the price data of the package `genai-prices` as one JSON, in our units: `python -m trivium.metering.extract`.

Runs in a child process alone: the package takes 30 MB and brings a validation library and an HTTP client along, none of
which the gateway's own process shall carry. `metering/dataset.py` reads what is printed here; amounts are integers in
nanodollars per million units, times milliseconds or seconds of the day, UTC. A price in units that no usage of ours
counts (hours of audio, pages, characters) is null: not free, but unknown. Images and films in an answer are one to us.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import version
from typing import Any

import msgspec
from genai_prices import types
from genai_prices.data import providers

from trivium.metering.dataset import MADE

PACKAGE = "genai-prices"

_MTOK = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_5m_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "output_image_mtok": "image_output",
    "output_video_mtok": "image_output",
}
_KCOUNT = {
    "requests_kcount": "request",
    "web_searches_kcount": "tools.web_search",
    "social_searches_kcount": "tools.x_search",
    "storage_searches_kcount": "tools.file_search",
    "code_executions_kcount": "tools.code_execution",
}
_FACTORS = dict.fromkeys(_MTOK, 10**9) | dict.fromkeys(_KCOUNT, 10**12)
"""A price in USD to nanodollars per million units."""
_NAMES = _MTOK | _KCOUNT
_TIERS = {
    ("processing", "batch"),
    ("service_tier", "flex"),
    ("service_tier", "priority"),
    ("service_tier", "fast"),
    ("speed", "fast"),
}
"""What of the package's variants is a service tier; its others (routes, kinds of search) no usage tells."""


def extracted() -> dict[str, Any]:
    """All providers with their models."""
    return {"package": version(PACKAGE), "made": MADE, "providers": [_provider(provider) for provider in providers]}


def _provider(provider: types.Provider) -> dict[str, Any]:
    return {
        "id": provider.id,
        "api": provider.api_pattern,
        "fallbacks": provider.fallback_model_providers or [],
        "models": [_model(model) for model in provider.models],
    }


def _model(model: types.ModelInfo) -> dict[str, Any]:
    prices = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    return {
        "id": model.id,
        "match": _clause(model.match),
        "context": model.context_window,
        "prices": [[_when(price.constraint), _sheet(price.prices)] for price in prices],
        "tiers": [
            [tier, _when(variant.constraint), _sheet(variant.prices) or {}]
            for variant in model.price_variants or ()
            for (key, tier) in variant.when.items()
            if len(variant.when) == 1 and (key, tier) in _TIERS
        ],
    }


def _sheet(prices: types.ModelPrice) -> dict[str, Any] | None:
    """Curves by our names; None where the price is in other units altogether."""
    told = {name: value for name, value in vars(prices).items() if value is not None}
    sheet = {_NAMES[name]: _curve(value, _FACTORS[name]) for name, value in told.items() if name in _NAMES}
    return sheet if sheet or not told else None


def _curve(price: Any, factor: int) -> list[list[int]]:
    if isinstance(price, types.TieredPrices):
        steps = [[tier.start, _nano(tier.price, factor)] for tier in price.tiers]
        return [[-1, _nano(price.base, factor)], *steps]
    return [[-1, _nano(price, factor)]]


def _nano(usd: Decimal, factor: int) -> int:
    """Some rows have the noise of binary fractions behind their twelfth digit: it goes here."""
    return int((usd * factor).to_integral_value(ROUND_HALF_EVEN))


def _when(constraint: Any) -> Any:
    if constraint is None:
        return None
    return _CONSTRAINTS[type(constraint)](constraint)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _second(moment: time) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    utc = datetime.combine(date(1970, 1, 2), aware).astimezone(UTC)
    return utc.hour * 3600 + utc.minute * 60 + utc.second


_CONSTRAINTS: dict[type, Callable[[Any], Any]] = {
    types.StartDateConstraint: lambda constraint: _midnight(constraint.start_date),
    types.TimeOfDateConstraint: lambda constraint: [_second(constraint.start_time), _second(constraint.end_time)],
}


def _clause(clause: Any) -> list[Any]:
    """`[kind, text]`, texts in lower case; `["or" | "and", clause, ...]`."""
    kind, argument = next(iter(vars(clause).items()))
    if kind in ("or_", "and_"):
        return [kind.removesuffix("_"), *(_clause(part) for part in argument)]
    return [kind, argument if kind == "regex" else argument.lower()]


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(extracted()))
