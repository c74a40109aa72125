"""Prices that were charged with, the operator's overrides, and the records that a new price would change.

A version's row is written once and never changed: its content is what its name is made of. Overrides are only ever
added; the last word that is in force counts (`metering/book.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import cache
from typing import Any

import msgspec

from trivium.metering.book import Override
from trivium.metering.prices import Price, Quote, content_of, price_of
from trivium.metering.record import COLUMNS
from trivium.store.aside import aside
from trivium.store.changes import OPERATOR, Change, note
from trivium.store.sql import Database, Row, Writing
from trivium.store.stretches import WITHIN, each, first

_PAGE = 500
"""Records that are read at once."""
_VERSION = "version, provider, model, source, content, first_ms"
_OVERRIDE = "pattern, account_id, effective_ms, content, markup_ppm, note, created_ms"
_NAME = "provider || '/' || upstream_model"
_USED = f"""
    SELECT {_NAME}, price_version, min(time_ms), max(time_ms), CAST(sum(requests) AS BIGINT),
    CAST(sum(cost_nano) AS BIGINT)
    FROM records WHERE {WITHIN} AND price_version IS NOT NULL
"""
_WHOSE = "coalesce(account_id, organization_id, (SELECT k.account_id FROM keys k WHERE k.id = records.key_id), user_id)"
"""The account of a record's caller, whether its balance was charged or not: a key keeps the one that it was made with,
and a user's tokens have the user's (`store/tokens.py`)."""
_REPRICED = f"""
    SELECT {", ".join(COLUMNS)}, {_WHOSE}, (
        SELECT after_nano FROM rerates WHERE request_id = records.id ORDER BY number DESC LIMIT 1
    ) FROM records
    WHERE {WITHIN} AND time_ms >= ? AND time_ms < ? AND payer = 'house'
    AND (cost_source IN ('computed', 'estimated') OR ' ' || flags || ' ' LIKE '% unpriced %')
"""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A version, with the model that it was first charged for."""

    version: str
    provider: str
    model: str
    source: str
    price: Price
    first_ms: int


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was charged with."""

    model: str
    """`provider/model`."""
    version: str
    first_ms: int
    last_ms: int
    requests: int
    cost_nano: int

    def and_(self, later: Used) -> Used:
        """The same model and version, in both."""
        return Used(
            model=self.model,
            version=self.version,
            first_ms=min(self.first_ms, later.first_ms),
            last_ms=max(self.last_ms, later.last_ms),
            requests=self.requests + later.requests,
            cost_nano=self.cost_nano + later.cost_nano,
        )


class Rerated(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's charges were corrected to."""

    version: str
    first_ms: int
    last_ms: int
    """When that was booked."""
    requests: int
    difference_nano: int


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """A record, and what it costs by now."""

    record: dict[str, Any]
    whose: str | None
    """The account for which it was priced, also where no balance was charged."""
    cost_nano: int


def keep(writing: Writing, quotes: Iterable[Quote], time_ms: int) -> None:
    """Notes the versions that requests were charged with, in the transaction that charges them. They are in order, so
    that two gateways that note the same ones wait for each other rather than for ever."""
    rows = sorted((one.version, one.provider, one.model, one.source, content_of(one.price), time_ms) for one in quotes)
    statement = f"INSERT INTO prices ({_VERSION}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (version) DO NOTHING"
    writing.executemany(statement, rows)


