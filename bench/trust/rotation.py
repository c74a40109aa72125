"""Upstream keys of callers are put under a new key, again and again, while calls use them and the gateway is killed.

    .venv/bin/python bench/trust/rotation.py [--scale S]      at scale 1 there are 10,000 keys and 20 kills

Every caller has ten keys for one vendor, who takes the tenth only: an answer means that all ten were opened, in their
order, and that each was the right one. A call that breaks off with its gateway does not count; one that is answered
with anything but 200 is a failed read. In the end every key is opened once more, without a gateway.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from stage import Figures, Gateway, figures, main

from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.mock import Error, Match, Reply, Rule, Script, ScriptedUpstream
from trivium.providers.credential import Credential
from trivium.store.store import Store
from trivium.store.users import User

SECRETS, KILLS = 10_000, 20
_EACH = 10
"""Keys of a caller."""
_READERS = 4
_LONGEST_LIFE = 0.8
"""Seconds before a kill."""
_BODY = {"model": "openai/gpt-5", "messages": [{"role": "user", "content": "hi"}]}
_CONFIG = """
[local]
enabled = false
[security]
allow_networks = ["127.0.0.0/8"]
allow_http = true
"""


def key(number: int) -> str:
    return f"sk-own-key-number-{number}"


def script() -> Script:
    """The vendor: the last key is good, the others are not, and anything else is a fault of ours."""
    refused = Reply(status=401, error=Error(message="not this one"))
    rules = [Rule(refused, Match(headers={"authorization": f"Bearer {key(n)}"})) for n in range(_EACH - 1)]
    rules.append(Rule(Reply(text="yes"), Match(headers={"authorization": f"Bearer {key(_EACH - 1)}"})))
    return Script(rules=rules, default=Reply(status=418, error=Error(message="no key of this caller")), keep=1)


class Reads:
    def __init__(self, gateway: Gateway, keys: list[str]) -> None:
        self.gateway = gateway
        self.keys = keys
        self.answered = 0
        self.broken = 0
        self.failed: list[str] = []

    async def go_on(self) -> None:
        """Call after call, whether there is a gateway or not."""
        url = f"http://127.0.0.1:{self.gateway.port}/v1/chat/completions"
        async with aiohttp.ClientSession() as session:
            while True:
                headers = {"authorization": f"Bearer {random.choice(self.keys)}"}  # noqa: S311 # any will do
                try:
                    async with session.post(url, json=_BODY, headers=headers) as response:
                        said = await response.text()
                except (aiohttp.ClientError, OSError):
                    self.broken += 1
                    await asyncio.sleep(0.01)
                    continue
                self.answered += 1
                if response.status != 200:
                    self.failed.append(f"{response.status}: {said[:300]}")


async def fill(folder: Path, url: str, count: int) -> list[str]:
    """The callers with their keys, ours to call with."""
    store = Store(folder, SystemClock())
    keys = []
    rows = []
    for number in range(max(1, count // _EACH)):
        id = f"user-{number}"
        await store.users.add(User(id=id, name=id, created_ms=0), "operator")
        keys.append(store.keys.create(id, user_id=id)[1])
        for position in range(_EACH):
            name = f"byok_{number}_{position}"
            envelope = store.secrets.ring.seal(f"user:{id}", name, msgspec.json.encode(Credential(key=key(position))))
            place = (name, f"user:{id}", "openai", str(position), position, f"{url}/v1")
            rows.append((*place, "", envelope.version, envelope.wrapped_key, envelope.sealed))
    with store.database.transaction() as tx:
        tx.executemany(
            "INSERT INTO secrets (id, owner, vendor, name, position, base_url, hint, key_version, wrapped_key, sealed,"
            " created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            rows,
        )
    await store.close()
    return keys


async def unreadable(folder: Path) -> int:
    """Keys that cannot be opened, or are another's."""
    store = Store(folder, SystemClock())
    await store.secrets.load()
    wrong = 0
    for (owner,) in store.database.query("SELECT DISTINCT owner FROM secrets")[1]:
        for sealed in await store.secrets.keys(owner, "openai"):
            try:
                found = msgspec.json.decode(store.secrets.plain(sealed), type=Credential).key
            except OperationError:
                found = ""
            wrong += found != key(sealed.shown.position)
    await store.close()
    return wrong


async def play(scale: float, folder: Path) -> Figures:
    async with ScriptedUpstream(script()) as upstream:
        gateway = Gateway(folder / "rotation", _CONFIG)
        count = max(_EACH, int(SECRETS * scale))
        reads = Reads(gateway, await fill(gateway.data, upstream.url, count))
        await asyncio.to_thread(gateway.start)
        readers = [asyncio.create_task(reads.go_on()) for _ in range(_READERS)]
        rounds = kills = 0
        life = _LONGEST_LIFE * max(scale, 0.05)
        try:
            while kills < max(3, int(KILLS * scale)):
                done = await _until_killed(gateway, life, new=True)
                rounds += 1
                while done is None:
                    kills += 1
                    await asyncio.to_thread(gateway.start)
                    done = await _until_killed(gateway, life, new=False)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        left = [one for one in await asyncio.to_thread(gateway.ask, "secrets.status") if one["secrets"]]
        await asyncio.to_thread(gateway.stop)
        wrong = await unreadable(gateway.data)
    lines = [
        f"{count} keys, {rounds} rotations with {kills} kills in their midst",
        f"{reads.answered} calls were answered, {len(reads.failed)} of them without their key",
        f"{reads.broken} calls found no gateway, or broke off with it",
        f"in the end {wrong} keys could not be opened, and {len(left)} version was in use",
        *reads.failed[:5],
        *gateway.complaints()[:5],
    ]
    return figures({"lost": len(reads.failed) + wrong + len(left) - 1}, lines)


async def _until_killed(gateway: Gateway, life: float, *, new: bool) -> dict[str, Any] | None:
    """What a rotation has done; None where the gateway was killed before its end, after so many seconds at most."""
    rotating = asyncio.create_task(asyncio.to_thread(_rotated, gateway, new=new))
    await asyncio.wait([rotating], timeout=random.uniform(0, life))  # noqa: S311 # when is chance
    if rotating.done():
        return await rotating
    await asyncio.to_thread(gateway.kill)
    await rotating  # which may have ended a moment before
    return None


def _rotated(gateway: Gateway, *, new: bool) -> dict[str, Any] | None:
    began = time.monotonic()
    try:
        done: dict[str, Any] = gateway.ask("secrets.rotate", new=new)
    except (OSError, OperationError, msgspec.MsgspecError):
        if gateway.alive and time.monotonic() - began > _LONGEST_LIFE:
            raise
        return None
    return done


def run(scale: float, folder: Path) -> Figures:
    return asyncio.run(play(scale, folder))


if __name__ == "__main__":
    sys.exit(main("rotation", run))
