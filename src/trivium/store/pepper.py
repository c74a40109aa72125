"""The secret that keys the hashes of keys, and which database it belongs to.

The database keeps a check value from the first start on, which only the pepper itself makes and which tells nothing of
it. Whoever has another one does not start: it would turn every caller away, and all others would turn away whom it
gives a key. A database of before gets its check value from the first gateway that comes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from trivium.errors import StoreUnavailable
from trivium.store import durable
from trivium.store.changes import text
from trivium.store.sql import Database

_NAME = "pepper"
"""Of the file, and of the row of `settings` that has the check value."""


def pepper_of(folder: Path, database: Database) -> bytes:
    """Raises StoreUnavailable where the database belongs to another one."""
    path = folder / _NAME
    bound = _proof_in(database)
    if path.exists() or not (bound or database.query("SELECT 1 FROM keys LIMIT 1")[1]):
        pepper = read_pepper(folder)
        proof = text(hashlib.blake2b(pepper, person=b"proof").hexdigest())
        if bound is None:
            with database.transaction() as tx:  # of two gateways that come at once one is the first
                tx.execute(
                    "INSERT INTO settings (name, content, version) VALUES (?, ?, 1) ON CONFLICT (name) DO NOTHING",
                    (_NAME, proof),
                )
            bound = _proof_in(database)
        if bound == proof:
            return pepper
    raise StoreUnavailable(
        "The database belongs to the pepper of another data folder. Copy its file `pepper` here.", detail=str(path)
    )


def read_pepper(folder: Path) -> bytes:
    """32 random bytes in `pepper`, mode 0600, made at the first start. Raises StoreUnavailable."""
    path = folder / _NAME
    if path.exists():
        pepper = path.read_bytes()
        if len(pepper) != 32:
            raise StoreUnavailable("The pepper file is damaged.", detail=str(path))
        return pepper
    pepper = os.urandom(32)
    durable.write(path, pepper)
    return pepper


def _proof_in(database: Database) -> str | None:
    rows = database.query("SELECT content FROM settings WHERE name = ?", (_NAME,))[1]
    return rows[0][0] if rows else None
