"""Accounts and budgets as their operator sees them: made, credited, corrected, listed.

Every entry carries an idempotency key: the same entry under the same key is made once, another one is refused.
Raises OperationError for what cannot be done, StoreUnavailable.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from trivium.clock import Clock
from trivium.errors import Conflict, KeyReused, NotFound, OperationError
from trivium.money import nano_text
from trivium.policy.spending import Budget
from trivium.store import owners, posting, spans
from trivium.store.budgets import counts_somebody, end_budget, houses_budget, put_budget
from trivium.store.changes import OPERATOR, Change, note
from trivium.store.ledger import Ledger
from trivium.store.posting import Entry, Sums
from trivium.store.sql import Database, Row, Writing
from trivium.store.whose import EVERYBODY, Whose, scopes

MOST_NANO = 10**17
"""100 million USD: what is larger is a mistake."""

_LONGEST_KEY = 400
"""The 255 of the admin API's header, behind whose they are."""
_AT_ONCE = 50
"""Corrections in one transaction: calls of their accounts wait for it."""
_BY_KEYS = (
    "SELECT account_id, kind, amount_nano FROM entries"
    " WHERE idempotency_key = ? OR (idempotency_key > ? AND idempotency_key < ?)"
)
_BY_KEY = "SELECT account_id, kind, amount_nano, expires_ms FROM entries WHERE idempotency_key = ?"
_ENTRY_COLUMNS = "account_id, kind, amount_nano, time_ms, idempotency_key, request_id, lot, expires_ms, flags, note"

_ACCOUNT = ("id", "kind", "name", "created_ms", "balance_nano", "held_nano")
_NEW_ACCOUNT = (
    "INSERT INTO accounts (id, kind, name, created_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    f" RETURNING {', '.join(_ACCOUNT)}, 0"
)
_TOLD = (*_ACCOUNT, "expired_nano")


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that would be another today."""

    request_id: str
    account_id: str | None
    """None: nobody's balance was charged, only the record changes."""
    before_nano: int
    after_nano: int
    price_version: str
    markup_ppm: int = 0
    """On top of that price."""


