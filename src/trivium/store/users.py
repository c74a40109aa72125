"""Users: people with keys of their own, and the e-mail domains whose users are blocked."""

from __future__ import annotations

import string
from typing import Any

import msgspec

from trivium.errors import Conflict, NotFound
from trivium.policy.caller import Limits
from trivium.store.changes import Changing, Page, text
from trivium.store.sql import Row, Writing


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with keys of their own. Times are milliseconds since the epoch."""

    id: str
    name: str
    email: str | None = None
    staff: bool = False
    """Works for the house."""
    limits: Limits = Limits()
    created_ms: int
    blocked_ms: int | None = None
    blocked_why: str | None = None


UNBLOCKED = (
    "SELECT 1 FROM users u LEFT JOIN blocked_domains d ON d.domain = u.domain"
    " WHERE u.id = {} AND u.blocked_ms IS NULL AND d.domain IS NULL"
)
"""A row where there is a user of this id who may do anything."""
_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_USER = ("id", "name", "email", "staff", "limits", "created_ms", "blocked_ms", "blocked_why")


class Users(Changing):
    """As `Changing` has it."""

    async def add(self, user: User, actor: str) -> User:
        """With an account of the same id. Raises Conflict where there is one with this id or e-mail address."""

        return await self.change(lambda tx: add_user(self, tx, user, actor))

    async def page(self, page: Page, email: str | None = None, id: str | None = None) -> list[User]:
        asked = {name: value for name, value in (("email", email), ("id", id)) if value is not None}
        where, values = "".join(f" AND {name} = ?" for name in asked), asked.values()
        rows = await self.database.ask(
            f"SELECT {', '.join(_USER)} FROM users WHERE id > ?{where} ORDER BY id LIMIT ?",
            [page.after, *values, page.limit],
        )
        return [_user(row) for row in rows]

    async def get(self, id: str) -> User:
        rows = await self.database.ask(f"SELECT {', '.join(_USER)} FROM users WHERE id = ?", (id,))
        if not rows:
            raise NotFound(f"There is no user {id!r}.")
        return _user(rows[0])

    async def set(self, id: str, actor: str, action: str, **fields: Any) -> User:
        """Sets fields of a user. Raises NotFound, Conflict."""

        def act(tx: Writing) -> User:
            before = found_user(tx, id)
            after = msgspec.structs.replace(before, **fields)
            if after.email != before.email and tx.execute(
                "SELECT 1 FROM users WHERE email = ? AND id <> ?", (after.email, id)
            ):
                raise Conflict(f"There is another user with the e-mail address {after.email!r}.")
            _write_user(tx, after)
            if after != before:
                self.note(tx, actor, action, id, before=before, after=after)
            return after

        return await self.change(act)

    async def block(self, ids: list[str], why: str | None, actor: str) -> int:
        """Blocks all of these users or, where one of them is not there, none. Returns how many were not blocked yet."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> int:
            found = [found_user(tx, id) for id in ids]
            fresh = [user for user in found if user.blocked_ms is None]
            for before in fresh:
                after = msgspec.structs.replace(before, blocked_ms=now, blocked_why=why)
                _write_user(tx, after)
                put_out(tx, "= ?", before.id)
                self.note(tx, actor, "users.block", before.id, before=before, after=after)
            return len(fresh)

        return await self.change(act)

    async def block_domain(self, domain: str, actor: str, *, blocked: bool) -> None:
        """Whether users with an e-mail address of a domain are blocked."""

        def act(tx: Writing) -> None:
            there = bool(tx.execute("SELECT 1 FROM blocked_domains WHERE domain = ?", (domain,)))
            if there is blocked:
                return
            if blocked:
                tx.execute(
                    "INSERT INTO blocked_domains (domain, created_ms) VALUES (?, ?)", (domain, self.clock.now_ms())
                )
                put_out(tx, "IN (SELECT id FROM users WHERE domain = ?)", domain)
            else:
                tx.execute("DELETE FROM blocked_domains WHERE domain = ?", (domain,))
            action = "domains.block" if blocked else "domains.unblock"
            self.note(tx, actor, action, domain, before={"blocked": there}, after={"blocked": blocked})

        await self.change(act)

    async def blocked_domains(self, page: Page) -> list[str]:
        statement = "SELECT domain FROM blocked_domains WHERE domain > ? ORDER BY domain LIMIT ?"
        return [row[0] for row in await self.database.ask(statement, (page.after, page.limit))]

    async def revoke_keys(self, id: str, actor: str) -> list[str]:
        """Ends all keys of a user, whoever pays for them. Returns the ids of those that were live."""

        def act(tx: Writing) -> list[str]:
            found_user(tx, id)
            now = self.clock.now_ms()
            ended = tx.execute(
                "UPDATE keys SET revoked_ms = ? WHERE user_id = ? AND revoked_ms IS NULL RETURNING id, account_id",
                (now, id),
            )
            for key_id, account_id in sorted(ended):
                told = {"before": {"revoked_ms": None}, "after": {"revoked_ms": now}}
                self.note(tx, actor, "users.revoke_keys", key_id, organization_id=account_id, **told)
            return sorted(key_id for key_id, _ in ended)

        return await self.change(act)


