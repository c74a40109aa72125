"""The auditor's own arithmetic of prices: a version is the hash of its content, and a computed cost follows from it.

Contents are read as plain JSON. The rules are those of the price page of the documentation: the rates of the service
tier, and of the longest context that the input exceeds, of each run of the model for itself where there were several;
tokens that have a rate of their own are taken out of those
among which they were counted; one half-even rounding, of everything with the markup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import msgspec

from trivium.store.audit_finding import Finding, Skipped, plain
from trivium.store.snapshot import Snapshot
from trivium.store.sql import Row

_MILLION = 10**6
_INPUT = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other")
_COUNTS = (*_INPUT, "output", "reasoning", "audio_input", "audio_output", "image_input")
_WITHIN = (
    ("image_input", "input_uncached"),
    ("audio_input", "input_uncached"),
    ("reasoning", "output"),
    ("audio_output", "output"),
    ("image_output", "output"),
)
"""Tokens that are counted among others, in the order in which they are taken out of them."""
_RATES = {
    "input_uncached": ("input",),
    "cache_read": ("cache_read", "input"),
    "cache_write_5m": ("cache_write_5m", "input"),
    "cache_write_other": ("cache_write_5m", "input"),
    "cache_write_1h": ("cache_write_1h", "cache_write_5m", "input"),
    "output": ("output",),
}
"""The rate of what is left: the first that the price has."""

_COMPUTED = f"""
    SELECT id, price_version, service_tier, server_tools, coalesce(CAST(markup_ppm AS BIGINT), 0),
    coalesce(CAST(cost_nano AS BIGINT), 0),
    runs, CAST(image_output_tokens AS BIGINT),
    {", ".join(f"coalesce(CAST({name}_tokens AS BIGINT), 0)" for name in _COUNTS)}
    FROM records WHERE cost_source = 'computed' AND payer = 'house'
"""
_CORRECTED = f"""
    SELECT t.request_id, t.price_version, r.service_tier, r.server_tools, CAST(t.markup_ppm AS BIGINT),
    coalesce(CAST(t.after_nano AS BIGINT), 0),
    r.runs, CAST(r.image_output_tokens AS BIGINT),
    {", ".join(f"coalesce(CAST(r.{name}_tokens AS BIGINT), 0)" for name in _COUNTS)}
    FROM rerates t JOIN records r ON r.id = t.request_id WHERE t.markup_ppm IS NOT NULL
"""
_NOT_AGAIN = """
    SELECT count(*) FROM rerates t LEFT JOIN records r ON r.id = t.request_id WHERE t.markup_ppm IS NULL OR r.id IS NULL
"""
_NOT_COMPUTED = "SELECT count(*) FROM records WHERE cost_nano <> 0 AND cost_source <> 'computed'"
_decode = msgspec.json.Decoder().decode


def versions(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """Every version is the hash of its content."""
    for version, content in _contents(snapshot):
        expected = "pr_" + hashlib.sha256(content.encode()).hexdigest()[:12]
        if version != expected:
            yield Finding(
                what="is not the version of its content", where=f"prices {version}", expected=expected, found=version
            )
        if not isinstance(_read(content), dict):
            yield Finding(what="has a content that cannot be read", where=f"prices {version}", found=content)


def costs(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """Every computed cost that was charged, and every correction, computed again."""
    prices = {version: _read(content) for version, content in _contents(snapshot)}
    for table, statement in (("records", _COMPUTED), ("rerates", _CORRECTED)):
        yield from _priced_again(table, snapshot.rows(statement), prices)
    ((others,),) = snapshot.rows(_NOT_COMPUTED)
    if others:
        yield Skipped(f"{others:,} costs that were reported by the provider or estimated")
    ((corrected,),) = snapshot.rows(_NOT_AGAIN)
    if corrected:
        yield Skipped(f"{corrected:,} corrections whose records are erased, or whose markup nobody kept")


def _priced_again(table: str, rows: Iterable[Row], prices: dict[str, Any]) -> Iterator[Finding]:
    for row in rows:
        request, version, charged = row[0], row[1], row[5]
        try:
            expected = _cost(prices[version], row)
        except (KeyError, TypeError, ValueError, AttributeError):
            yield Finding(what="cannot be priced again", where=f"{table} {request}", found=plain(version))
            continue
        if charged != expected:
            yield Finding(
                what="costs something else than its price says",
                where=f"{table} {request}",
                expected=expected,
                found=charged,
            )


def _contents(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    for version, content in snapshot.rows("SELECT version, content FROM prices"):
        yield version, str(content)


def _read(content: str) -> Any:
    try:
        return _decode(content)
    except msgspec.DecodeError:
        return None


def _cost(price: Any, row: Row) -> int:
    """Nanodollars. Raises KeyError, TypeError, ValueError or AttributeError where price or tools are not what they
    should be."""
    tier, tools, markup, told, images = row[2], row[3], row[4], row[6], row[7]
    steps = price.get("tiers", {}).get(tier, price)
    runs = _decode(told) if told else [dict(zip(_COUNTS, row[8:], strict=True))]
    priced = [(units, _rates(steps, _length(units))) for units in (_units(run, images) for run in runs)]
    rates = max(priced, key=lambda one: _length(one[0]))[1]
    called = _decode(tools) if tools else {}
    exact = sum(_tokens(*one) for one in priced) + rates.get("request", 0)
    exact += sum(calls * rates.get("tools", {}).get(tool, 0) for tool, calls in called.items())
    return round(Fraction(exact * (_MILLION + markup), _MILLION * _MILLION))


def _units(run: dict[str, int], images: int | None) -> dict[str, int]:
    """Of output that nobody divides all is images that was not thought."""
    units = dict.fromkeys(_COUNTS, 0) | run
    return units | {"image_output": max(units["output"] - units["reasoning"], 0) if images is None else images}


def _length(units: dict[str, int]) -> int:
    return sum(units[name] for name in _INPUT)


def _rates(price: dict[str, Any], length: int) -> dict[str, Any]:
    exceeded = [step for step in price.get("long_context", ()) if length > step["over"]]
    rates: dict[str, Any] = max(exceeded, key=lambda step: int(step["over"]))["rates"] if exceeded else price["rates"]
    return rates


def _tokens(units: dict[str, int], rates: dict[str, Any]) -> int:
    exact = 0
    left = dict(units)
    for name, among in _WITHIN:
        if name in rates:
            apart = min(units[name], left[among])
            left[among] -= apart
            exact += apart * rates[name]
    return exact + sum(
        left[name] * next((rates[rate] for rate in fallbacks if rate in rates), 0) for name, fallbacks in _RATES.items()
    )
