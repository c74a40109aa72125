"""Whose rows an answer may tell of, as conditions of a statement: what is somebody else's is never read.

A call belongs to the organization that it was made for; of calls from before there were any, to the one whose account
paid or whose key it was made with. A user's are those made with the user's keys and tokens. A budget belongs to the
organization if its scope is one of its accounts, members, projects or keys; to a user likewise, save that keys which an
organization pays for are its business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from trivium.store.sql import Database

_Condition = tuple[str, list[Any]]


class Made(Protocol):
    """A call."""

    @property
    def organization_id(self) -> str | None: ...
    @property
    def account_id(self) -> str | None: ...
    @property
    def key_id(self) -> str | None: ...


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """Of an organization, a user, or of a member of an organization; of everybody where neither is named."""

    organization: str | None = None
    user: str | None = None

    @property
    def account(self) -> str | None:
        """Users and organizations have an account each, of the same id."""
        return self.organization or self.user


EVERYBODY = Whose()


def calls(whose: Whose, token: str | None = None) -> _Condition:
    """Of tables with `organization_id`, `account_id` and `key_id`, where an empty text is as good as null. `token` is
    what stands in the place of a key's id in the calls that the user makes with tokens."""
    where: list[str] = []
    values: list[str | None] = []
    if whose.organization is not None:
        where.append(
            "(organization_id = ? OR (coalesce(organization_id, '') = '' AND (account_id = ?"
            " OR (coalesce(account_id, '') = '' AND key_id IN (SELECT id FROM keys WHERE account_id = ?)))))"
        )
        values += [whose.organization] * 3
    if whose.user is not None:
        where.append("(key_id = ? OR key_id IN (SELECT id FROM keys WHERE user_id = ?))")
        values += [token, whose.user]
    return _all(where), values


def theirs(database: Database, whose: Whose, token: str | None = None) -> Callable[[Made], bool]:
    """The same of calls in memory. Blocks; raises StoreUnavailable."""
    if whose == EVERYBODY:
        return lambda _: True
    paid, owned = (
        {id for (id,) in database.query(f"SELECT id FROM keys WHERE {column} = ?", (owner,))[1]} if owner else set()
        for column, owner in (("account_id", whose.organization), ("user_id", whose.user))
    )

    def is_theirs(call: Made) -> bool:
        payer = call.organization_id or call.account_id or (whose.organization if call.key_id in paid else None)
        of_organization = whose.organization in (None, payer)
        return of_organization and (whose.user is None or call.key_id == token or call.key_id in owned)

    return is_theirs


def keys(whose: Whose) -> _Condition:
    """Of the table of keys."""
    where, values = [], []
    for column, value in (("account_id", whose.organization), ("user_id", whose.user)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    return _all(where), values


def scopes(whose: Whose) -> _Condition:
    """Of anything with a column `scope` that holds what a budget can be for."""
    organization, user = whose.organization, whose.user
    if organization is None and user is None:
        return "1 = 1", []
    if organization is None:
        own = _of_key("user_id = ? AND coalesce(account_id, '') NOT IN (SELECT id FROM organizations)")
        return _any(["scope = ?", "scope = ?", own]), [f"user:{user}", f"account:{user}", user]
    if user is not None:
        member = f"member:{organization}/{user}"
        return _any(["scope = ?", _of_key("account_id = ? AND user_id = ?")]), [member, organization, user]
    members, projects = f"member:{organization}/", f"project:{organization}/"
    return _any(["scope = ?", "substr(scope, 1, ?) = ?", "substr(scope, 1, ?) = ?", _of_key("account_id = ?")]), [
        f"account:{organization}",
        len(members),
        members,
        len(projects),
        projects,
        organization,
    ]


def _of_key(where: str) -> str:
    return f"(substr(scope, 1, 4) = 'key:' AND substr(scope, 5) IN (SELECT id FROM keys WHERE {where}))"


def _all(where: list[str]) -> str:
    return " AND ".join(where) or "1 = 1"


def _any(where: list[str]) -> str:
    return f"({' OR '.join(where)})"
