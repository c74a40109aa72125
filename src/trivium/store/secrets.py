"""Upstream keys of users and organizations: what anybody may see of them in columns, the secret itself in an envelope.

Which owners have keys for which vendors is in memory, so that a call of everybody else costs one look into a dict.
Envelopes are read when they are needed, kept for the owners in use, and opened for a single call. Where several
processes share the database, a counter tells within a second that something has changed.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import Conflict, NotFound, OperationError
from trivium.store.changes import Followed, count_up
from trivium.store.envelopes import COLUMNS, Envelope, Keyring, envelope_of
from trivium.store.key_names import MARK, proofs, sealed
from trivium.store.sql import Database, Row, Writing, marks
from trivium.store.writer import Writer

_LOG = logging.getLogger("trivium.store")
_CACHED = 1_000
"""Owners and vendors whose envelopes are kept in memory."""
_MOST = 100
"""Keys of one owner for one vendor."""
_NOTHING: Mapping[str, bool] = {}
GIVEN_FOR_ANOTHER = "The key was given for another server, and is sent to no other one: give it again with the new URL."
_SHOWN = ("id", "owner", "vendor", "name", "position", "base_url", "region", "enabled", "hint", "created_ms")
_COLUMNS = f"{', '.join(_SHOWN)}, {COLUMNS}"
_ORDER = "ORDER BY owner, vendor, position, id"
_OWNERS = {"user": "users", "organization": "organizations"}
_VENDORS = "SELECT owner, vendor, count(base_url) FROM secrets WHERE enabled = 1 GROUP BY owner, vendor"


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody may see of a key, who may see that there is one. Times are milliseconds since the epoch."""

    id: str
    owner: str
    """As `owner_of` writes it."""
    vendor: str
    name: str
    position: int
    """Among the owner's keys for the vendor: the lowest is tried first."""
    base_url: str | None = None
    """Instead of the vendor's."""
    region: str | None = None
    enabled: bool = True
    hint: str
    """The last four characters."""
    created_ms: int


class SealedSecret(msgspec.Struct, frozen=True):
    shown: Secret
    envelope: Envelope


def owner_of(*, organization: str | None, user: str | None) -> str:
    """`organization:ID` or `user:ID`. Raises OperationError unless it is one of them."""
    if (organization is None) == (user is None):
        raise OperationError("Name whose key it is: an organization or a user.")
    return f"organization:{organization}" if organization is not None else f"user:{user}"


