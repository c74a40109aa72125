"""A store with its operations, without a gateway: what operators and members do, and what the log says of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trivium.errors import OperationError
from trivium.operations.operations import Operations
from trivium.operations.table import OPERATOR, Actor, Op
from trivium.policy.caller import Role
from trivium.store.store import Store


class Desk:
    """Performs operations, as the operator unless somebody else is named."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.operations = Operations(store)

    async def __call__(self, operation: str, actor: Actor = OPERATOR, **arguments: Any) -> Any:
        told = await self.operations.perform(operation, arguments, actor)
        check_told(self.operations.table[operation], told)
        return told

    async def refusal(self, operation: str, actor: Actor = OPERATOR, **arguments: Any) -> str:
        """The code of the refusal."""
        try:
            told = await self(operation, actor, **arguments)
        except OperationError as error:
            return error.code
        raise AssertionError(told)

    async def items(self, operation: str, actor: Actor = OPERATOR, **arguments: Any) -> list[Any]:
        """All of a list, asked for in small parts."""
        found: list[Any] = []
        after: str | None = ""
        while after is not None:
            part = await self(operation, actor, **arguments, limit=2, after=after)
            found += part["items"]
            after = part["next"]
        return found

    async def log(self) -> list[tuple[str, str, str]]:
        """Who did what to what, oldest first."""
        found = await self.items("changes.list")
        return [(line["actor"], line["action"], line["target"]) for line in reversed(found)]

    async def organization(self, id: str) -> dict[str, Actor]:
        """With a member of each role; who has an admin credential, by role."""
        await self("users.create", id=f"{id}-owner", name="owner")
        await self("orgs.create", id=id, name=id, owner=f"{id}-owner")
        for role in ("admin", "member", "billing"):
            await self("users.create", id=f"{id}-{role}", name=role)
            await self("members.set", organization=id, user=f"{id}-{role}", role=role)
        return {role.value: member(f"{id}-{role.value}", {id: role}) for role in Role}


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def check_told(op: Op, told: Any) -> None:
    """An answer is of the type that its operation says, and has nothing else in it."""
    plain = msgspec.json.decode(msgspec.json.encode(told))
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(plain, op.result))) == plain


def member(user: str, roles: dict[str, Role] | None = None) -> Actor:
    """A user with an admin credential."""
    return Actor(id=f"adm-{user}", user_id=user, roles=roles or {})
