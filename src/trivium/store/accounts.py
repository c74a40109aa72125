"""Accounts and budgets as their operator sees them: made, credited, corrected, listed.

Every entry carries an idempotency key: the same entry under the same key is made once, another one is refused.
Raises OperationError for what cannot be done, StoreUnavailable.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from trivium.clock import Clock
from trivium.errors import OperationError
from trivium.money import nano_text
from trivium.policy.spending import DEFAULT_ACCOUNT, Budget
from trivium.store import owners, posting, rollups
from trivium.store.ledger import Ledger
from trivium.store.posting import Entry, Sums
from trivium.store.sql import Database, Row, Writing

MOST_NANO = 10**17
"""100 million USD: what is larger is a mistake."""

_BY_KEYS = (
    "SELECT account_id, kind, amount_nano FROM entries"
    " WHERE idempotency_key = ? OR (idempotency_key > ? AND idempotency_key < ?)"
)
_BY_KEY = "SELECT account_id, kind, amount_nano, expires_ms FROM entries WHERE idempotency_key = ?"
_ENTRY_COLUMNS = "account_id, kind, amount_nano, time_ms, idempotency_key, request_id, lot, expires_ms, flags, note"


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that would be another today."""

    request_id: str
    account_id: str | None
    """None: nobody's balance was charged, only the record changes."""
    before_nano: int
    after_nano: int
    price_version: str


