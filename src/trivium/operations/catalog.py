"""The catalogue as operators see it: every name that callers may use, and where it leads."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trivium.errors import OperationError
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
    """The house gives it away."""
    context: int | None
    """Tokens, as far as a list or the configuration tells; so are the next three."""
    output_limit: int | None
    takes: tuple[str, ...]
    parameters: tuple[str, ...] | None


def catalog_table(catalog: Callable[[], Catalog]) -> Table:
    async def models(query: ListCatalog, _: Actor) -> Listed[CatalogRow]:
        """Raises OperationError."""
        if query.after and not query.after.isdecimal():
            raise OperationError(NO_CURSOR)
        start, now = int(query.after or 0), catalog()
        rows = [_row(entry, target, now) for entry, target in now.listed]
        if query.provider is not None:
            rows = [row for row in rows if any(way.startswith(f"{query.provider}/") for way in row.routes)]
        end = start + query.limit
        return Listed(items=rows[start:end], next=str(end) if end < len(rows) else None)

    return {"catalog.models": Op(arguments=ListCatalog, result=Listed[CatalogRow], act=models)}


def _row(entry: ModelEntry, target: Target, catalog: Catalog) -> CatalogRow:
    return CatalogRow(
        id=entry.id,
        routes=tuple(f"{way.provider.name}/{way.model}" for way in catalog.routes(target)),
        free=target.free,
        context=entry.context,
        output_limit=entry.output_limit,
        takes=entry.takes,
        parameters=entry.parameters,
    )
