"""Who is signed in to the dashboard, and how somebody signs in. `table` is for `Operations`.

The operations that open a session are the house's alone: the process that renders the dashboard performs them through
the gateway's own door for whoever comes, and everything else as who is signed in (`actor`).

What somebody may do is looked up at each request. Where it has changed since a session's text was made, the text is
`stale`, and the page that finds that `renew`s it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import Annotated

import msgspec

from trivium.clock import HOUR_MS
from trivium.errors import CredentialInvalid, NotFound, OperationError, RoleMissing
from trivium.operations.passwords import hashed, is_right, nobodys
from trivium.operations.table import Actor, Arguments, ListArguments, Listed, Needs, Op, Table, listed
from trivium.operations.users import is_email
from trivium.policy.addresses import subscriber
from trivium.policy.caller import Id, Role
from trivium.policy.guesses import Guesses
from trivium.settings_dashboard import DashboardSettings
from trivium.store.answers import told
from trivium.store.sessions import Link, Opened, Session, Visit
from trivium.store.store import Store
from trivium.store.users import User, domain_of, plain_domain, plain_email

LINK_MINUTES = 15
MOST_BY_ADDRESS = 10
MOST_BY_LOGIN = 30
"""Wrong passwords in a minute."""
WRONG = "No user has this name and password."
SWITCHED_OFF = "The dashboard is switched off: `[dashboard] enabled = false`."
ENDED = "You are not signed in, or not any more."

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class MakeLink(Arguments, frozen=True, kw_only=True):
    user: Id | None = None
    """Who signs in with it; left out: the house, which may do everything."""
    minutes: Annotated[int, msgspec.Meta(ge=1, le=10_080)] = LINK_MINUTES
    """How long it is good."""


class Arriving(Arguments, frozen=True, kw_only=True):
    """Where from somebody signs in."""

    agent: Text | None = None
    address: Text | None = None


class OpenByLink(Arriving, frozen=True, kw_only=True):
    token: Token


class OpenByPassword(Arriving, frozen=True, kw_only=True):
    login: Text
    """The user's id or e-mail address."""
    password: Text


class OpenByIdentity(Arriving, frozen=True, kw_only=True):
    """What the OpenID provider has said of somebody, which was checked by who asks."""

    issuer: Text
    subject: Text
    email: Text | None = None
    """Only where the provider has seen to it that it is the person's."""
    name: Text | None = None


class ListSessions(ListArguments, frozen=True, kw_only=True):
    user: Id | None = None


class OneSession(Arguments, frozen=True, kw_only=True):
    session: Id
    user: Id | None = None


class SetPassword(Arguments, frozen=True, kw_only=True):
    user: Id
    password: Text
    present: Text | None = None
    """The one so far, where there is one. The house may leave it out."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class PasswordSet(msgspec.Struct, frozen=True, kw_only=True):
    user: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who performs operations."""

    id: str
    house: bool
    user: User | None = None
    roles: dict[str, Role] = {}
    invited: list[str] = []
    session: str | None = None
    stale: bool = False
    """The session is to be given another text, by `sessions.renew`: since it was made the password was changed, or what
    its user may do."""


