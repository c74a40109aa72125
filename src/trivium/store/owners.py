"""Who has calls in progress: every run of a gateway is an owner of starts, and what an owner that is no more left open
is an orphan that somebody else has to end.

Where one process owns the database, every other owner is no more. Where several share it, an owner that has not been
seen for `SILENCE_MS` is.

There is no index of open starts: it would cost every request more than its start does. Each owner's row says from which
id on its starts may be open. Ids begin with the time, so that what has to be looked through after a crash are the
starts of the last seconds, or of as long as the oldest open call had been going on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from trivium.metering.start import Start
from trivium.store import posting
from trivium.store.sql import Database, Row, Writing, marks

SILENCE_MS = 60_000
_SAID_MS = 20_000
"""After so long a start says again that its owner lives, whatever kept the owner from saying so."""
_MOST = 1_000
"""Orphans that are looked at together."""
_SEEN = (
    "INSERT INTO owners (id, seen_ms, since) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms"
)
_FROM = f"{_SEEN}, since = excluded.since"
_DOWN_TO = f"{_SEEN}, since = CASE WHEN excluded.since < owners.since THEN excluded.since ELSE owners.since END"
_STARTED = (
    *(
        "id",
        "time_ms",
        "api",
        "key_id",
        "account_id",
        "organization_id",
        "payer",
        "hold_nano",
        "requested_model",
        "provider",
    ),
    *("upstream_model", "price_version", "public_model"),
)
_COLUMNS = ", ".join((*_STARTED, "windows", "upstream_id"))


class Orphan(msgspec.Struct, frozen=True):
    """A call whose gateway ended before it did."""

    start: Start
    windows: posting.Windows
    upstream_id: str | None
    """By which the provider knows it, as far as that was seen."""


class Gone(msgspec.Struct, frozen=True):
    """An owner that is no more, and from which id on its starts may be open."""

    id: str
    since: str


class Mark:
    """An owner's row: from which id on its starts may be open. `cover` is for the writer's thread."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._told: str | None = None
        """What the row says; None where there is none, or nobody knows."""
        self._told_ms = 0
        self._lowest: str | None = None
        """Of the starts that were written since `up_to`."""

    def doubt(self) -> None:
        """Nobody knows what the last transaction did."""
        self._told = None

    def cover(self, tx: Writing, ids: Iterable[str], now_ms: int) -> None:
        """Before starts are written: the row takes them in, also where the clock was set back, or the owner was silent
        so long that others may have forgotten it."""
        lowest, known = min(ids), self._lowest  # which the loop may set meanwhile
        self._lowest = lowest if known is None else min(lowest, known)
        if self._told is None or lowest < self._told or abs(now_ms - self._told_ms) >= _SAID_MS:
            since = lowest if self._told is None else min(lowest, self._told)
            tx.execute(_DOWN_TO, (self._owner, now_ms, since))
            self._told, self._told_ms = since, now_ms

    def up_to(self, since: str, now_ms: int) -> Callable[[Writing], None]:
        """What tells that the owner lives and that its open starts, and those to come, are at or behind an id."""
        self._lowest = None

        def tell(tx: Writing) -> None:
            self._told = since if self._lowest is None else min(since, self._lowest)
            self._told_ms = now_ms
            tx.execute(_FROM, (self._owner, now_ms, self._told))

        return tell


def take_in(database: Database, now_ms: int) -> None:
    """Before anything else: starts that an earlier run had but in its log. Raises StoreUnavailable."""
    if database.log is None or not (kept := database.log.read()):
        return
    with database.transaction() as tx:
        # Also for rows that are there already: maybe only as far as the system remembers them, until this is flushed.
        for id, _, owner, *_ in kept:
            Mark(owner).cover(tx, [id], now_ms)
        posting.hold_starts(tx, posting.missing_starts(tx, kept))
    database.log.clear()


async def gone(database: Database, owner: str, now_ms: int) -> list[Gone]:
    """The owners that are no more, as seen by one that is. Raises StoreUnavailable."""
    silent = f"AND seen_ms <= {now_ms - SILENCE_MS}" if database.shared else ""
    rows = await database.ask(f"SELECT id, since FROM owners WHERE id <> ? {silent}", (owner,))
    return [Gone(id, since) for id, since in rows]


async def is_gone(database: Database, owner: Gone, now_ms: int) -> bool:
    """Whether one of `gone` still is: it may have been seen again since. Raises StoreUnavailable."""
    return owner in await gone(database, "", now_ms)


async def named(database: Database, ids: Sequence[str]) -> list[Gone]:
    """Those of these owners that are not forgotten yet. Raises StoreUnavailable."""
    if not ids:
        return []
    rows = await database.ask(f"SELECT id, since FROM owners WHERE id IN ({marks(ids)})", ids)
    return [Gone(id, since) for id, since in rows]


async def orphans(database: Database, owner: Gone) -> list[Orphan]:
    """The oldest calls that it left open. Raises StoreUnavailable."""
    statement = f"SELECT {_COLUMNS} FROM starts WHERE id >= ? AND owner = ? AND ended = 0 ORDER BY id LIMIT {_MOST}"
    _, rows = await asyncio.to_thread(database.query, statement, (owner.since, owner.id))
    return [_orphan(row) for row in rows]


def bury(tx: Writing, owner: Gone, seen_until_ms: int) -> None:
    """Forgets an owner whose orphans have ended, unless it was seen later than that."""
    tx.execute("DELETE FROM owners WHERE id = ? AND since = ? AND seen_ms <= ?", (owner.id, owner.since, seen_until_ms))


async def accounts_with_expired_credits(database: Database, now_ms: int) -> list[str]:
    rows = await database.ask(
        "SELECT DISTINCT account_id FROM lots WHERE remaining_nano > 0 AND expires_ms <= ?", (now_ms,)
    )
    return [account_id for (account_id,) in rows]


def _orphan(row: Row) -> Orphan:
    *told, windows, upstream_id = row
    start = Start(scopes=(), **dict(zip(_STARTED, told, strict=True)))
    return Orphan(start, posting.read_windows(windows), upstream_id)
