"""Retention: records go when they are old enough, once a day by themselves or when an operator says so; what names a
person goes when it is asked for. Without `apply` an operation only says what it would do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec

from trivium.errors import OperationError, StoreUnavailable
from trivium.store import retention
from trivium.store.retention import Erased
from trivium.store.rollups import HOUR_MS
from trivium.store.store import Store
from trivium.store.writer import Writer

_LOG = logging.getLogger("trivium.retention")
_DAILY = 86_400.0
_AGAIN = 3_600.0
"""Seconds until the next attempt where the store could not be written."""
_REST = 0.01
"""Seconds between two slices, which are the requests'."""


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keep_ms: Annotated[int, msgspec.Meta(ge=HOUR_MS, le=2**45)]
    """The age in milliseconds up to which records are kept."""
    apply: bool = False


class Forget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose records are to name nobody: of one key, or of one user."""

    key: str | None = None
    user: str | None = None
    apply: bool = False


class RetentionOperations:
    """`table` is for `Operations`. Must run where the store is owned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.table: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Awaitable[Any]]]] = {
            "retention": (Keep, self._keep),
            "retention.erase": (Forget, self._forget),
        }

    async def _keep(self, query: Keep) -> dict[str, Any]:
        await self._store.ledger.writer.flush()
        before_ms = retention.before(self._store.clock.now_ms(), query.keep_ms)
        if query.apply:
            erased = await erase(self._store, before_ms)
        else:
            erased = await asyncio.to_thread(retention.due, self._store.database, before_ms)
        return {**msgspec.to_builtins(erased), "applied": query.apply}

    async def _forget(self, query: Forget) -> dict[str, Any]:
        whose = [("key", query.key)] if query.key else []
        whose += [("user", query.user)] if query.user else []
        if len(whose) != 1:
            raise OperationError("Say whose records: of a key or of a user, by its id.")
        ((kind, id),) = whose
        await self._store.ledger.writer.flush()
        if not query.apply:
            count = await asyncio.to_thread(retention.how_many_name, self._store.database, kind, id)
            return {"records": count, "live_keys": 0, "applied": False}
        records, live = await _forget(self._store, kind, str(id))
        return {"records": records, "live_keys": live, "applied": True}


async def erase(store: Store, before_ms: int) -> Erased:
    """Erases what is older, slice by slice. Raises StoreUnavailable; what went until then is gone for good."""
    now, total, run = store.clock.now_ms(), Erased(before_ms=before_ms), None
    while True:
        run, slice = await store.ledger.writer.run(lambda tx, run=run: retention.erase(tx, before_ms, now, run))  # type: ignore[misc]
        if not slice.records:
            return total
        total = msgspec.structs.replace(
            total,
            records=total.records + slice.records,
            requests=total.requests + slice.requests,
            starts=total.starts + slice.starts,
        )
        await asyncio.sleep(_REST)


async def keep_erasing(store: Store, keep_ms: int) -> None:
    """For the gateway: erases once a day, first at once. Ends by being cancelled."""
    while True:
        try:
            erased = await erase(store, retention.before(store.clock.now_ms(), keep_ms))
        except StoreUnavailable as error:
            _LOG.error("old records cannot be erased: %s", error.detail or error.message)
            await asyncio.sleep(_AGAIN)
            continue
        if erased.records:
            _LOG.info("erased %d records of %d requests", erased.records, erased.requests)
        await asyncio.sleep(_DAILY)


async def _forget(store: Store, kind: str, id: str) -> tuple[int, int]:
    """How many records were made to name nobody, and how many live keys still name a user."""
    writer: Writer = store.ledger.writer
    count, after = 0, ""
    while ids := await asyncio.to_thread(retention.naming, store.database, kind, id, after):
        after = ids[-1]
        count += await writer.run(lambda tx, ids=ids: retention.forget(tx, ids))  # type: ignore[misc]
        await asyncio.sleep(_REST)
    live = await writer.run(lambda tx: retention.forget_owner(tx, id)) if kind == "user" else 0
    return count, live
