"""How starts, ends and entries become rows: the statements of the ledger, inside one transaction of the writer.

A start ends once: what an end frees and charges is what the database says was open (`UPDATE ... RETURNING`), not what
memory believes, so that an end that is written again changes nothing. Balances and spends are written as differences;
`entries` is only added to.

Credits that expire are consumed first, the earliest expiry before the others. A grant first covers what the account is
in debt; its lot begins with the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from trivium.metering.record import COLUMNS, Record
from trivium.metering.start import Start
from trivium.policy.spending import Lot, consume
from trivium.store import spans
from trivium.store.sql import Row, Writing, insert, marks

_CHUNK = 512
_STARTED = (
    *("id", "time_ms", "owner", "key_id", "account_id", "organization_id", "payer", "hold_nano", "windows", "api"),
    *("requested_model", "provider", "upstream_model", "price_version", "public_model"),
)
"""New ones come last: what a crash left in the log of holds may be of another version."""
_ONCE = "ON CONFLICT (id) DO NOTHING"
_WORDS = [COLUMNS.index(name) for name in ("api", "operation", "outcome", "upstream_api", "finish_reason", "payer")]
_FLAGS = [COLUMNS.index(name) for name in ("stream", "in_band_error", "usage_known")]
_END = "UPDATE starts SET ended = 1 WHERE ended = 0 AND id IN ({}) RETURNING id, account_id, hold_nano, windows"
_ACCOUNT = "UPDATE accounts SET balance_nano = balance_nano + ?, held_nano = held_nano + ? WHERE id = ?"
_SPEND = """
    INSERT INTO spends (budget_id, window_ms, spent_nano, held_nano) VALUES (?, ?, ?, ?)
    ON CONFLICT (budget_id, window_ms) DO UPDATE SET
    spent_nano = spends.spent_nano + excluded.spent_nano, held_nano = spends.held_nano + excluded.held_nano
"""
_LOTS = """
    SELECT id, remaining_nano, account_id FROM lots WHERE remaining_nano > 0 AND account_id IN ({})
    ORDER BY expires_ms, seq
"""

NEXT_EXPIRY = "SELECT min(expires_ms) FROM lots WHERE account_id = ? AND remaining_nano > 0"
"""When the first credits of an account expire that are not used up."""
EXPIRED = """
    (SELECT coalesce(CAST(sum(remaining_nano) AS BIGINT), 0) FROM lots
    WHERE account_id = accounts.id AND expires_ms <= ?)
"""
"""What an account has left of credits whose time is over, until somebody looks."""
_HELD_BEFORE = """
    SELECT coalesce(CAST(sum(hold_nano) AS BIGINT), 0) FROM starts
    WHERE id >= (SELECT coalesce(min(since), '') FROM owners) AND ended = 0 AND account_id = ? AND time_ms < ?
"""
"""By open calls that began before a moment; `store/owners.py` tells where open ones lie."""
_DUE = "SELECT DISTINCT account_id FROM lots WHERE remaining_nano > 0 AND expires_ms <= ? AND account_id IN ({})"

Windows = tuple[tuple[str, int], ...]
"""(budget id, beginning of the period) of each budget that counts a call."""
_decode = msgspec.json.Decoder(Windows).decode
_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of an account, for good."""

    account_id: str
    kind: str
    """`grant`, `top_up`, `charge`, `refund`, `expiry` or `adjustment`."""
    amount_nano: int
    """What the balance changes by."""
    time_ms: int
    idempotency_key: str
    request_id: str | None = None
    lot: str | None = None
    """Of an expiry: the grant that expired, by its idempotency key."""
    expires_ms: int | None = None
    flags: str = ""
    note: str | None = None


class Sums:
    """Differences to balances and budgets, collected over a transaction, so that each row is written once."""

    def __init__(self) -> None:
        self._accounts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._spends: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])

    def account(self, id: str | None, balance: int, held: int) -> None:
        if id is not None and (balance or held):
            sums = self._accounts[id]
            sums[0] += balance
            sums[1] += held

    def windows(self, windows: Iterable[tuple[str, int]], spent: int, held: int) -> None:
        for window in windows if spent or held else ():
            sums = self._spends[window]
            sums[0] += spent
            sums[1] += held

    def touch(self, account_id: str | None, windows: Iterable[tuple[str, int]]) -> None:
        """Their rows are written though nothing may come to them."""
        if account_id is not None:
            self._accounts.setdefault(account_id, [0, 0])
        for window in windows:
            self._spends.setdefault(window, [0, 0])

    def write(self, tx: Writing) -> None:
        """In the order of their names, so that two processes that write the same rows wait for each other rather than
        for ever."""
        if self._accounts:
            tx.executemany(_ACCOUNT, [(*sums, id) for id, sums in sorted(self._accounts.items())])
        if self._spends:
            tx.executemany(_SPEND, [(*window, *sums) for window, sums in sorted(self._spends.items())])


