"""API keys and who calls with them: only a keyed hash of each is kept, and the last four characters to know it by.

A look-up finds the key together with its owner: the user, the organization that pays and the user's role there. What
was found is believed until anything about callers changes. Where one process owns the database its memory is the
truth, and a change is effective at once; where several share it, within a second. What is not believed any more stays
in memory still, as a mark that the key was good lately.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.policy.caller import Caller, Limits, Organization, OrganizationSettings, Role, Scopes
from trivium.policy.capture import NO_END
from trivium.policy.ceiling import Ceiling
from trivium.store.changes import OPERATOR, Change, note, text
from trivium.store.sql import Database, Row, Writing, marks
from trivium.store.unbroken import shielded

_CACHED = 10_000
"""Callers kept in memory; the others cost one indexed look-up. A dict of a million would take 230 MB."""
_BELIEVED_NS = 500_000_000
"""How long a caller in memory is believed where another process may change it: half of the second that is promised, as
the call itself and a slow look-up take their part."""
_MOST_USES = 100_000
TOKEN = "tok_"  # noqa: S105
"""How the ids of users' tokens begin."""

_NAMES = (
    *("id", "name", "hint", "created_ms", "revoked_ms", "strict", "account_id", "user_id", "project_id"),
    *("expires_ms", "scopes", "limits", "ceiling", "last_used_ms", "capture", "capture_until_ms"),
)
COLUMNS = ", ".join(_NAMES)
_FROM = """
    FROM {keys} LEFT JOIN users u ON u.id = {user} LEFT JOIN blocked_domains d ON d.domain = u.domain
    LEFT JOIN organizations o ON o.id = {organization}
    LEFT JOIN memberships m ON m.organization_id = o.id AND m.user_id = u.id AND m.accepted_ms IS NOT NULL
"""
OWNER = "u.limits, u.staff, u.blocked_ms, d.domain, o.id, o.name, o.settings, m.role, u.created_ms"
_KEY = (
    "k.id, k.name, k.strict, k.account_id, k.user_id, k.project_id, k.expires_ms, k.scopes, k.limits, k.capture,"
    " k.capture_until_ms"
)
_HASH = _KEY.count(",") + 1
"""Where the hash stands in a row."""
_OF_KEY = {"user": "k.user_id", "organization": "k.account_id"}
_LIVE = (
    f"SELECT {_KEY}, k.hash, NULL, k.created_ms, {OWNER} {_FROM.format(keys='keys k', **_OF_KEY)}"
    " WHERE k.revoked_ms IS NULL AND"
)
_FIND_RETIRED = (
    f"SELECT {_KEY}, r.hash, r.until_ms, k.created_ms, {OWNER}"
    f" {_FROM.format(keys='retired_keys r JOIN keys k ON k.id = r.key_id', **_OF_KEY)}"
    " WHERE r.hash = ? AND k.revoked_ms IS NULL"
)
"""A text that a key had before it was given its present one."""
USED = "UPDATE keys SET last_used_ms = ? WHERE id = ? AND coalesce(last_used_ms, 0) < ?"
_ACTING = "SELECT o.id, o.name, o.settings, m.role FROM organizations o JOIN memberships m ON m.organization_id = o.id"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator sees of a key. Times are milliseconds since the epoch."""

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
    expires_ms: int | None = None
    scopes: Scopes = Scopes()
    limits: Limits = Limits()
    ceiling: Ceiling = Ceiling()
    """What the house has set of these, which others can lower."""
    last_used_ms: int | None = None
    capture: bool = False
    """The bodies of its calls are kept for some days, where nobody forbids it."""
    capture_until_ms: int | None = None
    """When that ends; null: when it is switched off."""


class _Cached(msgspec.Struct, frozen=True):
    caller: Caller
    read_ns: int
    changes: int
    """How many changes there had been by then."""
    made_of: Caller | None = None
    """Where an organization pays: who was found for the key. It is as good as this is, and no longer."""


class KeyStore:
    """`find`, `known` and `acting_for` are for the event loop; everything else blocks, in any thread."""

    def __init__(self, database: Database, pepper: bytes, clock: Clock) -> None:
        self._database, self._shared = database, database.shared
        self._pepper = pepper
        self._clock = clock
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._changing = threading.Lock()
        self._changes = 0
        self._used: dict[str, int] = {}

    async def of_id(self, id: str) -> Caller | None:
        """Who a live key makes its bearer, by its id; None if there is none. Raises StoreUnavailable."""
        rows = await self._database.ask(f"{_LIVE} k.id = ?", (id,))
        caller = _caller(rows[0]) if rows else None
        return caller if caller is not None and not _expired(caller, self._clock.now_ms()) else None

    def known(self, key: str) -> Caller | None:
        """The caller with this key, if memory has it and it is live."""
        cached = self._cached(ids.key_hash(self._pepper, key))
        return self._live(cached.caller) if cached is not None else None

    def lately_good(self, key: str) -> bool:
        """Whether memory has had a caller with this key of whom it is not known yet that the key has ended."""
        cached = self._cache.get(ids.key_hash(self._pepper, key))
        return cached is not None and not _expired(cached.caller, self._clock.now_ms())

    async def find(self, key: str) -> Caller | None:
        """The caller with this live key; None if there is none. Raises StoreUnavailable."""
        digest = ids.key_hash(self._pepper, key)
        cached = self._cached(digest)
        if cached is not None:
            return self._live(cached.caller)
        if not self._shared:
            return self._live(await self._look_up(digest))
        # Callers with one key share one look-up, so that a slow network is not asked the same thing many times over.
        looking = self._looking.get(digest)
        if looking is None:
            looking = self._looking[digest] = asyncio.get_running_loop().create_task(self._look_up(digest))
            looking.add_done_callback(lambda _: self._looking.pop(digest))
        return self._live(await shielded(looking))

    async def acting_for(self, caller: Caller, organization_id: str) -> Caller | None:
        """The same caller where an organization pays that the user is a member of; None: no member. Raises
        StoreUnavailable."""
        digest = f"{caller.user_id}\n{organization_id}\n{caller.id}".encode("utf-8", "surrogateescape")
        cached = self._cached(digest)
        if cached is not None and cached.made_of == caller:
            return cached.caller
        changes, read_ns = self._changes, self._clock.monotonic_ns()
        rows = await self._database.ask(
            f"{_ACTING} WHERE m.user_id = ? AND o.id = ? AND m.accepted_ms IS NOT NULL",
            (caller.user_id, organization_id.replace("\0", "")),
        )
        if not rows:
            self._cache.pop(digest, None)
            return None
        ((id, name, settings, role),) = rows
        owner = {"organization": _organization(id, name, settings), "role": Role(role), "account_id": id}
        found = msgspec.structs.replace(caller, **owner, project_id=None)
        self._remember(digest, _Cached(found, read_ns, changes, made_of=caller))
        return found

    async def remembered(self, text: str, look_up: Callable[[], Awaitable[Caller | None]]) -> Caller | None:
        """What another way of looking up finds for a credential, which `known` believes from then on like a key."""
        return self._live(await self._kept(ids.key_hash(self._pepper, text), look_up()))

    def token_id(self, user_id: str) -> str:
        """The id of a user's tokens, in the place of a key's: always the same, and not to be turned back."""
        return f"{TOKEN}{hmac.digest(self._pepper, b'token ' + user_id.encode(), 'sha256').hex()[:16]}"

    def forget(self) -> None:
        """Something about callers has changed: memory is not believed any more."""
        with self._changing:
            self._changes += 1

    def uses(self) -> list[tuple[int, str]]:
        """When keys were last used, since this was last asked: (milliseconds, id)."""
        used, self._used = self._used, {}
        return [(time_ms, id) for id, time_ms in used.items()]

    def create(self, name: str, **what: Any) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown this once. `what` are fields of `ApiKey`."""
        text = ids.new_api_key()
        return self._add(name, text, **what), text

    def admit(self, name: str, text: str) -> ApiKey:
        """Registers a key whose text already exists, such as the bootstrap key's."""
        return self._add(name, text)

    def _add(self, name: str, text: str, **what: Any) -> ApiKey:
        key = ApiKey(id=ids.key_id(), name=name, hint=text[-4:], created_ms=self._clock.now_ms(), **what)
        with self._database.transaction() as tx:
            self.insert(tx, text, key)
            after = msgspec.to_builtins(key)
            note(tx, Change(time_ms=key.created_ms, actor=OPERATOR, action="keys.create", target=key.id, after=after))
        return key

    def insert(self, tx: Writing, text: str, key: ApiKey) -> None:
        """A new key with this text, inside a transaction."""
        row = (ids.key_hash(self._pepper, text), *(kept(getattr(key, name)) for name in _NAMES))
        tx.execute(f"INSERT INTO keys (hash, {COLUMNS}) VALUES ({marks(row)})", row)

    def give(self, tx: Writing, id: str, text: str) -> None:
        """Another text for a key, inside a transaction."""
        hashed = ids.key_hash(self._pepper, text)
        tx.execute("UPDATE keys SET hash = ?, hint = ? WHERE id = ?", (hashed, text[-4:], id))

    def retire(self, tx: Writing, id: str, until_ms: int, now_ms: int) -> None:
        """The present text of a key will be good until then, inside a transaction; those before it end now. They stay
        known, so that no start takes a key file for a new one."""
        tx.execute("UPDATE retired_keys SET until_ms = ? WHERE key_id = ? AND until_ms > ?", (now_ms, id, now_ms))
        tx.execute(
            "INSERT INTO retired_keys (hash, key_id, until_ms) SELECT hash, id, ? FROM keys WHERE id = ?",
            (until_ms, id),
        )

    def list(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        _, rows = self._database.query(f"SELECT {COLUMNS} FROM keys ORDER BY created_ms, id")
        return [key_of(row) for row in rows]

    def is_known(self, text: str) -> bool:
        """Whether a key with this text was ever registered, revoked or not."""
        digest = ids.key_hash(self._pepper, text)
        statement = "SELECT 1 FROM keys WHERE hash = ? UNION ALL SELECT 1 FROM retired_keys WHERE hash = ?"
        return bool(self._database.query(statement, (digest, digest))[1])

    def _live(self, caller: Caller | None) -> Caller | None:
        now = self._clock.now_ms()
        if caller is None or _expired(caller, now):
            return None
        if len(self._used) < _MOST_USES:
            self._used[caller.id] = now
        return caller

    def _cached(self, digest: bytes) -> _Cached | None:
        cached = self._cache.get(digest)
        if cached is None or cached.changes != self._changes:
            return None
        if self._shared and self._clock.monotonic_ns() - cached.read_ns > _BELIEVED_NS:
            return None
        self._cache.move_to_end(digest)
        return cached

    async def _look_up(self, digest: bytes) -> Caller | None:
        return await self._kept(digest, self._read(digest))

    async def _read(self, digest: bytes) -> Caller | None:
        rows = await self._database.ask(f"{_LIVE} k.hash = ?", (digest,)) or await self._database.ask(
            _FIND_RETIRED, (digest,)
        )
        return next((_caller(row) for row in rows if hmac.compare_digest(bytes(row[_HASH]), digest)), None)

    async def _kept(self, digest: bytes, looking: Awaitable[Caller | None]) -> Caller | None:
        """What is made up must not push out what is in use: only what is found is kept."""
        changes, read_ns = self._changes, self._clock.monotonic_ns()
        found = await looking
        if found is not None:
            self._remember(digest, _Cached(found, read_ns, changes))
        else:
            self._cache.pop(digest, None)
        return found

    def _remember(self, digest: bytes, found: _Cached) -> None:
        """What was read before a change is not believed after it, but it is kept."""
        self._cache[digest] = found
        self._cache.move_to_end(digest)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)


