"""The auditor goes through the entries of each account in the order in which they were written.

Two things are in no sum and show only so: what is left of each credit that expires, and whether a balance was ever
below zero. Its rules, which are the ledger's promise and not its code:

* What is taken comes from the credits that expire, the earliest first, then from the rest. A grant that expires first
  covers what the rest is in debt.
* A call is admitted only where its hold is free, and only what is free is taken. So a balance is below zero by no more
  than entries that are flagged as an overrun account for: calls by what exceeded their holds, adjustments by all.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from trivium.store.audit_finding import Finding, Skipped, plain
from trivium.store.snapshot import Snapshot
from trivium.store.sql import Row

_ENTRIES = """
    SELECT e.account_id, e.seq, e.kind, coalesce(CAST(e.amount_nano AS BIGINT), 0),
    coalesce(CAST(e.time_ms AS BIGINT), 0), e.idempotency_key, e.lot, CAST(e.expires_ms AS BIGINT),
    CAST(e.flags AS TEXT), CAST(s.hold_nano AS BIGINT), l.account_id, l.expires_ms, l.seq, l.remaining_nano
    FROM entries e
    LEFT JOIN lots l ON e.kind = 'grant' AND e.expires_ms IS NOT NULL AND l.id = e.idempotency_key
    LEFT JOIN starts s ON e.kind = 'charge' AND e.flags <> '' AND s.id = e.request_id
    ORDER BY e.account_id, e.seq
"""


class _Entry(msgspec.Struct, frozen=True):
    account_id: str
    seq: int
    kind: str
    amount: int
    time_ms: int
    key: str
    lot: str | None
    expires_ms: int | None
    flags: str
    hold: int | None
    """Of the call that it charges, where that was an overrun and is still known."""
    lot_account: str | None
    lot_expires_ms: int | None
    lot_seq: int | None
    lot_remaining: int | None
    """The row in `lots`, of a grant that expires."""

    @property
    def where(self) -> str:
        return f"entries {self.seq}"


class _Lot:
    """What is left of a grant that expires."""

    def __init__(self, grant: _Entry, left: int) -> None:
        self.grant = grant
        self.left = left

    def __lt__(self, other: _Lot) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[Any, int]:
        return self.grant.expires_ms, self.grant.seq


class _Account:
    def __init__(self) -> None:
        self.balance = 0
        self._rest = 0
        """What of the balance does not expire."""
        self._excused = 0
        """How far below zero the balance may be."""
        self._lots: dict[str, _Lot] = {}
        self._open: list[_Lot] = []
        """Those with something left, the earliest expiry first."""

    def add(self, entry: _Entry) -> Iterator[Finding]:
        self.balance += entry.amount
        self._excuse(entry)
        if entry.kind == "grant" and entry.expires_ms is not None:
            self._open_lot(entry)
        elif entry.kind == "expiry":
            yield from self._expire(entry)
        elif entry.amount < 0:
            self._take(-entry.amount)
        else:
            self._rest += entry.amount
        if self.balance + self._excused < 0:
            yield Finding(
                what="leaves the balance below zero, by no overrun",
                where=entry.where,
                expected=-self._excused,
                found=self.balance,
            )
            self._excused = -self.balance

    def ended(self) -> Iterator[Finding]:
        """What `lots` should say now, and does not."""
        for key, lot in self._lots.items():
            grant, where = lot.grant, f"lots {key}"
            for what, expected, found in (
                ("is of another account than its grant", grant.account_id, grant.lot_account),
                ("expires at another time than its grant", grant.expires_ms, grant.lot_expires_ms),
                ("has another place than its grant", grant.seq, grant.lot_seq),
                ("has not left what the entries leave of it", lot.left, grant.lot_remaining),
            ):
                if expected != found:
                    yield Finding(what=what, where=where, expected=expected, found=plain(found))

    def _excuse(self, entry: _Entry) -> None:
        if entry.amount >= 0:
            self._excused = max(0, self._excused - entry.amount)
        elif "overrun" in entry.flags.split():
            held = entry.hold or 0 if entry.kind == "charge" else 0
            self._excused += max(0, -entry.amount - held)

    def _open_lot(self, grant: _Entry) -> None:
        covers = min(grant.amount, max(0, -self._rest))
        self._rest += covers
        self._lots[grant.key] = lot = _Lot(grant, grant.amount - covers)
        if lot.left:
            insort(self._open, lot)

    def _take(self, amount: int) -> None:
        while amount and self._open:
            lot = self._open[0]
            taken = min(amount, lot.left)
            lot.left -= taken
            amount -= taken
            if not lot.left:
                del self._open[0]
        self._rest -= amount

    def _expire(self, entry: _Entry) -> Iterator[Finding]:
        lot, amount = self._lots.get(entry.lot or ""), -entry.amount
        if lot is None:
            yield Finding(what="ends a lot that the account never had", where=entry.where, found=plain(entry.lot))
            self._rest -= amount
            return
        if entry.time_ms < (lot.grant.expires_ms or 0):
            yield Finding(
                what="comes before its lot expires",
                where=entry.where,
                expected=lot.grant.expires_ms,
                found=entry.time_ms,
            )
        if amount > lot.left:
            yield Finding(
                what="takes more than was left of its lot", where=entry.where, expected=lot.left, found=amount
            )
        lot.left -= amount
        if lot.left <= 0 and lot in self._open:
            self._open.remove(lot)


def replay(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """Balances and lots as they were after each entry."""
    for _, rows in groupby(snapshot.rows(_ENTRIES), key=_account_of):
        account = _Account()
        for row in rows:
            yield from account.add(_Entry(*row))
        yield from account.ended()


def _account_of(row: Row) -> Any:
    return row[0]
