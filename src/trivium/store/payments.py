"""Payments, and what the ledger has of them: each event that a processor has told is taken in by one transaction.

A payment's row is locked, the event makes another row of it (`policy/payments.after`), and the difference between what
both have booked becomes entries, under keys made of the payment's id. So an event that comes again books nothing, and
two at once wait for each other. What belongs to no payment here is kept as a stray: those that bear our mark for the
operator, the others for a payment that may still be told of. Each event, once it is durable, looks for what waits under
its intent: where a dispute and its payment are told of at once, the later of the two sees the other. Raises
StoreUnavailable.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trivium.clock import Clock
from trivium.errors import NotFound, OperationError
from trivium.money import nano_text
from trivium.policy.payments import Event, Payment, after
from trivium.store import posting, saved_cards
from trivium.store.auto_top_ups import end_payment, stop
from trivium.store.changes import Change, note, text
from trivium.store.ledger import Ledger
from trivium.store.payment_rows import COLUMNS, insert, locked, note_payment, payment_of, usd, write
from trivium.store.posting import Entry, Sums
from trivium.store.sql import Database, Row, Writing
from trivium.store.unbroken import unbroken

_STRAY = (
    "INSERT INTO stray_payments (event, time_ms, ours, intent, why, content) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (event) DO UPDATE SET ours = 1, why = excluded.why"
    " WHERE stray_payments.ours = 0 AND excluded.ours = 1 AND stray_payments.ended_ms IS NULL"
)
"""One that waited for its payment may turn out to be somebody's business."""
_STRAYS = "event, time_ms, ours, intent, why, content, ended_ms, note"
_WAITING = (
    f"SELECT {_STRAYS} FROM stray_payments WHERE intent = ? AND ours = 0 AND ended_ms IS NULL"
    " AND EXISTS (SELECT 1 FROM payments p WHERE p.intent = stray_payments.intent) ORDER BY event"
)
_PLACED = "UPDATE stray_payments SET ended_ms = ? WHERE event = ? AND ours = 0 AND ended_ms IS NULL"
_MONEY = frozenset(("paid", "refunded", "disputed", "won", "lost"))
_DISPUTES = frozenset(("disputed", "won", "lost"))

Taken = Literal["taken", "known", "parked", "ignored"]
"""What became of an event: it changed something, nothing, waits for somebody, or is of no concern."""


class Stray(msgspec.Struct, frozen=True, kw_only=True):
    """An event that belongs to no payment here."""

    event: str
    time_ms: int
    ours: bool
    """It bears our mark: money has moved, and nobody's balance."""
    intent: str | None
    why: str
    content: Event
    ended_ms: int | None
    """Since when it needs nobody's attention."""
    note: str | None