def _expired(caller: Caller, now_ms: int) -> bool:
    return caller.expires_ms is not None and caller.expires_ms <= now_ms


def kept(value: Any) -> Any:
    """A field of a key as its column keeps it."""
    return text(value) if isinstance(value, msgspec.Struct) else value


def key_of(row: Row) -> ApiKey:
    """Of a row of `COLUMNS`."""
    told = dict(zip(_NAMES, row, strict=True))
    told |= {"strict": bool(told["strict"]), "capture": bool(told["capture"])}
    told |= {"scopes": _scopes(told["scopes"]), "limits": _limits(told["limits"]), "ceiling": _ceiling(told["ceiling"])}
    return ApiKey(**told)


def _caller(row: Row) -> Caller:
    id, name, strict, account_id, user_id, project_id, expires_ms, scopes, limits, capture, *more = row
    capture_until_ms, _, until_ms, made_ms, *owner = more
    owned = owned_by(owner)
    return Caller(
        id=id,
        name=name,
        strict=bool(strict),
        account_id=account_id,
        user_id=user_id,
        project_id=project_id,
        expires_ms=min((end for end in (expires_ms, until_ms) if end is not None), default=None),
        scopes=_scopes(scopes),
        limits=_limits(limits),
        personal=owned["organization"] is None,
        captured_until_ms=captured_until(capture, capture_until_ms),
        **owned | {"born_ms": owned["born_ms"] or made_ms},
    )


