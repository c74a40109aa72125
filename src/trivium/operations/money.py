"""What an operator does with money: accounts, credits, budgets.

Amounts come and go as decimal USD strings. Every change carries an idempotency key, one of ours where none is given.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec

from trivium.clock import Clock
from trivium.errors import OperationError
from trivium.money import NANO, nano_text
from trivium.policy.spending import Budget, Period, window_start
from trivium.store.accounts import MOST_NANO, Accounts
from trivium.store.posting import Entry

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_SCOPE = re.compile(r"(key|user|account|project):[^\s/]{1,200}|member:[^\s/]{1,200}/[^\s/]{1,200}")
_OURS = ("charge:", "expiry:", "refund:", "rerate:")
_USD = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,9})?")


class _Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class CreateAccount(_Arguments, frozen=True, kw_only=True):
    name: str
    kind: Literal["user", "organization"] = "organization"
    id: str | None = None
    """Letters, digits and `._@-`; made up where it is left out."""


class ListAccounts(_Arguments, frozen=True, kw_only=True):
    account: str | None = None


class Credit(_Arguments, frozen=True, kw_only=True):
    account: str
    usd: str
    """Decimal; only an adjustment may be negative."""
    idempotency_key: str | None = None
    expires: str | None = None
    """A date (then its end, UTC) or a moment, ISO 8601."""
    note: str | None = None


class Adjust(Credit, frozen=True, kw_only=True):
    overdraw: bool = False
    """Take more than is free, down to a balance below zero."""


class Refund(_Arguments, frozen=True, kw_only=True):
    request: str
    usd: str | None = None
    """All that is left of the charge, if it is left out."""
    note: str | None = None


class ListEntries(_Arguments, frozen=True, kw_only=True):
    account: str | None = None
    limit: int = 50


class SetBudget(_Arguments, frozen=True, kw_only=True):
    scope: str
    period: Period
    usd: str


class RemoveBudget(_Arguments, frozen=True, kw_only=True):
    budget: str


class ListBudgets(_Arguments, frozen=True, kw_only=True):
    pass


class MoneyOperations:
    """Must run where the store is owned. `table`: name -> (type of arguments, coroutine)."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self.table: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Awaitable[Any]]]] = {
            "accounts.create": (CreateAccount, self._create),
            "accounts.list": (ListAccounts, self._list),
            "credits.grant": (Credit, lambda query: self._credit("grant", query)),
            "credits.top_up": (Credit, lambda query: self._credit("top_up", query)),
            "credits.adjust": (Adjust, lambda query: self._credit("adjustment", query, overdraw=query.overdraw)),
            "credits.refund": (Refund, self._refund),
            "credits.entries": (ListEntries, self._entries),
            "budgets.set": (SetBudget, self._set_budget),
            "budgets.list": (ListBudgets, self._list_budgets),
            "budgets.remove": (RemoveBudget, self._remove_budget),
        }

    async def _create(self, query: CreateAccount) -> dict[str, Any]:
        name = query.name.strip()
        if not name or len(name) > 100 or not name.isprintable():
            raise OperationError("An account needs a name of 1 to 100 printable characters.")
        if query.id is not None and not ID.fullmatch(query.id):
            raise OperationError(
                "An account's id has 1 to 100 letters, digits and ._@- and begins with one of the first."
            )
        id = await self._accounts.create(name, query.kind, query.id)
        return _account((await self._accounts.accounts(id))[0])

    async def _list(self, query: ListAccounts) -> list[dict[str, Any]]:
        return [_account(row) for row in await self._accounts.accounts(query.account)]

    async def _credit(self, kind: str, query: Credit, *, overdraw: bool = False) -> dict[str, Any]:
        amount = nano(query.usd)
        if amount <= 0 and kind != "adjustment":
            raise OperationError("The amount must be more than 0 USD.")
        if (query.idempotency_key or "").startswith(_OURS):
            raise OperationError(f"Idempotency keys that begin with {', '.join(_OURS)} are the ledger's own.")
        if query.expires is not None and kind != "grant":
            raise OperationError("Only granted credits expire.")
        entry = Entry(
            account_id=query.account,
            kind=kind,
            amount_nano=amount,
            time_ms=self._clock.now_ms(),
            idempotency_key=_made_up(kind) if query.idempotency_key is None else query.idempotency_key,
            expires_ms=_moment(query.expires) if query.expires is not None else None,
            note=query.note,
        )
        made = await self._accounts.credit(entry, overdraw=overdraw)
        (account,) = await self._accounts.accounts(query.account)
        return {"made": made, "idempotency_key": entry.idempotency_key, "account": _account(account)}

    async def _refund(self, query: Refund) -> dict[str, Any]:
        amount = nano(query.usd) if query.usd is not None else None
        entry = await self._accounts.refund(query.request, amount, query.note)
        return {"account": entry.account_id, "usd": nano_text(entry.amount_nano), "request": query.request}

    async def _entries(self, query: ListEntries) -> list[dict[str, Any]]:
        if not 1 <= query.limit <= 10_000:
            raise OperationError("A list has 1 to 10000 entries.")
        rows = await self._accounts.entries(query.account, query.limit)
        return [{**row, "usd": nano_text(row.pop("amount_nano"))} for row in rows]

    async def _set_budget(self, query: SetBudget) -> dict[str, Any]:
        if not _SCOPE.fullmatch(query.scope):
            raise OperationError(
                f"{query.scope!r} is no scope: expected key:ID, user:ID, account:ID, project:ID or member:ACCOUNT/USER."
            )
        if not await self._accounts.counts_somebody(query.scope):
            raise OperationError(
                f"{query.scope!r} is nobody's calls: `trivium keys list` and `trivium accounts list` show the ids."
            )
        limit = nano(query.usd)
        if limit < 0:
            raise OperationError("A budget is not negative; 0 allows nothing that costs.")
        if limit > MOST_NANO:
            raise OperationError(f"A budget is at most {nano_text(MOST_NANO)} USD.")
        budget = Budget(
            id=f"bud_{secrets.token_hex(8)}",
            scope=query.scope,
            period=query.period,
            limit_nano=limit,
            created_ms=self._clock.now_ms(),
        )
        id = await self._accounts.set_budget(budget)
        return {"id": id, "scope": budget.scope, "period": budget.period, "usd": nano_text(limit)}

    async def _list_budgets(self, _: ListBudgets) -> list[dict[str, Any]]:
        now = self._clock.now_ms()
        return [_budget(row, now) for row in await self._accounts.budgets()]

    async def _remove_budget(self, query: RemoveBudget) -> dict[str, Any]:
        await self._accounts.end_budget(query.budget)
        return {"id": query.budget}


