"""How a database is brought to the newest schema: all steps in one transaction, so that a step that fails changes
nothing, and on a database that several gateways share, one gateway at a time.

There others may be at work meanwhile, and a table that a step wants for itself is closed to all who come after it: it
waits for long reads by trying again, not in their way."""

from __future__ import annotations

import logging
import time

import msgspec

from trivium.errors import StoreUnavailable
from trivium.store import schema
from trivium.store.sql import Database, Undone, Writing

_LOG = logging.getLogger("trivium.store")
_PAUSE = 2.0
"""Seconds in which others get their turn."""


class _Version(msgspec.Struct, frozen=True):
    """Where a database keeps the number of its last step."""

    prepare: tuple[str, ...]
    read: str
    write: str


_VERSIONS = {
    "sqlite": _Version((), "PRAGMA user_version", "PRAGMA user_version = {}"),
    "postgres": _Version(
        (
            # Any number will do, as long as nobody else takes it: the bytes of `trivium`.
            f"SELECT pg_advisory_xact_lock({int.from_bytes(b'trivium')})",
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)",
        ),
        "SELECT coalesce(max(version), 0) FROM schema_version",
        "INSERT INTO schema_version (version) VALUES ({})",
    ),
}


def migrate(database: Database) -> None:
    """Waits for as long as others keep what it needs. Raises StoreUnavailable, also for a database that is newer than
    this program; it is then left as it is."""
    waits = False
    while True:
        try:
            with database.migration() as tx:
                _move(tx, _VERSIONS[database.dialect])
            return
        except Undone as error:
            if not waits:
                _LOG.warning("the start waits until others let go of tables that are to be changed: %s", error.detail)
            waits = True
        time.sleep(_PAUSE)


def _move(tx: Writing, place: _Version) -> None:
    for statement in place.prepare:
        tx.execute(statement)
    ((version,),) = tx.execute(place.read)
    if version > len(schema.MIGRATIONS):
        raise StoreUnavailable(
            "The store was written by a newer version of Trivium.",
            detail=f"schema {version}, this program knows {len(schema.MIGRATIONS)}",
        )
    for number, step in enumerate(schema.MIGRATIONS[version:], version + 1):
        for statement in filter(None, map(str.strip, step.split(";"))):
            tx.execute(statement)
        tx.execute(place.write.format(number))
