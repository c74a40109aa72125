"""What calls there were and what they cost: single requests, receipts. `table` is for `Operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from trivium.errors import NotFound, OperationError
from trivium.metering.cost import ReceiptRow
from trivium.metering.record import Record
from trivium.operations.aside import aside
from trivium.operations.receipts import receipt_for
from trivium.operations.seen import SEEN, seen
from trivium.operations.table import (
    EVERY_ROLE,
    NO_CURSOR,
    Actor,
    Arguments,
    ListArguments,
    Listed,
    Needs,
    Op,
    Table,
)
from trivium.policy.caller import BILLS, Id
from trivium.store.reports import RequestQuery
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


class Receipt(Arguments, frozen=True, kw_only=True):
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
        needs = Needs(roles=BILLS, own=EVERY_ROLE, personal=True)
        self.table: Table = {
            "requests": Op(arguments=ListRequests, result=Listed[RequestRow], act=self._requests, needs=needs),  # type: ignore[valid-type]
            "receipt": Op(arguments=Receipt, result=list[ReceiptRow], act=self._receipt, needs=needs),
        }

    async def _requests(self, query: ListRequests, actor: Actor) -> Listed[dict[str, Any]]:
        await self._flush()
        asked = RequestQuery(
            id=query.id,
            limit=query.limit + 1,
            outcome=query.outcome,
            before=before(query.after),
            whose=Whose(organization=query.organization, user=query.user),
        )
        rows = await aside(self._store.requests, asked)
        last = rows[query.limit - 1] if len(rows) > query.limit else None
        cursor = f"{last['time_ms']}:{last['id']}" if last else None
        items = rows[: query.limit]
        return Listed(items=items if actor.house else [seen(row) for row in items], next=cursor)

    async def _receipt(self, query: Receipt, actor: Actor) -> list[ReceiptRow]:
        await self._flush()
        whose = Whose(organization=query.organization, user=query.user)
        found = await aside(self._store.requests, RequestQuery(id=query.request, whose=whose))
        if not found:
            raise NotFound(f"There is no request {query.request!r}.")
        return await aside(receipt_for, self._store.prices, found[0], house=actor.house)


def before(cursor: str) -> tuple[int, str] | None:
    """Raises OperationError for what is no cursor of ours."""
    if not cursor:
        return None
    time_ms, _, id = cursor.partition(":")
    if not time_ms.isdecimal() or len(time_ms) > 15:
        raise OperationError(NO_CURSOR)
    return int(time_ms), id
