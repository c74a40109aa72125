"""What callers may see of themselves: their balance, their budgets, their organizations. For the event loop; raises
StoreUnavailable. Ends of calls that wait for the next batch (a tenth of a second) are not in these figures yet."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trivium.policy.spending import Period
from trivium.store.sql import Database, marks


class OwnBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts are nanodollars."""

    scope: str
    period: Period
    limit_nano: int
    window_ms: int | None
    """When the newest period began that counted anything; None: nothing was counted yet."""
    used_nano: int
    """Of that period, with what is put aside for calls in progress."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    organization_id: str
    name: str
    role: str
    free_nano: int


class Person(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    email: str | None


class Own:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def free_nano(self, account_id: str) -> int:
        """What no call has a hold on, below zero where more was spent; 0 where there is no such account."""
        rows = await self._database.ask("SELECT balance_nano - held_nano FROM accounts WHERE id = ?", (account_id,))
        return int(rows[0][0]) if rows else 0

    async def budgets(self, scopes: Sequence[str], now_ms: int) -> list[OwnBudget]:
        """The live budgets of these scopes, with their newest period that does not lie ahead."""
        rows = await self._database.ask(
            "SELECT b.scope, b.period, b.limit_nano, s.window_ms, coalesce(s.spent_nano, 0) + coalesce(s.held_nano, 0)"
            " FROM budgets b LEFT JOIN spends s ON s.budget_id = b.id AND s.window_ms ="
            " (SELECT max(window_ms) FROM spends WHERE budget_id = b.id AND window_ms <= ?)"
            f" WHERE b.ended_ms IS NULL AND b.scope IN ({marks(scopes)}) ORDER BY b.scope, b.period",
            [now_ms, *scopes],
        )
        names = ("scope", "period", "limit_nano", "window_ms", "used_nano")
        return [OwnBudget(**dict(zip(names, row, strict=True))) for row in rows]

    async def person(self, user_id: str) -> Person | None:
        rows = await self._database.ask("SELECT id, name, email FROM users WHERE id = ?", (user_id,))
        return Person(id=rows[0][0], name=rows[0][1], email=rows[0][2]) if rows else None

    async def memberships(self, user_id: str) -> list[Membership]:
        rows = await self._database.ask(
            "SELECT o.id, o.name, m.role, coalesce(a.balance_nano - a.held_nano, 0) FROM memberships m"
            " JOIN organizations o ON o.id = m.organization_id LEFT JOIN accounts a ON a.id = o.id"
            " WHERE m.user_id = ? AND m.accepted_ms IS NOT NULL ORDER BY o.name, o.id",
            (user_id,),
        )
        names = ("organization_id", "name", "role", "free_nano")
        return [Membership(**dict(zip(names, row, strict=True))) for row in rows]
