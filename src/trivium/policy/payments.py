"""What becomes of a payment by what its processor tells, and when a card is charged by itself. Pure.

What a processor tells may come twice, in any order, or late. So a payment keeps facts rather than steps, each of which
only ever grows: what was paid, how much of it was given back, how a dispute ended. What the ledger has to have booked
follows from the facts alone; entries are the difference to what it has.

Amounts that were paid are whole cents; balances are nanodollars.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import msgspec

from trivium.clock import AHEAD_MS

CENT_NANO = 10**7
"""Nanodollars."""
BACK_OFF_MS = 15 * 60_000
"""After a card's first refusal; four times as long after each further one."""
OURS_MS = 60 * 60_000
"""The same where it was not the card that was refused."""
ANSWERED_MS = 20 * 3_600_000
"""How long a charge of unknown outcome is asked for again: the processor keeps idempotency keys for 24 hours."""

Kind = Literal["checkout", "auto"]
"""Paid on the processor's page, or by a saved card that was charged by itself."""
State = Literal["open", "pending", "paid", "failed", "expired"]
"""`pending`: it is on its way, which takes days with some banks."""
Dispute = Literal["", "open", "won", "lost"]
Told = Literal["paid", "pending", "failed", "expired", "refunded", "disputed", "won", "lost", "card", "detached"]
"""`card`: the way to pay was saved. `detached`: it was removed."""
_OVER = ("paid", "failed", "expired")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a processor has told, its signature checked."""

    id: str
    told: Told
    payment: str | None = None
    """Ours: what we put there when it was begun."""
    intent: str | None = None
    """The processor's id of the payment, which refunds and disputes name."""
    session: str | None = None
    """The processor's id of the page."""
    currency: str = "usd"
    cents: int = 0
    """What was paid, all in all; of `refunded` what has been given back so far; of a dispute what it is about."""
    tax_cents: int = 0
    """The part of what was paid that is the state's."""
    customer: str | None = None
    method: str | None = None
    """A saved way to pay."""
    problem: str | None = None
    """Why it failed, in words."""
    live: bool = True
    """False: it was a test, with no money."""
    created_ms: int = 0


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A row. What is not known yet is empty."""

    id: str
    account_id: str
    kind: Kind
    processor: str
    state: State = "open"
    asked_cents: int
    """With the fee."""
    fee_cents: int
    paid_cents: int = 0
    tax_cents: int = 0
    refunded_cents: int = 0
    lost_cents: int = 0
    dispute: Dispute = ""
    credited_nano: int = 0
    taken_nano: int = 0
    """What was booked."""
    session: str | None = None
    intent: str | None = None
    customer: str | None = None
    method: str | None = None
    """The card that is charged by itself: asking again asks for the very same."""
    problem: str | None = None
    made_by: str
    created_ms: int
    changed_ms: int
    tried_ms: int = 0
    """When a card was last asked for it."""

    @property
    def status(self) -> str:
        """In a word."""
        if self.state != "paid":
            return self.state
        if self.dispute in ("open", "lost"):
            return "disputed" if self.dispute == "open" else "lost"
        if not self.refunded_cents:
            return "paid"
        return "refunded" if self.refunded_cents >= self.paid_cents else "partly refunded"


def after(payment: Payment, event: Event, now_ms: int) -> Payment:
    """The payment as it is once the event is known; itself where that says nothing new."""
    known = {
        "session": payment.session or event.session,
        "intent": payment.intent or event.intent,
        **_FACTS[event.told](payment, event),
    }
    told = msgspec.structs.replace(payment, **known)
    told = msgspec.structs.replace(told, credited_nano=credit_nano(told), taken_nano=taken_nano(told))
    return payment if told == payment else msgspec.structs.replace(told, changed_ms=now_ms)


def credit_nano(payment: Payment) -> int:
    """What the account gets of what was paid: neither the fee nor the state's part."""
    return max(0, payment.paid_cents - payment.tax_cents - payment.fee_cents) * CENT_NANO


