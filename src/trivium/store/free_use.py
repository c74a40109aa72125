"""Who uses free models, and how much: sums by day, week and month (UTC) for each address, user and key.

They are added to in the transaction that writes the records, so that nobody counts records when somebody looks. A call
counts for the address that it came from and, where it has a key, for its user or for the key of nobody, as the limits
have it (`policy/free.py`); and once for all. Calls that such a limit refused are no requests here, but refusals.

No address stands in these sums, which outlive the records: of one there is a pseudonym, which is nothing without the
gateway's pepper, and the network that it is in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any, get_args

from trivium.clock import HOUR_MS
from trivium.metering.charge import Payer
from trivium.metering.record import Record
from trivium.policy.addresses import masked, subscriber
from trivium.policy.free import LIMIT_REACHED
from trivium.policy.spending import Span, window_start
from trivium.store.sql import Database, Writing, marks

SPANS: tuple[Span, ...] = get_args(Span)
SUMS = ("requests", "anonymous", "refused", "suspect", "input_tokens", "output_tokens", "market_cost_nano")
"""`anonymous` are requests without a key, `suspect` those that somebody judged to be abuse."""
ORDERS = {**{name: name for name in SUMS}, "tokens": "input_tokens + output_tokens"}
_ALL = ("all", "", "")
_KEYS = ("span", "begin_ms", "kind", "who", "network")
_ADDED = ", ".join(f"{name} = free_use.{name} + excluded.{name}" for name in SUMS)
_COUNT = (
    f"INSERT INTO free_use ({', '.join(_KEYS + SUMS)}) VALUES ({marks(_KEYS + SUMS)})"
    f" ON CONFLICT (span, begin_ms, kind, who) DO UPDATE SET {_ADDED}"
)
_WITHIN = "span = ? AND begin_ms = ? AND kind IN ({})"
_SLICE = 500
"""Rows that are forgotten in one transaction."""
_CHUNK = 400
_REMEMBERED = 4_096
"""Addresses that called last: most call again."""

Kinds = tuple[str, ...]


class FreeUse:
    """Reading blocks, and raises StoreUnavailable."""

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self._secret = hashlib.blake2b(pepper, person=b"addresses").digest()
        self._told = lru_cache(_REMEMBERED)(self._tell)

    def pseudonym(self, address: str) -> str:
        """What stands for a subscriber's address: 16 hexadecimal digits."""
        return hmac.digest(self._secret, address.encode(), hashlib.sha256)[:8].hex()

    def count(self, tx: Writing, records: Sequence[Record]) -> None:
        """Adds records; each must be passed once."""
        sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(SUMS))
        for record in records:
            if _concerns(record):
                added, begins = _sums(record), begins_of(record.time_ms)
                for who in self._who(record):
                    for span in SPANS:
                        row = sums[span, begins[span], *who]
                        for place, number in enumerate(added):
                            row[place] += number
        if sums:  # in order, so that two gateways that add to the same rows do not wait for each other for ever
            tx.executemany(_COUNT, [(*key, *sums[key]) for key in sorted(sums)])

    def _who(self, record: Record) -> Iterator[tuple[str, str, str]]:
        """(kind, who, network) of each row that a record counts in."""
        yield _ALL
        if record.client_ip:
            yield self._told(record.client_ip)
        if record.user_id or record.key_id:
            yield ("user", record.user_id, "") if record.user_id else ("key", record.key_id or "", "")

    def _tell(self, client_ip: str) -> tuple[str, str, str]:
        address = subscriber(client_ip)
        return "address", self.pseudonym(address), masked(address)

    def total(self, span: Span, begin_ms: int) -> dict[str, int]:
        """Of all calls."""
        return next(iter(self._rows(span, begin_ms, ("all",), "", ())), dict.fromkeys(SUMS, 0))

    def how_many(self, span: Span, begin_ms: int, kinds: Kinds) -> int:
        """How many there are of these kinds."""
        where = _WITHIN.format(marks(kinds))
        ((count,),) = self._database.query(f"SELECT count(*) FROM free_use WHERE {where}", (span, begin_ms, *kinds))[1]
        return int(count)

    def top(self, span: Span, begin_ms: int, kinds: Kinds, order: str, limit: int) -> list[dict[str, Any]]:
        """Those with the most of something; `order` is one of `ORDERS`."""
        ordered = f"ORDER BY {ORDERS[order]} DESC, who LIMIT ?"
        return self._rows(span, begin_ms, kinds, ordered, (limit,))

    def of(self, span: Span, begin_ms: int, kinds: Kinds, ids: Collection[str]) -> list[dict[str, Any]]:
        """Those with these ids."""
        wanted, found = sorted(ids), []
        for at in range(0, len(wanted), _CHUNK):
            some = wanted[at : at + _CHUNK]
            found += self._rows(span, begin_ms, kinds, f"AND who IN ({marks(some)})", some)
        return found

    def _rows(
        self, span: Span, begin_ms: int, kinds: Kinds, behind: str, values: Sequence[Any]
    ) -> list[dict[str, Any]]:
        where = _WITHIN.format(marks(kinds))
        statement = f"SELECT kind, who, network, {', '.join(SUMS)} FROM free_use WHERE {where} {behind}"
        names, rows = self._database.query(statement, (span, begin_ms, *kinds, *values))
        return [dict(zip(names, row, strict=True)) for row in rows]


def begins_of(time_ms: int) -> dict[Span, int]:
    """When the day, the week and the month of a moment began."""
    return _begins_of(time_ms - time_ms % HOUR_MS)


@lru_cache(64)
def _begins_of(time_ms: int) -> dict[Span, int]:
    """Of an hour's beginning; nobody may change what it returns."""
    return {span: window_start(span, time_ms) for span in SPANS}


def forget_addresses(tx: Writing, before_ms: int) -> int:
    """Takes a slice of what is told of addresses in days, weeks and months that were over by then. Returns how much
    went."""
    went = 0
    for span in SPANS:
        begin_ms = _last_over(span, before_ms)
        gone = tx.execute(
            "DELETE FROM free_use WHERE kind = 'address' AND (span, begin_ms, kind, who) IN (SELECT span, begin_ms,"
            " kind, who FROM free_use WHERE span = ? AND begin_ms <= ? AND kind = 'address' LIMIT ?) RETURNING who",
            (span, begin_ms, _SLICE),
        )
        went += len(gone)
    return went


def _last_over(span: Span, before_ms: int) -> int:
    """The beginning of the last one that had ended by a moment."""
    return begins_of(begins_of(before_ms)[span] - 1)[span]


def _concerns(record: Record) -> bool:
    given_away = record.payer == Payer.FREE and record.operation == "generate"
    return given_away or LIMIT_REACHED in record.flags


def _sums(record: Record) -> tuple[int, ...]:
    """Values of `SUMS`."""
    refused = LIMIT_REACHED in record.flags
    suspect = record.abuse_verdict not in (None, "allow")
    read = record.input_uncached_tokens + record.cache_read_tokens
    written = record.cache_write_5m_tokens + record.cache_write_1h_tokens + record.cache_write_other_tokens
    return (
        0 if refused else record.requests,
        record.requests if record.key_id is None and not refused else 0,
        record.requests if refused else 0,
        record.requests if suspect else 0,
        read + written,
        record.output_tokens,
        record.market_cost_nano or 0,
    )