class Accounts:
    def __init__(self, database: Database, ledger: Ledger, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock

    async def create(self, name: str, kind: str, id: str | None = None, actor: str = OPERATOR) -> dict[str, Any]:
        """A new account, as `accounts` tells of it. Raises Conflict where one has this id."""
        made = id or f"acct_{secrets.token_hex(8)}"
        now = self._clock.now_ms()

        def act(tx: Writing) -> dict[str, Any]:
            rows = tx.execute(_NEW_ACCOUNT, (made, kind, name, now))
            if not rows:
                raise Conflict(f"There is an account {made!r}.")
            after = {"kind": kind, "name": name}
            note(tx, Change(time_ms=now, actor=actor, action="accounts.create", target=made, after=after))
            return dict(zip(_TOLD, rows[0], strict=True))

        return await self._ledger.writer.run(act)

    async def check(self, id: str) -> None:
        """Raises NotFound, StoreUnavailable."""
        if not await self._database.ask("SELECT 1 FROM accounts WHERE id = ?", (id,)):
            raise NotFound(f"There is no account {id!r}.")

    async def accounts(
        self, id: str | None = None, whose: str | None = None, after: str = "", limit: int = 2**31
    ) -> list[dict[str, Any]]:
        """Accounts with their balances in nanodollars, as they are in this moment, by id, behind an id. `whose` is the
        one that may be told of, where not all may."""
        await self._ledger.writer.flush()
        named = [one for one in (id, whose) if one is not None]
        where = "".join(" AND id = ?" for _ in named)
        rows = await self._database.ask(
            f"SELECT {', '.join(_ACCOUNT)}, {posting.EXPIRED} FROM accounts WHERE id > ?{where} ORDER BY id LIMIT ?",
            [self._ledger.believed.now_ms(), after, *named, limit],
        )
        return [dict(zip(_TOLD, row, strict=True)) for row in rows]

    async def credit(self, entry: Entry, *, overdraw: bool = False, actor: str = OPERATOR) -> bool:
        """Posts an entry that somebody decided on; False where it had been made before. What is not free is taken only
        with `overdraw`, and the entry flagged as an overrun."""
        if not 0 < abs(entry.amount_nano) <= MOST_NANO:
            raise OperationError("An amount of money here is between 0.000000001 and 100000000 USD.")
        _check_key(entry.idempotency_key)
        if entry.expires_ms is not None and entry.expires_ms <= entry.time_ms:
            raise OperationError("The credits would have expired before they are granted.")
        if entry.amount_nano < 0:
            await self._ledger.expire(entry.account_id)
        async with self._ledger.beside:
            if _is_made(await self._database.ask(_BY_KEY, (entry.idempotency_key,)), entry):
                return False
            taken = [(entry.account_id, -entry.amount_nano)]
            async with self._ledger.withheld(taken, beyond=overdraw) as (free,):
                made = await self._ledger.writer.run(lambda tx: _credit(tx, entry, free, actor, overdraw=overdraw))
                if made:
                    self._ledger.credited(entry)
        return made

    async def refund(
        self,
        request_id: str,
        amount_nano: int | None,
        note: str | None,
        actor: str = OPERATOR,
        *,
        key: str | None = None,
    ) -> tuple[Entry, bool]:
        """Gives back a charge or, where an amount is named, a part of it; never more than was charged. Returns the
        entry, and false where it had been made before under this idempotency key, which counts for its request."""
        if key is not None:
            _check_key(key)
        wanted = _Wanted(request_id, amount_nano, note, self._clock.now_ms(), key)
        async with self._ledger.beside:
            entry, made = await self._ledger.writer.run(lambda tx: _refund(tx, wanted, actor))
            if made:
                self._ledger.credited(entry)
        return entry, made

    async def entries(
        self, account_id: str | None, limit: int, whose: str | None = None, before_seq: int = 2**62
    ) -> list[dict[str, Any]]:
        """The newest entries first, below a sequence number; `whose` as with `accounts`."""
        await self._ledger.writer.flush()
        named = [one for one in (account_id, whose) if one is not None]
        where = "".join(" AND account_id = ?" for _ in named)
        rows = await self._database.ask(
            f"SELECT seq, {_ENTRY_COLUMNS} FROM entries WHERE seq < ?{where} ORDER BY seq DESC LIMIT ?",
            [before_seq, *named, limit],
        )
        names = ["seq", *_ENTRY_COLUMNS.split(", ")]
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def correct(self, corrections: Sequence[Correction], actor: str = OPERATOR) -> int:
        """Books what charges would be at another price, as far as they are not that by now. Returns how many were."""
        now = self._clock.now_ms()
        named = {one.account_id for one in corrections}
        for account_id in await owners.accounts_with_expired_credits(self._database, now):
            if account_id in named:
                await self._ledger.expire(account_id)
        slices = [corrections[at : at + _AT_ONCE] for at in range(0, len(corrections), _AT_ONCE)]
        return sum([await self._correct(some, now, actor) for some in slices])

    async def _correct(self, corrections: Sequence[Correction], now_ms: int, actor: str) -> int:
        async with self._ledger.beside:
            more = [(one.account_id, await self._owed(one)) for one in corrections]
            async with self._ledger.withheld(more, beyond=True) as free:
                booked = await self._ledger.writer.run(lambda tx: _correct_all(tx, corrections, free, now_ms, actor))
                for entry, windows, difference in booked:
                    self._ledger.spent(windows, difference)
                    if entry is not None:
                        self._ledger.credited(entry)
        return len(booked)

    async def _owed(self, correction: Correction) -> int:
        """What a correction will take from its account, as far as can be said before."""
        if correction.account_id is None or correction.after_nano <= correction.before_nano:
            return 0
        keys = keys_of(correction.request_id)
        made = [row for values in keys for row in await self._database.ask(_BY_KEYS, values)]
        return max(0, _owed(made, correction.after_nano))

    async def set_budget(
        self, budget: Budget, whose: Whose = EVERYBODY, actor: str = OPERATOR, *, house: bool = True
    ) -> str:
        """Sets a limit, and returns the budget's id. Where the scope has a budget of the period it stays the same one,
        and what it has counted so far counts. Raises NotFound for a scope that is not theirs who are named."""

        def act(tx: Writing) -> str:
            where, values = scopes(whose)
            if not tx.execute(
                f"SELECT 1 FROM (SELECT CAST(? AS TEXT) AS scope) AS s WHERE {where}", [budget.scope, *values]
            ):
                raise NotFound(f"There is no {budget.scope!r} of {whose.account!r}.")
            return put_budget(tx, budget, actor, house=house)

        id = await self._ledger.writer.run(act, in_turn=True)
        await self._ledger.load()
        return id

    async def counts_somebody(self, scope: str) -> bool:
        return await counts_somebody(self._database, scope)

    async def end_budget(self, id: str, whose: Whose = EVERYBODY, actor: str = OPERATOR, *, house: bool = True) -> None:
        def act(tx: Writing) -> None:
            where, values = scopes(whose)
            found = tx.execute(
                "SELECT scope, period, limit_nano, house_nano FROM budgets WHERE id = ? AND ended_ms IS NULL"
                f" AND {where}",
                [id, *values],
            )
            if not found:
                raise NotFound(f"There is no budget {id!r}; `trivium budgets list` shows them.")
            if found[0][3] is not None and not house:
                raise houses_budget(found[0][3])
            end_budget(tx, (id, *found[0][:3]), self._clock.now_ms(), actor)

        await self._ledger.writer.run(act, in_turn=True)
        await self._ledger.load()

    async def budgets(self, whose: Whose = EVERYBODY, after: str = "", limit: int = 2**31) -> list[dict[str, Any]]:
        """Live budgets, by id behind an id, with what their newest period has seen that does not lie ahead."""
        await self._ledger.writer.flush()
        names = ("id", "scope", "period", "limit_nano", "created_ms", "window_ms", "spent_nano", "held_nano")
        where, values = scopes(whose)
        rows = await self._database.ask(
            "SELECT b.id, b.scope, b.period, b.limit_nano, b.created_ms, s.window_ms, coalesce(s.spent_nano, 0),"
            " coalesce(s.held_nano, 0) FROM budgets b LEFT JOIN spends s ON s.budget_id = b.id AND s.window_ms ="
            " (SELECT max(window_ms) FROM spends WHERE budget_id = b.id AND window_ms <= ?)"
            f" WHERE b.ended_ms IS NULL AND b.id > ? AND {where} ORDER BY b.id LIMIT ?",
            [self._clock.now_ms(), after, *values, limit],
        )
        return [dict(zip(names, row, strict=True)) for row in rows]


def _credit(tx: Writing, entry: Entry, free: int | None, actor: str, *, overdraw: bool) -> bool:
    row = posting.lock(tx, entry.account_id)
    if row is None:
        raise NotFound(f"There is no account {entry.account_id!r}; `trivium accounts list` shows them.")
    if _is_made(tx.execute(_BY_KEY, (entry.idempotency_key,)), entry):
        return False
    short = _is_short(row, free, -entry.amount_nano)
    if short and not overdraw:
        there = nano_text(max(0, row[0] - row[1] if free is None else free))
        raise OperationError(
            f"{entry.account_id} has {there} USD free; to take more than that, and leave the balance or calls in "
            "progress without cover, say so (--overdraw)."
        )
    written = msgspec.structs.replace(entry, flags="overrun") if short else entry
    posting.write_grant(tx, written)
    _note_entry(tx, written, actor, f"credits.{'adjust' if entry.kind == 'adjustment' else entry.kind}")
    return True


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise OperationError(f"An idempotency key has 1 to {_LONGEST_KEY} characters.")


def _is_made(known: list[Row], entry: Entry) -> bool:
    """`known` are the entries under its key. Raises KeyReused where it was used for another one."""
    if known and tuple(known[0]) != (entry.account_id, entry.kind, entry.amount_nano, entry.expires_ms):
        raise KeyReused(
            "This idempotency key was used for another entry. Use a new one for each new entry.",
            param="Idempotency-Key",
        )
    return bool(known)


def _note_entry(tx: Writing, entry: Entry, actor: str, action: str) -> None:
    after = {
        "usd": nano_text(entry.amount_nano),
        "request_id": entry.request_id,
        "expires_ms": entry.expires_ms,
        "flags": entry.flags,
        "note": entry.note,
    }
    change = Change(
        time_ms=entry.time_ms,
        actor=actor,
        action=action,
        target=entry.account_id,
        organization_id=entry.account_id,
        after={name: value for name, value in after.items() if value},
    )
    note(tx, change)


def _is_short(row: tuple[int, int], free: int | None, amount: int) -> bool:
    """Whether more is taken than is free, by the account's row where memory does not know (`free` is None)."""
    balance, held = row
    return amount > 0 and amount > (balance - held if free is None else free)


class _Wanted(NamedTuple):
    """A refund that is asked for."""

    request_id: str
    amount_nano: int | None
    """None: all that is left of the charge."""
    note: str | None
    time_ms: int
    key: str | None


def _refund(tx: Writing, wanted: _Wanted, actor: str) -> tuple[Entry, bool]:
    id = wanted.request_id
    charged = [row[0] for row in _made_for(tx, id)]
    if charged:
        posting.lock(tx, charged[0])
    rows = [(kind, amount) for _, kind, amount in _made_for(tx, id)]
    left, refunds = -sum(amount for _, amount in rows), sum(kind == "refund" for kind, _ in rows)
    # No key that somebody gives is a number that was counted here.
    key = f"refund:{id}:{refunds + 1}" if wanted.key is None else f"refund:{id}:key:{wanted.key}"
    known = tx.execute(_BY_KEY, (key,))
    if not charged and not tx.execute("SELECT 1 FROM records WHERE id = ?", (id,)):
        raise NotFound(f"There is no request {id!r}.")
    if not known and (not charged or left <= 0):
        raise OperationError(f"There is nothing to refund of request {id!r}.")
    amount = wanted.amount_nano
    if amount is None:
        amount = known[0][2] if known else left
    entry = Entry(
        account_id=charged[0],
        kind="refund",
        amount_nano=amount,
        time_ms=wanted.time_ms,
        idempotency_key=key,
        request_id=id,
        note=wanted.note,
    )
    if _is_made(known, entry):
        return entry, False
    if not 0 < amount <= left:
        raise OperationError(f"Of request {id!r} between 0 and {nano_text(left)} USD can be refunded.")
    posting.post(tx, [entry], Sums())
    _note_entry(tx, entry, actor, "credits.refund")
    return entry, True


def _made_for(tx: Writing, request_id: str) -> list[Row]:
    """Account, kind and amount of a request's entries."""
    return [row for values in keys_of(request_id) for row in tx.execute(_BY_KEYS, values)]


def keys_of(request_id: str) -> list[tuple[str, str, str]]:
    """What the idempotency keys of a request's entries are, or begin with."""
    keys = [f"{kind}:{request_id}" for kind in ("charge", "refund", "rerate")]
    return [(key, f"{key}:", f"{key};") for key in keys]


_Booked = tuple[Entry | None, posting.Windows, int]
"""The entry, if a balance was charged, the budgets' periods that counted the call, and the difference."""


def _correct_all(
    tx: Writing, corrections: Sequence[Correction], free: Sequence[int | None], now_ms: int, actor: str
) -> list[_Booked]:
    """Those that were booked. `free` is what each one's account has, as far as memory knows."""
    posting.claim(tx, [(one.account_id, ()) for one in corrections])
    done = [_correct(tx, one, there, now_ms, actor) for one, there in zip(corrections, free, strict=True)]
    return [one for one in done if one is not None]


def _correct(tx: Writing, correction: Correction, free: int | None, now_ms: int, actor: str) -> _Booked | None:
    """None where the charge is that by now, or another one than the correction was made for, or where nothing is known
    of the call any more: what was summed up of it could not be found."""
    id, sums, row = correction.request_id, Sums(), (0, 0)
    if correction.account_id is not None:
        row = posting.lock(tx, correction.account_id) or row
    if not tx.execute("UPDATE records SET cost_nano = cost_nano WHERE id = ? RETURNING id", (id,)):
        return None
    last = tx.execute("SELECT after_nano, number FROM rerates WHERE request_id = ? ORDER BY number DESC LIMIT 1", (id,))
    before, number = last[0] if last else (correction.before_nano, 0)
    difference = correction.after_nano - before
    if not difference or before != correction.before_nano:
        return None
    tx.execute(
        "INSERT INTO rerates (request_id, number, price_version, markup_ppm, time_ms, before_nano, after_nano)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (id, number + 1, correction.price_version, correction.markup_ppm, now_ms, before, correction.after_nano),
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
    spans.correct(tx, difference, id)
    told = {"before": {"usd": nano_text(before)}, "after": {"usd": nano_text(before + difference)}}
    change = Change(
        time_ms=now_ms,
        actor=actor,
        action="prices.rerate",
        target=id,
        organization_id=correction.account_id,
        **told,
    )
    note(tx, change)
    return entry, windows, difference


def _owed(made: list[Row], cost_nano: int) -> int:
    """What is still to be paid for a call that costs so much by now; what was given back stays given. `made` are the
    entries of its request."""
    refunded: int = sum(amount for _, kind, amount in made if kind == "refund")
    paid: int = -sum(amount for _, _, amount in made)
    return max(0, cost_nano - refunded) - paid
