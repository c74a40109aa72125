"""API keys: only a keyed hash of each is kept, with the last four characters to recognise it by."""

from __future__ import annotations

import asyncio
import hmac
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import OperationError, StoreUnavailable
from trivium.store.sql import Database, Row

_CACHED = 10_000
"""Keys kept in memory; the others cost one indexed look-up. A dict of a million would take 230 MB."""
_BELIEVED_NS = 1_000_000_000
"""How long a key in memory is believed where another process may revoke it."""

_NAMES = ("id", "name", "hint", "created_ms", "revoked_ms", "strict", "account_id", "user_id", "project_id")
_COLUMNS = ", ".join(_NAMES)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key. Times are milliseconds since the epoch."""

    id: str
    name: str
    hint: str
    created_ms: int
    revoked_ms: int | None = None
    strict: bool = False
    """Its calls are refused rather than sent on with a loss."""
    account_id: str | None = None
    """Whose balance its calls are charged to."""
    user_id: str | None = None
    project_id: str | None = None


class _Cached(msgspec.Struct, frozen=True):
    key: ApiKey
    read_ns: int


class KeyStore:
    """`find` is for the event loop; everything else blocks, in any thread. Where one process owns the database its
    memory is the truth and a revocation is effective at once; where several share it, within a second."""

    def __init__(self, database: Database, pepper: bytes, clock: Clock) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[ApiKey | None]] = {}
        self._changing = threading.Lock()
        self._revocations = 0

    async def find(self, key: str) -> ApiKey | None:
        """The live key with this text; None if there is none. Raises StoreUnavailable."""
        digest = ids.key_hash(self._pepper, key)
        cached = self._cache.get(digest)
        if cached is not None and not self._is_stale(cached):
            self._cache.move_to_end(digest)
            return cached.key
        if not self._database.shared:
            return await self._look_up(digest)
        # Callers with one key share one look-up, so that a slow network is not asked the same thing many times over.
        looking = self._looking.get(digest)
        if looking is None:
            looking = self._looking[digest] = asyncio.get_running_loop().create_task(self._look_up(digest))
            looking.add_done_callback(lambda task: self._looked(digest, task))
        return await asyncio.shield(looking)

    def create(
        self,
        name: str,
        *,
        strict: bool = False,
        account_id: str | None = None,
        user_id: str | None = None,
        project_id: str | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown this once."""
        text = ids.new_api_key()
        owner = {"account_id": account_id, "user_id": user_id, "project_id": project_id}
        return self._keep(text, name=name, strict=strict, **owner), text

    def admit(self, name: str, text: str) -> ApiKey:
        """Registers a key whose text already exists, such as the bootstrap key's."""
        return self._keep(text, name=name)

    def list(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        _, rows = self._database.query(f"SELECT {_COLUMNS} FROM keys ORDER BY created_ms, id")
        return [_key(row) for row in rows]

    def revoke(self, wanted: str) -> ApiKey:
        """Ends a key, named by its id or by a name that only one live key has. Raises OperationError."""
        live = [key for key in self.list() if key.revoked_ms is None]
        named = [key for key in live if key.id == wanted] or [key for key in live if key.name == wanted]
        if len(named) != 1:
            problem = "No live key has" if not named else f"{len(named)} live keys have"
            raise OperationError(f"{problem} the id or name {wanted!r}; `trivium keys list` shows them.")
        ended = msgspec.structs.replace(named[0], revoked_ms=self._clock.now_ms())
        with self._database.transaction() as tx:
            tx.execute("UPDATE keys SET revoked_ms = ? WHERE id = ?", (ended.revoked_ms, ended.id))
        with self._changing:
            self._revocations += 1
            self._cache.clear()
        return ended

    def is_known(self, text: str) -> bool:
        """Whether a key with this text was ever registered, revoked or not."""
        digest = ids.key_hash(self._pepper, text)
        return bool(self._database.query("SELECT 1 FROM keys WHERE hash = ?", (digest,))[1])

    def _keep(self, text: str, **what: Any) -> ApiKey:
        key = ApiKey(id=ids.key_id(), hint=text[-4:], created_ms=self._clock.now_ms(), **what)
        row = (ids.key_hash(self._pepper, text), *(getattr(key, name) for name in _NAMES))
        with self._database.transaction() as tx:
            tx.execute(f"INSERT INTO keys (hash, {_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
        return key

    def _is_stale(self, cached: _Cached) -> bool:
        return self._database.shared and self._clock.monotonic_ns() - cached.read_ns > _BELIEVED_NS

    async def _look_up(self, digest: bytes) -> ApiKey | None:
        before, read_ns = self._revocations, self._clock.monotonic_ns()
        statement = f"SELECT {_COLUMNS}, hash FROM keys WHERE hash = ? AND revoked_ms IS NULL"
        rows = await self._database.ask(statement, (digest,))
        found = next((_key(row[:-1]) for row in rows if hmac.compare_digest(row[-1], digest)), None)
        with self._changing:
            # What was read before a revocation on another thread must not be believed after it.
            if before == self._revocations:
                self._remember(digest, found, read_ns)
        return found

    def _looked(self, digest: bytes, task: asyncio.Task[ApiKey | None]) -> None:
        del self._looking[digest]
        if not task.cancelled():
            # Whoever asked may have left, and nobody else is to hear of a failure.
            task.exception()

    def _remember(self, digest: bytes, found: ApiKey | None, read_ns: int) -> None:
        if found is None:
            self._cache.pop(digest, None)
            return
        self._cache[digest] = _Cached(found, read_ns)
        self._cache.move_to_end(digest)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)


def _key(row: Row) -> ApiKey:
    told = dict(zip(_NAMES, row, strict=True))
    return ApiKey(**told | {"strict": bool(told["strict"])})


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
