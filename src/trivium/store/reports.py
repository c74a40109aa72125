"""Single requests by their ids."""

from __future__ import annotations

from typing import Any

from trivium.metering.record import COLUMNS
from trivium.store.sql import Database
from trivium.store.whose import Whose, calls


def request(database: Database, id: str, whose: Whose, token: str | None = None) -> dict[str, Any] | None:
    """A whole record; None where there is none, or it is somebody else's. `token` is what stands in the place of a
    key's id in the calls that the user makes with tokens. Blocks; raises StoreUnavailable."""
    where, values = calls(whose, token)
    statement = f"SELECT {', '.join(COLUMNS)} FROM records WHERE id = ? AND {where}"
    names, rows = database.query(statement, [id, *values])
    return dict(zip(names, rows[0], strict=True)) if rows else None
