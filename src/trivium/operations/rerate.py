"""What past requests would cost at the prices that the book has by now for their own time; on demand it is booked.

Only costs that we computed or estimated, or had no price for, and that the house paid for: what a provider reported is
what it cost. A request without a price in the book, or whose tokens nobody knows, stays as it is and is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from trivium.canon.usage import Usage
from trivium.clock import Clock
from trivium.metering.book import PriceBook, Priced
from trivium.metering.cost import cost
from trivium.metering.prices import Quote
from trivium.metering.record import usage_of
from trivium.operations.table import Arguments, Moment, check_span
from trivium.routing.catalog import Catalog
from trivium.store.accounts import Correction
from trivium.store.prices import Charged, PriceStore


class Rerate(Arguments, frozen=True, kw_only=True):
    """Which requests; `until_ms` excluded."""

    since_ms: Moment
    until_ms: Moment | None = None
    model: str | None = None
    """`provider/model`."""
    apply: bool = False


class RerateGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of one model and account, in nanodollars."""

    model: str
    account_id: str | None
    requests: int
    changed: int
    unpriced: int
    before_nano: int
    after_nano: int
    difference_nano: int


class Rerated(msgspec.Struct, frozen=True, kw_only=True):
    groups: tuple[RerateGroup, ...]
    booked: int
    """How many differences were booked."""


class _Gone(msgspec.Struct, frozen=True):
    """A provider that is configured no more: the price data may know it by its name."""

    name: str
    kind: str
    base_url: str = ""
    lists_prices: bool = False


class _Sum:
    """Of one model and account."""

    def __init__(self) -> None:
        self.requests = self.before = self.after = self.changed = self.unpriced = 0


class Rerating:
    """Must run on the event loop that the book is asked on."""

    def __init__(
        self,
        prices: PriceStore,
        clock: Clock,
        book: Callable[[], PriceBook],
        catalog: Callable[[], Catalog],
        correct: Callable[[list[Correction], str], Awaitable[int]],
    ) -> None:
        self._prices = prices
        self._clock = clock
        self._book = book
        self._catalog = catalog
        self._correct = correct

    async def rerate(self, query: Rerate, actor: str) -> Rerated:
        """Sums by model and account; `actor` is in whose name differences are booked."""
        check_span(query.since_ms, query.until_ms)
        book, booked = self._book(), 0
        sums: dict[tuple[str, str | None], _Sum] = {}
        until_ms = self._clock.now_ms() + 1 if query.until_ms is None else query.until_ms
        async for page in self._prices.charged(query.since_ms, until_ms, query.model):
            corrections: list[Correction] = []
            quotes: dict[str, Quote] = {}
            for charged in page:
                quote = self._quote(book, charged)
                correction = _correction(charged, quote)
                _add(sums, charged, correction)
                if quote is not None and correction is not None and correction.after_nano != correction.before_nano:
                    corrections.append(correction)
                    quotes[quote.version] = quote
            if query.apply and corrections:
                await asyncio.to_thread(self._prices.keep, list(quotes.values()), self._clock.now_ms())
                booked += await self._correct(corrections, actor)
        return Rerated(groups=tuple(_told(key, sums[key]) for key in sorted(sums, key=str)), booked=booked)

    def _quote(self, book: PriceBook, charged: Charged) -> Quote | None:
        record = charged.record
        name, model = record["provider"], record["upstream_model"]
        if name is None or model is None:
            return None
        provider: Priced = self._catalog().providers.get(name) or _Gone(name, name)
        return book.quote(provider, model, charged.whose, record["time_ms"])


def _correction(charged: Charged, quote: Quote | None) -> Correction | None:
    """The cost by now; None where nobody can tell."""
    record = charged.record
    usage = usage_of(record)
    if quote is None or (charged.cost_nano and usage == Usage()):
        return None
    return Correction(
        request_id=record["id"],
        account_id=record["account_id"],
        before_nano=charged.cost_nano,
        after_nano=cost(usage, quote, record["service_tier"]).nano,
        price_version=quote.version,
        markup_ppm=quote.markup_ppm,
    )


def _add(sums: dict[tuple[str, str | None], _Sum], charged: Charged, correction: Correction | None) -> None:
    record = charged.record
    sum = sums.setdefault((f"{record['provider']}/{record['upstream_model']}", record["account_id"]), _Sum())
    sum.requests += record["requests"]
    sum.before += charged.cost_nano
    sum.after += charged.cost_nano if correction is None else correction.after_nano
    sum.unpriced += correction is None
    sum.changed += correction is not None and correction.after_nano != correction.before_nano


def _told(key: tuple[str, str | None], sum: _Sum) -> RerateGroup:
    model, account_id = key
    return RerateGroup(
        model=model,
        account_id=account_id,
        requests=sum.requests,
        changed=sum.changed,
        unpriced=sum.unpriced,
        before_nano=sum.before,
        after_nano=sum.after,
        difference_nano=sum.after - sum.before,
    )