def nano(usd: str) -> int:
    """Nanodollars of a decimal USD string. Raises OperationError for what is no amount, or finer than they are."""
    try:
        if not _USD.fullmatch(usd):
            raise InvalidOperation
        return int(Decimal(usd) * NANO)
    except InvalidOperation:
        raise OperationError(f"{usd!r} is no amount in USD; expected one like 12.50, with up to 9 decimals.") from None


def _made_up(kind: str) -> str:
    return f"{kind}:{secrets.token_hex(12)}"


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OperationError(f"{text!r} is no date; expected 2026-12-31 or 2026-12-31T12:00Z.") from None
    if "T" not in text and " " not in text:
        moment = moment.replace(hour=23, minute=59, second=59)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _account(row: dict[str, Any]) -> dict[str, Any]:
    amounts = {
        "balance_usd": nano_text(row["balance_nano"]),
        "held_usd": nano_text(row["held_nano"]),
        "free_usd": nano_text(row["balance_nano"] - row["held_nano"]),
    }
    return {name: row[name] for name in ("id", "kind", "name", "created_ms")} | amounts


def _budget(row: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """What the present period has seen; an older one's figures are of no use any more."""
    present = row["window_ms"] == window_start(row["period"], now_ms)
    return {
        "id": row["id"],
        "scope": row["scope"],
        "period": row["period"],
        "usd": nano_text(row["limit_nano"]),
        "spent_usd": nano_text(row["spent_nano"] if present else 0),
        "held_usd": nano_text(row["held_nano"] if present else 0),
    }
