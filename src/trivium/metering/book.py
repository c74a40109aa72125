"""The price book: what a model costs at a moment, for an account. A snapshot, replaced whole when a source changes.

Sources, the first that knows a price wins:

1. overrides of the operator, kept in the store with the day from which they hold;
2. `[models."PROVIDER/MODEL"]` of the configuration;
3. the provider's own list of models, of providers whose lists tell prices;
4. the price data (`metering/dataset.py`) with what `metering/overlay.py` adds;
5. the embedded model costs nothing.

Among overrides that fit, one for the account goes before one for all, an exact name before a pattern, a longer pattern
before a shorter one, and of the same pattern the one that came into force last. A markup is found in the same order, on
its own: it lies on top of whatever price was found. Only the time of the request is compared with dates, no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Protocol, TypeVar

import msgspec

from trivium.canon import wildcard
from trivium.canon.api import Kind, Solo
from trivium.metering.dataset import Dataset, Dated, Found
from trivium.metering.overlay import GATEWAYS, VENDORS, image_limit, limits_of, output_limit, overlaid
from trivium.metering.prices import FREE, Limits, Price, Quote, version_of
from trivium.metering.sheet import PriceFault, read_price
from trivium.settings import Settings, wrong_setting

EMBEDDED = "local"
LEAST_MARKUP, MOST_MARKUP = -1_000_000, 100_000_000
"""Parts per million: from given away to a hundredfold on top."""
FALLBACKS: Mapping[Kind, Price] = {Solo.FIM: read_price({"input": "0.30", "output": "0.90"})}
"""Of models whose price nobody knows, by the API through which they are asked (vendors page, "FIM")."""
_CACHED = 10_000
"""Names come from callers, so they are not kept for ever."""


class Priced(Protocol):
    """What the book asks of a provider."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def lists_prices(self) -> bool: ...


class Listed(Protocol):
    """What a provider's own list says of a model."""

    @property
    def price(self) -> Price | None: ...
    @property
    def context(self) -> int | None: ...
    @property
    def output_limit(self) -> int | None: ...


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's word, in force from `effective_ms` on; with neither price nor markup it ends those before it."""

    pattern: str
    """Of `provider/model`."""
    effective_ms: int
    account_id: str | None = None
    """None: for all."""
    price: Price | None = None
    markup_ppm: Annotated[int, msgspec.Meta(ge=LEAST_MARKUP, le=MOST_MARKUP)] | None = None
    note: str | None = None
    created_ms: int = 0
    seq: int = 0
    """Later words win over earlier ones from the same moment."""

    def fits(self, name: str) -> bool:
        """Whether it speaks of the model `provider/model`."""
        return wildcard.compiled(self.pattern).fullmatch(name) is not None

    @property
    def is_end(self) -> bool:
        return self.price is None and self.markup_ppm is None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or a pattern of them, in the configuration."""

    pattern: str
    price: Price | None = None
    limits: Limits = Limits()


def entries(settings: Settings) -> tuple[Entry, ...]:
    """The configuration's models. Raises ConfigError with file, line and key."""
    return tuple(
        Entry(
            pattern=pattern,
            price=FREE if said.free else _configured(settings, pattern, said.price),
            limits=Limits(said.context, said.output_limit),
        )
        for pattern, said in settings.models.items()
    )


def _configured(settings: Settings, pattern: str, table: object) -> Price | None:
    if table is None:
        return None
    try:
        return read_price(table)
    except PriceFault as fault:
        path = ("models", pattern, "price", *fault.path)
        raise wrong_setting(settings.source, path, fault.expected) from None


class _Kept(msgspec.Struct, frozen=True):
    quote: Quote | None
    since_ms: int
    until_ms: int


_K = TypeVar("_K")
_V = TypeVar("_V")
_Lists = Mapping[str, Mapping[str, Listed]]


