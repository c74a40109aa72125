"""People in tests: users and organizations of a running gateway, their keys, and what callers with these get."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from gateway import Running
from support_money import BODIES, PATHS
from trivium.operations.table import OPERATOR, Actor


class People:
    """What an operator does in a house, and what callers find."""

    def __init__(self, house: Running) -> None:
        self.house = house

    async def __call__(self, operation: str, actor: Actor = OPERATOR, **arguments: Any) -> Any:
        return await self.house.gateway.operations.perform(operation, arguments, actor)

    async def user(self, id: str, **more: Any) -> str:
        """A user and the text of a key of its own."""
        await self("users.create", id=id, name=id, **more)
        return await self.key(user=id)

    async def organization(self, id: str, **settings: Any) -> None:
        """With an owner, `ID-owner`, and a member of each other role."""
        await self("users.create", id=f"{id}-owner", name="owner")
        await self("orgs.create", id=id, name=id, owner=f"{id}-owner", settings=settings)
        for role in ("admin", "member", "billing"):
            await self("users.create", id=f"{id}-{role}", name=role)
            await self("members.set", organization=id, user=f"{id}-{role}", role=role)

    async def policy(self, organization: str, **policy: Any) -> None:
        await self("orgs.settings.set", organization=organization, settings={"policy": policy})

    async def settings(self, **settings: Any) -> None:
        await self("settings.set", settings=settings)

    async def key(self, **what: Any) -> str:
        """The text of a new key."""
        made: str = (await self("keys.create", name="k", **what))["key"]
        return made

    async def ask(self, api: str, key: str, model: str = "up/m", **more: Any) -> tuple[int, Any]:
        """Status and body of a call. `headers` are sent with it, the rest is in its body."""
        headers = more.pop("headers", None)
        asked = BODIES[api] | {"model": model} | more
        status, body, _ = await self.house.post(PATHS[api], asked, key=key, headers=headers)
        return status, body

    async def refusal(self, api: str, key: str, model: str = "up/m", **more: Any) -> tuple[int, str]:
        """Status and code of an error, which has the shape that the API's SDKs parse."""
        status, body = await self.ask(api, key, model, **more)
        return status, code_of(api, body)

    async def models(self, key: str) -> set[str]:
        """The ids that the caller sees in the list."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.house.url}/v1/models", headers={"x-api-key": key}) as response,
        ):
            assert response.status == 200, await response.text()
            return {entry["id"] for entry in (await response.json())["data"]}


def code_of(api: str, body: Any) -> str:
    """The stable code of an error in the shape of an API."""
    if api == "messages":
        assert body["type"] == "error", body
        assert body["request_id"], body
        assert set(body["error"]) >= {"type", "message", "code"}, body
        return str(body["error"]["code"])
    assert set(body) == {"error"}, body
    assert {"message", "type", "param", "code"} <= set(body["error"]), body
    return str(body["error"]["code"])


def actor_of(user: str, **roles: str) -> Actor:
    """A user with an admin credential."""
    return Actor(id=f"adm_{user}", user_id=user, roles=msgspec.convert(roles, dict[str, Any]))
