"""What an operator can ask of prices and say about them. `table` is for `Operations`.

A new override is in the store before `on_change` hears of it, so that the running gateway quotes by it from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec

from trivium.clock import Clock
from trivium.errors import NotFound, OperationError, RequestError
from trivium.metering.book import LEAST_MARKUP, MOST_MARKUP, Override, PriceBook
from trivium.metering.prices import Price, Quote
from trivium.metering.sheet import PriceFault, read_price, written
from trivium.operations.rerate import Rerate, Rerated, Rerating
from trivium.operations.table import Actor, Arguments, Moment, Op, Table
from trivium.routing.catalog import Catalog, Target
from trivium.store.accounts import Correction
from trivium.store.aside import aside
from trivium.store.prices import PriceStore, Stored, Used
from trivium.store.prices import Rerated as Rebooked

_AT_A_TIME = 10
"""Models that are quoted before others have their turn: a list may have thousands."""
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class Show(Arguments, frozen=True, kw_only=True):
    """The price of one model or of all that are listed, at a moment; or a version."""

    model: _Name | None = None
    version: _Name | None = None
    at_ms: Moment | None = None
    account_id: _Name | None = None


class Set(Arguments, frozen=True, kw_only=True):
    """A price, a markup or both; or the end of those that there are."""

    pattern: _Name
    price: dict[str, Any] | None = None
    markup_ppm: Annotated[int, msgspec.Meta(ge=LEAST_MARKUP, le=MOST_MARKUP)] | None = None
    remove: bool = False
    account_id: _Name | None = None
    effective_ms: Moment | None = None
    note: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


class History(Arguments, frozen=True):
    model: _Name


class Diff(Arguments, frozen=True):
    """Two versions, or everything that was last charged with and what the book says now."""

    a: _Name | None = None
    b: _Name | None = None


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs; or a version, with the model that it was first charged for."""

    model: str
    """`provider/model`; of a version the model alone."""
    version: str | None
    source: str | None
    price: dict[str, Any] | None
    """USD per million tokens; null: nobody knows."""
    markup_ppm: int | msgspec.UnsetType = msgspec.UNSET
    free: bool | msgspec.UnsetType = msgspec.UNSET
    context: int | msgspec.UnsetType | None = msgspec.UNSET
    output_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    byok: bool | msgspec.UnsetType = msgspec.UNSET
    provider: str | msgspec.UnsetType = msgspec.UNSET
    """Of a version, like the next."""
    first_ms: int | msgspec.UnsetType = msgspec.UNSET


class OverrideRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator said of a price."""

    pattern: str
    account_id: str | None
    effective_ms: int
    price: dict[str, Any] | None
    markup_ppm: int | None
    note: str | None
    created_ms: int
    seq: int


class UsedRow(Used, frozen=True, kw_only=True):
    source: str | None
    price: dict[str, Any] | None


class PriceHistory(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    charged: tuple[UsedRow, ...]
    rerated: tuple[Rebooked, ...]
    overrides: tuple[OverrideRow, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    model: str | None
    before: str
    after: str | None
    rates: dict[str, tuple[str | None, str | None]]
    """Those that are not the same, each before and after."""


class PriceOperations:
    """Must run where the store is owned, on the event loop that the book is asked on."""

    def __init__(
        self,
        prices: PriceStore,
        clock: Clock,
        *,
        book: Callable[[], PriceBook],
        catalog: Callable[[], Catalog],
        on_change: Callable[[tuple[Override, ...]], None],
        correct: Callable[[list[Correction], str], Awaitable[int]],
    ) -> None:
        """`book` and `catalog` are asked each time; `correct` books differences and says how many were new."""
        self._prices = prices
        self._clock = clock
        self._book = book
        self._catalog = catalog
        self._on_change = on_change
        self._rerating = Rerating(prices, clock, book, catalog, correct)
        self.table: Table = {
            "prices.show": Op(arguments=Show, result=PriceRow | list[PriceRow], act=self._show),
            "prices.set": Op(arguments=Set, result=OverrideRow, act=self._set, changes=True),
            "prices.history": Op(arguments=History, result=PriceHistory, act=self._history),
            "prices.diff": Op(arguments=Diff, result=list[Difference], act=self._diff),
            "prices.rerate": Op(arguments=Rerate, result=Rerated, act=self._rerate, changes=True),
        }

    async def _show(self, query: Show, _: Actor) -> Any:
        if query.version is not None:
            return await self._shown_version(query.version)
        time_ms = self._clock.now_ms() if query.at_ms is None else query.at_ms
        catalog, book = self._catalog(), self._book()
        if query.model is not None:
            return _shown(catalog.unveiled.resolve(query.model), book, query.account_id, time_ms)
        rows = []
        for provider, entry in catalog.models:
            target = catalog.unveiled.resolve(f"{provider}/{entry.id}")
            rows.append(_shown(target, book, query.account_id, time_ms))
            if not len(rows) % _AT_A_TIME:
                await asyncio.sleep(0)
        return rows

    async def _shown_version(self, version: str) -> dict[str, Any]:
        stored = await self._stored(version)
        told: dict[str, Any] = msgspec.to_builtins(stored)
        return {**told, "price": written(stored.price)}

    async def _set(self, query: Set, actor: Actor) -> dict[str, Any]:
        said = query.price is not None or query.markup_ppm is not None
        if said == query.remove:
            raise OperationError("Say a price, a markup or both; or remove them.")
        if not query.pattern.isprintable() or ("/" not in query.pattern and "*" not in query.pattern):
            raise OperationError("Name PROVIDER/MODEL, with `*` and `?` for many.")
        account = query.account_id
        if account is not None and not await asyncio.to_thread(self._prices.knows_account, account):
            raise OperationError(f"There is no account {account!r}; `trivium accounts list` shows them.")
        now = self._clock.now_ms()
        since_ms = now if query.effective_ms is None else query.effective_ms
        if query.remove and not await asyncio.to_thread(self._holds, query.pattern, account, since_ms):
            raise NotFound(f"There is no price or markup to remove: none was set for exactly {query.pattern!r}.")
        override = Override(
            pattern=query.pattern,
            account_id=account,
            effective_ms=since_ms,
            price=_read(query.price) if query.price is not None else None,
            markup_ppm=query.markup_ppm,
            note=query.note,
            created_ms=now,
        )
        kept = await asyncio.to_thread(self._prices.add, override, actor.id)
        self._on_change(await asyncio.to_thread(self._prices.overrides))
        return _said(kept)

    def _holds(self, pattern: str, account_id: str | None, time_ms: int) -> bool:
        """Whether something is set then for exactly this pattern and account."""
        said = [one for one in self._prices.overrides() if (one.pattern, one.account_id) == (pattern, account_id)]
        last = max(
            (one for one in said if one.effective_ms <= time_ms),
            key=lambda one: (one.effective_ms, one.seq),
            default=None,
        )
        return last is not None and not last.is_end

    async def _rerate(self, query: Rerate, actor: Actor) -> Rerated:
        return await self._rerating.rerate(query, actor.id)

    async def _history(self, query: History, _: Actor) -> dict[str, Any]:
        try:
            target = self._catalog().unveiled.resolve(query.model)
            name = f"{target.provider.name}/{target.model}"
        except RequestError:
            name = query.model
        used = await aside(self._prices.used, name)
        rerated = await aside(self._prices.rerated, name)
        overrides = await asyncio.to_thread(self._prices.overrides)
        return {
            "model": name,
            "charged": [await self._told(one) for one in used],
            "rerated": msgspec.to_builtins(rerated),
            "overrides": [_said(one) for one in overrides if one.fits(name)],
        }

    async def _told(self, used: Used) -> dict[str, Any]:
        stored = await asyncio.to_thread(self._prices.find, used.version)
        told: dict[str, Any] = msgspec.to_builtins(used)
        return {**told, "source": stored.source if stored else None, "price": written(stored.price) if stored else None}

    async def _diff(self, query: Diff, _: Actor) -> list[dict[str, Any]]:
        if query.a is not None and query.b is not None:
            first, second = await self._stored(query.a), await self._stored(query.b)
            rates = _differences(first.price, second.price)
            return [{"model": None, "from": query.a, "to": query.b, "rates": rates}]
        if query.a is not None:
            raise OperationError("Name two versions, or none.")
        used = await aside(self._prices.used)
        last = {one.model: one for one in sorted(used, key=lambda one: one.last_ms)}
        told = [await self._changed(one) for one in last.values()]
        return [one for one in told if one is not None]

    async def _changed(self, used: Used) -> dict[str, Any] | None:
        """What the book says otherwise than what a model was last charged with."""
        provider, _, model = used.model.partition("/")
        known = self._catalog().providers.get(provider)
        quote = self._book().quote(known, model, None, self._clock.now_ms()) if known else None
        if quote is not None and quote.version == used.version:
            return None
        before = await asyncio.to_thread(self._prices.find, used.version)
        return {
            "model": used.model,
            "from": used.version,
            "to": quote.version if quote else None,
            "rates": _differences(before.price, quote.price) if quote and before else {},
        }

    async def _stored(self, version: str) -> Stored:
        stored = await asyncio.to_thread(self._prices.find, version)
        if stored is None:
            raise OperationError(f"Nothing was ever charged with a price {version!r}.")
        return stored


def _read(table: dict[str, Any]) -> Price:
    try:
        return read_price(table)
    except PriceFault as fault:
        raise OperationError(f"This is no price: {fault}.") from None


def _shown(target: Target, book: PriceBook, account_id: str | None, time_ms: int) -> dict[str, Any]:
    limits = book.limits(target.provider, target.model)
    quote = book.quote(target.provider, target.model, account_id, time_ms)
    return {
        "model": f"{target.provider.name}/{target.model}",
        **_quoted(quote),
        "context": limits.context,
        "output_limit": limits.output,
        "byok": target.provider.byok,
    }


def _quoted(quote: Quote | None) -> dict[str, Any]:
    if quote is None:
        return {"version": None, "source": None, "markup_ppm": 0, "free": False, "price": None}
    return {
        "version": quote.version,
        "source": quote.source,
        "markup_ppm": quote.markup_ppm,
        "free": quote.free,
        "price": written(quote.price),
    }


def _said(override: Override) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(override)
    return {**told, "price": written(override.price) if override.price is not None else None}


def _differences(first: Price, second: Price) -> dict[str, list[str | None]]:
    """Rates that are not the same, each before and after; None where it is not priced apart."""
    before, after = _flat(written(first)), _flat(written(second))
    return {
        name: [before.get(name), after.get(name)]
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    }


def _flat(table: dict[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat
