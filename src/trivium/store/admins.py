"""Credentials of operators, for the admin API: no API keys, and kept as those are, as a keyed hash alone.

One belongs to the house, and may do everything, or to a user, and may do what the user's roles allow. Each use asks the
database, so that one that was revoked, has expired or whose user was blocked is none at once, whoever changed it.
"""

from __future__ import annotations

import hmac

import msgspec

from trivium import ids
from trivium.errors import NotFound
from trivium.policy.caller import Role
from trivium.store.changes import Hashed, Page
from trivium.store.sql import Row, Writing, marks
from trivium.store.users import UNBLOCKED, found_user


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a credential. Times are milliseconds since the epoch."""

    id: str
    name: str
    hint: str
    """Its last four characters."""
    user_id: str | None = None
    """Whose roles it has; None: the house's, for everything."""
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None


class NewAdmin(Admin, frozen=True, kw_only=True):
    """With its text, which is shown this once."""

    credential: str


_NAMES = ("id", "name", "hint", "user_id", "created_ms", "expires_ms", "revoked_ms")
_COLUMNS = ", ".join(_NAMES)
_FIND = (
    f"SELECT {_COLUMNS}, hash FROM admins WHERE hash = ? AND revoked_ms IS NULL"
    " AND (expires_ms IS NULL OR expires_ms > ?)"
    f" AND (user_id IS NULL OR EXISTS ({UNBLOCKED.format('admins.user_id')}))"
)


class Admins(Hashed):
    """As `Changing` has it."""

    async def find(self, credential: str) -> Admin | None:
        """The live one with this text; None also where its user is blocked. Raises StoreUnavailable."""
        digest = self.digest(credential)
        rows = await self.database.ask(_FIND, (digest, self.clock.now_ms()))
        return next((_admin(row[:-1]) for row in rows if hmac.compare_digest(bytes(row[-1]), digest)), None)

    async def roles(self, user_id: str) -> tuple[dict[str, Role], frozenset[str]]:
        """What a user is at this moment, by organization; and which organizations have invited the user. Raises
        StoreUnavailable."""
        rows = await self.database.ask(
            "SELECT organization_id, role, accepted_ms FROM memberships WHERE user_id = ?", (user_id,)
        )
        invited = frozenset(id for id, _, accepted_ms in rows if accepted_ms is None)
        return {id: Role(role) for id, role, _ in rows if id not in invited}, invited

    async def add(self, name: str, user_id: str | None, expires_ms: int | None, actor: str) -> NewAdmin:
        text = ids.new_admin_credential()
        told = {"name": name, "hint": text[-4:], "user_id": user_id, "expires_ms": expires_ms}
        made = NewAdmin(id=ids.admin_id(), created_ms=self.clock.now_ms(), credential=text, **told)  # type: ignore[arg-type]

        def act(tx: Writing) -> NewAdmin:
            if user_id is not None:
                found_user(tx, user_id)
            values = [getattr(made, name) for name in _NAMES]
            tx.execute(
                f"INSERT INTO admins (hash, {_COLUMNS}) VALUES (?, {marks(values)})",
                (self.digest(text), *values),
            )
            self.note(tx, actor, "admins.create", made.id, after=_without_text(made))
            return made

        return await self.change(act)

    async def page(self, page: Page) -> list[Admin]:
        """Revoked ones too."""
        rows = await self.database.ask(
            f"SELECT {_COLUMNS} FROM admins WHERE id > ? ORDER BY id LIMIT ?", (page.after, page.limit)
        )
        return [_admin(row) for row in rows]

    async def revoke(self, id: str, actor: str) -> Admin:
        """Ends one. Raises NotFound where there is none; one that has ended stays as it is."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> Admin:
            rows = tx.execute(f"SELECT {_COLUMNS} FROM admins WHERE id = ?", (id,))
            if not rows:
                raise NotFound(f"There is no admin credential {id!r}.")
            before = _admin(rows[0])
            if before.revoked_ms is not None:
                return before
            after = msgspec.structs.replace(before, revoked_ms=now)
            tx.execute("UPDATE admins SET revoked_ms = ? WHERE id = ?", (now, id))
            self.note(tx, actor, "admins.revoke", id, before=before, after=after)
            return after

        return await self.change(act)


def _admin(row: Row) -> Admin:
    return Admin(**dict(zip(_NAMES, row, strict=True)))


def _without_text(made: NewAdmin) -> Admin:
    return Admin(**{name: getattr(made, name) for name in _NAMES})
