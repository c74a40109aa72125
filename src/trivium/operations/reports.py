"""What calls there were and what they cost: single requests, receipts. `table` is for `Operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from trivium.errors import NotFound, OperationError
from trivium.metering.cost import ReceiptRow
from trivium.metering.record import Record
from trivium.operations.receipts import receipt_for
from trivium.operations.seen import SEEN, seen
from trivium.operations.table import NO_CURSOR, SEES_CALLS, Actor, Arguments, ListArguments, Listed, Op, Table
from trivium.policy.caller import Id
from trivium.store.aside import aside
from trivium.store.search import Place, Search
from trivium.store.store import Store
from trivium.store.whose import Whose

RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

_TOLD = {bool: int, bool | None: int | None}


def _column(name: str, kind: Any) -> tuple[Any, ...]:
    kind = _TOLD.get(kind, kind)
    return (name, kind) if name in SEEN else (name, kind | msgspec.UnsetType, msgspec.UNSET)


RequestRow = msgspec.defstruct(
    "RequestRow",
    [_column(name, kind) for name, kind in get_type_hints(Record).items()],
    frozen=True,
    kw_only=True,
)
"""A record as its table has it: what is true or false there is 1 or 0. Columns that are the house's alone are missing
for everybody else (`seen.py`)."""


class ListRequests(ListArguments, frozen=True, kw_only=True):
    """The newest requests first, or the one with an id."""

    id: RequestId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    outcome: Literal["success", "refused", "failed", "aborted"] | None = None
    organization: Id | None = None
    user: Id | None = None


class OneRequest(Arguments, frozen=True, kw_only=True):
    request: RequestId
    """Its id."""
    organization: Id | None = None
    user: Id | None = None


class ReportOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` hands over what is not in the database yet."""
        self._store = store
        self._flush = flush
        self.table: Table = {
            "requests": Op(arguments=ListRequests, result=Listed[RequestRow], act=self._requests, needs=SEES_CALLS),  # type: ignore[valid-type]
            "receipt": Op(arguments=OneRequest, result=list[ReceiptRow], act=self._receipt, needs=SEES_CALLS),
        }

    async def _requests(self, query: ListRequests, actor: Actor) -> Listed[dict[str, Any]]:
        await self._flush()
        whose = Whose(organization=query.organization, user=query.user)
        if query.id is not None:
            row = await aside(self._store.request, query.id, whose)
            rows, reached = [row] if row and query.outcome in (None, row["outcome"]) else [], None
        else:
            asked = Search(
                limit=query.limit + 1,
                only=() if query.outcome is None else (f"outcome:{query.outcome}",),
                before=before(query.after),
                whose=whose,
            )
            found = await aside(self._store.search, asked, public=not actor.house)
            rows, reached = found.rows[: query.limit], found.before
            if len(found.rows) > query.limit:
                reached = (rows[-1]["time_ms"], rows[-1]["id"])
        items = rows if actor.house else [seen(row) for row in rows]
        return Listed(items=items, next=reached and cursor_of(reached))

    async def _receipt(self, query: OneRequest, actor: Actor) -> list[ReceiptRow]:
        await self._flush()
        whose = Whose(organization=query.organization, user=query.user)
        found = await aside(self._store.request, query.request, whose)
        if found is None:
            raise NotFound(f"There is no request {query.request!r}.")
        return await aside(receipt_for, self._store.prices, found, house=actor.house)


def cursor_of(place: Place) -> str:
    """What `before` reads."""
    time_ms, id = place
    return f"{time_ms}:{id}"


def before(cursor: str) -> Place | None:
    """Raises OperationError for what is no cursor of ours."""
    if not cursor:
        return None
    time_ms, _, id = cursor.partition(":")
    if not time_ms.isdecimal() or len(time_ms) > 15:
        raise OperationError(NO_CURSOR)
    return int(time_ms), id
