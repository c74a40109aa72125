"""Who looks at the dashboard, what of the house is in view, and what may be done there.

A space is what a page is about: the house, a single user (the visitor; for the house any), or an organization. It
becomes the arguments by which
operations know whose things they are about. What is offered follows the same table as what is allowed; what is allowed
the gateway decides, at each operation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from trivium.dashboard.door import Door, Refusal

_PART = 200
"""Of a list, the most that is told at once."""
Kind = Literal["house", "me", "organization"]


class Space(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    id: str = ""
    """Of the organization; of the user, where that is not the visitor."""
    name: str

    @property
    def path(self) -> str:
        letter = {"organization": "o", "me": "u"}.get(self.kind)
        return f"/dashboard/{letter}/{self.id}" if letter and self.id else f"/dashboard/{self.kind}"


HOUSE = Space(kind="house", name="The house")


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """An operation, as `operations.describe` tells."""

    needs: dict[str, Any]
    changes: bool
    arguments: dict[str, Any]


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is signed in."""

    door: Door
    token: str
    """Of the session."""
    session: str
    house: bool
    user: dict[str, Any] | None
    roles: dict[str, str]
    """By organization."""
    invited: list[str]
    names: dict[str, str]
    """Of organizations."""
    operations: Mapping[str, Described]
    renewed_ms: int | None = None
    """Until when the session is good, where it has just got another text, which the browser does not have yet."""

    @property
    def csrf(self) -> str:
        """What each form must carry: only pages of this session know it."""
        return csrf_of(self.token)

    @property
    def name(self) -> str:
        return self.user["name"] if self.user is not None else "operator"

    @property
    def spaces(self) -> list[Space]:
        me = [Space(kind="me", name="Personal")] if self.user is not None else []
        mine = sorted(map(self.organization, self.roles), key=lambda space: space.name.lower())
        return [*([HOUSE] if self.house else []), *me, *mine]

    def organization(self, id: str) -> Space:
        return Space(kind="organization", id=id, name=self.names.get(id, id))

    def arguments(self, operation: str, space: Space) -> dict[str, Any] | None:
        """Those that say whose things an operation is about; None where this visitor may not perform it there."""
        op = self.operations.get(operation)
        if op is None or (space.kind == "me" and space.id and not self.house):
            return None
        known = properties(op.arguments)
        oneself = self.user["id"] if self.user is not None else None
        user_id = space.id if space.kind == "me" and space.id else oneself
        whose: dict[str, dict[str, Any]] = {"organization": {"organization": space.id}, "me": {"user": user_id}}
        named = whose.get(space.kind, {})
        if not named.keys() <= known.keys():
            return None
        if self.house or op.needs["everybody"]:
            return named
        if space.kind != "organization":
            return named if space.kind == "me" and op.needs["personal"] else None
        role = self.roles.get(space.id)
        if role in op.needs["own"] and role not in op.needs["roles"] and "user" in known:
            return {**named, "user": user_id}
        return named if role in op.needs["roles"] else None

    def may(self, operation: str, space: Space) -> bool:
        return self.arguments(operation, space) is not None

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """Performs an operation as the visitor. Raises Refusal, Unavailable."""
        return await self.door.ask(operation, arguments, self.token)

    async def ask_if(self, operation: str, space: Space, **arguments: Any) -> Any:
        """The same in a space; None where that is not for this visitor to do."""
        whose = self.arguments(operation, space)
        if whose is None:
            return None
        try:
            return await self.ask(operation, **{**arguments, **whose})
        except Refusal as refusal:
            if refusal.status in (403, 404):
                return None
            raise


def csrf_of(token: str) -> str:
    return hashlib.blake2b(b"form", key=token.encode(errors="replace")[:64], digest_size=24).hexdigest()


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an object that a schema describes."""
    found: dict[str, Any] = resolved(schema, schema).get("properties", {})
    return found


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema, or the definition that it refers to."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return dict(schema)


async def visitor_of(door: Door, token: str, operations: Mapping[str, Described]) -> Visitor:
    """Raises Refusal for a session that has ended. One whose text is stale gets another one."""
    person, renewed_ms = await door.ask("sessions.person", {}, token), None
    if person["stale"]:
        opened = await door.ask("sessions.renew", {}, token)
        token, renewed_ms = opened["token"], opened["session"]["expires_ms"]
    names: dict[str, str] = {}
    if person["user"] is not None and (person["roles"] or person["invited"]):
        names = await _names(door, token, person["user"]["id"])
    return Visitor(
        door=door,
        token=token,
        session=person["session"],
        house=person["house"],
        user=person["user"],
        roles=person["roles"],
        invited=person["invited"],
        names=names,
        operations=operations,
        renewed_ms=renewed_ms,
    )


async def _names(door: Door, token: str, user_id: str) -> dict[str, str]:
    """Of all organizations of a user."""
    names: dict[str, str] = {}
    after: str | None = ""
    while after is not None:
        listed = await door.ask("orgs.list", {"user": user_id, "limit": _PART, "after": after}, token)
        names |= {row["id"]: row["name"] for row in listed["items"]}
        after = listed["next"]
    return names
