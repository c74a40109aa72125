"""Putting secrets under the current key-encryption key, while they are in use.

What is still to be done is what the rows themselves say, so that a rotation that was cut off goes on with the next one:
a batch is one transaction, and a row is under one key or the other. Reads go on throughout, as long as both keys are at
hand. No secret is opened to be rotated.
"""

from __future__ import annotations

import contextlib

import msgspec

from trivium.errors import SecretUnreadable
from trivium.store.envelopes import COLUMNS, Keyring, envelope_of
from trivium.store.key_names import bind, check, proofs
from trivium.store.secrets import Secrets
from trivium.store.sql import Writing

BATCH = 200
_ROW = f"id, owner, {COLUMNS}"


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
    unreadable: int = 0
    """How many of them cannot be opened."""
    problem: str | None = None
    """Why; or why nothing can be put under it."""


class Batch(msgspec.Struct, frozen=True):
    """What one transaction has done."""

    last: str
    """The id behind which the next one goes on."""
    rewrapped: int
    unreadable: int


async def rotate(secrets: Secrets, actor: str) -> Rotated:
    """Raises SecretUnreadable where there is no current key, or another one goes by its name, StoreUnavailable."""
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
    check(tx, ring)
    moved = []
    for row in rows:
        id, owner, envelope = *row[:2], envelope_of(row[2:])
        with contextlib.suppress(SecretUnreadable):
            fresh = ring.rewrap(owner, id, envelope)
            moved.append((fresh.version, fresh.wrapped_key, id, envelope.wrapped_key))
    done = len(moved)
    if done:
        bind(tx, ring)
        tx.executemany("UPDATE secrets SET key_version = ?, wrapped_key = ? WHERE id = ? AND wrapped_key = ?", moved)
        secrets.note(tx, actor, "secrets.rotate", ring.current, after={"rewrapped": done})
    return Batch(rows[-1][0], done, len(rows) - done) if rows else None


async def status(secrets: Secrets, *, each: bool = True) -> list[Status]:
    """Every version that is in use or at hand, with what comes of opening each of its secrets, or the first few. Raises
    StoreUnavailable."""
    ring, kept = secrets.ring, await proofs(secrets.database)
    rows = await secrets.database.ask("SELECT key_version, count(*) FROM secrets GROUP BY key_version")
    counted: dict[str, int] = dict(rows)
    found = []
    for version in dict.fromkeys([*ring.versions, *sorted(counted)]):
        count = unreadable = counted.get(version, 0)
        problem = ring.fault(version, kept.get(version))
        if problem is None:
            unreadable, problem = await _tried(secrets, ring, version, each=each)
        current = version == (ring.versions or ("",))[0]
        found.append(Status(version=version, secrets=count, current=current, unreadable=unreadable, problem=problem))
    return found


async def _tried(secrets: Secrets, ring: Keyring, version: str, *, each: bool) -> tuple[int, str | None]:
    """How many cannot be opened, and what the first of them says."""
    statement = f"SELECT {_ROW} FROM secrets WHERE key_version = ? AND id > ? ORDER BY id LIMIT ?"
    failed, problem, after = 0, None, ""
    while rows := await secrets.database.ask(statement, (version, after, BATCH)):
        for row in rows:
            id, owner, envelope = *row[:2], envelope_of(row[2:])
            try:
                ring.open(owner, id, envelope)
            except SecretUnreadable as error:
                failed, problem = failed + 1, problem or error.message
        after = rows[-1][0]
        if not each:
            break
    return failed, problem
