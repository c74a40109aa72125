"""Budgets inside a transaction: set, ended, and told of in the log of changes. The ledger has to `load` afterwards. And
whether there is somebody that they could be for.
"""

from __future__ import annotations

from typing import Any

from trivium.errors import OperationError
from trivium.money import nano_text
from trivium.policy.spending import DEFAULT_ACCOUNT, Budget
from trivium.store.changes import Change, note
from trivium.store.sql import Database, Row, Writing

_LIVE = """
    SELECT id, scope, period, limit_nano, house_nano FROM budgets
    WHERE scope = ? AND period = ? AND ended_ms IS NULL ORDER BY house_nano IS NULL, house_nano, created_ms, id
"""
_PROJECT = "SELECT 1 FROM projects WHERE organization_id = ? AND id = ?"
_MEMBER = """
    SELECT 1 FROM accounts a LEFT JOIN organizations o ON o.id = a.id
    LEFT JOIN memberships m ON m.organization_id = o.id AND m.user_id = ?
    WHERE a.id = ? AND (o.id IS NULL OR m.user_id IS NOT NULL)
"""
_ENDED = "SELECT id FROM budgets WHERE scope = ? AND period = ? ORDER BY ended_ms DESC, id LIMIT 1"


def put_budget(tx: Writing, budget: Budget, actor: str, *, house: bool) -> str:
    """Sets a limit, and returns the budget's id. What the house has set others can lower, and take back up to that. A
    scope has one budget a period, so that of several, as databases from before may have them, one is left; and one that
    was removed is the same again, with what it has counted."""
    scope, period, limit = budget.scope, budget.period, budget.limit_nano
    live = tx.execute(_LIVE, (scope, period))
    most = live[0][4] if live else None
    if most is not None and limit > most and not house:
        raise houses_budget(most)
    known = live or tx.execute(_ENDED, (scope, period))
    id: str = known[0][0] if known else budget.id
    tx.execute(
        "INSERT INTO budgets (id, scope, period, limit_nano, created_ms, house_nano) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET limit_nano = excluded.limit_nano, house_nano = excluded.house_nano,"
        " ended_ms = NULL",
        (id, scope, period, limit, budget.created_ms, limit if house else most),
    )
    before = _told_budget(*live[0][1:4]) if live else None
    after = _told_budget(scope, period, limit)
    _note_budget(tx, (budget.created_ms, actor, "budgets.set", scope, id), before=before, after=after)
    for row in live[1:]:
        end_budget(tx, row[:4], budget.created_ms, actor)
    return id


async def counts_somebody(database: Database, scope: str) -> bool:
    """Whether the key, account, or organization's project or member that a scope names is there. Who is invited counts,
    and whoever calls for an account that is no organization's. Raises StoreUnavailable."""
    kind, _, id = scope.partition(":")
    if kind == "project" and "/" in id:
        return bool(await database.ask(_PROJECT, id.split("/")))
    if kind == "member":
        return bool(await database.ask(_MEMBER, id.split("/")[::-1]))
    table = {"key": "keys", "account": "accounts"}.get(kind)
    if table is None or id == DEFAULT_ACCOUNT:
        return True
    return bool(await database.ask(f"SELECT 1 FROM {table} WHERE id = ?", (id,)))


def has_houses_budget(tx: Writing, scope: str) -> bool:
    """Whether the house itself has set a budget of this scope."""
    statement = "SELECT 1 FROM budgets WHERE scope = ? AND house_nano IS NOT NULL AND ended_ms IS NULL LIMIT 1"
    return bool(tx.execute(statement, (scope,)))


def end_budgets_of(tx: Writing, scope: str, now_ms: int, actor: str) -> None:
    """Ends all budgets of what is there no more."""
    statement = "SELECT id, scope, period, limit_nano FROM budgets WHERE scope = ? AND ended_ms IS NULL"
    for row in tx.execute(statement, (scope,)):
        end_budget(tx, row, now_ms, actor)


def end_budget(tx: Writing, row: Row, now_ms: int, actor: str) -> None:
    """`row`: id, scope, period and limit."""
    id, scope, period, limit_nano = row
    tx.execute("UPDATE budgets SET ended_ms = ? WHERE id = ?", (now_ms, id))
    before = _told_budget(scope, period, limit_nano)
    _note_budget(tx, (now_ms, actor, "budgets.remove", scope, id), before=before)


def _told_budget(scope: str, period: str, limit_nano: int) -> dict[str, str]:
    return {"scope": scope, "period": period, "usd": nano_text(limit_nano)}


def _note_budget(tx: Writing, done: tuple[int, str, str, str, str], **told: Any) -> None:
    """`done`: when, by whom, what, of which scope and id. With the organization that the scope belongs to, if any."""
    now_ms, actor, action, scope, id = done
    kind, _, of = scope.partition(":")
    organization: str | None = of.partition("/")[0] if kind in ("account", "member") or "/" in of else None
    if kind == "key":
        rows = tx.execute("SELECT account_id FROM keys WHERE id = ?", (of,))
        organization = rows[0][0] if rows else None
    note(tx, Change(time_ms=now_ms, actor=actor, action=action, target=id, organization_id=organization, **told))


def houses_budget(most_nano: int) -> OperationError:
    """For whoever is not of the house, of a budget that the house has set."""
    return OperationError(
        f"The operators of the gateway set this budget to {nano_text(most_nano)} USD: it can be lowered. They can raise"
        " it, or take it away."
    )