class Secrets(Followed):
    """As `Followed` has it. `vendors`, `keys` and `plain` are for the event loop."""

    marks = (MARK,)

    def __init__(self, database: Database, writer: Writer, clock: Clock, ring: Keyring) -> None:
        super().__init__(database, writer, clock, lambda: None)
        self.ring = ring
        """Replaced whole where a new key is made."""
        self._vendors: Mapping[str, Mapping[str, bool]] = {}
        self._rows: OrderedDict[tuple[str, str], list[SealedSecret]] = OrderedDict()
        self._faults: dict[str, str] = {}
        """What is wrong with keys of the ring that others know by the same names."""

    def vendors(self, owner: str) -> Mapping[str, bool]:
        """The vendors for which an owner has keys that are switched on, and whether any has a base URL of its own."""
        return self._vendors.get(owner, _NOTHING)

    async def keys(self, owner: str, vendor: str) -> list[SealedSecret]:
        """Those that are switched on, in the order in which they are tried. Raises StoreUnavailable."""
        rows = self._rows.get((owner, vendor))
        if rows is None:
            marked = self._marked
            rows = [sealed for sealed in await self._read(owner, vendor) if sealed.shown.enabled]
            if marked == self._marked:  # what was read before a change must not be believed after it
                self._rows[owner, vendor] = rows
                if len(self._rows) > _CACHED:
                    self._rows.popitem(last=False)
        return rows

    def plain(self, secret: SealedSecret) -> bytes:
        """The secret itself. Raises SecretUnreadable."""
        return self.ring.open(secret.shown.owner, secret.shown.id, secret.envelope)

    async def _read_all(self) -> None:
        vendors: dict[str, dict[str, bool]] = {}
        for owner, vendor, urls in await self.database.ask(_VENDORS):
            vendors.setdefault(owner, {})[vendor] = urls > 0
        kept, ring = await proofs(self.database), self.ring
        faults = ((version, ring.fault(version, kept.get(version))) for version in ring.versions)
        self._faults = {version: fault for version, fault in faults if fault is not None}
        self._vendors = vendors
        self._rows.clear()

    async def refresh(self) -> None:
        """As for all that is followed, which may show that another process has another key by the name of one of
        ours."""
        before = self._faults
        await super().refresh()
        for version in self._faults.keys() - before.keys():
            _LOG.error("%s", self._faults[version])

    async def listed(self, owner: str, vendor: str | None = None) -> list[Secret]:
        return [sealed.shown for sealed in await self._read(owner, vendor)]

    async def named(self, owner: str, wanted: str) -> Secret:
        """An owner's key, by its id or by a name that only one has. Raises NotFound, OperationError."""
        return _named(await self.listed(owner), wanted)

    async def opened(self, owner: str, id: str) -> bytes:
        """The secret of one key, whether it is switched on or not. Raises NotFound, SecretUnreadable."""
        for secret in await self._read(owner, None):
            if secret.shown.id == id:
                return self.plain(secret)
        raise NotFound(f"No key has the id {id!r}; `byok list` shows them.")

    async def every(self, vendors: Sequence[str]) -> list[SealedSecret]:
        """All keys for these vendors that are switched on, whoever's they are."""
        statement = f"SELECT {_COLUMNS} FROM secrets WHERE enabled = 1 AND vendor IN ({marks(vendors)}) {_ORDER}"
        rows = await self.database.ask(statement, list(vendors))
        return [_secret(row) for row in rows]

    async def reseal(self, before: SealedSecret, plain: bytes) -> bool:
        """Puts another secret in the place of one; False where that is not there any more, or was changed meanwhile."""
        ring, shown = self.ring, before.shown

        def act(tx: Writing) -> bool:
            envelope = sealed(tx, ring, shown.owner, shown.id, plain)
            done = tx.execute(
                "UPDATE secrets SET key_version = ?, wrapped_key = ?, sealed = ?"
                " WHERE id = ? AND sealed = ? AND enabled = 1 RETURNING id",
                (*envelope.row, shown.id, before.envelope.sealed),
            )
            count_up(tx, MARK)
            return bool(done)

        return await self.change(act)

    async def add(self, owner: str, plain: bytes, actor: str, **what: Any) -> Secret:
        """A new key behind the others of its owner and vendor; `what` are fields of `Secret`. Raises NotFound for an
        owner that is not there, Conflict for a name that is taken, SecretUnreadable where it cannot be sealed."""
        id, ring = ids.secret_id(), self.ring

        def act(tx: Writing) -> Secret:
            _check_owner(tx, owner)
            vendor, name = what["vendor"], what["name"]
            others = [sealed.shown for sealed in _rows(tx, owner, vendor)]
            if any(other.name == name for other in others):
                raise Conflict(f"There is a key {name!r} for {vendor}; remove it first, or give this one another name.")
            if len(others) >= _MOST:
                raise OperationError(f"There are {_MOST} keys for {vendor}, which is as many as there may be.")
            position = 1 + max((other.position for other in others), default=0)
            shown = Secret(id=id, owner=owner, position=position, created_ms=self.clock.now_ms(), **what)
            envelope = sealed(tx, ring, owner, id, plain)
            row = (*_kept(shown), *envelope.row)
            tx.execute(f"INSERT INTO secrets ({_COLUMNS}) VALUES ({marks(row)})", row)
            self._noted(tx, actor, "byok.add", shown, after=shown)
            return shown

        return await self.change(act)

    async def set(self, owner: str, wanted: str, plain: bytes | None, actor: str, **fields: Any) -> Secret:
        """Sets fields of a key, and the secret itself if one is given, as it must be with another base URL: whoever may
        say where a key is sent would have it otherwise. `wanted` is an id, or a name that only one of the owner's keys
        has. Raises NotFound, OperationError, SecretUnreadable."""
        ring = self.ring

        def act(tx: Writing) -> Secret:
            before = _found(tx, owner, wanted)
            after = msgspec.structs.replace(before, **fields)
            if plain is None and after.base_url not in (None, before.base_url):
                raise OperationError(GIVEN_FOR_ANOTHER)
            taken = (other.shown for other in _rows(tx, owner, before.vendor) if other.shown.id != before.id)
            if any(other.name == after.name for other in taken):
                raise Conflict(f"There is another key {after.name!r} for {before.vendor}.")
            envelope = sealed(tx, ring, owner, before.id, plain) if plain is not None else None
            assigned = ", ".join(f"{name} = ?" for name in _SHOWN)
            tx.execute(f"UPDATE secrets SET {assigned} WHERE id = ?", (*_kept(after), before.id))
            if envelope is not None:
                tx.execute(
                    "UPDATE secrets SET key_version = ?, wrapped_key = ?, sealed = ? WHERE id = ?",
                    (*envelope.row, before.id),
                )
            self._noted(tx, actor, "byok.set", after, before=before, after=after)
            return after

        return await self.change(act)

    async def remove(self, owner: str, wanted: str, actor: str) -> Secret:
        """Raises NotFound, OperationError."""

        def act(tx: Writing) -> Secret:
            before = _found(tx, owner, wanted)
            tx.execute("DELETE FROM secrets WHERE id = ?", (before.id,))
            self._noted(tx, actor, "byok.remove", before, before=before)
            return before

        return await self.change(act)

    async def order(self, owner: str, vendor: str, wanted: Sequence[str], actor: str) -> list[Secret]:
        """The keys for a vendor in a new order, which names each once by its id or name. Raises NotFound,
        OperationError."""

        def act(tx: Writing) -> list[Secret]:
            _check_owner(tx, owner)
            before = [sealed.shown for sealed in _rows(tx, owner, vendor)]
            chosen = [_named(before, name) for name in wanted]
            if len(chosen) != len(before) or {secret.id for secret in chosen} != {secret.id for secret in before}:
                names = ", ".join(secret.name for secret in before) or "there are none"
                raise OperationError(f"Name each key for {vendor} once: {names}.")
            after = [msgspec.structs.replace(secret, position=n) for n, secret in enumerate(chosen, 1)]
            for secret in after:
                tx.execute("UPDATE secrets SET position = ? WHERE id = ?", (secret.position, secret.id))
            orders = {"before": [one.id for one in before], "after": [one.id for one in after]}
            self.note(tx, actor, "byok.order", f"{owner}/{vendor}", organization_id=_organization(owner), **orders)
            return after

        return await self.change(act)

    def _noted(self, tx: Writing, actor: str, action: str, secret: Secret, **told: Any) -> None:
        self.note(tx, actor, action, secret.id, organization_id=_organization(secret.owner), **told)

    async def _read(self, owner: str, vendor: str | None) -> list[SealedSecret]:
        where, values = ("AND vendor = ?", [vendor]) if vendor is not None else ("", [])
        statement = f"SELECT {_COLUMNS} FROM secrets WHERE owner = ? {where} {_ORDER}"
        return [_secret(row) for row in await self.database.ask(statement, [owner, *values])]


