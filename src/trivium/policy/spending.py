"""What may still be spent: balances and budgets, each with the holds on it. Pure; all amounts are nanodollars.

A hold is taken whole or not at all, from the balance and from every budget that counts the call. What is free is what
is there less what is held, so that calls together can never be admitted for more than there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from trivium.clock import DAY_MS
from trivium.policy.caller import Caller

DEFAULT_ACCOUNT = "default"
"""The account of keys that were given none."""

Span = Literal["day", "week", "month"]
"""Weeks begin on Monday."""
Period = Literal["day", "week", "month", "total"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The most that the calls of a scope may cost in a period. 0 allows nothing that costs."""

    id: str
    scope: str
    """`key:ID`, `user:ID`, `account:ID`, `member:ACCOUNT/USER`, `project:ORGANIZATION/ID`; `project:ID` for the word of
    keys that belong to no organization."""
    period: Period
    limit_nano: int
    created_ms: int
    ended_ms: int | None = None


def scopes_of(caller: Caller, account_id: str | None) -> tuple[str, ...]:
    """All that a budget may be set for and that the caller's calls count in; `account_id`: whose balance is charged."""
    scopes = [f"key:{caller.id}"]
    if caller.user_id:
        scopes.append(f"user:{caller.user_id}")
    account = caller.account_id or account_id or DEFAULT_ACCOUNT
    scopes.append(f"account:{account}")
    if caller.user_id:
        scopes.append(f"member:{account}/{caller.user_id}")
    if caller.project_id and caller.organization is not None:
        scopes.append(f"project:{caller.organization.id}/{caller.project_id}")
    elif caller.project_id:
        scopes.append(f"project:{caller.project_id}")
    return tuple(scopes)


def window_start(period: Period, time_ms: int) -> int:
    """When the period began that a moment lies in: midnight, Monday or the first of the month, UTC; 0 for `total`."""
    if period == "total":
        return 0
    day = time_ms - time_ms % DAY_MS
    if period == "day":
        return day
    date = _EPOCH + timedelta(milliseconds=day)
    back = date.weekday() if period == "week" else date.day - 1
    return day - back * DAY_MS


def window_end(period: Period, start_ms: int) -> int | None:
    """When the next period begins; None for `total`."""
    return None if period == "total" else span_end(period, start_ms)


def span_end(span: Span, start_ms: int) -> int:
    """When it ends that began then."""
    if span == "month":
        date = _EPOCH + timedelta(milliseconds=start_ms)
        return window_start("month", start_ms + (32 - date.day) * DAY_MS)
    return start_ms + (DAY_MS if span == "day" else 7 * DAY_MS)


class Account:
    """A balance and the holds on it."""

    __slots__ = ("balance", "changes", "held", "id", "needed_ms", "next_expiry_ms", "unwritten")

    def __init__(self, id: str, balance: int, held: int, next_expiry_ms: int | None = None) -> None:
        self.id = id
        self.balance = balance
        self.held = held
        self.next_expiry_ms = next_expiry_ms
        """When the first of its credits expires that is not used up, or somebody has to look again."""
        self.needed_ms: int | None = None
        """Some have expired that calls may need which had begun by then."""
        self.changes = 0
        """The ledger's count of changes when this account was last one of them."""
        self.unwritten = 0
        """What of `free` only memory knows yet: freed by calls whose ends are on their way to the database."""

    @property
    def free(self) -> int:
        return self.balance - self.held


class Window:
    """One period of a budget."""

    __slots__ = ("budget", "changes", "held", "spent", "start_ms", "unwritten")

    def __init__(self, budget: Budget, start_ms: int, spent: int = 0, held: int = 0) -> None:
        self.budget = budget
        self.start_ms = start_ms
        self.spent = spent
        self.held = held
        self.changes = 0
        self.unwritten = 0
        """Both as an account's."""

    @property
    def free(self) -> int:
        return self.budget.limit_nano - self.spent - self.held


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a hold was not taken."""

    needed: int
    free: int
    """What was there for it: the balance or budget without other holds."""
    held: int
    """By other calls in progress."""
    budget: Budget | None = None
    """The budget that is too small; None where the balance is."""
    resets_ms: int | None = None
    """When that one begins anew, in milliseconds since the epoch; None: never."""


def take(amount: int, account: Account | None, windows: Sequence[Window]) -> Refusal | None:
    """Holds the amount on the balance and on all budgets, or says why not and holds nothing."""
    if (refusal := lacking(amount, account, windows)) is not None:
        return refusal
    if account is not None:
        account.held += amount
    for window in windows:
        window.held += amount
    return None


def lacking(amount: int, account: Account | None, windows: Sequence[Window]) -> Refusal | None:
    """Why the amount cannot be held; None: it can. To hold nothing needs no balance."""
    if amount and account is not None and account.free < amount:
        return Refusal(needed=amount, free=account.free, held=account.held)
    for window in windows:
        if window.free < amount:
            return refused_by(window, amount)
    return None


def refused_by(window: Window, amount: int) -> Refusal:
    """The refusal of a budget."""
    resets_ms = window_end(window.budget.period, window.start_ms)
    return Refusal(needed=amount, free=window.free, held=window.held, budget=window.budget, resets_ms=resets_ms)


def settle(hold: int, charge: int, account: Account | None, windows: Sequence[Window]) -> None:
    """Ends a hold: what was held is free again, and the charge is spent. A charge of 0 releases it."""
    if account is not None:
        account.held -= hold
        account.balance -= charge
    for window in windows:
        window.held -= hold
        window.spent += charge


class Lot(msgspec.Struct, frozen=True):
    """What is left of credits that expire."""

    id: str
    remaining: int


def consume(lots: Sequence[Lot], amount: int) -> list[Lot]:
    """The lots that change when an amount is taken from them in their order, the earliest expiry first. What they do
    not have comes from credits that never expire."""
    changed = []
    for lot in lots:
        taken = min(lot.remaining, amount)
        if taken > 0:
            changed.append(Lot(lot.id, lot.remaining - taken))
            amount -= taken
    return changed
