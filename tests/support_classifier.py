"""A classifier that says what a test tells it to, over HTTP, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from gateway import Running
from support_money import operate
from support_wait import until
from trivium.policy.caller import Role
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User

KEY = "classifier-key"


class ClassifierDouble:
    """`says` is the body of the next answers, as JSON or as bytes; `held` keeps them back until `free` is set."""

    def __init__(self) -> None:
        self.says: Any = {"verdict": "ALLOW"}
        self.status = 200
        self.free = asyncio.Event()
        self.free.set()
        self.questions: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.url = ""

    async def check(self, request: web.Request) -> web.Response:
        return await self._answer(request, self.questions)

    async def report(self, request: web.Request) -> web.Response:
        return await self._answer(request, self.reports)

    async def asked(self, count: int = 1) -> dict[str, Any]:
        """The last of so many questions."""
        return await self._reached(self.questions, count)

    async def told(self, count: int = 1) -> dict[str, Any]:
        """The last of so many reports."""
        return await self._reached(self.reports, count)

    async def _answer(self, request: web.Request, heard: list[dict[str, Any]]) -> web.Response:
        self.keys.add(request.headers.get("authorization"))
        heard.append(await request.json())
        await self.free.wait()
        body = self.says if isinstance(self.says, bytes) else json.dumps(self.says).encode()
        return web.Response(body=body, status=self.status, content_type="application/json")

    async def _reached(self, heard: list[dict[str, Any]], count: int) -> dict[str, Any]:
        await until(lambda: len(heard) >= count)
        assert len(heard) == count
        return heard[-1]


@contextlib.asynccontextmanager
async def classifier() -> AsyncIterator[ClassifierDouble]:
    double = ClassifierDouble()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.add_routes([web.post("/judge/check", double.check), web.post("/judge/report", double.report)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    double.url = f"http://127.0.0.1:{runner.addresses[0][1]}/judge"
    try:
        yield double
    finally:
        double.free.set()
        await runner.cleanup()


BORN = 1_767_225_600_000
"""When Anna was added, milliseconds since the epoch."""


async def member_of_acme(house: Running) -> None:
    """A key of Anna's, for whom an organization pays; the house's calls are made with it from here on."""
    now = house.gateway.deps.clock.now_ms()
    await house.gateway.store.users.add(User(id="anna", name="Anna", created_ms=BORN), "test")
    acme = OrganizationRow(id="acme", name="Acme", created_ms=now)
    await house.gateway.store.organizations.add(acme, None, "test")
    await house.gateway.store.organizations.set_member("acme", "anna", Role.MEMBER, "test")
    house.key = (await operate(house, "keys.create", name="laptop", account="acme", user="anna"))["key"]


def settings(judge: ClassifierDouble | None, mode: str = "log", rules: str = "", more: str = "", asks: str = "") -> str:
    """The TOML of `[abuse]`."""
    asked = f'[abuse.classifier]\nurl = "{judge.url}"\nkey = "{KEY}"\n{asks}\n' if judge else ""
    return f'[abuse]\nmode = "{mode}"\n{more}\n[abuse.rules]\n{rules}\n{asked}'