def _check_owner(tx: Writing, owner: str) -> None:
    kind, _, id = owner.partition(":")
    if not tx.execute(f"SELECT 1 FROM {_OWNERS[kind]} WHERE id = ?", (id,)):
        raise NotFound(f"There is no {kind} {id!r}.")


def _organization(owner: str) -> str | None:
    """For the log of changes, which an organization's admins may read."""
    kind, _, id = owner.partition(":")
    return id if kind == "organization" else None


def _rows(tx: Writing, owner: str, vendor: str) -> list[SealedSecret]:
    rows = tx.execute(f"SELECT {_COLUMNS} FROM secrets WHERE owner = ? AND vendor = ? {_ORDER}", (owner, vendor))
    return [_secret(row) for row in rows]


def _found(tx: Writing, owner: str, wanted: str) -> Secret:
    rows = tx.execute(f"SELECT {_COLUMNS} FROM secrets WHERE owner = ? {_ORDER}", (owner,))
    return _named([_secret(row).shown for row in rows], wanted)


def _named(secrets: Sequence[Secret], wanted: str) -> Secret:
    """By its id, or by a name that is one's alone."""
    named = [secret for secret in secrets if secret.id == wanted] or [one for one in secrets if one.name == wanted]
    if len(named) != 1:
        problem = "No key has" if not named else f"{len(named)} keys have"
        raise (OperationError if named else NotFound)(f"{problem} the id or name {wanted!r}; `byok list` shows them.")
    return named[0]


def _kept(secret: Secret) -> tuple[Any, ...]:
    return tuple(int(value) if isinstance(value, bool) else value for value in msgspec.structs.astuple(secret))


def _secret(row: Row) -> SealedSecret:
    told = dict(zip(_SHOWN, row, strict=False))
    return SealedSecret(Secret(**told | {"enabled": bool(told["enabled"])}), envelope_of(row[len(_SHOWN) :]))