class Accounts:
    def __init__(self, database: Database, ledger: Ledger, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock

    async def create(self, name: str, kind: str, id: str | None = None) -> str:
        """The id of a new account; of the one with this id, if it is there."""
        id = id or f"acct_{secrets.token_hex(8)}"
        row = (id, kind, name, self._clock.now_ms())
        statement = "INSERT INTO accounts (id, kind, name, created_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
        await self._ledger.writer.run(lambda tx: tx.execute(statement, row))
        return id

    async def accounts(self, id: str | None = None) -> list[dict[str, Any]]:
        """Accounts with their balances in nanodollars, as they are in this moment."""
        await self._ledger.writer.flush()
        columns = ("id", "kind", "name", "created_ms", "balance_nano", "held_nano")
        where, values = ("WHERE id = ?", [id]) if id else ("", [])
        rows = await self._database.ask(
            f"SELECT {', '.join(columns)} FROM accounts {where} ORDER BY created_ms, id", values
        )
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def credit(self, entry: Entry, *, overdraw: bool = False) -> bool:
        """Posts an entry that somebody decided on; False where it had been made before. What is not free is taken only
        with `overdraw`, and the entry flagged as an overrun."""
        if not 0 < abs(entry.amount_nano) <= MOST_NANO:
            raise OperationError("An amount of money here is between 0.000000001 and 100000000 USD.")
        if not entry.idempotency_key or len(entry.idempotency_key) > 200:
            raise OperationError("An idempotency key has 1 to 200 characters.")
        if entry.expires_ms is not None and entry.expires_ms <= entry.time_ms:
            raise OperationError("The credits would have expired before they are granted.")
        if entry.amount_nano < 0:
            await self._ledger.expire(entry.account_id)
        async with self._ledger.beside:
            if _is_made(await self._database.ask(_BY_KEY, (entry.idempotency_key,)), entry):
                return False
            taken = [(entry.account_id, -entry.amount_nano)]
            async with self._ledger.withheld(taken, beyond=overdraw) as (free,):
                made = await self._ledger.writer.run(lambda tx: _credit(tx, entry, free, overdraw=overdraw))
                if made:
                    self._ledger.credited(entry)
        return made

    async def refund(self, request_id: str, amount_nano: int | None, note: str | None) -> Entry:
        """Gives back a charge or a part of it; never more than was charged."""
        now = self._clock.now_ms()
        async with self._ledger.beside:
            entry = await self._ledger.writer.run(lambda tx: _refund(tx, request_id, amount_nano, note, now))
            self._ledger.credited(entry)
        return entry

    async def entries(self, account_id: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest entries first."""
        await self._ledger.writer.flush()
        where, values = ("WHERE account_id = ?", [account_id]) if account_id else ("", [])
        rows = await self._database.ask(
            f"SELECT seq, {_ENTRY_COLUMNS} FROM entries {where} ORDER BY seq DESC LIMIT ?", [*values, limit]
        )
        names = ["seq", *_ENTRY_COLUMNS.split(", ")]
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def correct(self, corrections: Sequence[Correction]) -> int:
        """Books what charges would be at another price, as far as they are not that by now. Returns how many were."""
        now = self._clock.now_ms()
        named = {one.account_id for one in corrections}
        for account_id in await owners.accounts_with_expired_credits(self._database, now):
            if account_id in named:
                await self._ledger.expire(account_id)
        async with self._ledger.beside:
            more = [(one.account_id, await self._owed(one)) for one in corrections]
            async with self._ledger.withheld(more, beyond=True) as free:
                booked = await self._ledger.writer.run(
                    lambda tx: [
                        done
                        for one, there in zip(corrections, free, strict=True)
                        if (done := _correct(tx, one, there, now)) is not None
                    ]
                )
                for entry, windows, difference in booked:
                    self._ledger.spent(windows, difference)
                    if entry is not None:
                        self._ledger.credited(entry)
        return len(booked)

    async def _owed(self, correction: Correction) -> int:
        """What a correction will take from its account, as far as can be said before."""
        if correction.account_id is None or correction.after_nano <= correction.before_nano:
            return 0
        keys = _keys_of(correction.request_id)
        made = [row for values in keys for row in await self._database.ask(_BY_KEYS, values)]
        return max(0, _owed(made, correction.after_nano))

    async def set_budget(self, budget: Budget) -> str:
        """Sets a limit, and returns the budget's id. Where the scope has a budget of the period it stays the same one,
        and what it has counted so far counts."""

        def act(tx: Writing) -> str:
            same = tx.execute(
                "UPDATE budgets SET limit_nano = ? WHERE scope = ? AND period = ? AND ended_ms IS NULL RETURNING id",
                (budget.limit_nano, budget.scope, budget.period),
            )
            if same:
                return str(same[0][0])
            tx.execute(
                "INSERT INTO budgets (id, scope, period, limit_nano, created_ms) VALUES (?, ?, ?, ?, ?)",
                (budget.id, budget.scope, budget.period, budget.limit_nano, budget.created_ms),
            )
            return budget.id

        id = await self._ledger.writer.run(act)
        await self._ledger.load()
        return id

    async def counts_somebody(self, scope: str) -> bool:
        """Whether the key or account that a budget's scope names is there. Users and projects are what keys say."""
        kind, _, id = scope.partition(":")
        table = {"key": "keys", "account": "accounts", "member": "accounts"}.get(kind)
        id = id.partition("/")[0]
        if table is None or id == DEFAULT_ACCOUNT:
            return True
        return bool(await self._database.ask(f"SELECT 1 FROM {table} WHERE id = ?", (id,)))

    async def end_budget(self, id: str) -> None:
        def act(tx: Writing) -> None:
            if not tx.execute("SELECT 1 FROM budgets WHERE id = ? AND ended_ms IS NULL", (id,)):
                raise OperationError(f"There is no budget {id!r}; `trivium budgets list` shows them.")
            tx.execute("UPDATE budgets SET ended_ms = ? WHERE id = ?", (self._clock.now_ms(), id))

        await self._ledger.writer.run(act)
        await self._ledger.load()

    async def budgets(self) -> list[dict[str, Any]]:
        """Live budgets, with what their newest period has seen."""
        await self._ledger.writer.flush()
        names = ("id", "scope", "period", "limit_nano", "created_ms", "window_ms", "spent_nano", "held_nano")
        rows = await self._database.ask(
            "SELECT b.id, b.scope, b.period, b.limit_nano, b.created_ms, s.window_ms, coalesce(s.spent_nano, 0),"
            " coalesce(s.held_nano, 0) FROM budgets b LEFT JOIN spends s ON s.budget_id = b.id AND s.window_ms ="
            " (SELECT max(window_ms) FROM spends WHERE budget_id = b.id) WHERE b.ended_ms IS NULL"
            " ORDER BY b.scope, b.period"
        )
        return [dict(zip(names, row, strict=True)) for row in rows]


def _credit(tx: Writing, entry: Entry, free: int | None, *, overdraw: bool) -> bool:
    row = posting.lock(tx, entry.account_id)
    if row is None:
        raise OperationError(f"There is no account {entry.account_id!r}; `trivium accounts list` shows them.")
    if _is_made(tx.execute(_BY_KEY, (entry.idempotency_key,)), entry):
        return False
    short = _is_short(row, free, -entry.amount_nano)
    if short and not overdraw:
        there = nano_text(max(0, row[0] - row[1] if free is None else free))
        raise OperationError(
            f"{entry.account_id} has {there} USD free; to take more than that, and leave the balance or calls in "
            "progress without cover, say so (--overdraw)."
        )
    posting.write_grant(tx, msgspec.structs.replace(entry, flags="overrun") if short else entry)
    return True


def _is_made(known: list[Row], entry: Entry) -> bool:
    """`known` are the entries under its key. Raises OperationError where it was used for another one."""
    if known and tuple(known[0]) != (entry.account_id, entry.kind, entry.amount_nano, entry.expires_ms):
        raise OperationError(f"The idempotency key {entry.idempotency_key!r} was used for another entry.")
    return bool(known)


def _is_short(row: tuple[int, int], free: int | None, amount: int) -> bool:
    """Whether more is taken than is free, by the account's row where memory does not know (`free` is None)."""
    balance, held = row
    return amount > 0 and amount > (balance - held if free is None else free)


def _refund(tx: Writing, request_id: str, amount_nano: int | None, note: str | None, now_ms: int) -> Entry:
    charged = [account_id for account_id, _, _ in _made_for(tx, request_id)]
    if charged:
        posting.lock(tx, charged[0])
    rows = [(kind, amount) for _, kind, amount in _made_for(tx, request_id)]
    left, refunds = -sum(amount for _, amount in rows), sum(kind == "refund" for kind, _ in rows)
    if not charged or left <= 0:
        raise OperationError(f"There is nothing to refund of request {request_id!r}.")
    amount = left if amount_nano is None else amount_nano
    if not 0 < amount <= left:
        raise OperationError(f"Of request {request_id!r} between 0 and {nano_text(left)} USD can be refunded.")
    entry = Entry(
        account_id=charged[0],
        kind="refund",
        amount_nano=amount,
        time_ms=now_ms,
        idempotency_key=f"refund:{request_id}:{refunds + 1}",
        request_id=request_id,
        note=note,
    )
    posting.post(tx, [entry], Sums())
    return entry


def _made_for(tx: Writing, request_id: str) -> list[Row]:
    """Account, kind and amount of a request's entries."""
    return [row for values in _keys_of(request_id) for row in tx.execute(_BY_KEYS, values)]


def _keys_of(request_id: str) -> list[tuple[str, str, str]]:
    """What the idempotency keys of a request's entries are, or begin with."""
    keys = [f"{kind}:{request_id}" for kind in ("charge", "refund", "rerate")]
    return [(key, f"{key}:", f"{key};") for key in keys]


_Booked = tuple[Entry | None, posting.Windows, int]
"""The entry, if a balance was charged, the budgets' periods that counted the call, and the difference."""


def _correct(tx: Writing, correction: Correction, free: int | None, now_ms: int) -> _Booked | None:
    """None where the charge is that by now, or another one than the correction was made for."""
    id, sums, row = correction.request_id, Sums(), (0, 0)
    if correction.account_id is not None:
        row = posting.lock(tx, correction.account_id) or row
    last = tx.execute("SELECT after_nano, number FROM rerates WHERE request_id = ? ORDER BY number DESC LIMIT 1", (id,))
    before, number = last[0] if last else (correction.before_nano, 0)
    difference = correction.after_nano - before
    if not difference or before != correction.before_nano:
        return None
    tx.execute(
        "INSERT INTO rerates (request_id, number, price_version, time_ms, before_nano, after_nano)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (id, number + 1, correction.price_version, now_ms, before, correction.after_nano),
    )
    started = tx.execute("SELECT windows FROM starts WHERE id = ?", (id,))
    windows = posting.read_windows(started[0][0]) if started else ()
    sums.windows(windows, difference, 0)
    entry = None
    if correction.account_id is not None and (owed := _owed(_made_for(tx, id), correction.after_nano)):
        entry = Entry(
            account_id=correction.account_id,
            kind="adjustment",
            amount_nano=-owed,
            time_ms=now_ms,
            idempotency_key=f"rerate:{id}:{number + 1}",
            request_id=id,
            flags="overrun" if _is_short(row, free, owed) else "",
        )
    posting.post(tx, [entry] if entry else [], sums)
    tx.execute(rollups.CORRECTION, (difference, id))
    return entry, windows, difference


def _owed(made: list[Row], cost_nano: int) -> int:
    """What is still to be paid for a call that costs so much by now; what was given back stays given. `made` are the
    entries of its request."""
    refunded: int = sum(amount for _, kind, amount in made if kind == "refund")
    paid: int = -sum(amount for _, _, amount in made)
    return max(0, cost_nano - refunded) - paid
