"""Putting secrets under the current key-encryption key, while they are in use.

What is still to be done is what the rows themselves say, so that a rotation that was cut off goes on with the next one:
a batch is one transaction, and a row is under one key or the other. Reads go on throughout, as long as both keys are at
hand. No secret is opened.
"""

from __future__ import annotations

import msgspec

from trivium.errors import OperationError, SecretUnreadable
from trivium.store.envelopes import Envelope, Keyring
from trivium.store.secrets import Secrets
from trivium.store.sql import Row, Writing

BATCH = 200
_ROW = "id, owner, key_version, wrapped_key, sealed"


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    """Of the key that everything is under now."""
    rewrapped: int
    unreadable: int
    """Secrets whose key is not at hand: they are as they were."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What there is under one version."""

    version: str
    secrets: int
    current: bool
    problem: str | None = None
    """Why they cannot be read."""


class Batch(msgspec.Struct, frozen=True):
    """What one transaction has done."""

    last: str
    """The id behind which the next one goes on."""
    rewrapped: int
    unreadable: int


async def rotate(secrets: Secrets, actor: str) -> Rotated:
    """Raises SecretUnreadable where there is no current key, StoreUnavailable."""
    ring = secrets.ring
    version = ring.current
    rewrapped = unreadable = 0
    after = ""
    while True:
        batch = await secrets.change(lambda tx, after=after: rewrap_some(tx, secrets, ring, after, actor))  # type: ignore[misc]
        if batch is None:
            await secrets.load()
            return Rotated(version=version, rewrapped=rewrapped, unreadable=unreadable)
        after = batch.last
        rewrapped += batch.rewrapped
        unreadable += batch.unreadable


def rewrap_some(tx: Writing, secrets: Secrets, ring: Keyring, after: str, actor: str) -> Batch | None:
    """The next few behind an id; None: there are no more."""
    rows = tx.execute(
        f"SELECT {_ROW} FROM secrets WHERE key_version <> ? AND id > ? ORDER BY id LIMIT ?",
        (ring.current, after, BATCH),
    )
    done = 0
    for row in rows:
        id, owner, envelope = _envelope(row)
        try:
            fresh = ring.rewrap(owner, id, envelope)
        except SecretUnreadable:
            continue
        tx.execute(
            "UPDATE secrets SET key_version = ?, wrapped_key = ? WHERE id = ? AND wrapped_key = ?",
            (fresh.version, fresh.wrapped_key, id, envelope.wrapped_key),
        )
        done += 1
    if done:
        secrets.note(tx, actor, "secrets.rotate", ring.current, after={"rewrapped": done})
    return Batch(rows[-1][0], done, len(rows) - done) if rows else None


async def status(secrets: Secrets) -> list[Status]:
    """Every version that is in use or at hand. Raises StoreUnavailable."""
    rows = await secrets.database.ask("SELECT key_version, count(*) FROM secrets GROUP BY key_version")
    counted: dict[str, int] = dict(rows)
    versions = dict.fromkeys([*secrets.ring.versions, *sorted(counted)])
    current = secrets.ring.versions[0] if secrets.ring.versions else None
    return [
        Status(
            version=version,
            secrets=counted.get(version, 0),
            current=version == current,
            problem=await _problem(secrets, version) if version in counted else None,
        )
        for version in versions
    ]


async def _problem(secrets: Secrets, version: str) -> str | None:
    """Tried on one of them."""
    rows = await secrets.database.ask(f"SELECT {_ROW} FROM secrets WHERE key_version = ? LIMIT 1", (version,))
    for row in rows:
        id, owner, envelope = _envelope(row)
        try:
            secrets.ring.open(owner, id, envelope)
        except OperationError as error:
            return error.message
    return None


def _envelope(row: Row) -> tuple[str, str, Envelope]:
    id, owner, version, wrapped_key, sealed = row
    return id, owner, Envelope(version=version, wrapped_key=bytes(wrapped_key), sealed=bytes(sealed))
