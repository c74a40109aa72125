"""The catalogue as operators see it: every name that callers may use, and where it leads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from trivium.clock import Clock
from trivium.errors import OperationError
from trivium.metering.book import PriceBook
from trivium.operations.table import NO_CURSOR, Actor, ListArguments, Listed, Op, Table
from trivium.routing.catalog import Catalog, ModelEntry, Target


class ListCatalog(ListArguments, frozen=True, kw_only=True):
    provider: str | None = None
    """Only names that may lead to this one."""


class CatalogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A name."""

    id: str
    routes: tuple[str, ...]
    """`PROVIDER/MODEL`, in the order in which they are tried."""
    free: bool
    """Callers are charged nothing, whichever of its routes answers."""
    context: int | None
    """Tokens, as far as a list or the configuration tells; so are the next three."""
    output_limit: int | None
    takes: tuple[str, ...]
    parameters: tuple[str, ...] | None


def catalog_table(catalog: Callable[[], Catalog], prices: Callable[[], PriceBook], clock: Clock) -> Table:
    async def models(query: ListCatalog, _: Actor) -> Listed[CatalogRow]:
        """Raises OperationError."""
        if query.after and not query.after.isdecimal():
            raise OperationError(NO_CURSOR)
        start, known, book, now = int(query.after or 0), catalog(), prices(), clock.now_ms()
        found = [(entry, known.routes(target)) for entry, target in known.listed]
        if query.provider is not None:
            found = [one for one in found if any(way.provider.name == query.provider for way in one[1])]
        end = start + query.limit
        rows = [_row(entry, ways, book, now) for entry, ways in found[start:end]]
        return Listed(items=rows, next=str(end) if end < len(found) else None)

    return {"catalog.models": Op(arguments=ListCatalog, result=Listed[CatalogRow], act=models)}


def _row(entry: ModelEntry, ways: Sequence[Target], book: PriceBook, now_ms: int) -> CatalogRow:
    limits = book.limits(ways[0].provider, ways[0].model)
    return CatalogRow(
        id=entry.id,
        routes=tuple(f"{way.provider.name}/{way.model}" for way in ways),
        free=all(_is_free(way, book, now_ms) for way in ways),
        context=entry.context or limits.context,
        output_limit=entry.output_limit or limits.output,
        takes=entry.takes,
        parameters=entry.parameters,
    )


def _is_free(way: Target, book: PriceBook, now_ms: int) -> bool:
    quote = book.quote(way.provider, way.model, None, now_ms)
    return way.given_away(quote) or (quote is not None and quote.free)
