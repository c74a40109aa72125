"""Rows of payments, inside a transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.clock import AHEAD_MS
from trivium.money import nano_text
from trivium.policy.payments import CENT_NANO, Payment
from trivium.policy.spending import span_end, window_start
from trivium.store.changes import Change, note
from trivium.store.sql import Row, Writing, marks

_FIELDS = Payment.__struct_fields__
COLUMNS = ", ".join(_FIELDS)
_INSERT = f"INSERT INTO payments ({COLUMNS}) VALUES ({marks(_FIELDS)})"
_LOCK = f"UPDATE payments SET changed_ms = changed_ms WHERE {{}} = ? RETURNING {COLUMNS}"
_WRITE = f"UPDATE payments SET {', '.join(f'{name} = ?' for name in _FIELDS)} WHERE id = ?"
MONTH = (
    "SELECT coalesce(sum(asked_cents), 0) FROM payments WHERE account_id = ? AND kind = 'auto'"
    " AND state IN ('open', 'pending', 'paid') AND created_ms >= ? AND (created_ms < ? OR created_ms > ?)"
)
"""What an account's card was charged by itself in a month, or may still be. What was charged while a clock was ahead
counts in every month until that one is over: nobody agreed to more."""


def month_of(time_ms: int) -> tuple[int, int, int]:
    """The month that a moment lies in, and what lies ahead of it, for `MONTH`."""
    start = window_start("month", time_ms)
    return start, span_end("month", start), time_ms + AHEAD_MS


def insert(tx: Writing, payment: Payment) -> None:
    tx.execute(_INSERT, msgspec.structs.astuple(payment))


def write(tx: Writing, payment: Payment) -> None:
    tx.execute(_WRITE, [*msgspec.structs.astuple(payment), payment.id])


def locked(tx: Writing, value: str, column: str = "id") -> Payment | None:
    """The row, which nobody else changes until the transaction ends."""
    rows = tx.execute(_LOCK.format(column), (value,))
    return payment_of(rows[0]) if rows else None


def payment_of(row: Row) -> Payment:
    return msgspec.convert(dict(zip(_FIELDS, row, strict=True)), Payment)


def note_payment(tx: Writing, payment: Payment, actor: str, action: str, now_ms: int, **told: Any) -> None:
    """The line of a change, in its transaction."""
    change = Change(
        time_ms=now_ms,
        actor=actor,
        action=action,
        target=payment.id,
        organization_id=payment.account_id,
        after=told,
    )
    note(tx, change)


def usd(cents: int) -> str:
    return nano_text(cents * CENT_NANO)
