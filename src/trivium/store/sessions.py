"""Who is signed in to the dashboard, and how people may: links that are good once, passwords, identities that an OpenID
provider vouches for.

Sessions and links are kept as keyed hashes alone, like API keys. A session belongs to a user, or to the house where the
gateway's own operator made a link for nobody in particular. Each use asks the database, so that one that has been
ended, has expired or whose user was blocked is none at once.

What somebody could do is kept with the session. Once that has changed, or the password has, the session gets another
text, and the one before is good for nothing (OWASP, Session Management Cheat Sheet, "Renew the Session ID After Any
Privilege Level Change").
"""

from __future__ import annotations

import msgspec

from trivium import ids
from trivium.errors import Conflict, NotFound, OperationError
from trivium.store.changes import Hashed, Page
from trivium.store.sql import Row, Writing, marks
from trivium.store.users import UNBLOCKED, User, add_user, found_user, plain_email

SEEN_EVERY_MS = 60_000
"""How often it is written down that a session is in use."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Times are milliseconds since the epoch."""

    id: str
    user_id: str | None
    """None: the house's."""
    way: str
    """How somebody signed in: `link`, `password` or `oidc`."""
    agent: str | None
    """What the browser said that it is."""
    address: str | None
    created_ms: int
    seen_ms: int
    expires_ms: int


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Where and for how long somebody signs in."""

    way: str
    agent: str | None = None
    address: str | None = None
    lasts_ms: int


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session with its text, which only its browser has from now on."""

    session: Session
    token: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    user_id: str | None
    expires_ms: int
    url: str | None = None
    """Where it leads, if that is known."""


_NAMES = ("id", "user_id", "way", "agent", "address", "created_ms", "seen_ms", "expires_ms")
_COLUMNS = ", ".join(_NAMES)
_LIVE = (
    f"SELECT {_COLUMNS} FROM sessions WHERE expires_ms > ?"
    f" AND (user_id IS NULL OR EXISTS ({UNBLOCKED.format('sessions.user_id')}))"
)
BLOCKED = "This user is blocked, and cannot sign in."
USED = "This link has been used already, or its time is over. `trivium login-link` makes another."


