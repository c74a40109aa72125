"""Which key-encryption key goes by which name: once something is sealed under a name, it means that key for good.

The database keeps a check value for each name, which only the key itself makes and which tells nothing of it. It is
written in the transaction that first puts something under the key. Whoever has another key by that name puts nothing
under it: what would be, nobody could open who has the right one.
"""

from __future__ import annotations

from trivium.errors import SecretUnreadable
from trivium.store.changes import count_up
from trivium.store.envelopes import COLUMNS, Envelope, Keyring
from trivium.store.sql import Database, Writing

MARK = "secrets"
"""The row of `settings` whose version goes up with each change of secrets."""
_READ = "SELECT version, proof FROM secret_keys"
_KEEP = (
    f"INSERT INTO secrets (id, owner, vendor, name, position, hint, {COLUMNS}, created_ms)"
    " VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"
)


def sealed(tx: Writing, ring: Keyring, owner: str, id: str, secret: bytes) -> Envelope:
    """As `Keyring.seal` does, inside a transaction. Raises SecretUnreadable before anything is written."""
    bind(tx, ring)
    return ring.seal(owner, id, secret)


def keep(  # noqa: PLR0917
    tx: Writing, envelope: Envelope | None, owner: str, id: str, vendor: str, name: str, hint: str, created_ms: int
) -> None:
    """Something of the house's or an organization's has this secret under its own id from now on; None: it has none."""
    tx.execute("DELETE FROM secrets WHERE id = ?", (id,))
    if envelope is not None:
        tx.execute(_KEEP, (id, owner, vendor, name, hint, *envelope.row, created_ms))


def bind(tx: Writing, ring: Keyring) -> None:
    """The current key's name means this key from now on. Raises SecretUnreadable where it means another one."""
    if check(tx, ring):
        return
    made = tx.execute(
        "INSERT INTO secret_keys (version, proof) VALUES (?, ?) ON CONFLICT (version) DO NOTHING RETURNING version",
        (ring.current, ring.proof(ring.current)),
    )
    if made:
        count_up(tx, MARK)
    else:  # another gateway was faster
        check(tx, ring)


def check(tx: Writing, ring: Keyring) -> bool:
    """Whether the current key's name means this key already. Raises SecretUnreadable where it means another one."""
    version = ring.current
    kept = [bytes(proof) for _, proof in tx.execute(f"{_READ} WHERE version = ?", (version,))]
    if kept and (fault := ring.fault(version, kept[0])) is not None:
        raise SecretUnreadable(f"No secret can be kept: {fault}")
    return bool(kept)


async def proofs(database: Database) -> dict[str, bytes]:
    """The check values by name. Raises StoreUnavailable."""
    return {version: bytes(proof) for version, proof in await database.ask(_READ)}
