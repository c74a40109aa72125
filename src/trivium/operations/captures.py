"""Bodies of calls whose keys are captured: who may read them, and when they go. `table` is for `Operations`.

Whoever reads bodies of somebody else's key is noted in the log of changes before anything is told. Of a stealth model
nobody but the house reads what went upstream, of a custom model nobody but the officers of the organization that owns
it, whose settings are in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from trivium.clock import DAY_MS
from trivium.errors import NotFound, StoreUnavailable
from trivium.operations.reports import RequestId
from trivium.operations.seen import is_secret
from trivium.operations.table import OFFICERS, SPENDERS, Actor, Arguments, Needs, Op, Table
from trivium.policy.caller import Id
from trivium.providers.custom import owner_of
from trivium.store.aside import aside
from trivium.store.captures import PARTS, Bodies, BodyAbout, erase_forbidden, erase_of, erase_older
from trivium.store.changes import Change, note
from trivium.store.sql import Writing
from trivium.store.store import Store
from trivium.store.whose import Whose

_LOG = logging.getLogger("trivium.capture")
_HOURLY = 3600.0
_REST = 0.01
"""Seconds between two slices, which are the requests'."""

Part = Literal["request", "sent", "answer"]


class AskBodies(Arguments, frozen=True, kw_only=True):
    request: RequestId
    """Its id."""
    part: Part | None = None
    """Null: all of them."""
    organization: Id | None = None
    user: Id | None = None


class BodyTold(BodyAbout, frozen=True, kw_only=True):
    part: Part
    """`request`: what the client sent; `sent`: what went upstream, where that was another; `answer`: what the client
    got."""
    text: str
    """With `***` for secrets, and size and hash for media."""


class BodiesTold(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    time_ms: int
    key_id: str
    status: int
    content_type: str
    """Of the answer."""
    ended: bool
    """The answer went out whole."""
    sent_as_it_came: bool
    parts: tuple[BodyTold, ...]


class CaptureOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` hands over what is not in the database yet."""
        self._store = store
        self._flush = flush
        needs = Needs(roles=OFFICERS, own=SPENDERS, personal=True)
        self.table: Table = {"requests.bodies": Op(arguments=AskBodies, result=BodiesTold, act=self._read, needs=needs)}

    async def _read(self, query: AskBodies, actor: Actor) -> BodiesTold:
        await self._flush()
        await self._store.captures.flush()
        whose = Whose(organization=query.organization, user=query.user)
        record, found = await aside(_found, self._store, query.request, whose)
        parts = [part for part in PARTS if query.part in (None, part) and getattr(found, part) is not None]
        if "sent" in parts and not _may_read_sent(actor, query, record):
            parts.remove("sent")
        if not parts:
            raise NotFound(f"Of request {query.request!r} there is no such body.")
        if actor.user_id is None or actor.user_id != found.user_id:
            await self._note(actor, found, parts)
        return await aside(_told, found, parts)

    async def _note(self, actor: Actor, found: Bodies, parts: list[str]) -> None:
        change = Change(
            time_ms=self._store.clock.now_ms(),
            actor=actor.id,
            action="requests.bodies",
            target=found.id,
            organization_id=found.organization_id,
            after={"key": found.key_id, "parts": parts},
        )
        await self._store.ledger.writer.run(lambda tx: note(tx, change))


def _found(store: Store, id: str, whose: Whose) -> tuple[dict[str, Any], Bodies]:
    """The record of a call, and its bodies. Raises NotFound."""
    record = store.request(id, whose)
    found = store.captures.find(id) if record is not None else None
    if record is None or found is None:
        raise NotFound(f"There are no bodies of a request {id!r}.")
    return record, found


def _may_read_sent(actor: Actor, query: AskBodies, record: dict[str, Any]) -> bool:
    if actor.house:
        return True
    if is_secret(record):
        return False
    owner = owner_of(record["provider"])
    return owner is None or (owner == query.organization and actor.roles.get(owner) in OFFICERS)


def _told(found: Bodies, parts: list[str]) -> BodiesTold:
    about = found.about
    told = [
        BodyTold(part=part, text=found.text(part) or "", **msgspec.structs.asdict(getattr(about, part)))  # type: ignore[arg-type]
        for part in parts
    ]
    return BodiesTold(
        id=found.id,
        time_ms=found.time_ms,
        key_id=found.key_id,
        status=about.status,
        content_type=about.content_type,
        ended=about.ended,
        sent_as_it_came=about.sent_as_it_came,
        parts=tuple(told),
    )


async def erase(store: Store, slice: Callable[[Writing], int]) -> int:
    """Erases slice by slice; how many went. Raises StoreUnavailable."""
    count = 0
    while went := await store.ledger.writer.run(slice):
        count += went
        await asyncio.sleep(_REST)
    return count


async def erase_all_of(store: Store, whose: str, id: str) -> int:
    """Those of a `key`, `user` or `organization`, also those on their way. Raises StoreUnavailable."""
    await store.captures.flush()
    return await erase(store, lambda tx: erase_of(tx, whose, id))


async def keep_forgetting(store: Store, days: Callable[[], int]) -> None:
    """For the gateway: once an hour, and first at once, erases what is older, or should have gone when it was
    forbidden. Ends by being cancelled."""
    dialect = store.database.dialect
    while True:
        try:
            before_ms = store.clock.now_ms() - days() * DAY_MS
            if count := await erase(store, lambda tx, before_ms=before_ms: erase_older(tx, before_ms)):  # type: ignore[misc]
                _LOG.info("erased the bodies of %d calls", count)
            await erase(store, lambda tx: erase_forbidden(tx, dialect))
        except StoreUnavailable as error:
            _LOG.error("old bodies cannot be erased: %s", error.detail or error.message)
        except Exception:  # what fails once must not keep bodies for ever
            _LOG.exception("old bodies cannot be erased")
        await asyncio.sleep(_HOURLY)
