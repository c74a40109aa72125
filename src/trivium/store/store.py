"""The store of one gateway: opened once, by the owner of the data folder."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from trivium.clock import Clock
from trivium.errors import ConfigError, StoreUnavailable
from trivium.store import owners, reports, search, unbroken, usage, whose
from trivium.store.accounts import Accounts
from trivium.store.admins import Admins
from trivium.store.alert_channels import AlertChannels
from trivium.store.alerts import AlertStore
from trivium.store.auto_top_ups import AutoTopUps
from trivium.store.captures import CaptureStore
from trivium.store.custom_models import CustomModels
from trivium.store.envelopes import deciphered, keyring
from trivium.store.free_use import FreeUse
from trivium.store.house import House
from trivium.store.key_changes import KeyChanges
from trivium.store.keys import USED, KeyStore
from trivium.store.ledger import Ledger
from trivium.store.migrations import migrate
from trivium.store.organizations import Organizations
from trivium.store.own import Own
from trivium.store.payments import Payments
from trivium.store.pepper import pepper_of
from trivium.store.prices import PriceStore
from trivium.store.secrets import Secrets
from trivium.store.sessions import Sessions
from trivium.store.snapshot import Snapshot, sqlite_snapshot
from trivium.store.sql import Database
from trivium.store.sqlite import SqliteDatabase
from trivium.store.tokens import Peppers
from trivium.store.users import Users


class Store:
    """Keys, ledger, records and reports over one database: a file in the folder, or the PostgreSQL database at `url`.
    Raises StoreUnavailable when it cannot be opened, ConfigError for a url that is none."""

    def __init__(
        self, folder: Path, clock: Clock, url: str | None = None, secret_keys: Sequence[tuple[str, str]] = ()
    ) -> None:
        """`secret_keys` are the configured key-encryption keys: version and text, the current one first."""
        keys = deciphered(secret_keys)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.clock = clock
        self._url = url
        self.database = _open(folder, url)
        try:
            migrate(self.database)
            owners.take_in(self.database, clock.now_ms())
            pepper = pepper_of(folder, self.database)
            in_use = bool(self.database.query("SELECT 1 FROM secrets LIMIT 1")[1])
            ring = keyring(folder, keys, in_use=in_use)
        except BaseException:
            self.database.close()
            raise
        self.keys = KeyStore(self.database, pepper, clock)
        self.seal_key = hashlib.blake2b(pepper, person=b"seals").digest()
        """The secret of envelopes; the same at the next start, and of no use to find the pepper."""
        self.free_use = FreeUse(self.database, pepper)
        self.ledger = Ledger(self.database, clock, f"run_{secrets.token_hex(8)}", also=self.free_use.count)
        self.accounts = Accounts(self.database, self.ledger, clock)
        self.prices = PriceStore(self.database)
        self.own = Own(self.database)
        changing = (self.database, self.ledger.writer, clock, self.keys.forget)
        self.users = Users(*changing)
        self.organizations = Organizations(*changing)
        self.house = House(*changing)
        self.secrets = Secrets(self.database, self.ledger.writer, clock, ring)
        self.custom_models = CustomModels(self.database, self.ledger.writer, clock, lambda: self.secrets.ring)
        self.alert_channels = AlertChannels(self.database, self.ledger.writer, clock, lambda: self.secrets.ring)
        self.admins = Admins(*changing, pepper)
        self.sessions = Sessions(self.database, self.ledger.writer, clock, lambda: None, pepper)
        self.peppers = Peppers(*changing)
        self.key_changes = KeyChanges(*changing, self.keys)
        self.payments = Payments(self.database, self.ledger, clock)
        self.auto_top_ups = AutoTopUps(self.database, self.ledger.writer, clock)
        self.captures = CaptureStore(self.database, clock)
        self.alerts = AlertStore(self.database, self.ledger.writer, clock)

    def usage(
        self, query: usage.UsageQuery, *, public: bool = False, timed: bool = False, most: int | None = None
    ) -> list[dict[str, Any]]:
        keys = usage.Keys(self.keys.token_id)
        return usage.usage(self.database, query, public=public, keys=keys, timed=timed, most=most)

    def request(self, id: str, whose_is_it: whose.Whose = whose.EVERYBODY) -> dict[str, Any] | None:
        return reports.request(self.database, id, whose_is_it, self._token(whose_is_it.user))

    def search(self, query: search.Search, *, public: bool = False) -> search.Found:
        token, keys = self._token(query.whose.user), usage.Keys(self.keys.token_id)
        pseudonym = self.free_use.pseudonym
        return search.find(self.database, query, public=public, token=token, keys=keys, pseudonym=pseudonym)

    def is_theirs(self, query: whose.Whose) -> Callable[[whose.Made], bool]:
        """What `whose.calls` says, of records in memory. Blocks; raises StoreUnavailable."""
        return whose.theirs(self.database, query, self._token(query.user))

    def _token(self, user_id: str | None) -> str | None:
        return None if user_id is None else self.keys.token_id(user_id)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """The whole database as it is now, read-only, for the auditor."""
        if self._url is None:
            return sqlite_snapshot(Path(self.database.place))
        from trivium.store.postgres_snapshot import postgres_snapshot  # noqa: PLC0415 # only with the extra `postgres`

        return postgres_snapshot(self._url)

    async def note_uses(self) -> None:
        """Writes down when keys were last used, as far as this gateway knows more than the database."""
        if used := self.keys.uses():
            rows = [(time_ms, id, time_ms) for time_ms, id in used]
            await self.ledger.writer.run(lambda tx: tx.executemany(USED, rows))

    async def problem(self) -> str | None:
        """Why the store cannot do its work now; None when it answers."""
        try:
            await self.database.ask("SELECT count(*) FROM keys WHERE id = ''")
        except StoreUnavailable as error:
            return error.detail or error.message
        return self.ledger.writer.failing

    async def close(self, patience: float = 4.0) -> None:
        """Makes everything durable, which is tried for so many seconds, then closes the database. Raises
        StoreUnavailable where something was lost."""
        with contextlib.suppress(StoreUnavailable):
            await self.note_uses()
        await unbroken.ended()
        stored = await self.ledger.writer.close(patience)
        self.database.close()
        if not stored:
            raise StoreUnavailable("Not everything could be stored at the end; the log has what it was.")


def _open(folder: Path, url: str | None) -> Database:
    if url is None:
        return SqliteDatabase(folder / "trivium.db")
    try:
        from trivium.store.postgres import PostgresDatabase  # noqa: PLC0415 # only with the extra `postgres`
    except ImportError as error:
        raise ConfigError(f"storage.url: PostgreSQL needs the extra `postgres` to be installed: {error}") from error
    return PostgresDatabase(url)