def add_user(store: Changing, tx: Writing, user: User, actor: str) -> User:
    """As `Users.add`, in a transaction of somebody else."""
    if tx.execute("SELECT 1 FROM users WHERE id = ?", (user.id,)):
        raise Conflict(f"There is a user with the id {user.id!r}.")
    if tx.execute("SELECT 1 FROM users WHERE email = ?", (user.email,)):
        raise Conflict(f"There is a user with the e-mail address {user.email!r}.")
    if tx.execute("SELECT 1 FROM organizations WHERE id = ?", (user.id,)):
        raise Conflict(f"{user.id!r} is an organization, which has the account of this id.")
    store.open_account(tx, user.id, "user", user.name)
    values = (user.id, user.name, user.email, domain_of(user.email), int(user.staff), text(user.limits))
    tx.execute(
        "INSERT INTO users (id, name, email, domain, staff, limits, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*values, user.created_ms),
    )
    store.note(tx, actor, "users.create", user.id, after=user)
    return user


def plain_email(email: str) -> str:
    """As it is kept and compared: capitals say nothing, but ASCII's alone. Of other alphabets some have a small letter
    that is ASCII (the sign for kelvin: `k`), and an address with one would be somebody else's."""
    return email.translate(_SMALL)


def domain_of(email: str | None) -> str | None:
    return plain_domain(email.rpartition("@")[2]) if email else None


def plain_domain(domain: str) -> str:
    """As it is compared: capitals say nothing, nor does the dot that may stand for the root."""
    return domain.translate(_SMALL).rstrip(".")


def found_user(tx: Writing, id: str) -> User:
    rows = tx.execute(f"SELECT {', '.join(_USER)} FROM users WHERE id = ?", (id,))
    if not rows:
        raise NotFound(f"There is no user {id!r}.")
    return _user(rows[0])


def put_out(tx: Writing, which: str, value: str) -> None:
    """Ends users' sessions for good: who is let in again later signs in again."""
    tx.execute(f"DELETE FROM sessions WHERE user_id {which}", (value,))


def _write_user(tx: Writing, user: User) -> None:
    told = (user.name, user.email, domain_of(user.email), int(user.staff), text(user.limits))
    tx.execute(
        "UPDATE users SET name = ?, email = ?, domain = ?, staff = ?, limits = ?, blocked_ms = ?, blocked_why = ?"
        " WHERE id = ?",
        (*told, user.blocked_ms, user.blocked_why, user.id),
    )


def _user(row: Row) -> User:
    told = dict(zip(_USER, row, strict=True))
    limits = msgspec.json.decode(told["limits"], type=Limits)
    return User(**told | {"staff": bool(told["staff"]), "limits": limits})
