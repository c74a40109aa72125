"""The price data that `metering/extract.py` made, looked up as its package looks it up.

A provider is found by its id, or by a pattern over its base URL; a model by the first clause that its name satisfies,
then under the providers it may fall back to (one step), then once more with a compact date (`-20251211`) written with
dashes. Prices stay bytes until they are asked for, and so do clauses until their provider is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Annotated, Any

import msgspec

from trivium.clock import DAY_MS
from trivium.metering.prices import Curve, Price, assembled

MADE = 2
"""Of what is taken out of the package: a file that says another number, or none, was made by another Trivium."""
FOREVER = 2**62
"""A time in milliseconds that never comes; its negative never was."""
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")

_When = int | tuple[int, int] | None
"""In force from a moment in milliseconds on, or daily between two seconds of the day, or always."""
_Curves = dict[str, Curve]
_Prices = tuple[tuple[_When, _Curves | None], ...]
_Tiers = tuple[tuple[str, _When, _Curves], ...]


class Dated(msgspec.Struct, frozen=True):
    """A price, and from when until when (excluded) it is the same. None: nobody knows it."""

    price: Price | None
    since_ms: int = -FOREVER
    until_ms: int = FOREVER


class Found(msgspec.Struct, frozen=True):
    """One model of the data."""

    provider: str
    id: str
    context: int | None
    prices: _Prices
    tiers: _Tiers

    def at(self, time_ms: int) -> Dated:
        """The price at a moment: the last standard price that is in force; of a tier's, the first for each rate."""
        since, until = self._span(time_ms)
        standard = self.prices[0][1]
        for when, curves in self.prices:
            if _is_in_force(when, time_ms):
                standard = curves
        if standard is None:
            return Dated(None, since, until)
        tiers: dict[str, _Curves] = {}
        for tier, when, curves in self.tiers:
            if _is_in_force(when, time_ms):
                tiers[tier] = {**curves, **tiers.get(tier, {})}
        return Dated(assembled(standard, tiers), since, until)

    def _span(self, time_ms: int) -> tuple[int, int]:
        whens = [when for when, _ in self.prices] + [when for _, when, _ in self.tiers]
        changes = [moment for when in whens for moment in _changes(when, time_ms)]
        before = (moment for moment in changes if moment <= time_ms)
        after = (moment for moment in changes if moment > time_ms)
        return max(before, default=-FOREVER), min(after, default=FOREVER)


class _Model(msgspec.Struct, frozen=True):
    id: str
    match: list[Any]
    context: int | None
    prices: msgspec.Raw
    tiers: msgspec.Raw


class _Whole(msgspec.Struct, frozen=True):
    """A model, decoded to be checked."""

    id: str
    match: list[Any]
    prices: _Prices
    tiers: _Tiers


class _Provider(msgspec.Struct, frozen=True):
    id: str
    api: str
    fallbacks: list[str]
    models: msgspec.Raw


class _File(msgspec.Struct, frozen=True):
    package: str
    made: Annotated[int, msgspec.Meta(ge=MADE, le=MADE)]
    providers: list[_Provider]


class Dataset:
    """Made of the file's bytes. Raises ValueError where anything in them is not what it should be, so that no look-up
    ever meets it."""

    def __init__(self, content: bytes) -> None:
        file = msgspec.json.decode(content, type=_File)
        for provider in file.providers:
            _check(provider)
        self.version = file.package
        self._providers = {provider.id: provider for provider in file.providers}
        self._models: dict[str, list[tuple[_Test, _Model]]] = {}

    def __contains__(self, provider: str) -> bool:
        return provider in self._providers

    def at_address(self, base_url: str) -> str | None:
        """The id of the provider whose API is there."""
        return next((id for id, provider in self._providers.items() if re.match(provider.api, base_url)), None)

    def find(self, provider: str, model: str) -> Found | None:
        """A model by any name that the provider knows it by."""
        name = model.lower()
        dashed = _COMPACT_DATE.sub(_with_dashes, name)
        found = self._find(provider, name) or (self._find(provider, dashed) if dashed != name else None)
        if found is None:
            return None
        owner, row = found
        return Found(
            owner,
            row.id,
            row.context,
            msgspec.json.decode(row.prices, type=_Prices),
            msgspec.json.decode(row.tiers, type=_Tiers),
        )

    def _find(self, provider: str, name: str) -> tuple[str, _Model] | None:
        for id in (provider, *self._providers[provider].fallbacks):
            for test, model in self._tested(id):
                if test(name):
                    return id, model
        return None

    def _tested(self, provider: str) -> list[tuple[_Test, _Model]]:
        if provider not in self._models:
            owner = self._providers.get(provider)
            rows = msgspec.json.decode(owner.models, type=list[_Model]) if owner else []
            self._models[provider] = [(_test(row.match), row) for row in rows]
        return self._models[provider]


def _check(provider: _Provider) -> None:
    try:
        re.compile(provider.api)
        for row in msgspec.json.decode(provider.models, type=list[_Whole]):
            _test(row.match)
            if not row.prices:
                raise ValueError(f"{row.id} has no prices")
    except (KeyError, TypeError, re.error) as error:
        raise ValueError(f"{provider.id}: {error!r}") from None


_Test = Callable[[str], bool]


def _test(clause: list[Any]) -> _Test:
    """A clause as a function of a name in lower case."""
    kind, *arguments = clause
    return _TESTS[kind](*arguments)


def _searching(pattern: re.Pattern[str]) -> _Test:
    return lambda name: pattern.search(name) is not None


def _any(*clauses: list[Any]) -> _Test:
    tests = [_test(clause) for clause in clauses]
    return lambda name: any(test(name) for test in tests)


def _all(*clauses: list[Any]) -> _Test:
    tests = [_test(clause) for clause in clauses]
    return lambda name: all(test(name) for test in tests)


_TESTS: dict[str, Callable[..., _Test]] = {
    "equals": lambda text: text.__eq__,
    "starts_with": lambda text: lambda name: name.startswith(text),
    "ends_with": lambda text: lambda name: name.endswith(text),
    "contains": lambda text: lambda name: text in name,
    "regex": lambda text: _searching(re.compile(text)),
    "or": _any,
    "and": _all,
}


def _with_dashes(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return match[0]
    return f"-{year}-{month}-{day}"


def _is_in_force(when: _When, time_ms: int) -> bool:
    if when is None:
        return True
    if isinstance(when, int):
        return time_ms >= when
    start, end = when
    second = time_ms % DAY_MS / 1000
    return start <= second < end if start <= end else second >= start or second < end


def _changes(when: _When, time_ms: int) -> Iterator[int]:
    """Moments around the given one at which it comes into force or goes."""
    if isinstance(when, int):
        yield when
    elif when is not None:
        midnight = time_ms - time_ms % DAY_MS
        for day in (midnight - DAY_MS, midnight, midnight + DAY_MS):
            yield from (day + second * 1000 for second in when)
