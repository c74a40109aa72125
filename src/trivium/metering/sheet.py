"""Prices as people write them, in configuration and on the command line.

USD per million tokens, tools and requests per thousand, as decimal strings or as numbers:

    { input = "3", output = "15", cache_read = 0.3, tools = { web_search = "10" }, request = "0",
      over_200000 = { input = "6" }, tiers.batch = { input = "1.5" } }

`over_N` are the rates of requests whose input has more than N tokens, `tiers` those of service tiers. What either
leaves out is the rate that it would have been without; what a tier tells counts at every length, unless its own
`over_N` say otherwise. Nothing is rounded: an amount that has no exact place is refused, and so is whatever is
negative, no number, absurd or unknown. A TOML float means the digits it was written with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from trivium.metering.prices import BUCKETS, TIERS, TOKEN_RATES, TOOL, Price, Sheet, assembled, flat, sheet_of
from trivium.money import NANO, nano_text, usd_text

_THOUSAND = 1000
_MOST = 10**6
"""USD per million tokens, or per thousand calls: more than that is a mistake."""
_AMOUNT = re.compile(r"(?a)\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,2})?")
_OVER = re.compile(r"(?a)over_([1-9]\d{0,8})")
_TOOL = re.compile(r"[a-z0-9_]{1,64}")
_ALIASES = {"cache_write": "cache_write_5m"}
_PER_THOUSAND = "request"
_KEYS = f"{', '.join(TOKEN_RATES)}, request, tools, over_N"
_Steps = dict[str, dict[int, int]]
"""Rates by name and by the length from which they count."""


class PriceFault(ValueError):
    """A price that cannot be used: where in the table, and what was expected there."""

    def __init__(self, path: tuple[str, ...], expected: str) -> None:
        super().__init__(f"{'.'.join(path)}: {expected}" if path else expected)
        self.path = path
        self.expected = expected


def read_price(table: object) -> Price:
    """The price that a table says. Raises PriceFault."""
    said = _table(table, ())
    tiers = _table(said.get("tiers", {}), ("tiers",))
    for name in tiers:
        if name not in TIERS:
            raise PriceFault(("tiers", name), f"unknown service tier; expected one of {', '.join(TIERS)}")
    standard = _sheet({key: value for key, value in said.items() if key != "tiers"}, ())
    for name in ("input", "output"):
        if name not in standard:
            raise PriceFault((name,), "missing; a price needs input and output")
    return assembled(standard, {name: _tier(said, standard, ("tiers", name)) for name, said in tiers.items()})


def written(price: Price) -> dict[str, Any]:
    """The table that says a price: `read_price(written(price)) == price`."""
    standard = sheet_of(price)
    tiers = {
        name: _table_of({rate: curve for rate, curve in sheet_of(tier).items() if curve != standard.get(rate)})
        for name, tier in price.tiers.items()
    }
    told = {rate: curve for rate, curve in standard.items() if rate != _PER_THOUSAND or curve != flat(0)}
    return {**_table_of(told), **({"tiers": tiers} if tiers else {})}


def _tier(table: object, standard: Sheet, path: tuple[str, ...]) -> Sheet:
    return _sheet(_table(table, path), path, standard)


def _sheet(said: Mapping[str, Any], path: tuple[str, ...], otherwise: Sheet | None = None) -> Sheet:
    """One table's rates. A rate that only its `over_N` tell begins as it is `otherwise`."""
    steps: _Steps = {}
    _collect(said, path, -1, steps)
    for key, value in said.items():
        if over := _OVER.fullmatch(key):
            _collect(_table(value, (*path, key)), (*path, key), int(over[1]), steps)
    for name, rates in steps.items():
        if -1 not in rates:
            rates[-1] = _beginning(name, steps, otherwise or {})
    return {name: tuple(sorted(rates.items())) for name, rates in steps.items()}


def _beginning(name: str, steps: _Steps, otherwise: Sheet) -> int:
    """The rate below the first step of one that is not told there: that of the bucket it falls to."""
    if name in otherwise:
        return otherwise[name][0][1]
    bucket = BUCKETS.get(name)
    if bucket is None:
        return 0
    return steps[bucket][-1] if -1 in steps.get(bucket, {}) else _beginning(bucket, steps, otherwise)


def _collect(said: Mapping[str, Any], path: tuple[str, ...], over: int, steps: _Steps) -> None:
    for key, value in said.items():
        name = _ALIASES.get(key, key)
        if name in TOKEN_RATES:
            steps.setdefault(name, {})[over] = _amount(value, (*path, key), 1)
        elif name == _PER_THOUSAND:
            steps.setdefault(name, {})[over] = _amount(value, (*path, key), _THOUSAND)
        elif name == "tools":
            for tool, price in _table(value, (*path, key)).items():
                if not _TOOL.fullmatch(tool):
                    raise PriceFault((*path, key, tool), "expected a tool's name of a-z, 0-9 and '_'")
                steps.setdefault(TOOL + tool, {})[over] = _amount(price, (*path, key, tool), _THOUSAND)
        elif not (over < 0 and _OVER.fullmatch(key)):
            raise PriceFault((*path, key), f"unknown; expected one of {_KEYS}{'' if path else ', tiers'}")


def _table(value: object, path: tuple[str, ...]) -> Mapping[str, Any]:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    raise PriceFault(path, "expected a table of amounts")


def _amount(value: object, path: tuple[str, ...], per: int) -> int:
    """USD per million (or per thousand, `per` times as many to the million) as nanodollars per million."""
    text = value if isinstance(value, str) else repr(value)
    if not _AMOUNT.fullmatch(text):
        raise PriceFault(path, f"expected an amount in USD that is not negative, such as 0.25, got {text[:40]}")
    usd = Fraction(text)
    if usd > _MOST:
        raise PriceFault(path, f"expected at most {_MOST} USD, got {text}")
    rate = usd * NANO * per
    if rate.denominator != 1:
        raise PriceFault(path, f"{text} USD is finer than a billionth of a dollar")
    return int(rate)


def _table_of(sheet: Sheet) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for over in sorted({over for curve in sheet.values() for over, _ in curve}):
        into = table if over < 0 else table.setdefault(f"over_{over}", {})
        for name, curve in sheet.items():
            for rate in (rate for start, rate in curve if start == over):
                _write(into, name, rate)
    return table


def _write(into: dict[str, Any], name: str, rate: int) -> None:
    if name.startswith(TOOL):
        into.setdefault("tools", {})[name.removeprefix(TOOL)] = _per_thousand(rate)
    else:
        into[name] = _per_thousand(rate) if name == _PER_THOUSAND else nano_text(rate)


def _per_thousand(rate: int) -> str:
    return usd_text(Decimal(rate).scaleb(-12))
