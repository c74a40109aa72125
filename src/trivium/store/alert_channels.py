"""Channels of alerts that operators set while the gateway runs. What is shown of each is in memory with its envelope,
which is opened to write to it and not kept open.

What is sealed is a row of `secrets` with the channel's own id, rotated with all others. Where several processes share
the database, a counter tells within a second that something has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import Conflict, NotFound, OperationError
from trivium.policy.alert_channels import Channel, Kept, Sealed
from trivium.store.changes import Followed, text
from trivium.store.envelopes import Envelope, Keyring, envelope_of
from trivium.store.key_names import MARK, keep, sealed
from trivium.store.sql import Database, Row, Writing
from trivium.store.writer import Writer

_MOST = 100
_OWNER, _VENDOR = "house:alerts", "alerts"
"""Whose secrets these are; nobody who has keys of their own is called so."""
_READ = """
    SELECT c.id, c.name, c.content, c.created_ms, s.key_version, s.wrapped_key, s.sealed
    FROM alert_channels c LEFT JOIN secrets s ON s.id = c.id
"""
Change = Callable[[Channel, Callable[[], Sealed]], tuple[Channel, Sealed | None]]
"""A channel and what opens its envelope, to what it becomes; None: what is sealed stays as it is."""


class AlertChannels(Followed):
    """As `Followed` has it. `all` and `unsealed` are for the event loop."""

    marks = ("alert_channels", MARK)

    def __init__(self, database: Database, writer: Writer, clock: Clock, ring: Callable[[], Keyring]) -> None:
        """`ring` is asked each time: it is replaced where a new key is made."""
        super().__init__(database, writer, clock, lambda: None)
        self._ring = ring
        self.all: Sequence[Kept] = ()
        """By their names."""
        self.on_load: Callable[[], None] = lambda: None
        """Hears of it when `all` is another."""
        self._envelopes: dict[str, Envelope] = {}

    def unsealed(self, id: str) -> Sealed:
        """Raises SecretUnreadable."""
        return _opened(self._ring(), id, self._envelopes.get(id))

    async def _read_all(self) -> None:
        rows = await self.database.ask(f"{_READ} ORDER BY c.name")
        found = {row[0]: envelope for row in rows if (envelope := _envelope(row)) is not None}
        self.all, self._envelopes = [_kept(row) for row in rows], found
        self.on_load()

    async def add(self, name: str, said: Channel, secret: Sealed, actor: str) -> Kept:
        """Raises Conflict for a name that is taken, SecretUnreadable where it cannot be sealed."""
        made = Kept(id=ids.alert_channel_id(), name=name, said=said, created_ms=self.clock.now_ms())

        def act(tx: Writing) -> Kept:
            rows = tx.execute("SELECT name FROM alert_channels")
            if (name,) in rows:
                raise Conflict(f"There is a channel {name!r}.")
            if len(rows) >= _MOST:
                raise OperationError(f"There are {_MOST} channels, which is as many as there may be.")
            self._seal(tx, made, secret)
            tx.execute(
                "INSERT INTO alert_channels (id, name, content, created_ms) VALUES (?, ?, ?, ?)",
                (made.id, name, text(said), made.created_ms),
            )
            self._noted(tx, actor, "alerts.channels.add", name, None, said)
            return made

        return await self.change(act)

    async def set(self, name: str, change: Change, actor: str) -> Kept:
        """Raises NotFound, what `change` does, and SecretUnreadable."""

        def act(tx: Writing) -> Kept:
            row = _found(tx, name)
            before = _kept(row)
            said, secret = change(before.said, lambda: _opened(self._ring(), before.id, _envelope(row)))
            after = msgspec.structs.replace(before, said=said)
            if secret is not None:
                self._seal(tx, after, secret)
            tx.execute("UPDATE alert_channels SET content = ? WHERE id = ?", (text(said), before.id))
            self._noted(tx, actor, "alerts.channels.set", name, before.said, said, resealed=secret is not None)
            return after

        return await self.change(act)

    async def remove(self, name: str, actor: str) -> Kept:
        """With what was sealed. Raises NotFound."""

        def act(tx: Writing) -> Kept:
            before = _kept(_found(tx, name))
            tx.execute("DELETE FROM alert_channels WHERE id = ?", (before.id,))
            tx.execute("DELETE FROM secrets WHERE id = ?", (before.id,))
            self._noted(tx, actor, "alerts.channels.remove", name, before.said, None)
            return before

        return await self.change(act)

    def _seal(self, tx: Writing, channel: Kept, secret: Sealed) -> None:
        """In place of what was sealed before, if anything was. Comes first, as it may be refused."""
        plain = msgspec.json.encode(secret) if secret.secrets else None
        one = sealed(tx, self._ring(), _OWNER, channel.id, plain) if plain is not None else None
        keep(tx, one, _OWNER, channel.id, _VENDOR, channel.name, "", channel.created_ms)

    def _noted(  # noqa: PLR0917
        self,
        tx: Writing,
        actor: str,
        action: str,
        name: str,
        before: Channel | None,
        after: Channel | None,
        *,
        resealed: bool = False,
    ) -> None:
        """That a secret is another one is told too: of two passwords nothing else is seen."""
        told = after if not resealed else {**msgspec.to_builtins(after), "secret": "changed"}
        self.note(tx, actor, action, name, before=before, after=told)


def _found(tx: Writing, name: str) -> Row:
    rows = tx.execute(f"{_READ} WHERE c.name = ?", (name,))
    if not rows:
        raise NotFound(f"There is no channel {name!r} that can be changed here; `trivium alerts channels` has them.")
    return rows[0]


def _kept(row: Row) -> Kept:
    id, name, content, created_ms = row[:4]
    return Kept(id=id, name=name, said=msgspec.json.decode(content, type=Channel), created_ms=created_ms)


def _envelope(row: Row) -> Envelope | None:
    return None if row[4] is None else envelope_of(row[4:])


def _opened(ring: Keyring, id: str, envelope: Envelope | None) -> Sealed:
    return Sealed() if envelope is None else msgspec.json.decode(ring.open(_OWNER, id, envelope), type=Sealed)
