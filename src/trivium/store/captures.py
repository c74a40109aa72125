"""Bodies of calls whose keys are captured, apart from their records: compressed, and gone after days.

They are written by a thread of their own (`server/capturing.py`), in transactions of their own, so that a store that is
slow or full loses bodies and nothing else. Backups leave them out (`backup.py`).
"""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trivium.clock import Clock
from trivium.errors import StoreUnavailable
from trivium.policy.caller import OrganizationSettings
from trivium.policy.capture import forbids
from trivium.store.changes import text
from trivium.store.sql import Database, Writing

SLICE = 100
"""Rows that are erased in one transaction."""
SPARE = 256 * 1024 * 1024
"""Bytes of the disk that are left for the ledger."""
PARTS = ("request", "sent", "answer")
_COUNT_MS = 60_000
_COLUMNS = "id, time_ms, key_id, user_id, organization_id, bytes, about, request, sent, answer"
_INSERT = f"INSERT INTO captures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_OLDEST = "DELETE FROM captures WHERE id IN (SELECT id FROM captures ORDER BY time_ms LIMIT ?) RETURNING bytes"
_REST = 0.001
"""Seconds between two transactions, which are the holds'."""
_WHOSE = {"key": "key_id", "user": "user_id", "organization": "organization_id"}


class BodyAbout(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a body beside its text."""

    bytes: int
    """As it came."""
    kept: int
    """Of its text, in UTF-8."""
    cut: bool
    """There was more."""


class CaptureAbout(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the bodies of a call."""

    status: int
    content_type: str
    """Of the answer."""
    ended: bool
    """The answer went out whole."""
    request: BodyAbout
    sent: BodyAbout | None
    """Null where nothing went upstream, or what the client sent did as it came."""
    sent_as_it_came: bool
    answer: BodyAbout


class Bodies(msgspec.Struct, frozen=True, kw_only=True):
    """A row."""

    id: str
    time_ms: int
    key_id: str
    user_id: str | None
    organization_id: str | None
    about: CaptureAbout
    request: bytes
    """Compressed, as are the others."""
    sent: bytes | None
    answer: bytes

    @property
    def size(self) -> int:
        return len(self.request) + len(self.sent or b"") + len(self.answer)

    def text(self, part: str) -> str | None:
        packed = getattr(self, part)
        return None if packed is None else zlib.decompress(packed).decode()


def packed(text: str) -> bytes:
    return zlib.compress(text.encode(), 6)


async def _nothing() -> None:
    pass


class CaptureStore:
    """`put`, `find` and `about` block."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._total, self._counted_ms = 0, -_COUNT_MS
        self.allowed = True
        """Whether the house keeps any, as far as it is known."""
        self.flush: Callable[[], Awaitable[None]] = _nothing
        """Returns when everything is written that calls have left until now, or lost."""

    def put(self, bodies: Sequence[Bodies], most_total: int) -> int:
        """How many were kept: those of organizations that forbid it by now are not. Raises StoreUnavailable, and
        ValueError for what the database does not take."""
        if self._database.dialect == "sqlite":
            free = shutil.disk_usage(Path(self._database.place).parent).free
            if free < SPARE:
                raise StoreUnavailable("The disk is almost full.", detail=f"{free} bytes are free")
        self._count()
        self._make_room(sum(one.size for one in bodies), most_total)
        with self._database.transaction() as tx:
            wanted = {one.organization_id for one in bodies if one.organization_id is not None}
            forbidding = _forbidding(wanted, tx, self._database.dialect)
            allowed = [one for one in bodies if one.organization_id not in forbidding]
            tx.executemany(_INSERT, map(_row, allowed))
        self._total += sum(one.size for one in allowed)
        return len(allowed)

    def _count(self) -> None:
        """All is counted now and then, in between what is our own; not in a transaction, for which holds wait."""
        now = self._clock.now_ms()
        if not 0 <= now - self._counted_ms < _COUNT_MS:
            ((self._total,),) = self._database.query("SELECT coalesce(sum(bytes), 0) FROM captures")[1]
            self._counted_ms = now

    def _make_room(self, size: int, most_total: int) -> None:
        """The oldest go, where there is too much: a few in each transaction, for which holds wait, since of a bound
        that was lowered there is far too much."""
        while self._total + size > most_total:
            with self._database.transaction() as tx:
                gone = tx.execute(_OLDEST, (SLICE // 10,))
            if not gone:
                self._total = 0
                return
            self._total -= sum(size for (size,) in gone)
            time.sleep(_REST)

    def find(self, id: str) -> Bodies | None:
        rows = self._database.query(f"SELECT {_COLUMNS} FROM captures WHERE id = ?", (id,))[1]
        if not rows:
            return None
        ((id, time_ms, key_id, user_id, organization_id, _, about, *parts),) = rows
        told: dict[str, Any] = dict(zip(PARTS, (None if one is None else bytes(one) for one in parts), strict=True))
        who = {"key_id": key_id, "user_id": user_id, "organization_id": organization_id}
        return Bodies(id=id, time_ms=time_ms, about=_decode(about), **who, **told)

    def about(self, id: str) -> CaptureAbout | None:
        rows = self._database.query("SELECT about FROM captures WHERE id = ?", (id,))[1]
        return _decode(rows[0][0]) if rows else None

    def how_many(self, whose: str, id: str) -> int:
        """Of a `key`, `user` or `organization`."""
        ((count,),) = self._database.query(f"SELECT count(*) FROM captures WHERE {_WHOSE[whose]} = ?", (id,))[1]
        return int(count)

    def older(self, before_ms: int) -> int:
        ((count,),) = self._database.query("SELECT count(*) FROM captures WHERE time_ms < ?", (before_ms,))[1]
        return int(count)


def _forbidding(organizations: set[str], tx: Writing, dialect: str) -> set[str]:
    """Those that forbid it by now: a call may have begun before. Where others write too, none begins to until the
    transaction ends: whoever erases what there is behind its word finds what is written here."""
    found, lock = set(), " FOR SHARE" if dialect == "postgres" else ""
    for id in sorted(organizations):
        rows = tx.execute(f"SELECT settings FROM organizations WHERE id = ?{lock}", (id,))
        if rows and forbids(msgspec.json.decode(rows[0][0], type=OrganizationSettings)):
            found.add(id)
    return found


def _row(one: Bodies) -> tuple[Any, ...]:
    who = (one.id, one.time_ms, one.key_id, one.user_id, one.organization_id)
    return (*who, one.size, text(one.about), one.request, one.sent, one.answer)


def erase_older(tx: Writing, before_ms: int) -> int:
    """A slice; how many went."""
    return _erase(tx, "time_ms < ?", before_ms)


def erase_of(tx: Writing, whose: str, id: str) -> int:
    """A slice of those of a `key`, `user` or `organization`; how many went."""
    return _erase(tx, f"{_WHOSE[whose]} = ?", id)


def erase_forbidden(tx: Writing, dialect: str) -> int:
    """A slice of those of organizations that forbid it, which the end of a process may have left; how many went."""
    there = {id for (id,) in tx.execute("SELECT DISTINCT organization_id FROM captures") if id is not None}
    return sum(erase_of(tx, "organization", id) for id in sorted(_forbidding(there, tx, dialect)))


def _erase(tx: Writing, where: str, value: object) -> int:
    statement = f"DELETE FROM captures WHERE id IN (SELECT id FROM captures WHERE {where} LIMIT ?) RETURNING id"
    return len(tx.execute(statement, (value, SLICE)))


_decode = msgspec.json.Decoder(CaptureAbout).decode
