"""Callers with limits, for tests through a whole gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from gateway import CHAT, Running
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Limits

PATH = "/v1/chat/completions"


def key(gateway: Running, **limits: int) -> str:
    """A key with limits of its own."""
    return gateway.gateway.store.keys.create("limited", limits=Limits(**limits))[1]


def rule(gateway: Running, **settings: Any) -> None:
    """What the house says of limits."""
    gateway.gateway.deps.house = HouseSettings(**settings)


def message(body: Any) -> str:
    told: str = body["error"]["message"]
    return told


async def passed(gateway: Running, key: str, count: int) -> int:
    """How many of so many parallel requests were answered; the others were all refused."""
    sent = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

        async def one() -> int:
            async with session.post(gateway.url + PATH, headers=sent, json=CHAT) as response:
                await response.read()
                return response.status

        statuses = await asyncio.gather(*(one() for _ in range(count)))
    assert set(statuses) <= {200, 429}
    return statuses.count(200)
