"""What the ledger has of one request: its start, and the entries that it made. Each is found by a key."""

from __future__ import annotations

from trivium.store.accounts import keys_of
from trivium.store.posting import Windows, read_windows
from trivium.store.sql import Database, Row


def start(database: Database, id: str) -> tuple[int, bool, Windows] | None:
    """(hold in nanodollars, whether it ended, the budgets' periods that count it). Blocks; raises StoreUnavailable."""
    rows = database.query("SELECT hold_nano, ended, windows FROM starts WHERE id = ?", (id,))[1]
    return (rows[0][0], bool(rows[0][1]), read_windows(rows[0][2])) if rows else None


def entries(database: Database, id: str) -> list[Row]:
    """(seq, kind, nanodollars, time, flags), oldest first. Blocks; raises StoreUnavailable."""
    statement = (
        "SELECT seq, kind, amount_nano, time_ms, flags FROM entries"
        " WHERE idempotency_key = ? OR (idempotency_key > ? AND idempotency_key < ?)"
    )
    return sorted(row for keys in keys_of(id) for row in database.query(statement, keys)[1])