class Payments:
    def __init__(self, database: Database, ledger: Ledger, clock: Clock) -> None:
        self._database, self._ledger, self._clock = database, ledger, clock
        self.most_failures = 3
        """Refusals of a card in a row after which it is charged no more."""

    async def open(self, payment: Payment) -> Payment:
        """Raises NotFound for an account that is not there."""

        def act(tx: Writing) -> Payment:
            check_account(tx, payment.account_id)
            insert(tx, payment)
            after = {"usd": usd(payment.asked_cents - payment.fee_cents), "fee_usd": usd(payment.fee_cents)}
            note_payment(tx, payment, payment.made_by, "payments.checkout", self._clock.now_ms(), **after)
            return payment

        return await self._ledger.writer.run(act)

    async def check(self, account_id: str) -> None:
        """Raises NotFound for an account that is not there."""
        if not await self._database.ask("SELECT 1 FROM accounts WHERE id = ?", (account_id,)):
            raise _no_account(account_id)

    async def take(self, event: Event) -> Taken:
        """Takes in what a processor has told, to the end, though it should hang up."""
        return await unbroken(self._take_in(event))

    async def _take_in(self, event: Event) -> Taken:
        now = self._clock.now_ms()
        if event.told in ("card", "detached"):
            return await self._ledger.writer.run(lambda tx: _take_card(tx, event, now))
        taken = await self._take(event, now)
        for row in await self._database.ask(_WAITING, (event.intent,)) if event.intent is not None else ():
            await self._take(_stray(row).content, now)
        return taken

    async def _take(self, event: Event, now: int) -> Taken:
        before = await self._find(event)
        if before is not None and after(before, event, now).taken_nano > before.taken_nano:
            await self._ledger.expire(before.account_id)
        async with self._ledger.beside:
            gives = await self._gives(event, now)
            async with self._ledger.withheld([gives], beyond=True) as (free,):
                taken, entries = await self._ledger.writer.run(
                    lambda tx: _take(tx, event, free, now, self.most_failures)
                )
                for entry in entries:
                    self._ledger.credited(entry)
        return taken

    async def _gives(self, event: Event, now: int) -> tuple[str | None, int]:
        """What its account will give back, as far as can be said before."""
        before = await self._find(event)
        if before is None:
            return None, 0
        return before.account_id, after(before, event, now).taken_nano - before.taken_nano

    async def _find(self, event: Event) -> Payment | None:
        for column, value in _places(event):
            if rows := await self._database.ask(f"SELECT {COLUMNS} FROM payments WHERE {column} = ?", (value,)):
                return payment_of(rows[0])
        return None

    async def page(
        self, account_id: str | None, whose: str | None, below_seq: int, limit: int
    ) -> list[tuple[int, Payment]]:
        """The newest first, below a sequence number, with theirs; `whose` is the one account that may be told of, where
        not all may."""
        named = [one for one in (account_id, whose) if one is not None]
        where = "".join(" AND account_id = ?" for _ in named)
        rows = await self._database.ask(
            f"SELECT seq, {COLUMNS} FROM payments WHERE seq < ?{where} ORDER BY seq DESC LIMIT ?",
            [below_seq, *named, limit],
        )
        return [(row[0], payment_of(row[1:])) for row in rows]

    async def get(self, id: str, whose: str | None = None) -> Payment:
        """Raises NotFound, also for one that is not `whose`."""
        rows = await self._database.ask(f"SELECT {COLUMNS} FROM payments WHERE id = ?", (id,))
        if not rows or whose not in (None, (found := payment_of(rows[0])).account_id):
            raise NotFound(f"There is no payment {id!r}.")
        return found

    async def strays(self, *, all: bool) -> list[Stray]:
        """The newest first; those that wait for somebody, or all."""
        where = "" if all else " WHERE ours = 1 AND ended_ms IS NULL"
        rows = await self._database.ask(f"SELECT {_STRAYS} FROM stray_payments{where} ORDER BY time_ms DESC, event")
        return [_stray(row) for row in rows]

    async def end_stray(self, id: str, why: str | None, actor: str) -> None:
        """Somebody has seen to it. Raises NotFound."""
        now = self._clock.now_ms()

        def act(tx: Writing) -> None:
            if not tx.execute(
                "UPDATE stray_payments SET ended_ms = ?, note = ? WHERE event = ? AND ended_ms IS NULL RETURNING event",
                (now, why, id),
            ):
                raise NotFound(f"No event {id!r} waits for anybody.")
            told = {"note": why} if why else {}
            note(tx, Change(time_ms=now, actor=actor, action="payments.strays.end", target=id, after=told))

        await self._ledger.writer.run(act)


def check_account(tx: Writing, account_id: str) -> None:
    if not tx.execute("SELECT 1 FROM accounts WHERE id = ?", (account_id,)):
        raise _no_account(account_id)


def _no_account(account_id: str) -> OperationError:
    return NotFound(f"There is no account {account_id!r}.")


def _places(event: Event) -> list[tuple[str, str]]:
    """Where its payment is looked for."""
    return [(column, value) for column, value in (("id", event.payment), ("intent", event.intent)) if value is not None]


