"""What is done about users, and about the e-mail domains whose users are blocked. `table` is for `Operations`."""

from __future__ import annotations

import re
import secrets
from typing import Annotated

import msgspec

from trivium.operations.table import Actor, Arguments, ListArguments, Listed, Needs, Op, Table, given_of, listed, named
from trivium.patterns import matching
from trivium.policy.caller import Id, Limits
from trivium.store.answers import told
from trivium.store.store import Store
from trivium.store.users import User, plain_domain, plain_email

_EMAIL = r"^[^\s@\x00-\x1f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?\Z"
Email = Annotated[str, matching(_EMAIL, "an e-mail address")]
Domain = Annotated[str, matching(r"^[A-Za-z0-9][A-Za-z0-9.-]{0,189}\Z", "a domain, as example.com")]
Why = Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00]*\Z")]


class CreateUser(Arguments, frozen=True, kw_only=True):
    name: str
    id: Id | None = None
    """Made up where it is left out."""
    email: Email | None = None
    staff: bool = False
    """Works for the house: what is open to `admins` is open to this user."""
    limits: Limits = Limits()
    """Of all calls of the user together."""


class ListUsers(ListArguments, frozen=True, kw_only=True):
    email: Email | None = None
    id: Id | None = None


class OneUser(Arguments, frozen=True, kw_only=True):
    user: Id


class SetUser(OneUser, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    email: Email | msgspec.UnsetType | None = msgspec.UNSET
    staff: bool | msgspec.UnsetType = msgspec.UNSET
    limits: Limits | msgspec.UnsetType = msgspec.UNSET


class BlockUsers(Arguments, frozen=True, kw_only=True):
    """All of them or, where one is not there, none."""

    users: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=1000)]
    why: Why | None = None


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    blocked: int
    """How many were not blocked before."""


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    revoked: tuple[str, ...]
    """The ids of the keys that were live."""


class OneDomain(Arguments, frozen=True, kw_only=True):
    domain: Domain


class BlockedDomain(msgspec.Struct, frozen=True, kw_only=True):
    domain: str
    blocked: bool


def is_email(text: str) -> bool:
    return re.match(_EMAIL, text) is not None


class UserOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        oneself = Needs(personal=True)
        self.table: Table = {
            "users.create": Op(arguments=CreateUser, result=User, act=self._create, changes=True),
            "users.list": Op(arguments=ListUsers, result=Listed[User], act=self._list),
            "users.show": Op(arguments=OneUser, result=User, act=self._show, needs=oneself),
            "users.set": Op(arguments=SetUser, result=User, act=self._set, changes=True),
            "users.block": Op(arguments=BlockUsers, result=Blocked, act=self._block, changes=True),
            "users.unblock": Op(arguments=OneUser, result=User, act=self._unblock, changes=True),
            "users.revoke_keys": Op(
                arguments=OneUser, result=Revoked, act=self._revoke_keys, needs=oneself, changes=True
            ),
            "domains.block": Op(arguments=OneDomain, result=BlockedDomain, act=self._block_domain, changes=True),
            "domains.unblock": Op(arguments=OneDomain, result=BlockedDomain, act=self._unblock_domain, changes=True),
            "domains.list": Op(arguments=ListArguments, result=Listed[str], act=self._domains),
        }

    async def _create(self, query: CreateUser, actor: Actor) -> User:
        user = User(
            id=query.id or f"user_{secrets.token_hex(8)}",
            name=named(query.name, "A user"),
            email=plain_email(query.email) if query.email else None,
            staff=query.staff,
            limits=query.limits,
            created_ms=self._store.clock.now_ms(),
        )
        return await self._store.users.add(user, actor.id)

    async def _list(self, query: ListUsers, _: Actor) -> Listed[User]:
        email = plain_email(query.email) if query.email else None
        return listed(await self._store.users.page(query.page(), email, query.id), query, lambda user: user.id)

    async def _show(self, query: OneUser, _: Actor) -> User:
        return await self._store.users.get(query.user)

    async def _set(self, query: SetUser, actor: Actor) -> User:
        fields = given_of(query, ("name", "email", "staff", "limits"))
        if "name" in fields:
            fields["name"] = named(fields["name"], "A user")
        if fields.get("email"):
            fields["email"] = plain_email(fields["email"])
        return await self._store.users.set(query.user, actor.id, "users.set", **fields)

    async def _block(self, query: BlockUsers, actor: Actor) -> Blocked:
        users = list(dict.fromkeys(query.users))
        blocking = self._store.users.block(users, query.why, actor.id)
        return await told(lambda count: Blocked(blocked=count), blocking)

    async def _unblock(self, query: OneUser, actor: Actor) -> User:
        unblocked = {"blocked_ms": None, "blocked_why": None}
        return await self._store.users.set(query.user, actor.id, "users.unblock", **unblocked)

    async def _revoke_keys(self, query: OneUser, actor: Actor) -> Revoked:
        revoking = self._store.users.revoke_keys(query.user, actor.id)
        return await told(lambda ids: Revoked(revoked=tuple(ids)), revoking)

    async def _block_domain(self, query: OneDomain, actor: Actor) -> BlockedDomain:
        return await self._set_domain(query, actor, blocked=True)

    async def _unblock_domain(self, query: OneDomain, actor: Actor) -> BlockedDomain:
        return await self._set_domain(query, actor, blocked=False)

    async def _set_domain(self, query: OneDomain, actor: Actor, *, blocked: bool) -> BlockedDomain:
        domain = plain_domain(query.domain)
        changing = self._store.users.block_domain(domain, actor.id, blocked=blocked)
        return await told(lambda _: BlockedDomain(domain=domain, blocked=blocked), changing)

    async def _domains(self, query: ListArguments, _: Actor) -> Listed[str]:
        return listed(await self._store.users.blocked_domains(query.page()), query, lambda domain: domain)
