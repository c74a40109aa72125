"""What an operator does with money: accounts, credits, budgets.

Amounts come and go as decimal USD strings. Every credit carries an idempotency key, one of ours where none is given.
"""

from __future__ import annotations

import re
import secrets
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec

from trivium.clock import Clock, moment_ms
from trivium.errors import OperationError
from trivium.money import NANO, nano_text
from trivium.operations.table import (
    OFFICERS,
    SPENDERS,
    Actor,
    Arguments,
    ListArguments,
    Listed,
    Needs,
    Op,
    Table,
    listed,
    named,
)
from trivium.policy.caller import BILLS, Id
from trivium.policy.spending import Budget, Period, window_start
from trivium.store.accounts import MOST_NANO, Accounts
from trivium.store.answers import told
from trivium.store.posting import Entry
from trivium.store.whose import Whose

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_SCOPE = re.compile(r"(key|user|account|project):[^\s/]{1,200}|(member|project):[^\s/]{1,200}/[^\s/]{1,200}")
_OURS = ("charge:", "expiry:", "payment:", "refund:", "rerate:")
_USD = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,9})?")


class CreateAccount(Arguments, frozen=True, kw_only=True):
    name: str
    kind: Literal["user", "organization"] = "organization"
    id: str | None = None
    """Letters, digits and `._@-`; made up where it is left out."""


class ListAccounts(ListArguments, frozen=True, kw_only=True):
    account: str | None = None
    organization: Id | None = None
    user: Id | None = None


class Credit(Arguments, frozen=True, kw_only=True):
    account: str
    usd: str
    """Decimal; only an adjustment may be negative."""
    idempotency_key: str | None = None
    expires: Annotated[str, msgspec.Meta(description="A date (then its end, UTC) or a moment, ISO 8601.")] | None = None
    note: str | None = None


class Adjust(Credit, frozen=True, kw_only=True):
    overdraw: bool = False
    """Take more than is free, down to a balance below zero."""


class Refund(Arguments, frozen=True, kw_only=True):
    request: str
    usd: str | None = None
    """All that is left of the charge, if it is left out."""
    idempotency_key: str | None = None
    """The same refund of a request under the same key is made once."""
    note: str | None = None


class ListEntries(ListAccounts, frozen=True, kw_only=True):
    """The newest first."""


class SetBudget(Arguments, frozen=True, kw_only=True):
    scope: str
    period: Period
    usd: str
    organization: Id | None = None
    """Whose the scope must be."""


class RemoveBudget(Arguments, frozen=True, kw_only=True):
    budget: Id
    organization: Id | None = None