def _found(tx: Writing, event: Event) -> Payment | None:
    return next((found for column, value in _places(event) if (found := locked(tx, value, column))), None)


def _take_card(tx: Writing, event: Event, now: int) -> Taken:
    if event.told == "detached":
        removed = saved_cards.removed(tx, event.method or "", event.created_ms)
        for account_id in removed:
            stop(tx, account_id, "The saved card was removed.", now)
        return "taken" if removed else "ignored"
    payment = _found(tx, event)
    if payment is None or event.customer is None or event.method is None:
        return "ignored"
    kept = saved_cards.save(tx, payment.account_id, payment.processor, event.customer, event.method, event.created_ms)
    return "taken" if kept else "known"


def _take(tx: Writing, event: Event, free: int | None, now: int, most_failures: int) -> tuple[Taken, list[Entry]]:
    before = _found(tx, event)
    if before is None:
        return _unplaced(tx, event, now), []
    if event.currency != "usd" and event.told in _MONEY:
        return _park(tx, event, f"It is in {event.currency}, and balances are USD.", now), []
    account = posting.lock(tx, before.account_id)
    if account is None:
        return _park(tx, event, f"There is no account {before.account_id!r} any more.", now), []
    if event.told in _DISPUTES:
        tx.execute(_PLACED, (now, event.id))
    told = after(before, event, now)
    if told == before:
        return "known", []
    entries = _entries(before, told, account[0] - account[1] if free is None else free, now)
    posting.post(tx, entries, Sums())
    write(tx, told)
    if told.kind == "auto" and told.state != before.state:
        end_payment(tx, told, now, most_failures, blames_card=True)
    if why := _ends_auto(before, told):
        stop(tx, told.account_id, why, now)
    booked = {"usd": nano_text(sum(entry.amount_nano for entry in entries))} if entries else {}
    note_payment(tx, told, f"payments:{told.processor}", f"payments.{event.told}", now, status=told.status, **booked)
    return "taken", entries


def _ends_auto(before: Payment, told: Payment) -> str | None:
    """Why a card is charged no more by itself: money that goes back must not be fetched again in the next moment."""
    if told.dispute != before.dispute and told.dispute in ("open", "lost"):
        return "A payment is disputed."
    return "A payment was refunded." if told.taken_nano > before.taken_nano else None


def _entries(before: Payment, told: Payment, free: int, now: int) -> list[Entry]:
    """What the ledger has to book. Money that went back is taken, whether it is there or not."""
    more, back = told.credited_nano - before.credited_nano, told.taken_nano - before.taken_nano
    common: dict[str, Any] = {
        "account_id": told.account_id,
        "time_ms": now,
        "note": f"{told.processor} {told.intent or told.session}",
    }
    entries = []
    if more:
        entries.append(Entry(kind="top_up", amount_nano=more, idempotency_key=f"payment:{told.id}", **common))
    if back:
        key, flags = f"payment:{told.id}:back:{told.taken_nano}", "overrun" if back > free + more else ""
        entries.append(Entry(kind="adjustment", amount_nano=-back, idempotency_key=key, flags=flags, **common))
    return entries


def _unplaced(tx: Writing, event: Event, now: int) -> Taken:
    if event.told not in _MONEY:
        return "ignored"
    if event.payment is not None:
        return _park(tx, event, f"There is no payment {event.payment!r} here.", now)
    if event.told in _DISPUTES:  # which bear no mark: of somebody else's sale, or of a payment still to be told of
        tx.execute(_STRAY, (event.id, now, 0, event.intent, "Its payment is not known.", text(event)))
    return "ignored"


def _park(tx: Writing, event: Event, why: str, now: int) -> Taken:
    tx.execute(_STRAY, (event.id, now, 1, event.intent, why, text(event)))
    return "parked"


def _stray(row: Row) -> Stray:
    told = dict(zip(Stray.__struct_fields__, row, strict=True))
    return msgspec.convert({**told, "ours": bool(told["ours"]), "content": msgspec.json.decode(told["content"])}, Stray)
