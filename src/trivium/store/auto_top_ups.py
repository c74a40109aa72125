"""Cards that are charged by themselves when a balance runs low: what was agreed, and the lock that keeps it to once.

The lock is the row's `payment_id`. It is taken in the transaction that writes the payment, by whoever finds it free
while the row is locked, and let go in the one in which that payment ends. What is asked of the processor is asked under
the payment's id, so that a crash in between, or two gateways at once, ask for the same charge. Rows are locked in one
order: the payment, the card, what was agreed. Raises StoreUnavailable.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from trivium.clock import AHEAD_MS, Clock
from trivium.errors import NotFound, OperationError
from trivium.policy.payments import ANSWERED_MS, AutoTopUp, Event, Payment, after, released, rests
from trivium.store import saved_cards
from trivium.store.changes import Change, note
from trivium.store.payment_rows import COLUMNS, MONTH, insert, locked, month_of, note_payment, payment_of, usd, write
from trivium.store.saved_cards import SavedCard, card_of
from trivium.store.sql import Database, Row, Writing, marks
from trivium.store.writer import Writer

_FIELDS = AutoTopUp.__struct_fields__
_NAMED = ", ".join(_FIELDS)
_LOCK = f"UPDATE auto_top_ups SET enabled = enabled WHERE {{}} = ? RETURNING {_NAMED}"
_WRITE = f"UPDATE auto_top_ups SET {', '.join(f'{name} = ?' for name in _FIELDS)} WHERE account_id = ?"
_INSERT = f"INSERT INTO auto_top_ups ({_NAMED}) VALUES ({marks(_FIELDS)})"
_MONTH = MONTH.replace("account_id = ?", "account_id = t.account_id")
_BLOCKED = (
    "EXISTS (SELECT 1 FROM users u LEFT JOIN blocked_domains d ON d.domain = u.domain WHERE u.id = {}.account_id"
    " AND (u.blocked_ms IS NOT NULL OR d.domain IS NOT NULL))"
)
_LOW = (
    "SELECT t.account_id FROM auto_top_ups t JOIN accounts a ON a.id = t.account_id"
    " JOIN saved_cards c ON c.account_id = t.account_id WHERE t.enabled = 1 AND t.payment_id IS NULL"
    " AND (t.not_before_ms <= ? OR t.changed_ms > ?) AND c.method IS NOT NULL AND a.balance_nano < t.below_nano"
    f" AND NOT {_BLOCKED.format('t')} AND ({_MONTH}) + t.cents <= t.month_cents ORDER BY t.account_id"
)
_OPEN = (
    f"SELECT {COLUMNS} FROM payments WHERE state = 'open' AND kind = 'auto' AND (tried_ms <= ? OR tried_ms > ?)"
    " AND id IN (SELECT payment_id FROM auto_top_ups t WHERE payments.created_ms NOT BETWEEN ? AND ?"
    f" OR (enabled = 1 AND payments.method IS NOT NULL AND NOT {_BLOCKED.format('t')})) ORDER BY id"
)
_LIST = (
    f"SELECT {', '.join(f't.{name}' for name in _FIELDS)}, c.words, c.method IS NOT NULL, ({_MONTH})"
    " FROM auto_top_ups t LEFT JOIN saved_cards c ON c.account_id = t.account_id WHERE t.account_id > ?"
)
GATEWAY = "gateway"
"""The actor where nobody else is."""


class Agreed(NamedTuple):
    """What was agreed for an account, and how it stands."""

    auto: AutoTopUp
    card: str | None
    """In words, as far as they are known; None: there is none."""
    month_cents: int
    """Charged in this month."""


class AutoTopUps:
    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database, self._writer, self._clock = database, writer, clock
        self.most_failures = 3
        """Refusals of a card in a row after which it is charged no more."""

    async def card(self, account_id: str) -> SavedCard | None:
        return await card_of(self._database, account_id)

    async def get(self, account_id: str) -> Agreed:
        """Raises NotFound."""
        for one in await self.page(account_id, "", 1):
            return one
        raise NotFound(f"Nothing was agreed for {account_id!r}.")

    async def page(self, account_id: str | None, after: str, limit: int) -> list[Agreed]:
        """By account, behind one."""
        where, named = (" AND t.account_id = ?", [account_id]) if account_id is not None else ("", [])
        month = month_of(self._clock.now_ms())
        rows = await self._database.ask(f"{_LIST}{where} ORDER BY t.account_id LIMIT ?", [*month, after, *named, limit])
        return [Agreed(_auto(row[:-3]), row[-3] or "saved" if row[-2] else None, int(row[-1])) for row in rows]

    async def set(self, auto: AutoTopUp, words: str, method: str) -> None:
        """Agrees, anew where there was something: a payment that is under way stays so. `words` are those of the saved
        card. Raises OperationError where that is not there any more."""

        def act(tx: Writing) -> None:
            if not saved_cards.call(tx, auto.account_id, method, words):
                raise OperationError("The saved card was removed in this moment.")
            before = _locked(tx, auto.account_id)
            if before is None:
                tx.execute(_INSERT, _row(auto))
            else:
                _write(tx, msgspec.structs.replace(auto, payment_id=before.payment_id))
            _note(tx, auto, auto.set_by, "payments.auto.set", before)

        await self._writer.run(act, in_turn=True)

    async def off(self, account_id: str, actor: str, *, card: bool = False) -> None:
        """Ends it; with `card` its card is forgotten too. Raises NotFound where there is nothing to end."""
        now = self._clock.now_ms()

        def act(tx: Writing) -> None:
            removed = card and saved_cards.remove(tx, account_id)
            before = _locked(tx, account_id)
            if not removed if card else (before is None or not before.enabled):
                raise NotFound(f"{account_id!r} has no {'saved card' if card else 'automatic top-up'}.")
            if before is not None:
                told = msgspec.structs.replace(before, enabled=False, problem=None, changed_ms=now)
                _write(tx, told)
            action = "payments.card.remove" if card else "payments.auto.off"
            note(tx, Change(time_ms=now, actor=actor, action=action, target=account_id, organization_id=account_id))

        await self._writer.run(act)

    async def low(self) -> list[str]:
        """Accounts whose card may have to be charged now."""
        now = self._clock.now_ms()
        return [row[0] for row in await self._database.ask(_LOW, (now, now + AHEAD_MS, *month_of(now)))]

    async def claim(self, account_id: str, processor: str, fee: Callable[[int], int]) -> Payment | None:
        """The charge that has to be asked for, and the lock; None: there is none, or somebody else has it. `fee` is of
        so many cents of credits."""
        now, card = self._clock.now_ms(), await self.card(account_id)
        if card is None or card.method is None or card.processor != processor:
            return None

        def act(tx: Writing) -> Payment | None:
            auto = _locked(tx, account_id)
            if auto is None or not auto.enabled or auto.payment_id is not None or rests(auto, now):
                return None
            ((balance,),) = tx.execute("SELECT balance_nano FROM accounts WHERE id = ?", (account_id,))
            ((charged,),) = tx.execute(MONTH, (account_id, *month_of(now)))
            payment = _new(auto, card, fee(auto.cents), now)
            if balance >= auto.below_nano or charged + payment.asked_cents > auto.month_cents:
                return None
            insert(tx, payment)
            _write(tx, msgspec.structs.replace(auto, payment_id=payment.id))
            note_payment(tx, payment, GATEWAY, "payments.auto.charge", now, usd=usd(payment.asked_cents))
            return payment

        return await self._writer.run(act)

    async def unanswered(self, pause_ms: int) -> list[Payment]:
        """Charges of which nobody knows whether they were made, last asked for a while ago. Where it was switched off
        meanwhile, or the card erased, only those that are over: nothing is asked for after that, and a webhook tells of
        what was made."""
        now = self._clock.now_ms()
        ahead = now + AHEAD_MS
        rows = await self._database.ask(_OPEN, (now - pause_ms, ahead, now - ANSWERED_MS, ahead))
        return [payment_of(row) for row in rows]

    async def asked(self, id: str, intent: str | None, problem: str | None, *, done: bool) -> None:
        """A charge was asked for: `done`, it is under way; else nobody knows."""
        now = self._clock.now_ms()

        def act(tx: Writing) -> None:
            payment = locked(tx, id)
            if payment is None or payment.state != "open":
                return  # a webhook was faster
            if done:
                told = after(payment, Event(id="", told="pending", intent=intent), now)
                write(tx, msgspec.structs.replace(told, problem=None))
            else:
                write(tx, msgspec.structs.replace(payment, tried_ms=now, problem=problem))

        await self._writer.run(act)

    async def failed(self, id: str, intent: str | None, problem: str | None, *, blames_card: bool) -> AutoTopUp | None:
        """A charge was not made. Returns what is agreed from now on, where this changed it."""
        now = self._clock.now_ms()

        def act(tx: Writing) -> AutoTopUp | None:
            payment = locked(tx, id)
            if payment is None:
                return None
            told = after(payment, Event(id="", told="failed", intent=intent, problem=problem), now)
            if told.state == payment.state:
                return None  # a webhook was faster
            write(tx, told)
            note_payment(tx, told, GATEWAY, "payments.failed", now, status=told.status, problem=problem)
            return end_payment(tx, told, now, self.most_failures, blames_card=blames_card)

        return await self._writer.run(act)

    async def give_up(self, id: str, problem: str) -> None:
        """Nobody will ever know whether this charge was made, save by a webhook: no other is begun until somebody has
        looked."""
        now = self._clock.now_ms()

        def act(tx: Writing) -> None:
            payment = locked(tx, id)
            if payment is None or payment.state != "open":
                return
            told = after(payment, Event(id="", told="failed", problem=problem), now)
            write(tx, told)
            end_payment(tx, told, now, self.most_failures, blames_card=False)
            stop(tx, told.account_id, problem, now)

        await self._writer.run(act)


def end_payment(
    tx: Writing, payment: Payment, now_ms: int, most_failures: int, *, blames_card: bool
) -> AutoTopUp | None:
    """Lets go of the lock, where this is the payment that has it and it has ended."""
    if payment.state in ("open", "pending"):
        return None
    auto = _locked(tx, payment.id, "payment_id")
    if auto is None:
        return None
    told = released(auto, payment, now_ms, most_failures, blames_card=blames_card)
    _write(tx, told)
    if auto.enabled and not told.enabled:
        _note(tx, told, GATEWAY, "payments.auto.off", auto)
    return told


def stop(tx: Writing, account_id: str, problem: str, now_ms: int) -> None:
    """Switches it off; the operators are told why."""
    auto = _locked(tx, account_id)
    if auto is not None and auto.enabled:
        told = msgspec.structs.replace(auto, enabled=False, problem=problem, changed_ms=now_ms)
        _write(tx, told)
        _note(tx, told, GATEWAY, "payments.auto.off", auto)


def _new(auto: AutoTopUp, card: SavedCard, fee_cents: int, now: int) -> Payment:
    return Payment(
        id=payment_id(),
        account_id=auto.account_id,
        kind="auto",
        processor=card.processor,
        customer=card.customer,
        method=card.method,
        asked_cents=auto.cents + fee_cents,
        fee_cents=fee_cents,
        made_by=auto.set_by,
        created_ms=now,
        changed_ms=now,
        tried_ms=now,
    )


def payment_id() -> str:
    return f"pay_{secrets.token_hex(12)}"


def _locked(tx: Writing, value: str, column: str = "account_id") -> AutoTopUp | None:
    rows = tx.execute(_LOCK.format(column), (value,))
    return _auto(rows[0]) if rows else None


def _write(tx: Writing, auto: AutoTopUp) -> None:
    tx.execute(_WRITE, [*_row(auto), auto.account_id])


def _row(auto: AutoTopUp) -> list[object]:
    return [int(value) if isinstance(value, bool) else value for value in msgspec.structs.astuple(auto)]


def _auto(row: Row) -> AutoTopUp:
    told = dict(zip(_FIELDS, row, strict=True))
    return msgspec.convert({**told, "enabled": bool(told["enabled"])}, AutoTopUp)


def _note(tx: Writing, auto: AutoTopUp, actor: str, action: str, before: AutoTopUp | None) -> None:
    change = Change(
        time_ms=auto.changed_ms,
        actor=actor,
        action=action,
        target=auto.account_id,
        organization_id=auto.account_id,
        before=None if before is None else _told(before),
        after=_told(auto),
    )
    note(tx, change)


def _told(auto: AutoTopUp) -> dict[str, object]:
    told = {
        "enabled": auto.enabled,
        "below_nano": auto.below_nano,
        "usd": usd(auto.cents),
        "month_usd": usd(auto.month_cents),
        "problem": auto.problem,
    }
    return {name: value for name, value in told.items() if value is not None}