def taken_nano(payment: Payment) -> int:
    """What the account gives back of that: the part that was refunded or lost of what was paid, fee and all. To the
    whole cent above, so that nothing of a part is left."""
    if not payment.paid_cents:
        return 0
    gone = min(payment.paid_cents, payment.refunded_cents + payment.lost_cents)
    credited = credit_nano(payment) // CENT_NANO
    return -(-credited * gone // payment.paid_cents) * CENT_NANO


def fee_cents(credit_cents: int, percent: float, flat_cents: int) -> int:
    """What is paid on top of credits."""
    part = Decimal(credit_cents) * Decimal(str(percent)) / 100
    return int(part.quantize(Decimal(1), ROUND_HALF_UP)) + flat_cents


def _paid(payment: Payment, event: Event) -> dict[str, object]:
    """Money that has come is never told away, also where the payment was believed to have failed."""
    if payment.state == "paid":
        return {}
    return {"state": "paid", "paid_cents": event.cents, "tax_cents": event.tax_cents, "problem": None}


def _pending(payment: Payment, _: Event) -> dict[str, object]:
    return {"state": "pending"} if payment.state == "open" else {}


def _failed(payment: Payment, event: Event) -> dict[str, object]:
    return {} if payment.state in _OVER else {"state": event.told, "problem": event.problem}


def _refunded(payment: Payment, event: Event) -> dict[str, object]:
    return {"refunded_cents": max(payment.refunded_cents, event.cents)}


def _disputed(payment: Payment, _: Event) -> dict[str, object]:
    return {"dispute": payment.dispute or "open"}


def _won(payment: Payment, _: Event) -> dict[str, object]:
    return {"dispute": "lost" if payment.dispute == "lost" else "won"}


def _lost(payment: Payment, event: Event) -> dict[str, object]:
    return {"dispute": "lost", "lost_cents": max(payment.lost_cents, event.cents)}


def _nothing(_: Payment, __: Event) -> dict[str, object]:
    return {}


_FACTS = {
    "paid": _paid,
    "pending": _pending,
    "failed": _failed,
    "expired": _failed,
    "refunded": _refunded,
    "disputed": _disputed,
    "won": _won,
    "lost": _lost,
    "card": _nothing,
    "detached": _nothing,
}
"""What each word of a processor changes."""


class AutoTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """That a card is charged by itself: a row, one an account."""

    account_id: str
    enabled: bool
    below_nano: int
    cents: int
    """Credits that are bought each time, without the fee."""
    month_cents: int
    """The most that the card is charged in a month (UTC), with fees."""
    failures: int = 0
    """Refusals in a row."""
    not_before_ms: int = 0
    problem: str | None = None
    payment_id: str | None = None
    """The payment that is under way: while it is there no other is begun."""
    set_by: str
    changed_ms: int


def rests(auto: AutoTopUp, now_ms: int) -> bool:
    """Whether its card may not be charged yet. `store/auto_top_ups` asks the same in SQL."""
    return now_ms < auto.not_before_ms and auto.changed_ms <= now_ms + AHEAD_MS


def is_over(payment: Payment, now_ms: int) -> bool:
    """Whether it is too late to ask for it under the same key, or may be."""
    return not -AHEAD_MS <= now_ms - payment.created_ms <= ANSWERED_MS


def released(auto: AutoTopUp, payment: Payment, now_ms: int, most_failures: int, *, blames_card: bool) -> AutoTopUp:
    """After the payment that it had under way has ended. Why it was switched off meanwhile stays said."""
    problem = payment.problem if auto.enabled else auto.problem
    if payment.state == "paid":
        free = {"payment_id": None, "failures": 0, "not_before_ms": 0, "problem": problem}
        return msgspec.structs.replace(auto, **free, changed_ms=now_ms)
    failures = auto.failures + blames_card
    pause = BACK_OFF_MS * 4 ** (failures - 1) if blames_card else OURS_MS
    return msgspec.structs.replace(
        auto,
        payment_id=None,
        failures=failures,
        not_before_ms=now_ms + pause,
        problem=problem,
        enabled=auto.enabled and failures < most_failures,
        changed_ms=now_ms,
    )