class SessionOperations:
    """Must run where the store is owned. Mutable: counts wrong passwords."""

    def __init__(self, store: Store, settings: DashboardSettings) -> None:
        self._store = store
        self.settings = settings
        self.address: str | None = None
        """Where the gateway listens, once it does."""
        self._by_address = Guesses(MOST_BY_ADDRESS, "passwords")
        self._by_login = Guesses(MOST_BY_LOGIN, "passwords for this user")
        self._hashing = asyncio.Semaphore(1)
        oneself, everybody = Needs(personal=True), Needs(everybody=True)
        self.table: Table = {
            "sessions.link": Op(arguments=MakeLink, result=Link, act=self._link, changes=True),
            "sessions.open_by_link": Op(arguments=OpenByLink, result=Opened, act=self._open_by_link, changes=True),
            "sessions.open_by_password": Op(
                arguments=OpenByPassword, result=Opened, act=self._open_by_password, changes=True
            ),
            "sessions.open_by_identity": Op(
                arguments=OpenByIdentity, result=Opened, act=self._open_by_identity, changes=True
            ),
            "sessions.list": Op(arguments=ListSessions, result=Listed[Session], act=self._list, needs=oneself),
            "sessions.end": Op(arguments=OneSession, result=Ended, act=self._end, needs=oneself, changes=True),
            "sessions.leave": Op(arguments=Arguments, result=Ended, act=self._leave, needs=everybody, changes=True),
            "sessions.renew": Op(arguments=Arguments, result=Opened, act=self._renew, needs=everybody, changes=True),
            "sessions.person": Op(arguments=Arguments, result=Person, act=self._person, needs=everybody),
            "passwords.set": Op(
                arguments=SetPassword, result=PasswordSet, act=self._set_password, needs=oneself, changes=True
            ),
            "dashboard.settings": Op(arguments=Arguments, result=DashboardSettings, act=self._settings),
        }

    async def actor(self, token: str) -> Actor:
        """Who is signed in with a session. Raises CredentialInvalid, StoreUnavailable."""
        found = await self._store.sessions.find(token, self._idle_ms)
        if found is None:
            raise CredentialInvalid(ENDED)
        if found.user_id is None:
            return Actor(id=found.id, house=True, session=found.id)
        roles, invited = await self._store.admins.roles(found.user_id)
        return Actor(
            id=found.user_id,
            house=found.user_id in self.settings.admins,
            user_id=found.user_id,
            roles=roles,
            invited=invited,
            session=found.id,
        )

    @property
    def _idle_ms(self) -> int:
        return round(self.settings.idle_hours * HOUR_MS)

    def _visit(self, way: str, query: Arriving) -> Visit:
        lasts_ms = round(self.settings.session_hours * HOUR_MS)
        return Visit(way=way, agent=query.agent, address=query.address, lasts_ms=lasts_ms)

    async def _link(self, query: MakeLink, actor: Actor) -> Link:
        if not self.settings.enabled:
            raise OperationError(SWITCHED_OFF)
        return await told(self._leading, self._store.sessions.make_link(query.user, query.minutes * 60_000, actor.id))

    def _leading(self, link: Link) -> Link:
        base = self.settings.url or self.address
        url = None if base is None else f"{base}/dashboard/sign-in?link={link.token}"
        return msgspec.structs.replace(link, url=url)

    async def _open_by_link(self, query: OpenByLink, _: Actor) -> Opened:
        return await self._store.sessions.open_by_link(query.token, self._visit("link", query))

    async def _open_by_password(self, query: OpenByPassword, _: Actor) -> Opened:
        """Raises RateLimited, CredentialInvalid."""
        if not self.settings.passwords:
            raise RoleMissing("Nobody signs in with a password here.")
        now_ms, address, login = self._store.clock.now_ms(), subscriber(query.address), query.login.strip()
        found = await self._store.sessions.password(login)
        guessed = found[0] if found else plain_email(login)  # a user has two names, and no more tries for that
        self._by_address.check(address, now_ms)
        self._by_login.check(guessed, now_ms)
        # Counted first: of those that come side by side none is known to be wrong while the others are let in.
        self._by_address.wrong(address, now_ms)
        self._by_login.wrong(guessed, now_ms)
        if not await self._is_right(query.password, found[1] if found else None) or found is None:
            raise CredentialInvalid(WRONG)
        self._by_address.right(address)
        self._by_login.right(guessed)
        return await self._store.sessions.open(found[0], self._visit("password", query))

    async def _is_right(self, password: str, kept: str | None) -> bool:
        """One at a time, so that guessers take no more than one processor and 16 MiB."""
        async with self._hashing:
            return await asyncio.to_thread(is_right, password, kept or nobodys()) and kept is not None

    async def _open_by_identity(self, query: OpenByIdentity, _: Actor) -> Opened:
        """Raises RoleMissing for who is no user and may not become one."""
        oidc, sessions = self.settings.oidc, self._store.sessions
        if oidc is None or query.issuer != oidc.issuer:
            raise RoleMissing("Nobody signs in with this provider here.")
        domains = {plain_domain(domain) for domain in oidc.domains}
        if domains and domain_of(query.email) not in domains:
            raise RoleMissing("Nobody with this e-mail address signs in here.")
        # Whose address is none that a user can have is let in as whom the identity is known to be, and nobody else.
        is_odd = query.email is not None and not is_email(query.email)
        newcomer = self._newcomer(query) if oidc.sign_up and not is_odd else None
        email = None if is_odd else query.email
        user_id = await sessions.identified(query.issuer, query.subject, email, newcomer)
        if user_id is None:
            raise RoleMissing("You are no user here yet. Ask the operators of the gateway to make you one.")
        return await sessions.open(user_id, self._visit("oidc", query))

    def _newcomer(self, query: OpenByIdentity) -> User:
        name = "".join(letter for letter in query.name or "" if letter.isprintable()).strip()[:100]
        email = plain_email(query.email) if query.email else None
        return User(
            id=f"user_{secrets.token_hex(8)}",
            name=name or email or "Somebody",
            email=email,
            created_ms=self._store.clock.now_ms(),
        )

    async def _list(self, query: ListSessions, _: Actor) -> Listed[Session]:
        rows = await self._store.sessions.page(query.user, self._idle_ms, query.page())
        return listed(rows, query, lambda session: session.id)

    async def _end(self, query: OneSession, actor: Actor) -> Ended:
        await self._store.sessions.end(query.session, query.user, actor.id)
        return Ended(id=query.session)

    async def _leave(self, _: Arguments, actor: Actor) -> Ended:
        if actor.session is None:
            raise OperationError(ENDED)
        await self._store.sessions.end(actor.session, None, actor.id)
        return Ended(id=actor.session)

    async def _renew(self, _: Arguments, actor: Actor) -> Opened:
        """Raises CredentialInvalid where it is not stale, or not any more: of two who ask at once one has the text."""
        if actor.session is None:
            raise OperationError(ENDED)
        try:
            return await self._store.sessions.renew(actor.session, _rights(actor, await self._user(actor)), actor.id)
        except NotFound as error:
            raise CredentialInvalid(ENDED, detail=error.message) from None

    async def _person(self, _: Arguments, actor: Actor) -> Person:
        user = await self._user(actor)
        stale = actor.session is not None and await self._store.sessions.is_stale(actor.session, _rights(actor, user))
        return Person(
            id=actor.id,
            house=actor.house,
            user=user,
            roles=dict(actor.roles),
            invited=sorted(actor.invited),
            session=actor.session,
            stale=stale,
        )

    async def _user(self, actor: Actor) -> User | None:
        return await self._store.users.get(actor.user_id) if actor.user_id is not None else None

    async def _set_password(self, query: SetPassword, actor: Actor) -> PasswordSet:
        """Raises OperationError, RateLimited."""
        now_ms = self._store.clock.now_ms()
        kept = await self._store.sessions.password(query.user)
        if kept is not None and (query.user == actor.user_id or not actor.house):
            self._by_login.check(query.user, now_ms)
            self._by_login.wrong(query.user, now_ms)
            if not await self._is_right(query.present or "", kept[1]):
                raise OperationError("The password so far is another one.", param="present")
            self._by_login.right(query.user)
        async with self._hashing:
            hash = await asyncio.to_thread(hashed, query.password)
        await self._store.sessions.set_password(query.user, hash, actor.id, actor.session)
        return PasswordSet(user=query.user)

    async def _settings(self, _: Arguments, __: Actor) -> DashboardSettings:
        return self.settings


def _rights(actor: Actor, user: User | None) -> str:
    """What somebody may do, told apart from everything else."""
    rights = (actor.house, user is not None and user.staff, sorted(actor.roles.items()))
    return hashlib.blake2b(msgspec.json.encode(rights), digest_size=16).hexdigest()


def address_of(host: str, port: int) -> str:
    """Where a browser on this machine finds a gateway that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # shown, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