class ListBudgets(ListArguments, frozen=True, kw_only=True):
    organization: Id | None = None
    user: Id | None = None


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts are decimal USD, as in everything below."""

    id: str
    kind: str
    name: str
    created_ms: int
    balance_usd: str
    held_usd: str
    """Put aside for calls in progress."""
    free_usd: str


class Credited(msgspec.Struct, frozen=True, kw_only=True):
    made: bool
    """False: it had been made before under this idempotency key."""
    idempotency_key: str
    account: AccountRow


class Refunded(msgspec.Struct, frozen=True, kw_only=True):
    made: bool
    """False: it had been made before under this idempotency key."""
    account: str
    usd: str
    request: str


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    account_id: str
    kind: str
    time_ms: int
    idempotency_key: str
    request_id: str | None
    lot: str | None
    expires_ms: int | None
    flags: str
    note: str | None
    usd: str


class BudgetSet(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    scope: str
    period: Period
    usd: str


class BudgetRow(BudgetSet, frozen=True, kw_only=True):
    """Spent and held in the present period."""

    spent_usd: str
    held_usd: str


class BudgetRemoved(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class MoneyOperations:
    """Must run where the store is owned. `table` is for `Operations`."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        bills = Needs(roles=BILLS, personal=True)
        budgets, officers = Needs(roles=BILLS, own=SPENDERS, personal=True), Needs(roles=OFFICERS)
        self.table: Table = {
            "accounts.create": Op(arguments=CreateAccount, result=AccountRow, act=self._create, changes=True),
            "accounts.list": Op(arguments=ListAccounts, result=Listed[AccountRow], act=self._list, needs=bills),
            "credits.grant": Op(arguments=Credit, result=Credited, act=self._grant, changes=True),
            "credits.top_up": Op(arguments=Credit, result=Credited, act=self._top_up, changes=True),
            "credits.adjust": Op(arguments=Adjust, result=Credited, act=self._adjust, changes=True),
            "credits.refund": Op(arguments=Refund, result=Refunded, act=self._refund, changes=True),
            "credits.entries": Op(arguments=ListEntries, result=Listed[EntryRow], act=self._entries, needs=bills),
            "budgets.set": Op(
                arguments=SetBudget, result=BudgetSet, act=self._set_budget, needs=officers, changes=True
            ),
            "budgets.list": Op(arguments=ListBudgets, result=Listed[BudgetRow], act=self._budgets, needs=budgets),
            "budgets.remove": Op(
                arguments=RemoveBudget, result=BudgetRemoved, act=self._remove_budget, needs=officers, changes=True
            ),
        }

    async def _create(self, query: CreateAccount, actor: Actor) -> AccountRow:
        name = named(query.name, "An account")
        if query.id is not None and not ID.fullmatch(query.id):
            raise OperationError(
                "An account's id has 1 to 100 letters, digits and ._@- and begins with one of the first."
            )
        return await told(_account, self._accounts.create(name, query.kind, query.id, actor.id))

    async def _list(self, query: ListAccounts, _: Actor) -> Listed[AccountRow]:
        page = query.page()
        rows = await self._accounts.accounts(
            query.account, account_of(query.organization, query.user), page.after, page.limit
        )
        return listed(map(_account, rows), query, lambda account: account.id)

    async def _grant(self, query: Credit, actor: Actor) -> Credited:
        return await self._credit("grant", query, actor)

    async def _top_up(self, query: Credit, actor: Actor) -> Credited:
        return await self._credit("top_up", query, actor)

    async def _adjust(self, query: Adjust, actor: Actor) -> Credited:
        return await self._credit("adjustment", query, actor, overdraw=query.overdraw)

    async def _credit(self, kind: str, query: Credit, actor: Actor, *, overdraw: bool = False) -> Credited:
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
        made = await self._accounts.credit(entry, overdraw=overdraw, actor=actor.id)
        account = await self._account(query.account)
        return Credited(made=made, idempotency_key=entry.idempotency_key, account=account)

    async def _account(self, id: str) -> AccountRow:
        return _account((await self._accounts.accounts(id))[0])

    async def _refund(self, query: Refund, actor: Actor) -> Refunded:
        amount = nano(query.usd) if query.usd is not None else None
        refunding = self._accounts.refund(query.request, amount, query.note, actor.id, key=query.idempotency_key)
        return await told(_refunded, refunding)

    async def _entries(self, query: ListEntries, _: Actor) -> Listed[EntryRow]:
        rows = await self._accounts.entries(
            query.account, query.limit + 1, account_of(query.organization, query.user), query.below()
        )
        told = [EntryRow(usd=nano_text(row.pop("amount_nano")), **row) for row in rows]
        return listed(told, query, lambda entry: entry.seq)

    async def _set_budget(self, query: SetBudget, actor: Actor) -> BudgetSet:
        if not _SCOPE.fullmatch(query.scope):
            raise OperationError(
                f"{query.scope!r} is no scope: expected key:ID, user:ID, account:ID, member:ACCOUNT/USER, "
                "project:ORGANIZATION/ID or, of keys that belong to no organization, project:ID."
            )
        own = query.organization is None or query.scope.partition(":")[2].startswith(f"{query.organization}/")
        if own and not await self._accounts.counts_somebody(query.scope):
            raise OperationError(
                f"{query.scope!r} is nobody's calls: `trivium keys list`, `trivium accounts list` and `trivium orgs"
                " members list` show the ids."
            )
        budget = budget_of(query.scope, query.period, query.usd, self._clock.now_ms())
        whose = Whose(organization=query.organization)
        setting = self._accounts.set_budget(budget, whose, actor.id, house=actor.house)
        usd = nano_text(budget.limit_nano)
        return await told(lambda id: BudgetSet(id=id, scope=budget.scope, period=budget.period, usd=usd), setting)

    async def _budgets(self, query: ListBudgets, _: Actor) -> Listed[BudgetRow]:
        now, page = self._clock.now_ms(), query.page()
        whose = Whose(organization=query.organization, user=query.user)
        rows = await self._accounts.budgets(whose, page.after, page.limit)
        return listed([_budget(row, now) for row in rows], query, lambda budget: budget.id)

    async def _remove_budget(self, query: RemoveBudget, actor: Actor) -> BudgetRemoved:
        whose = Whose(organization=query.organization)
        ending = self._accounts.end_budget(query.budget, whose, actor.id, house=actor.house)
        return await told(lambda _: BudgetRemoved(id=query.budget), ending)


def budget_of(scope: str, period: Period, usd: str, now_ms: int) -> Budget:
    """A budget to be set. Raises OperationError for an amount that is none."""
    limit = nano(usd)
    if limit < 0:
        raise OperationError("A budget is not negative; 0 allows nothing that costs.")
    if limit > MOST_NANO:
        raise OperationError(f"A budget is at most {nano_text(MOST_NANO)} USD.")
    id = f"bud_{secrets.token_hex(8)}"
    return Budget(id=id, scope=scope, period=period, limit_nano=limit, created_ms=now_ms)


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
        return moment_ms(text, end_of_day=True)
    except ValueError:
        raise OperationError(f"{text!r} is no date; expected 2026-12-31 or 2026-12-31T12:00Z.") from None


def _refunded(done: tuple[Entry, bool]) -> Refunded:
    entry, made = done
    return Refunded(
        made=made, account=entry.account_id, usd=nano_text(entry.amount_nano), request=entry.request_id or ""
    )


def account_of(organization: str | None, user: str | None) -> str | None:
    """Raises OperationError where both are named: one would have the other's sums for those of the two."""
    if organization is not None and user is not None:
        raise OperationError("An account is an organization's or a user's: name one of the two.")
    return Whose(organization=organization, user=user).account


def _account(row: dict[str, Any]) -> AccountRow:
    balance, held = row["balance_nano"], row["held_nano"]
    over = max(0, row["expired_nano"] - held)  # as much as the next look takes
    return AccountRow(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        created_ms=row["created_ms"],
        balance_usd=nano_text(balance),
        held_usd=nano_text(held),
        free_usd=nano_text(balance - held - over),
    )


def _budget(row: dict[str, Any], now_ms: int) -> BudgetRow:
    """What the present period has seen; an older one's figures are of no use any more."""
    present = row["window_ms"] == window_start(row["period"], now_ms)
    return BudgetRow(
        id=row["id"],
        scope=row["scope"],
        period=row["period"],
        usd=nano_text(row["limit_nano"]),
        spent_usd=nano_text(row["spent_nano"] if present else 0),
        held_usd=nano_text(row["held_nano"] if present else 0),
    )
