"""Requests and what becomes of them on the way: a gateway in front of an upstream that keeps what it is sent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from gateway import ALL_APIS, Running, running
from support_money import APIS, BODIES, PATHS, whole
from support_people import People
from trivium.mock import Match, Reply, Rule
from trivium.providers.preferences import HONOURS

ANSWERS = [
    Rule(Reply(body=whole(api, "Hi", None)), Match(path=f"*/{path}"))
    for api, path in (("chat", "chat/completions"), ("responses", "responses"), ("messages", "messages"))
]
SEND = '[identity]\nsend = true\nsalt = "a salt of ours"\n'
CLAUDE = "anthropic/claude-sonnet-4.5"


class Sent(msgspec.Struct, frozen=True):
    """What an upstream got of a call, and what the client was told is lost."""

    body: dict[str, Any]
    headers: dict[str, str]
    losses: list[str]
    raw: bytes


class House:
    """A gateway with one provider, `up`."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.people = People(running)

    async def send(
        self, api: str, model: str = "m", *, key: str = "", headers: dict[str, str] | None = None, **members: Any
    ) -> Sent:
        """A call of an API, with these members in its body; it must be answered."""
        body = {**BODIES[api], "model": f"up/{model}", **members}
        return await self.post(api, msgspec.json.encode(body), key=key, headers=headers)

    async def post(self, api: str, body: bytes, *, key: str = "", headers: dict[str, str] | None = None) -> Sent:
        before = len(self.running.upstream.requests)
        status, told, answered = await self.running.post(PATHS[api], body, key=key, headers=headers)
        assert status == 200, told
        (asked,) = self.running.upstream.requests[before:]
        losses = [name.strip() for name in answered.get("x-trivium-loss", "").partition(";")[2].split(",")]
        sent = {name.lower(): value for name, value in asked.headers}
        return Sent(asked.json, sent, [name for name in losses if name], asked.body)

    async def refused(self, api: str, model: str = "m", *, key: str = "", **members: Any) -> tuple[int, str]:
        """Status and code of a call that must not reach the upstream."""
        before = len(self.running.upstream.requests)
        refusal = await self.people.refusal(api, key or self.running.key, f"up/{model}", **members)
        assert len(self.running.upstream.requests) == before
        return refusal


@contextlib.asynccontextmanager
async def house(
    kind: str = "", *, settings: str = "", apis: str = ALL_APIS, more: str = "", promises: bool = True
) -> AsyncIterator[House]:
    """`kind` is the row of the provider; `apis` what it speaks, in TOML. It `promises` what a gateway does at its own
    address."""
    row = f'type = "{kind}"\nkey = "sk-up"\n' if kind else ""
    if promises and kind in HONOURS:
        row += f"honours = {sorted(HONOURS[kind])}\n".replace("'", '"')
    async with running(*ANSWERS, settings=settings, provider=f"{row}{apis}\n{more}") as gateway:
        yield House(gateway)


def only(*apis: str) -> str:
    """What a provider speaks."""
    assert set(apis) <= set(APIS)
    return f"apis = {list(apis)}".replace("'", '"')
