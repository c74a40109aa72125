"""The log of who changed what: each change writes its line in its own transaction, so that there is none without.

Secrets never stand in it: who writes a line says what the change looks like to somebody who may read the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import Conflict, StoreUnavailable
from trivium.policy.spending import DEFAULT_ACCOUNT
from trivium.store.ops import Act
from trivium.store.sql import Database, Row, Writing, marks
from trivium.store.unbroken import unbroken
from trivium.store.writer import Writer

_COLUMNS = "time_ms, actor, action, organization_id, target, before, after"
_encode = msgspec.json.encode
_T = TypeVar("_T")
OPERATOR = "operator"
"""Who acts through the gateway's own door, or changes the store directly."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did to something. `before` and `after` are plain values; None: it was not there."""

    time_ms: int
    actor: str
    """`operator` for whoever may use the gateway's own door, else an admin credential's id."""
    action: str
    """As operations are named: `keys.create`."""
    target: str
    """The id of what was changed."""
    organization_id: str | None = None
    before: Any = None
    after: Any = None


def note(tx: Writing, change: Change) -> None:
    tx.execute(
        f"INSERT INTO changes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            change.time_ms,
            change.actor,
            change.action,
            change.organization_id,
            change.target,
            _text(change.before),
            _text(change.after),
        ),
    )


async def keep_note(writer: Writer, change: Change) -> None:
    """The line of a change that is none of the store's: durable now, or as soon as the store can be written."""
    writer.add(Act(lambda tx: note(tx, change), urgent=False))
    with contextlib.suppress(StoreUnavailable):
        await writer.flush()


def count_up(tx: Writing, mark: str) -> None:
    """Other processes look whether the version of this row of `settings` has changed."""
    tx.execute(
        "INSERT INTO settings (name, content, version) VALUES (?, '{}', 1)"
        " ON CONFLICT (name) DO UPDATE SET version = settings.version + 1",
        (mark,),
    )


class Changing:
    """What changes something about callers: one transaction with its line in the log, in turn with all others of the
    kind, after which `on_change` hears of it, so that what memory believes of callers is let go; whoever calls sees to
    it that nobody breaks that off (`store/unbroken`). Raises OperationError (NotFound, Conflict, PreconditionFailed)
    before anything is written, StoreUnavailable."""

    def __init__(self, database: Database, writer: Writer, clock: Clock, on_change: Callable[[], None]) -> None:
        self.database = database
        self.clock = clock
        self._writer = writer
        self._on_change = on_change

    async def change(self, act: Callable[[Writing], _T]) -> _T:
        try:
            return await self._writer.run(act, in_turn=True)
        except ValueError as error:
            # On a shared database somebody else may add the same in this moment.
            raise Conflict("Somebody else has just changed the same; try again.", detail=str(error)) from None
        finally:
            self._on_change()

    def open_account(self, tx: Writing, id: str, kind: str, name: str) -> None:
        """Users and organizations have an account each, of the same id. Raises Conflict where there is one: whoever is
        made now would have what is on it; and for the one from which keys are paid that are nobody's, which need not
        be there yet."""
        if id == DEFAULT_ACCOUNT:
            raise Conflict(f"The account {id!r} is the house's. Choose another id.")
        made = tx.execute(
            "INSERT INTO accounts (id, kind, name, created_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
            " RETURNING id",
            (id, kind, name, self.clock.now_ms()),
        )
        if not made:
            raise Conflict(f"There is an account {id!r}, which would become that of this {kind}. Choose another id.")

    def note(self, tx: Writing, actor: str, action: str, target: str, **told: Any) -> None:
        """`told` are further fields of `Change`."""
        note(tx, Change(time_ms=self.clock.now_ms(), actor=actor, action=action, target=target, **told))


class Followed(Changing):
    """As `Changing`, of what is kept in memory: it is read anew with each change."""

    marks: ClassVar[Sequence[str]]
    """Rows of `settings` that are counted up with each change: the first with those made here."""
    _marked: Sequence[Row] | None = None
    """Their versions when all was read."""

    async def load(self) -> None:
        """Brings memory up to date. Raises StoreUnavailable."""
        marked = await self._read_marks()
        await self._read_all()
        self._marked = marked

    async def refresh(self) -> None:
        """The same where another process has changed something since. Raises StoreUnavailable."""
        if await self._read_marks() != self._marked:
            await self.load()

    async def change(self, act: Callable[[Writing], _T]) -> _T:
        try:
            return await super().change(act)
        finally:
            await unbroken(self.load())

    def note(self, tx: Writing, actor: str, action: str, target: str, **told: Any) -> None:
        super().note(tx, actor, action, target, **told)
        count_up(tx, self.marks[0])

    async def _read_all(self) -> None:
        raise NotImplementedError

    async def _read_marks(self) -> list[Row]:
        statement = f"SELECT name, version FROM settings WHERE name IN ({marks(self.marks)}) ORDER BY name"
        return await self.database.ask(statement, self.marks)


class Hashed(Changing):
    """As `Changing`, of what is kept as a keyed hash alone."""

    def __init__(
        self, database: Database, writer: Writer, clock: Clock, on_change: Callable[[], None], pepper: bytes
    ) -> None:
        super().__init__(database, writer, clock, on_change)
        self._pepper = pepper

    def digest(self, text: str) -> bytes:
        return ids.key_hash(self._pepper, text)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list: behind an id, in the order of ids."""

    after: str = ""
    limit: int = 50


def text(value: Any) -> str:
    """A value as a column keeps it."""
    return _encode(value).decode()


async def changes(database: Database, organization_id: str | None, before_seq: int, limit: int) -> list[dict[str, Any]]:
    """The newest first, below a sequence number; of one organization where it is named. Raises StoreUnavailable."""
    where, values = ("AND organization_id = ?", [organization_id]) if organization_id is not None else ("", [])
    rows = await database.ask(
        f"SELECT seq, {_COLUMNS} FROM changes WHERE seq < ? {where} ORDER BY seq DESC LIMIT ?",
        [before_seq, *values, limit],
    )
    return [_told(row) for row in rows]


def _told(row: Row) -> dict[str, Any]:
    told = dict(zip(("seq", *_COLUMNS.split(", ")), row, strict=True))
    for name in ("before", "after"):
        told[name] = msgspec.json.decode(told[name]) if told[name] is not None else None
    return told


def _text(value: Any) -> str | None:
    return None if value is None else text(value)
