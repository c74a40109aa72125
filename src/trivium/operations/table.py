"""The operations by name, and the one place where it is checked who may perform them (behaviour page, section 3).

An operation names in its arguments whose things it is about: `organization`, `user`, or neither, which is the house.
Who is not of the house performs it for an organization by the role there, or for nobody but itself. What it answers
with is restricted to what those arguments name.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from trivium.clock import LAST_MS
from trivium.errors import NotFound, OperationError, RoleMissing
from trivium.patterns import matching
from trivium.policy.caller import BILLS, Role
from trivium.store.changes import Page

_T = TypeVar("_T")


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who performs an operation."""

    id: str
    """`operator` for whoever uses the gateway's own door, an admin credential's id, or of who is signed in to the
    dashboard the user's id, else the session's."""
    house: bool = False
    """May do everything, in the house and in every organization."""
    user_id: str | None = None
    roles: Mapping[str, Role] = {}
    """Of this user, by the organization's id."""
    invited: frozenset[str] = frozenset()
    """The organizations that this user may become a member of."""
    session: str | None = None
    """The session in the dashboard that this is done in, by its id."""


OPERATOR = Actor(id="operator", house=True)


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """Who may perform an operation beside the house, by what its arguments name."""

    roles: frozenset[Role] = frozenset()
    """In the organization that `organization` names."""
    own: frozenset[Role] = frozenset()
    """The same, where `user` names the actor itself."""
    personal: bool = False
    """Also without an organization, where `user` names the actor itself."""
    invited: bool = False
    """Also in an organization that the actor is invited to, where `user` names the actor itself."""
    everybody: bool = False
    """Whoever the actor is: it is about nothing but the actor, or about nothing that is anybody's."""


HOUSE = Needs()
EVERY_ROLE = frozenset(Role)
OFFICERS = frozenset({Role.OWNER, Role.ADMIN})
SPENDERS = OFFICERS | {Role.MEMBER}
SEES_CALLS = Needs(roles=BILLS, own=EVERY_ROLE, personal=True)
"""What calls there were and what they cost: whoever sees an organization's bills, and everybody their own."""


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """An operation."""

    arguments: type[msgspec.Struct]
    result: Any
    """The type of what it answers with."""
    act: Callable[[Any, Actor], Coroutine[Any, Any, Any]]
    needs: Needs = HOUSE
    changes: bool = False
    """It writes."""


Table = dict[str, Op]

Cursor = Annotated[str, matching(r"^[A-Za-z0-9._@:-]{0,200}\Z", "what the part before told of the next one")]
Some = Annotated[int, msgspec.Meta(ge=1, le=200)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]
"""Milliseconds since the epoch."""


def check_span(since_ms: int | None, until_ms: int | None) -> None:
    """Raises OperationError for a time in which nothing can be."""
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise OperationError("The period ends before it begins.")


_BEYOND = 2**62
NO_CURSOR = "No part of this list begins there; what the part before told of the next one does."


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None; what others are made from."""


def given_of(query: Arguments, names: Iterable[str]) -> dict[str, Any]:
    """What was given of arguments that may be left out."""
    return {name: value for name in names if (value := getattr(query, name)) is not msgspec.UNSET}


def telling(result: Any, tell: Callable[[], Any]) -> Op:
    """The operation of the house's that answers with what the running gateway knows."""

    async def act(_: Arguments, __: Actor) -> Any:
        return tell()

    return Op(arguments=Arguments, result=result, act=act)


class ListArguments(Arguments, frozen=True, kw_only=True):
    """Which part of a list."""

    after: Cursor = ""
    """What the part before said under `next`."""
    limit: Some = 50

    def page(self) -> Page:
        """One more than is asked for, which tells whether there is a next part."""
        return Page(after=self.after, limit=self.limit + 1)

    def below(self) -> int:
        """Of a list that goes down by numbers: below which one. Raises OperationError."""
        if not self.after:
            return _BEYOND
        if not self.after.isdecimal():
            raise OperationError(NO_CURSOR)
        return min(int(self.after), _BEYOND)


class Listed(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """A part of a list."""

    items: list[_T]
    next: str | None = None
    """`after` of the next part; null: this was the last."""


def listed(rows: Iterable[_T], query: ListArguments, cursor: Callable[[_T], object]) -> Listed[_T]:
    """Of rows that were asked for by `query.page()`."""
    items = list(rows)
    more = len(items) > query.limit
    items = items[: query.limit]
    return Listed(items=items, next=str(cursor(items[-1])) if more else None)


def check(op: Op, query: Any, actor: Actor) -> None:
    """Whether the actor may. Raises RoleMissing; NotFound for an organization that the actor is no member of, which is
    not told whether it exists."""
    if actor.house or op.needs.everybody:
        return
    organization: str | None = getattr(query, "organization", None)
    own = actor.user_id is not None and getattr(query, "user", None) == actor.user_id
    if organization is None:
        if op.needs.personal and own:
            return
        raise RoleMissing("This is for the operators of the gateway. " + _hint(op))
    role = actor.roles.get(organization)
    if role is None:
        if op.needs.invited and own and organization in actor.invited:
            return
        raise NotFound(f"There is no organization {organization!r}.")
    if role not in op.needs.roles and not (own and role in op.needs.own):
        raise RoleMissing(f"The role `{role.value}` in {organization!r} is not enough for this. " + _hint(op))


def check_membership(actor: Actor, organization_id: str, before: Role | None, after: Role | None) -> None:
    """Owners are made and unmade by owners alone; everybody may leave. Raises RoleMissing."""
    if Role.OWNER not in (before, after) or actor.house or actor.roles.get(organization_id) is Role.OWNER:
        return
    raise RoleMissing(f"Only an owner of {organization_id!r} decides about its owners.")


def _hint(op: Op) -> str:
    """What would do."""
    ways = []
    if op.needs.roles:
        ways.append(f"name an organization where you are {' or '.join(sorted(op.needs.roles))}")
    if op.needs.own:
        ways.append("name yourself as the user in an organization of yours")
    if op.needs.personal:
        ways.append("name yourself as the user")
    return f"To be allowed: {'; or '.join(ways)}." if ways else "Ask them."


def named(name: str, what: str) -> str:
    """A name without blanks around it. Raises OperationError."""
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise OperationError(f"{what} needs a name of 1 to 100 printable characters.")
    return name