class Sessions(Hashed):
    """As `Changing` has it."""

    async def find(self, token: str, idle_ms: int) -> Session | None:
        """The live one with this text, unless nobody has come with it for `idle_ms`. Raises StoreUnavailable."""
        now = self.clock.now_ms()
        rows = await self.database.ask(
            f"{_LIVE} AND hash = ? AND seen_ms > ?", (now, self.digest(token), now - idle_ms)
        )
        session = next(map(_session, rows), None)
        if session is not None and now - session.seen_ms >= SEEN_EVERY_MS:
            await self._writer.run(
                lambda tx: tx.execute("UPDATE sessions SET seen_ms = ? WHERE id = ?", (now, session.id))
            )
        return session

    async def is_stale(self, id: str, rights: str) -> bool:
        """Whether its text is to be renewed, as somebody may do other things than before. Raises StoreUnavailable."""
        rows = await self.database.ask("SELECT rights FROM sessions WHERE id = ?", (id,))
        if rows and rows[0][0] is None:
            statement = "UPDATE sessions SET rights = ? WHERE id = ? AND rights IS NULL"
            await self._writer.run(lambda tx: tx.execute(statement, (rights, id)))
            return False
        return bool(rows) and rows[0][0] != rights

    async def renew(self, id: str, rights: str, actor: str) -> Opened:
        """Gives a session that is stale another text. Raises NotFound: somebody else has just done so."""
        token = ids.new_session()

        def act(tx: Writing) -> Opened:
            rows = tx.execute(
                f"UPDATE sessions SET hash = ?, rights = ? WHERE id = ? AND rights <> ? RETURNING {_COLUMNS}",
                (self.digest(token), rights, id, rights),
            )
            if not rows:
                raise NotFound(f"The session {id!r} needs no other text.")
            session = _session(rows[0])
            self.note(tx, actor, "sessions.renew", session.user_id or id, after={"session": id})
            return Opened(session=session, token=token)

        return await self.change(act)

    async def page(self, user_id: str | None, idle_ms: int, page: Page) -> list[Session]:
        """Live ones: of a user, or all."""
        now = self.clock.now_ms()
        where, values = ("AND user_id = ?", [user_id]) if user_id is not None else ("", [])
        rows = await self.database.ask(
            f"{_LIVE} AND seen_ms > ? AND id > ? {where} ORDER BY id LIMIT ?",
            (now, now - idle_ms, page.after, *values, page.limit),
        )
        return [_session(row) for row in rows]

    async def end(self, id: str, user_id: str | None, actor: str) -> None:
        """Ends a session: a user's, where one is named. Raises NotFound."""

        def act(tx: Writing) -> None:
            rows = tx.execute(f"SELECT {_COLUMNS} FROM sessions WHERE id = ?", (id,))
            before = next(map(_session, rows), None)
            if before is None or user_id not in (None, before.user_id):
                raise NotFound(f"There is no session {id!r}.")
            tx.execute("DELETE FROM sessions WHERE id = ?", (id,))
            self.note(tx, actor, "sessions.end", before.user_id or id, before={"session": id})

        await self.change(act)

    async def make_link(self, user_id: str | None, lasts_ms: int, actor: str) -> Link:
        """One for a user, or for the house. Raises NotFound."""
        token, now = ids.new_link(), self.clock.now_ms()
        made = Link(token=token, user_id=user_id, expires_ms=now + lasts_ms)

        def act(tx: Writing) -> Link:
            if user_id is not None:
                found_user(tx, user_id)
            tx.execute("DELETE FROM sign_in_links WHERE expires_ms <= ?", (now,))
            tx.execute(
                "INSERT INTO sign_in_links (hash, user_id, expires_ms) VALUES (?, ?, ?)",
                (self.digest(token), user_id, made.expires_ms),
            )
            self.note(tx, actor, "sessions.link", user_id or "house", after={"expires_ms": made.expires_ms})
            return made

        return await self.change(act)

    async def open_by_link(self, token: str, visit: Visit) -> Opened:
        """Uses a link up. Raises NotFound for one that is not good any more."""
        digest, now = self.digest(token), self.clock.now_ms()
        statement = "SELECT user_id FROM sign_in_links WHERE hash = ? AND expires_ms > ?"
        # Anybody may come with anything, for which no transaction waits and nothing in memory is let go.
        if not await self.database.ask(statement, (digest, now)):
            raise NotFound(USED)

        def act(tx: Writing) -> Opened:
            rows = tx.execute(statement, (digest, now))
            if not rows:
                raise NotFound(USED)
            self._check(tx, rows[0][0])
            tx.execute("DELETE FROM sign_in_links WHERE hash = ?", (digest,))
            return self._open(tx, rows[0][0], visit)

        return await self.change(act)

    async def open(self, user_id: str, visit: Visit) -> Opened:
        """For a user who is known by now. Raises OperationError for one that is blocked."""

        def act(tx: Writing) -> Opened:
            self._check(tx, user_id)
            return self._open(tx, user_id, visit)

        return await self.change(act)

    async def password(self, login: str) -> tuple[str, str] | None:
        """User and hash by the user's id or e-mail address; None where there is none with a password."""
        rows = await self.database.ask(
            "SELECT p.user_id, p.hash FROM passwords p JOIN users u ON u.id = p.user_id WHERE u.id = ? OR u.email = ?",
            (login, plain_email(login)),
        )
        return (rows[0][0], rows[0][1]) if len(rows) == 1 else None

    async def set_password(self, user_id: str, hash: str, actor: str, session: str | None) -> None:
        """Ends all other sessions of the user but the one that is named, which is stale then, and all links. Raises
        NotFound."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> None:
            found_user(tx, user_id)
            tx.execute(
                "INSERT INTO passwords (user_id, hash, changed_ms) VALUES (?, ?, ?) ON CONFLICT (user_id) DO UPDATE"
                " SET hash = excluded.hash, changed_ms = excluded.changed_ms",
                (user_id, hash, now),
            )
            tx.execute("DELETE FROM sessions WHERE user_id = ? AND id <> ?", (user_id, session or ""))
            tx.execute("UPDATE sessions SET rights = '' WHERE user_id = ?", (user_id,))
            tx.execute("DELETE FROM sign_in_links WHERE user_id = ?", (user_id,))
            self.note(tx, actor, "passwords.set", user_id)

        await self.change(act)

    async def identified(
        self, issuer: str, subject: str, email: str | None, newcomer: User | None = None
    ) -> str | None:
        """The user of an identity: as it was first signed in with, else by an e-mail address that the issuer has seen
        to be the person's, else the newcomer, who is added. Remembered from then on: all who ask at once hear of the
        same one. Raises Conflict."""

        def act(tx: Writing) -> str | None:
            known = tx.execute("SELECT user_id FROM identities WHERE issuer = ? AND subject = ?", (issuer, subject))
            if known:
                return str(known[0][0])
            user_id = _with_email(tx, email)
            if user_id is None and newcomer is not None:
                user_id = add_user(self, tx, newcomer, newcomer.id).id
            if user_id is not None:
                tx.execute(
                    "INSERT INTO identities (issuer, subject, user_id, created_ms) VALUES (?, ?, ?, ?)",
                    (issuer, subject, user_id, self.clock.now_ms()),
                )
                self.note(tx, user_id, "identities.add", user_id, after={"issuer": issuer})
            return user_id

        try:
            return await self.change(act)
        except Conflict:  # on a shared database another gateway has just remembered it
            return await self.change(act)

    def _check(self, tx: Writing, user_id: str | None) -> None:
        if user_id is not None and not tx.execute(UNBLOCKED.format("?"), (user_id,)):
            raise OperationError(BLOCKED)

    def _open(self, tx: Writing, user_id: str | None, visit: Visit) -> Opened:
        token, now = ids.new_session(), self.clock.now_ms()
        said = {"agent": (visit.agent or "")[:300] or None, "address": visit.address, "way": visit.way}
        times = {"created_ms": now, "seen_ms": now, "expires_ms": now + visit.lasts_ms}
        session = Session(id=ids.session_id(), user_id=user_id, **said, **times)  # type: ignore[arg-type]
        tx.execute("DELETE FROM sessions WHERE expires_ms <= ?", (now,))
        tx.execute(
            f"INSERT INTO sessions (hash, {_COLUMNS}) VALUES (?, {marks(_NAMES)})",
            (self.digest(token), *(getattr(session, name) for name in _NAMES)),
        )
        told = {"session": session.id, "way": visit.way}  # where from is nobody's business once the session is over
        self.note(tx, user_id or session.id, "sessions.open", user_id or session.id, after=told)
        return Opened(session=session, token=token)


def _with_email(tx: Writing, email: str | None) -> str | None:
    found = tx.execute("SELECT id FROM users WHERE email = ?", (plain_email(email),)) if email is not None else []
    return found[0][0] if found else None


def _session(row: Row) -> Session:
    return Session(**dict(zip(_NAMES, row, strict=True)))