def claim(tx: Writing, purses: Iterable[tuple[str | None, Windows]]) -> None:
    """Nobody else changes these accounts and budgets' periods until the transaction ends. It comes before the sums of
    usage that two gateways add to."""
    sums = Sums()
    for account_id, windows in purses:
        sums.touch(account_id, windows)
    sums.write(tx)


def start_row(start: Start, owner: str, windows: Windows) -> Row:
    """`windows` are the periods of budgets that count the call."""
    counted = _encode(windows).decode() if windows else None
    named = (exact(start.api), start.requested_model, start.provider, start.upstream_model)
    pays = (start.key_id, start.account_id, start.organization_id, exact(start.payer), start.hold_nano)
    return (start.id, start.time_ms, owner, *pays, counted, *named, start.price_version, start.public_model)


def read_windows(counted: str | None) -> Windows:
    """The budgets' periods that a start was written with."""
    return _decode(counted) if counted else ()


def write_starts(tx: Writing, rows: Sequence[Row], *, ended: bool = False) -> None:
    """`ended`: of calls whose ends follow in the same transaction, as `brief` ones."""
    columns, rows = ((*_STARTED, "ended"), [(*row, 1) for row in rows]) if ended else (_STARTED, rows)
    insert(tx, "starts", columns, rows, _ONCE)


def hold_starts(tx: Writing, rows: Sequence[Row]) -> None:
    """Adds open starts, and what they hold."""
    sums = Sums()
    for row in rows:
        start = dict(zip(_STARTED, row, strict=True))
        sums.account(start["account_id"], 0, start["hold_nano"])
        sums.windows(read_windows(start["windows"]), 0, start["hold_nano"])
    sums.write(tx)
    write_starts(tx, rows)


def missing_starts(tx: Writing, rows: Iterable[Row]) -> list[Row]:
    """Those that are not there, and have not ended by now; of another version what this one knows."""
    unknown = [None] * len(_STARTED)
    return [
        (*row, *unknown)[: len(_STARTED)]
        for row in rows
        if not tx.execute("SELECT 1 FROM starts WHERE id = ?", row[:1])
    ]


class Brief(NamedTuple):
    """A call that begins and ends in one transaction, so that what it holds need never be written."""

    start: Start
    windows: Windows


Briefs = Mapping[str, Brief]
"""By their ids."""


def write_ends(tx: Writing, ends: Sequence[Record], brief: Briefs = MappingProxyType({})) -> set[str]:
    """Ends starts by their records: frees the holds and posts the charges. Returns the ids that were open."""
    records = {record.id: record for record in ends}
    others = [id for id in records if id not in brief]
    open_starts = [
        (id, account_id, hold, read_windows(windows))
        for some in _chunks(others)
        for id, account_id, hold, windows in tx.execute(_END.format(marks(some)), some)
    ]
    charges, sums = [], Sums()
    for _, account_id, hold, windows in open_starts:
        sums.account(account_id, 0, -hold)
        sums.windows(windows, 0, -hold)
    open_starts += [(id, start.account_id, start.hold_nano, windows) for id, (start, windows) in brief.items()]
    for id, account_id, hold, windows in open_starts:
        record = records[id]
        sums.windows(windows, record.cost_nano, 0)
        if account_id is not None and record.cost_nano:
            charges.append(charge_of(record, account_id, hold))
    post(tx, charges, sums)
    return {row[0] for row in open_starts}


def charge_of(record: Record, account_id: str, hold: int) -> Entry:
    return Entry(
        account_id=account_id,
        kind="charge",
        amount_nano=-record.cost_nano,
        time_ms=record.time_ms + record.total_us // 1000,
        idempotency_key=f"charge:{record.id}",
        request_id=record.id,
        flags="overrun" if record.cost_nano > hold else "",
    )


def lock(tx: Writing, account_id: str) -> tuple[int, int] | None:
    """Balance and holds, which nobody else changes until the transaction ends; None for no account."""
    rows = tx.execute(
        "UPDATE accounts SET held_nano = held_nano WHERE id = ? RETURNING balance_nano, held_nano", (account_id,)
    )
    return (rows[0][0], rows[0][1]) if rows else None


def post(tx: Writing, entries: Sequence[Entry], sums: Sums) -> None:
    """Adds entries and writes the sums; what entries take comes from the credits that expire first.

    The rows of the accounts come before everything else: whoever changed them has their lots and the order of their
    entries to himself until the transaction ends.
    """
    taken: defaultdict[str, int] = defaultdict(int)
    for entry in entries:
        sums.account(entry.account_id, entry.amount_nano, 0)
        if entry.amount_nano < 0 and entry.kind != "expiry":
            taken[entry.account_id] -= entry.amount_nano
    sums.write(tx)
    if entries:
        insert(tx, "entries", Entry.__struct_fields__, [*map(msgspec.structs.astuple, entries)])
        _consume(tx, taken)


