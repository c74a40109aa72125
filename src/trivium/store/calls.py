"""What the ledger hands to the writer: the start and the end of a call, with what memory has to be told of them.

`hold` is how a start is admitted where other processes write the database too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from trivium.errors import StoreUnavailable
from trivium.metering.prices import Quote
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.policy.spending import Account, Refusal, Window, refused_by, settle
from trivium.store import posting
from trivium.store.posting import Sums
from trivium.store.sql import Row, Writing

_KEPT = (
    *("id", "time_ms", "api", "operation", "outcome", "status", "requests", "hold_nano"),
    *("key_id", "account_id", "organization_id", "payer", "provider", "public_model", "upstream_status"),
)
"""What is kept of a record that the database does not take: what we said ourselves."""

_LOG = logging.getLogger("trivium.store")
SPENT = "SELECT spent_nano, held_nano FROM spends WHERE budget_id = ? AND window_ms = ?"
_HELD = """
    UPDATE accounts SET held_nano = held_nano + ? WHERE id = ? AND balance_nano - held_nano >= ? RETURNING balance_nano
"""
_COUNTED = """
    UPDATE spends SET held_nano = held_nano + ?
    WHERE budget_id = ? AND window_ms = ? AND ? - spent_nano - held_nano >= ? RETURNING held_nano
"""


class OpenCall:
    """A call between its start and its end."""

    __slots__ = ("account", "keys", "purses", "start", "windows")

    def __init__(self, start: Start, account: Account | None, windows: Sequence[Window]) -> None:
        self.start = start
        self.account = account
        self.windows = windows
        self.purses: tuple[Account | Window, ...] = (account, *windows) if account is not None else tuple(windows)
        """All that it is held on."""
        self.keys: posting.Windows = tuple([(one.budget.id, one.start_ms) for one in windows]) if windows else ()

    def settle(self, charge: int) -> None:
        settle(self.start.hold_nano, charge, self.account, self.windows)

    def unspent(self, charge: int) -> None:
        """It was not charged after all."""
        settle(0, -charge, self.account, self.windows)

    def unwritten(self, freed: int) -> None:
        """So much is free in memory, or less again, that the database does not know of."""
        for purse in self.purses:
            purse.unwritten += freed


class NewPrices:
    """Prices that calls name. Whatever names one carries it along until the database is known to have it, so that a
    gateway that dies leaves no row that names a price which is not there."""

    def __init__(self) -> None:
        self._kept: set[str] = set()
        self._new: dict[str, Quote] = {}

    def add(self, quote: Quote) -> None:
        if quote.version not in self._kept:
            self._new[quote.version] = quote

    def get(self, version: str | None) -> Quote | None:
        return self._new.get(version or "")

    def kept(self, quote: Quote | None) -> None:
        if quote is not None:
            self._kept.add(quote.version)
            self._new.pop(quote.version, None)


class StartOp:
    """Urgent where something is held: then `result` says whether it was, as soon as that is durable."""

    __slots__ = ("leans", "opened", "prices", "quote", "refusal", "result", "starts", "urgent")
    alone = False

    def __init__(self, opened: OpenCall, prices: NewPrices, owner: str) -> None:
        self.opened = opened
        self.starts = posting.start_row(opened.start, owner, opened.keys)
        self.prices = prices
        self.quote = prices.get(opened.start.price_version)
        self.urgent = opened.start.hold_nano > 0
        self.leans = self.urgent and any(purse.free < purse.unwritten for purse in opened.purses)
        """On what ends have freed that are not written yet: those have to be written with it."""
        self.refusal: Refusal | None = None
        self.result: asyncio.Future[Refusal | None] | None = None
        if self.urgent:
            self.result = asyncio.get_running_loop().create_future()

    @property
    def row(self) -> Row | None:
        return self.starts if self.quote is None else None

    def done(self) -> None:
        self.prices.kept(self.quote)
        if self.result is not None and not self.result.done():
            self.result.set_result(self.refusal)

    def failed(self, error: StoreUnavailable) -> None:
        if self.result is not None and not self.result.done():
            self.result.set_exception(error)

    def lost(self, why: object) -> None:
        self.quote = None  # nor was its price written
        self.failed(StoreUnavailable("The call cannot be recorded.", detail=str(why)))

    def lessened(self, _: object) -> bool:
        return False


class EndOp:
    """A record; of a call that was started, its end."""

    __slots__ = ("bare", "freed", "given_up", "opened", "prices", "quote", "record", "started")
    urgent = leans = alone = False
    row = None

    def __init__(self, record: Record, prices: NewPrices, opened: OpenCall | None, *, started: bool) -> None:
        self.record = record
        self.opened = opened
        self.freed = opened.start.hold_nano - record.cost_nano if opened is not None else 0
        self.started = started
        self.prices = prices
        self.quote = prices.get(record.price_version)
        self.bare = False
        """Written without the further sums that records are added to: these may be what the database did not take."""
        self.given_up: int | None = None
        """What a call cost whose record the database did not take."""

    def done(self) -> None:
        self.prices.kept(self.quote)
        if self.opened is not None:
            self.opened.unwritten(-self.freed)
            if self.given_up:
                self.opened.unspent(self.given_up)

    def failed(self, error: StoreUnavailable) -> None:
        pass

    def lost(self, why: object) -> None:
        record = msgspec.structs.replace(self.record, prompt_prefix=None, system_prompt_prefix=None)
        try:
            said = msgspec.json.encode(record).decode()
        except ValueError:  # half a character: perhaps why it was not stored
            said = ascii(record)
        _LOG.critical("record not stored (%s): %s", why, said)

    def lessened(self, why: object, /) -> bool:
        """The record without further sums; without it the call ends all the same, charged nothing: what it holds must
        be free again."""
        if not self.bare:
            self.bare = True
            return True
        if self.given_up is not None:
            return False
        self.lost(why)
        self.given_up = self.record.cost_nano
        self.quote = None
        kept: dict[str, Any] = {name: getattr(self.record, name) for name in _KEPT}
        self.record = Record(**kept, flags="unstorable")
        return True


def hold(tx: Writing, opened: OpenCall) -> Refusal | None:
    """Takes a hold where other processes take theirs: a balance or budget by one statement that checks and takes. Those
    of the call must have been claimed (`posting.claim`)."""
    amount, account_id, taken = opened.start.hold_nano, opened.start.account_id, Sums()
    if account_id is not None:
        if not tx.execute(_HELD, (amount, account_id, amount)):
            rows = tx.execute("SELECT balance_nano - held_nano, held_nano FROM accounts WHERE id = ?", (account_id,))
            free, held = rows[0] if rows else (0, 0)
            return Refusal(needed=amount, free=free, held=held)
        taken.account(account_id, 0, -amount)
    for window in opened.windows:
        limit, key = window.budget.limit_nano, (window.budget.id, window.start_ms)
        if not tx.execute(_COUNTED, (amount, *key, limit, amount)):
            ((window.spent, window.held),) = tx.execute(SPENT, key)
            taken.write(tx)
            return refused_by(window, amount)
        taken.windows([key], 0, -amount)
    return None