class PriceBook:
    """Asked on the event loop alone."""

    def __init__(
        self,
        dataset: Dataset | None = None,
        entries: Sequence[Entry] = (),
        overrides: Iterable[Override] = (),
        listed: _Lists | None = None,
    ) -> None:
        """`listed`: models by provider name and id."""
        self._dataset = dataset
        self._entries = sorted(entries, key=lambda entry: wildcard.precision(entry.pattern), reverse=True)
        self._overrides = sorted(overrides, key=_rank, reverse=True)
        self._patterns = {
            pattern: wildcard.compiled(pattern)
            for pattern in (*(one.pattern for one in self._entries), *(one.pattern for one in self._overrides))
        }
        self._listed = listed or {}
        self._quotes: OrderedDict[tuple[str, str, str, str | None], _Kept] = OrderedDict()
        self._limits: OrderedDict[tuple[str, str], Limits] = OrderedDict()

    def with_overrides(self, overrides: Iterable[Override]) -> PriceBook:
        """The same book under other overrides."""
        return PriceBook(self._dataset, self._entries, overrides, self._listed)

    def with_listed(self, listed: _Lists, entries: Sequence[Entry] | None = None) -> PriceBook:
        """The same book over other lists of the providers, and under another configuration if there is one."""
        return PriceBook(self._dataset, self._entries if entries is None else entries, self._overrides, listed)

    def with_dataset(self, dataset: Dataset | None) -> PriceBook:
        """The same book over other price data."""
        return PriceBook(dataset, self._entries, self._overrides, self._listed)

    def quote(self, provider: Priced, model: str, account_id: str | None, time_ms: int) -> Quote | None:
        """The price of an upstream's model; None where nobody knows it."""
        key = (provider.name, provider.base_url, model, account_id)
        kept = self._quotes.get(key)
        if kept is not None and kept.since_ms <= time_ms < kept.until_ms:
            self._quotes.move_to_end(key)
            return kept.quote
        kept = self._look_up(provider, model, account_id, time_ms)
        _keep(self._quotes, key, kept)
        return kept.quote

    def limits(self, provider: Priced, model: str) -> Limits:
        """The most tokens of the model's context and of an answer, each as far as it is known."""
        key = (provider.name, model)
        limits = self._limits.get(key)
        if limits is None:
            limits = self._look_up_limits(provider, model)
            _keep(self._limits, key, limits)
        return limits

    def _look_up(self, provider: Priced, model: str, account_id: str | None, time_ms: int) -> _Kept:
        name = f"{provider.name}/{model}"
        fitting = [
            one
            for one in self._overrides
            if one.account_id in (None, account_id) and self._patterns[one.pattern].fullmatch(name)
        ]
        moments = [one.effective_ms for one in fitting]
        ruling = next((one for one in _in_force(fitting, time_ms, "price") if one.price is not None), None)
        if ruling is not None:
            found, source = Dated(ruling.price), "override"
        else:
            found, source = self._unruled(provider, model, name, time_ms)
        return _Kept(
            quote=_quoted(found.price, source, provider.name, model, _markup(fitting, time_ms)),
            since_ms=max([found.since_ms, *(moment for moment in moments if moment <= time_ms)]),
            until_ms=min([found.until_ms, *(moment for moment in moments if moment > time_ms)]),
        )

    def _unruled(self, provider: Priced, model: str, name: str, time_ms: int) -> tuple[Dated, str]:
        """The price that no override says, and who says it."""
        for entry in self._entries:
            if entry.price is not None and self._patterns[entry.pattern].fullmatch(name):
                return Dated(entry.price), "config"
        listed = self._listed.get(provider.name, {}).get(model) if provider.lists_prices else None
        if listed is not None and listed.price is not None:
            return Dated(listed.price), "list"
        found = self._found(provider, model)
        if found is not None and self._dataset is not None:
            source = f"dataset {self._dataset.version} {found.provider}/{found.id}"
            return overlaid(found, found.at(time_ms), time_ms, provider.base_url, model), source
        return Dated(FREE if provider.kind == EMBEDDED else None), "free"

    def _found(self, provider: Priced, model: str) -> Found | None:
        dataset = self._dataset
        if dataset is None:
            return None
        known = (name for one in (provider.kind, provider.name) for name in (one, VENDORS.get(one)))
        names = (dataset.at_address(provider.base_url), *known)
        owner = next((name for name in names if name is not None and name in dataset), None)
        found = dataset.find(owner, model) if owner else None
        if found is None and provider.kind in GATEWAYS:
            vendor, _, rest = model.partition("/")
            vendor = VENDORS.get(vendor, vendor)
            found = dataset.find(vendor, rest) if rest and vendor in dataset else None
        return found

    def _look_up_limits(self, provider: Priced, model: str) -> Limits:
        name = f"{provider.name}/{model}"
        told = [one.limits for one in self._entries if self._patterns[one.pattern].fullmatch(name)]
        if listed := self._listed.get(provider.name, {}).get(model):
            told.append(Limits(listed.context, listed.output_limit))
        found = self._found(provider, model)
        told.append(Limits(found.context if found else None, output_limit(model)))
        context, output = _first(one.context for one in told), _first(one.output for one in told)
        return limits_of(context, output, image_limit(model))


def fallback(kind: Kind, provider: str, model: str) -> Quote | None:
    """The price of a model that nobody knows, where its API has one."""
    price = FALLBACKS.get(kind)
    return _quoted(price, "fallback", provider, model, 0)


def _rank(override: Override) -> tuple[bool, tuple[bool, int], int, int]:
    precision = wildcard.precision(override.pattern)
    return override.account_id is not None, precision, override.effective_ms, override.seq


def _in_force(fitting: Sequence[Override], time_ms: int, part: str) -> list[Override]:
    """Of each pattern and account the last word on one part (`price` or `markup_ppm`), the most particular first."""
    last: dict[tuple[str, str | None], Override] = {}
    for one in fitting:
        if one.effective_ms <= time_ms and (one.is_end or getattr(one, part) is not None):
            last.setdefault((one.pattern, one.account_id), one)
    return list(last.values())


def _markup(fitting: Sequence[Override], time_ms: int) -> int:
    return _first(one.markup_ppm for one in _in_force(fitting, time_ms, "markup_ppm")) or 0


def _quoted(price: Price | None, source: str, provider: str, model: str, markup_ppm: int) -> Quote | None:
    if price is None:
        return None
    return Quote(
        price=price,
        version=version_of(price),
        source=source,
        provider=provider,
        model=model,
        markup_ppm=markup_ppm,
        free=price.is_free,
    )


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)


def _keep(kept: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _CACHED:
        kept.popitem(last=False)