def _consume(tx: Writing, taken: dict[str, int]) -> None:
    lots: defaultdict[str, list[Lot]] = defaultdict(list)
    for some in _chunks(sorted(taken)):
        for id, remaining, account_id in tx.execute(_LOTS.format(marks(some)), some):
            lots[account_id].append(Lot(id, remaining))
    changed = [lot for account_id, found in lots.items() for lot in consume(found, taken[account_id])]
    if changed:
        tx.executemany("UPDATE lots SET remaining_nano = ? WHERE id = ?", [(lot.remaining, lot.id) for lot in changed])


Counts = Callable[[Writing, Sequence[Record]], None]
"""Adds records, each of which it hears of once, to sums."""


def write_records(
    tx: Writing, records: Sequence[Record], new: set[str], now_ms: int, also: Counts | None = None
) -> None:
    """Adds records, and what they sum up to; `also` are further sums. Those that are not known to be `new` may be there
    already, and must not be counted again."""
    if doubtful := [record.id for record in records if record.id not in new]:
        there = {
            row[0]
            for some in _chunks(doubtful)
            for row in tx.execute(f"SELECT id FROM records WHERE id IN ({marks(some)})", some)
        }
        records = [record for record in records if record.id not in there]
    if records:
        insert(tx, "records", COLUMNS, [_row(record) for record in records], _ONCE)
        spans.count(tx, records, now_ms)
        if also is not None:
            also(tx, records)


def _row(record: Record) -> list[Any]:
    """What `sqlite3` takes as it is are exact strings and integers. For a member of an enumeration, or a boolean, it
    looks for an adapter in several places first, which takes half a microsecond each time."""
    row: list[Any] = [*msgspec.structs.astuple(record)]
    for place in _WORDS:
        row[place] = exact(row[place])
    for place in _FLAGS:
        row[place] = int(row[place])
    return row


def exact(word: str | None) -> str | None:
    """The string that a member of an enumeration is."""
    return None if word is None else word[:]


def write_grant(tx: Writing, entry: Entry) -> None:
    """Adds credits, as a lot of its own where they expire."""
    post(tx, [entry], Sums())
    if entry.expires_ms is None:
        return
    ((balance,),) = tx.execute("SELECT balance_nano FROM accounts WHERE id = ?", (entry.account_id,))
    ((lots,),) = tx.execute(
        "SELECT coalesce(sum(remaining_nano), 0) FROM lots WHERE account_id = ?", (entry.account_id,)
    )
    ((seq,),) = tx.execute("SELECT seq FROM entries WHERE idempotency_key = ?", (entry.idempotency_key,))
    owed = max(0, lots - (balance - entry.amount_nano))
    remaining = max(0, entry.amount_nano - owed)
    tx.execute(
        "INSERT INTO lots (id, account_id, expires_ms, remaining_nano, seq) VALUES (?, ?, ?, ?, ?)",
        (entry.idempotency_key, entry.account_id, entry.expires_ms, remaining, seq),
    )


def expire(tx: Writing, account_id: str, now_ms: int) -> int:
    """Takes away what is left of credits whose time is over, save what calls may still need of it that had begun by
    then; that goes when they have ended. Returns how much went.

    A charge takes from these credits first, whatever else there is. So as much of them stays as those calls hold: what
    a call is paid with does not depend on whether anybody looked meanwhile. What stays only ever becomes less: of later
    calls none is admitted on it, though one that is charged before it is gone is paid with it.
    """
    lock(tx, account_id)
    due = tx.execute(
        "SELECT id, remaining_nano, expires_ms FROM lots WHERE account_id = ? AND remaining_nano > 0"
        " AND expires_ms <= ? ORDER BY expires_ms, seq",
        (account_id, now_ms),
    )
    over = total = 0
    for _, remaining, expires_ms in due:
        ((held,),) = tx.execute(_HELD_BEFORE, (account_id, expires_ms))
        total += remaining
        over = max(over, total - held)
    entries = []
    for id, remaining, _ in due:
        amount = min(remaining, over)
        if amount:
            over -= amount
            tx.execute("UPDATE lots SET remaining_nano = remaining_nano - ? WHERE id = ?", (amount, id))
            key = f"expiry:{id}:{remaining}"
            common = {"account_id": account_id, "time_ms": now_ms, "idempotency_key": key, "lot": id}
            entries.append(Entry(kind="expiry", amount_nano=-amount, **common))
    post(tx, entries, Sums())
    return -sum(entry.amount_nano for entry in entries)


def expire_due(tx: Writing, account_ids: Iterable[str], now_ms: int) -> None:
    """`expire` for those of the accounts that have something to lose."""
    for some in _chunks(sorted(set(account_ids))):
        for (account_id,) in tx.execute(_DUE.format(marks(some)), (now_ms, *some)):
            expire(tx, account_id, now_ms)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many values as a statement may have, and be remembered with: always a power of two, the last one repeated, so
    that a database has ten statements to prepare and keep, not one for each number of values."""
    for at in range(0, len(ids), _CHUNK):
        some = ids[at : at + _CHUNK]
        yield [*some, *([some[-1]] * ((1 << (len(some) - 1).bit_length()) - len(some)))]
