"""How a database is brought to the newest schema: all steps in one transaction, so that a step that fails changes
nothing, and on a database that several gateways share, one gateway at a time."""

from __future__ import annotations

import msgspec

from trivium.errors import StoreUnavailable
from trivium.store import schema
from trivium.store.sql import Database


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
    """Raises StoreUnavailable, also for a database that is newer than this program; it is then left as it is."""
    place = _VERSIONS[database.dialect]
    with database.migration() as tx:
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