def captured_until(capture: object, until_ms: int | None) -> int:
    """As `Caller` has it."""
    if not capture:
        return 0
    return NO_END if until_ms is None else until_ms


def owned_by(row: Sequence[Any]) -> dict[str, Any]:
    """What a caller has of the user and the organization, from the columns `OWNER`."""
    user_limits, staff, blocked_ms, blocked_domain, organization_id, organization, settings, role, born_ms = row
    return {
        "user_limits": _limits(user_limits),
        "staff": bool(staff),
        "blocked": blocked_ms is not None or blocked_domain is not None,
        "organization": _organization(organization_id, organization, settings) if organization_id is not None else None,
        "role": Role(role) if role is not None else None,
        "born_ms": born_ms,
    }


# Most callers share theirs: one value serves all.


@lru_cache(1_000)
def _organization(id: str, name: str, settings: str) -> Organization:
    return Organization(id=id, name=name, settings=msgspec.json.decode(settings, type=OrganizationSettings))


@lru_cache(1_000)
def _limits(text: str | None) -> Limits:
    return msgspec.json.decode(text, type=Limits) if text else Limits()


@lru_cache(1_000)
def _ceiling(text: str | None) -> Ceiling:
    return msgspec.json.decode(text, type=Ceiling) if text else Ceiling()


@lru_cache(1_000)
def _scopes(text: str | None) -> Scopes:
    return msgspec.json.decode(text, type=Scopes) if text else Scopes()
