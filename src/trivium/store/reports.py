"""Single requests, the newest first or by their ids."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from trivium.metering.record import COLUMNS
from trivium.store.sql import Database
from trivium.store.whose import Whose, calls


class RequestQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest requests, or the one with an id."""

    id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    outcome: str | None = None
    before: tuple[int, str] | None = None
    """Only those that came before this one: its time and id."""
    whose: Whose = Whose()


def requests(database: Database, query: RequestQuery, token: str | None = None) -> list[dict[str, Any]]:
    """Whole records, newest first; with an id at most one. `token` is what stands in the place of a
    key's id in the calls that the user makes with tokens. Blocks; raises StoreUnavailable."""
    where, values = calls(query.whose, token)
    if query.id is not None:
        where, values = f"id = ? AND {where}", [query.id, *values]
    if query.outcome is not None:
        where, values = f"outcome = ? AND {where}", [query.outcome, *values]
    if query.before is not None:
        time_ms, id = query.before
        where, values = f"time_ms <= ? AND (time_ms < ? OR id < ?) AND {where}", [time_ms, time_ms, id, *values]
    statement = f"SELECT {', '.join(COLUMNS)} FROM records WHERE {where} ORDER BY time_ms DESC, id DESC LIMIT ?"
    return _rows(database, statement, [*values, query.limit])


def _rows(database: Database, statement: str, values: list[Any]) -> list[dict[str, Any]]:
    names, rows = database.query(statement, values)
    return [dict(zip(names, row, strict=True)) for row in rows]