class PriceStore:
    """Over any database. Its methods block, but for `charged`. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, quotes: Iterable[Quote], time_ms: int) -> None:
        """As the function of this name, in a transaction of its own."""
        with self._database.transaction() as writing:
            keep(writing, quotes, time_ms)

    def find(self, version: str) -> Stored | None:
        _, rows = self._database.query(f"SELECT {_VERSION} FROM prices WHERE version = ?", (version,))
        return _stored(rows[0]) if rows else None

    def corrections(self, request_id: str) -> list[tuple[str, int]]:
        """The versions that a request was priced anew with, each with what its charge changed by, in nanodollars."""
        statement = "SELECT price_version, after_nano - before_nano FROM rerates WHERE request_id = ? ORDER BY number"
        return [(version, difference) for version, difference in self._database.query(statement, (request_id,))[1]]

    def overrides(self) -> tuple[Override, ...]:
        """All of them, ended ones too, in the order in which they were said. The book keeps them, as it may be asked
        about any time; of prices that are said every night there is one object."""
        _, rows = self._database.query(f"SELECT {_OVERRIDE}, seq FROM price_overrides ORDER BY seq")
        read = cache(price_of)
        return tuple(_override(row, read) for row in rows)

    def knows_account(self, id: str) -> bool:
        return bool(self._database.query("SELECT 1 FROM accounts WHERE id = ?", (id,))[1])

    def add(self, override: Override, actor: str = OPERATOR) -> Override:
        """The override as it is kept."""
        content = content_of(override.price) if override.price is not None else None
        said = (override.pattern, override.account_id, override.effective_ms, content, override.markup_ppm)
        with self._database.transaction() as writing:
            ((seq,),) = writing.execute(
                f"INSERT INTO price_overrides ({_OVERRIDE}) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq",
                (*said, override.note, override.created_ms),
            )
            after = {
                "account_id": override.account_id,
                "effective_ms": override.effective_ms,
                "price": msgspec.json.decode(content) if content is not None else None,
                "markup_ppm": override.markup_ppm,
                "note": override.note,
            }
            change = Change(
                time_ms=override.created_ms, actor=actor, action="prices.set", target=override.pattern, after=after
            )
            note(writing, change)
        return msgspec.structs.replace(override, seq=seq)

    def used(self, model: str | None = None) -> list[Used]:
        """What each model was charged with, by model and first use; of one if it is named. Reads all records."""
        where, values = (f" AND {_NAME} = ?", (model,)) if model is not None else ("", ())
        found: dict[tuple[str, str], Used] = {}
        for row in each(self._database, f"{_USED}{where} GROUP BY {_NAME}, price_version", values):
            one = Used(model=row[0], version=row[1], first_ms=row[2], last_ms=row[3], requests=row[4], cost_nano=row[5])
            before = found.get(row[:2])
            found[row[:2]] = one if before is None else before.and_(one)
        return sorted(found.values(), key=lambda one: (one.model, one.first_ms))

    def rerated(self, model: str) -> list[Rerated]:
        """The versions that a model's charges were corrected to, by when that was booked."""
        statement = f"""
            SELECT t.price_version, min(t.time_ms), max(t.time_ms), count(*),
            CAST(sum(t.after_nano - t.before_nano) AS BIGINT)
            FROM rerates t JOIN records r ON r.id = t.request_id WHERE {_NAME} = ? GROUP BY t.price_version ORDER BY 2
        """
        return [
            Rerated(version=row[0], first_ms=row[1], last_ms=row[2], requests=row[3], difference_nano=row[4])
            for row in self._database.query(statement, (model,))[1]
        ]

    async def charged(self, since_ms: int, until_ms: int, model: str | None = None) -> AsyncIterator[list[Charged]]:
        """Records that the house pays and whose cost we computed, estimated or did not know, in pages; `until_ms`
        excluded."""
        where, named = (f" AND {_NAME} = ?", (model,)) if model is not None else ("", ())
        last = ""
        statement = f"{_REPRICED}{where} ORDER BY id LIMIT {_PAGE}"
        while rows := await aside(first, self._database, statement, (since_ms, until_ms, *named), last):
            page = [_charged(row) for row in rows]
            yield page
            last = page[-1].record["id"]


def _charged(row: Row) -> Charged:
    *columns, whose, corrected_nano = row
    record = dict(zip(COLUMNS, columns, strict=True))
    return Charged(
        record=record, whose=whose, cost_nano=record["cost_nano"] if corrected_nano is None else corrected_nano
    )


def _stored(row: Row) -> Stored:
    version, provider, model, source, content, first_ms = row
    price = price_of(content)
    return Stored(version=version, provider=provider, model=model, source=source, price=price, first_ms=first_ms)


def _override(row: Row, read: Callable[[str], Price]) -> Override:
    pattern, account_id, effective_ms, content, markup_ppm, note, created_ms, seq = row
    return Override(
        pattern=pattern,
        account_id=account_id,
        effective_ms=effective_ms,
        price=read(content) if content is not None else None,
        markup_ppm=markup_ppm,
        note=note,
        created_ms=created_ms,
        seq=seq,
    )
