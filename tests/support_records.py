"""Records in a database of their own, for those who read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from support_store import INSERT, furnish
from trivium.metering.record import Record
from trivium.store.sql import Database
from trivium.store.sqlite import SqliteDatabase

MIDNIGHT = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def record(id: str, **fields: Any) -> Record:
    plain = Record(id=id, time_ms=MIDNIGHT, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


def put(database: Database, *records: Record) -> None:
    """Has the database hold these, too."""
    with database.transaction() as writing:
        writing.executemany(INSERT, map(msgspec.structs.astuple, records))


def keep(database: Database, *records: Record) -> None:
    """Has the database hold these and no others."""
    with database.transaction() as writing:
        writing.execute("DELETE FROM records")
        writing.executemany(INSERT, map(msgspec.structs.astuple, records))


def kept(folder: Path, *records: Record) -> SqliteDatabase:
    """A new database that holds these."""
    furnish(folder)
    database = SqliteDatabase(folder / "trivium.db")
    keep(database, *records)
    return database
