"""Whose rows an answer may tell of, as conditions of a statement: what is somebody else's is never read.

A call belongs to the organization or user whose account paid, or whose key it was made with. A budget belongs to the
organization if its scope is one of its accounts, members, projects or keys; to a user likewise.
"""

from __future__ import annotations

from typing import Any

import msgspec

_Condition = tuple[str, list[Any]]


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """Of an organization, a user, or of a member of an organization; of everybody where neither is named."""

    organization: str | None = None
    user: str | None = None

    @property
    def account(self) -> str | None:
        """Users and organizations have an account each, of the same id."""
        return self.organization or self.user


EVERYBODY = Whose()


def calls(whose: Whose) -> _Condition:
    """Of tables with `account_id` and `key_id`, where an empty text is as good as null."""
    where, values = [], []
    if whose.organization is not None:
        where.append(
            "(account_id = ? OR (coalesce(account_id, '') = ''"
            " AND key_id IN (SELECT id FROM keys WHERE account_id = ?)))"
        )
        values += [whose.organization, whose.organization]
    if whose.user is not None:
        where.append("key_id IN (SELECT id FROM keys WHERE user_id = ?)")
        values.append(whose.user)
    return _all(where), values


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
        return _any(["scope = ?", "scope = ?", _of_key("user_id = ?")]), [f"user:{user}", f"account:{user}", user]
    if user is not None:
        member = f"member:{organization}/{user}"
        return _any(["scope = ?", _of_key("account_id = ? AND user_id = ?")]), [member, organization, user]
    members = f"member:{organization}/"
    return _any(
        [
            "scope = ?",
            "substr(scope, 1, ?) = ?",
            _of_key("account_id = ?"),
            "(substr(scope, 1, 8) = 'project:'"
            " AND substr(scope, 9) IN (SELECT id FROM projects WHERE organization_id = ?))",
        ]
    ), [f"account:{organization}", len(members), members, organization, organization]


def _of_key(where: str) -> str:
    return f"(substr(scope, 1, 4) = 'key:' AND substr(scope, 5) IN (SELECT id FROM keys WHERE {where}))"


def _all(where: list[str]) -> str:
    return " AND ".join(where) or "1 = 1"


def _any(where: list[str]) -> str:
    return f"({' OR '.join(where)})"
