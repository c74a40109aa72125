"""Operators in front of a running gateway, over HTTP as anybody would."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from gateway import Running, running
from trivium.admin.row import PREFIX


class Answered(msgspec.Struct, frozen=True):
    status: int
    body: Any
    headers: dict[str, str]
    raw: bytes


class Operator:
    """Asks with one credential, or with none."""

    def __init__(self, house: Running, session: aiohttp.ClientSession, credential: str | None) -> None:
        self.house = house
        self.credential = credential
        self._session = session

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, raw: bytes | None = None
    ) -> Answered:
        sent = {**({"authorization": f"Bearer {self.credential}"} if self.credential else {}), **(headers or {})}
        data = msgspec.json.encode(body) if body is not None else raw
        if data is not None:
            sent = {"content-type": "application/json", **sent}
        async with self._session.request(method, f"{self.house.url}{PREFIX}{path}", headers=sent, data=data) as told:
            content = await told.read()
            parsed = msgspec.json.decode(content) if content else None
            named = {name.lower(): value for name, value in told.headers.items()}
            return Answered(told.status, parsed, named, content)

    async def made(self, path: str, body: Any, method: str = "POST") -> Any:
        """The answer's body of what must succeed."""
        told = await self(method, path, body)
        assert told.status in (200, 201), told
        return told.body

    async def error(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, str | None]:
        """Status, code and param of what must be refused."""
        told = await self(method, path, body, **more)
        error = told.body["error"]
        assert error["message"], told
        return told.status, error["code"], error.get("param")

    def as_(self, credential: str | None) -> Operator:
        return Operator(self.house, self._session, credential)

    async def of_user(self, user: str | None, name: str = "test") -> Operator:
        """Somebody with a credential of a user; of the house where none is named."""
        return self.as_((await self.house.gateway.store.admins.add(name, user, None, "operator")).credential)


@contextlib.asynccontextmanager
async def administered(settings: str = "") -> AsyncIterator[Operator]:
    """A gateway, and an operator with a credential of the house."""
    async with running(settings=settings) as house, aiohttp.ClientSession() as session:
        yield await Operator(house, session, None).of_user(None, "house")
