"""Retention: records go when they are old enough, once a day by themselves or when an operator says so; what names a
person goes when it is asked for. Without `apply` an operation only says what it would do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec

from trivium.clock import DAY_MS, HOUR_MS
from trivium.errors import NotFound, OperationError, StoreUnavailable
from trivium.operations.captures import erase as captures_erased
from trivium.operations.captures import erase_all_of
from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.store import free_use, retention
from trivium.store.aside import aside
from trivium.store.captures import erase_older
from trivium.store.changes import Change, note
from trivium.store.retention import Erased
from trivium.store.store import Store
from trivium.store.writer import Writer

_LOG = logging.getLogger("trivium.retention")
_DAILY = 86_400.0
_AGAIN = 3_600.0
"""Seconds until the next attempt where the store could not be written, and until a clock is believed."""
_REST = 0.01
"""Seconds between two slices, which are the requests'."""


class Keep(Arguments, frozen=True):
    keep_ms: Annotated[int, msgspec.Meta(ge=HOUR_MS, le=2**45)]
    """The age in milliseconds up to which records are kept."""
    apply: bool = False


class Forget(Arguments, frozen=True, kw_only=True):
    """Whose records are to name nobody: of one key, or of one user."""

    key: str | None = None
    user: str | None = None
    apply: bool = False


class Kept(Erased, frozen=True, kw_only=True):
    captures: int
    """Calls whose bodies went with them."""
    applied: bool


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    records: int
    captures: int
    """Calls whose bodies are gone."""
    live_keys: int
    """How many keys in use still name the user."""
    applied: bool


class RetentionOperations:
    """`table` is for `Operations`. Must run where the store is owned."""

    def __init__(self, store: Store, forget_card: Callable[[str], Awaitable[None]] | None = None) -> None:
        """`forget_card`: at the processor of payments, where there is one. Raises OperationError."""
        self._store = store
        self._forget_card = forget_card
        self.table: Table = {
            "retention": Op(arguments=Keep, result=Kept, act=self._keep, changes=True),
            "retention.erase": Op(arguments=Forget, result=Forgotten, act=self._forget, changes=True),
        }

    async def _keep(self, query: Keep, actor: Actor) -> Kept:
        await self._store.ledger.writer.flush()
        before_ms = retention.before(self._store.clock.now_ms(), query.keep_ms)
        if query.apply:
            await self._store.captures.flush()
            captures = await captures_erased(self._store, lambda tx: erase_older(tx, before_ms))
            erased = await erase(self._store, before_ms)
            await self._note(actor, "retention", "records", erased)
        else:
            captures = await aside(self._store.captures.older, before_ms)
            erased = await aside(retention.due, self._store.database, before_ms)
        return Kept(**msgspec.structs.asdict(erased), captures=captures, applied=query.apply)

    async def _forget(self, query: Forget, actor: Actor) -> Forgotten:
        whose = [("key", query.key)] if query.key else []
        whose += [("user", query.user)] if query.user else []
        if len(whose) != 1:
            raise OperationError("Say whose records: of a key or of a user, by its id.")
        ((kind, id),) = whose
        await self._store.ledger.writer.flush()
        if not await aside(retention.is_known, self._store.database, kind, id):
            raise NotFound(f"There is no {kind} {id!r}, and no record names one.")
        if not query.apply:
            count = await aside(retention.how_many_name, self._store.database, kind, id)
            captures = await aside(self._store.captures.how_many, kind, id)
            return Forgotten(records=count, captures=captures, live_keys=0, applied=False)
        if kind == "user" and self._forget_card is not None:
            card = await self._store.auto_top_ups.card(id)
            if card is not None and card.method is not None:
                await self._forget_card(card.method)
        captures = await erase_all_of(self._store, kind, id)
        records, live = await _forget(self._store, kind, id)
        forgotten = Forgotten(records=records, captures=captures, live_keys=live, applied=True)
        await self._note(actor, "retention.erase", f"{kind}:{id}", forgotten)
        return forgotten

    async def _note(self, actor: Actor, action: str, target: str, after: Any) -> None:
        """Behind what was done in many transactions."""
        now = self._store.clock.now_ms()
        change = Change(time_ms=now, actor=actor.id, action=action, target=target, after=after)
        await self._store.ledger.writer.run(lambda tx: note(tx, change))


async def erase(store: Store, before_ms: int) -> Erased:
    """Erases what is older, slice by slice. Raises StoreUnavailable; what went until then is gone for good."""
    now, total, run = store.clock.now_ms(), Erased(before_ms=before_ms), None
    while True:
        run, slice = await store.ledger.writer.run(lambda tx, run=run: retention.erase(tx, before_ms, now, run))  # type: ignore[misc]
        if not slice.records:
            break
        total = msgspec.structs.replace(
            total,
            records=total.records + slice.records,
            requests=total.requests + slice.requests,
            starts=total.starts + slice.starts,
        )
        await asyncio.sleep(_REST)
    while True:
        if not await store.ledger.writer.run(lambda tx: free_use.forget_addresses(tx, before_ms)):
            return total
        await asyncio.sleep(_REST)


async def keep_erasing(store: Store, keep_ms: int) -> None:
    """For the gateway: erases once a day, first at once. Ends by being cancelled."""
    seen_ms: int | None = None
    while True:
        try:
            now_ms = seen_ms = await _believed_ms(store, seen_ms)
            before_ms = retention.before(now_ms, keep_ms)
            erased = await erase(store, before_ms)
            await captures_erased(store, lambda tx, before_ms=before_ms: erase_older(tx, before_ms))  # type: ignore[misc]
        except StoreUnavailable as error:
            _LOG.error("old records cannot be erased: %s", error.detail or error.message)
            await asyncio.sleep(_AGAIN)
            continue
        if erased.records:
            _LOG.info("erased %d records of %d requests", erased.records, erased.requests)
        await asyncio.sleep(_DAILY)


async def _believed_ms(store: Store, seen_ms: int | None) -> int:
    """Now. A clock that is more than a day ahead of the last run, or of all records, may be wrong, and what is erased
    does not come back: it is believed if it still says so after an hour. Raises StoreUnavailable."""
    now_ms = store.clock.now_ms()
    known_ms = seen_ms if seen_ms is not None else await aside(retention.newest_ms, store.database)
    if known_ms is None or now_ms - known_ms <= DAY_MS + HOUR_MS:
        return now_ms
    await asyncio.sleep(_AGAIN)
    return min(store.clock.now_ms(), now_ms + HOUR_MS)


async def _forget(store: Store, kind: str, id: str) -> tuple[int, int]:
    """How many records were made to name nobody, and how many live keys still name a user."""
    writer: Writer = store.ledger.writer
    count, after = 0, ""
    while ids := await aside(retention.naming, store.database, kind, id, after):
        after = ids[-1]
        count += await writer.run(lambda tx, ids=ids: retention.forget(tx, ids))  # type: ignore[misc]
        await asyncio.sleep(_REST)
    if kind != "user":
        return count, 0
    now = store.clock.now_ms()
    live = await writer.run(lambda tx: retention.forget_owner(tx, id, now))
    await store.secrets.load()
    told = await aside(retention.told_of_own_keys, store.database, id)
    for at in range(0, len(told), retention.SLICE):
        some = told[at : at + retention.SLICE]
        await writer.run(lambda tx, some=some: retention.forget_lines(tx, some))  # type: ignore[misc]
    return count, live
