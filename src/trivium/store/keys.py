"""API keys: only a keyed hash of each is kept, with the last four characters to recognise it by."""

from __future__ import annotations

import hmac
import os
import sqlite3
from collections import OrderedDict
from pathlib import Path

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import OperationError, StoreUnavailable
from trivium.store.database import query, transaction

_CACHED = 10_000
"""Keys kept in memory; the others cost one indexed look-up. A dict of a million would take 230 MB."""

_COLUMNS = "id, name, hint, created_ms, revoked_ms, strict"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key. Times are milliseconds since the epoch."""

    id: str
    name: str
    hint: str
    created_ms: int
    revoked_ms: int | None = None
    strict: bool = False
    """Its calls are refused rather than sent on with a loss."""


class KeyStore:
    """Owned by one process: its cache is the truth, and a revocation is effective at once."""

    def __init__(self, connection: sqlite3.Connection, pepper: bytes, clock: Clock) -> None:
        self._connection = connection
        self._pepper = pepper
        self._clock = clock
        self._cache: OrderedDict[bytes, ApiKey] = OrderedDict()

    def find(self, key: str) -> ApiKey | None:
        """The live key with this text; None if there is none. Raises StoreUnavailable."""
        digest = ids.key_hash(self._pepper, key)
        cached = self._cache.get(digest)
        if cached is not None:
            self._cache.move_to_end(digest)
            return cached
        found = self._look_up(digest)
        if found is not None:
            self._cache[digest] = found
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return found

    def create(self, name: str, *, strict: bool = False) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown this once."""
        text = ids.new_api_key()
        return self.admit(name, text, strict=strict), text

    def admit(self, name: str, text: str, *, strict: bool = False) -> ApiKey:
        """Registers a key whose text already exists, such as the bootstrap key's."""
        key = ApiKey(id=ids.key_id(), name=name, hint=text[-4:], created_ms=self._clock.now_ms(), strict=strict)
        row = (key.id, ids.key_hash(self._pepper, text), key.name, key.hint, key.created_ms, key.strict)
        with transaction(self._connection) as connection:
            connection.execute(
                "INSERT INTO keys (id, hash, name, hint, created_ms, strict) VALUES (?, ?, ?, ?, ?, ?)", row
            )
        return key

    def list(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        _, rows = query(self._connection, f"SELECT {_COLUMNS} FROM keys ORDER BY created_ms, id")
        return [_key(row) for row in rows]

    def revoke(self, wanted: str) -> ApiKey:
        """Ends a key, named by its id or by a name that only one live key has. Raises OperationError."""
        live = [key for key in self.list() if key.revoked_ms is None]
        named = [key for key in live if key.id == wanted] or [key for key in live if key.name == wanted]
        if len(named) != 1:
            problem = "No live key has" if not named else f"{len(named)} live keys have"
            raise OperationError(f"{problem} the id or name {wanted!r}; `trivium keys list` shows them.")
        ended = msgspec.structs.replace(named[0], revoked_ms=self._clock.now_ms())
        with transaction(self._connection) as connection:
            connection.execute("UPDATE keys SET revoked_ms = ? WHERE id = ?", (ended.revoked_ms, ended.id))
        self._cache.clear()
        return ended

    def is_known(self, text: str) -> bool:
        """Whether a key with this text was ever registered, revoked or not."""
        digest = ids.key_hash(self._pepper, text)
        return bool(query(self._connection, "SELECT 1 FROM keys WHERE hash = ?", (digest,))[1])

    def _look_up(self, digest: bytes) -> ApiKey | None:
        statement = f"SELECT {_COLUMNS}, hash FROM keys WHERE hash = ? AND revoked_ms IS NULL"
        _, rows = query(self._connection, statement, (digest,))
        return next((_key(row[:-1]) for row in rows if hmac.compare_digest(row[-1], digest)), None)


def _key(row: tuple[str, str, str, int, int | None, int]) -> ApiKey:
    return ApiKey(id=row[0], name=row[1], hint=row[2], created_ms=row[3], revoked_ms=row[4], strict=bool(row[5]))


def read_pepper(folder: Path) -> bytes:
    """The secret that keys the hashes: 32 random bytes in `pepper`, mode 0600, made at the first start."""
    path = folder / "pepper"
    if path.exists():
        pepper = path.read_bytes()
        if len(pepper) != 32:
            raise StoreUnavailable("The pepper file is damaged.", detail=str(path))
        return pepper
    pepper = os.urandom(32)
    fresh = folder / "pepper.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pepper)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return pepper
