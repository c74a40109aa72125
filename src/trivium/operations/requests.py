"""Finding requests, watching them end, and the story of one: `table` is for `Operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec

from trivium.errors import RoleMissing
from trivium.metering.record import Record
from trivium.operations.reports import OneRequest, RequestRow, before, cursor_of
from trivium.operations.seen import seen
from trivium.operations.story import Story, story_of
from trivium.operations.table import SEES_CALLS, Actor, Cursor, ListArguments, Op, Table, check_span
from trivium.patterns import matching
from trivium.policy.caller import Id
from trivium.providers.custom import is_custom
from trivium.store import rollups
from trivium.store.aside import aside
from trivium.store.search import Search
from trivium.store.store import Store
from trivium.store.usage import Moment
from trivium.store.whose import Whose

_Word = Annotated[str, msgspec.Meta(max_length=300)]
_FILTERS = ("model", "provider", "key", "project", "api", "app", "outcome")


class _Filters(ListArguments, frozen=True, kw_only=True):
    """Which requests. An empty text: where there is none."""

    model: _Word | None = None
    """As usage is summed by it: `provider/model`."""
    provider: _Word | None = None
    key: _Word | None = None
    project: _Word | None = None
    api: _Word | None = None
    app: _Word | None = None
    """The program that called, as usage is summed by it."""
    outcome: Literal["success", "refused", "failed", "aborted"] | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    """That the client got."""
    min_cost_nano: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    organization: Id | None = None
    user: Id | None = None


class SearchRequests(_Filters, frozen=True, kw_only=True):
    """The newest first."""

    since_ms: Moment | None = None
    until_ms: Moment | None = None
    """Excluded."""
    requested: _Word | None = None
    """The model's name in the request."""
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Of the id: its beginning, or a part of it."""
    verdict: Literal["allow", "soft_block", "challenge", "hard_block", "suspect"] | None = None
    """Of who looked for abuse; `suspect`: any but `allow`. For the house."""
    flag: Annotated[str, matching(r"^[a-z0-9_]{1,60}\Z", "1 to 60 of a-z, 0-9 and _")] | None = None
    """A word among the record's flags, such as `free_limit`. For the house."""
    address: Annotated[str, matching(r"^[0-9a-f]{16}\Z", "16 hexadecimal digits")] | None = None
    """Where from, as `free.use` names addresses. For the house."""


class TailRequests(_Filters, frozen=True, kw_only=True):
    """Those that ended behind `after`, in the order in which they did; without it, the last ones."""

    after: Cursor = ""


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    items: list[RequestRow]  # type: ignore[valid-type]
    next: str
    """`after` of the next look."""
    skipped: bool
    """Requests ended in between that are not remembered any more."""


class FoundRequests(msgspec.Struct, frozen=True, kw_only=True):
    items: list[RequestRow]  # type: ignore[valid-type]
    next: str | None
    """`after` of the next part, which there may be where this one is empty; null: this was the last."""
    searched_ms: int | None
    """Back to when this part looked; null: to the end."""


class RequestOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` hands over what is not in the database yet."""
        self._store = store
        self._flush = flush
        self.table: Table = {
            "requests.search": Op(arguments=SearchRequests, result=FoundRequests, act=self._search, needs=SEES_CALLS),
            "requests.tail": Op(arguments=TailRequests, result=Tail, act=self._tail, needs=SEES_CALLS),
            "requests.story": Op(arguments=OneRequest, result=Story, act=self._story, needs=SEES_CALLS),
        }

    async def _search(self, query: SearchRequests, actor: Actor) -> dict[str, Any]:
        """Raises RoleMissing for filters that are the house's."""
        if not actor.house and (query.verdict or query.flag or query.address):
            raise RoleMissing("Verdicts, flags and addresses are for the operators of the gateway.")
        check_span(query.since_ms, query.until_ms)
        await self._flush()
        asked = Search(
            since_ms=query.since_ms or 0,
            only=_only(query),
            status=query.status,
            min_cost_nano=query.min_cost_nano,
            requested=query.requested,
            text=query.text,
            verdict=query.verdict,
            flag=query.flag,
            address=query.address,
            before=before(query.after),
            limit=query.limit,
            whose=Whose(organization=query.organization, user=query.user),
            **({} if query.until_ms is None else {"until_ms": query.until_ms}),
        )
        found = await aside(self._store.search, asked, public=not actor.house)
        items = found.rows if actor.house else [seen(row) for row in found.rows]
        place = found.before
        return {"items": items, "next": place and cursor_of(place), "searched_ms": place and place[0]}

    async def _tail(self, query: TailRequests, actor: Actor) -> Tail:
        whose = Whose(organization=query.organization, user=query.user)
        theirs = await aside(self._store.is_theirs, whose)

        def wanted(record: Record) -> bool:
            return theirs(record) and _is_like(record, query, public=not actor.house)

        records, cursor, skipped = self._store.ledger.recent.after(query.after, query.limit, wanted)
        rows = [_row(record) for record in records]
        told = {"items": rows if actor.house else [seen(row) for row in rows], "next": cursor, "skipped": skipped}
        return msgspec.convert(told, Tail)

    async def _story(self, query: OneRequest, actor: Actor) -> Story:
        await self._flush()
        await self._store.captures.flush()
        whose = Whose(organization=query.organization, user=query.user)
        return await aside(story_of, self._store, query.request, whose, house=actor.house)


def _only(query: _Filters) -> tuple[str, ...]:
    told = {name: getattr(query, name) for name in _FILTERS}
    return tuple(f"{name}:{value}" for name, value in told.items() if value is not None)


def _is_like(record: Record, query: _Filters, *, public: bool) -> bool:
    """What `Search` says in SQL."""
    if query.status not in (None, record.status) or record.cost_nano < query.min_cost_nano:
        return False
    told = dict(zip(rollups.KEYS, rollups.key_of(record), strict=True))
    told |= {"key": told["key_id"], "project": told["project_id"]}
    if public and record.public_model is not None:
        told |= {"model": record.public_model}
        if not is_custom(record.provider or ""):
            told |= {"provider": ""}
    return all(getattr(query, name) in (None, told[name]) for name in _FILTERS)


def _row(record: Record) -> dict[str, Any]:
    """As its table has it."""
    told: dict[str, Any] = msgspec.to_builtins(record)
    return {name: int(value) if isinstance(value, bool) else value for name, value in told.items()}
