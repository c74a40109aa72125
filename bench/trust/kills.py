"""`kill -9` at random moments under load, and what the next life of the gateway makes of what was left.

    .venv/bin/python bench/trust/kills.py [--scale S] [--seed N]      1,000 kills at scale 1

One in five comes while the gateway starts, one in five around the moment at which it takes over what the last life
left, the others in the midst of traffic; besides, one life in twenty is the first of a new data folder and is killed
while it makes it. Clients do not stop for a kill. Every so often traffic rests, the database is compared with what the
clients and the upstream know, and `trivium ledger verify` is asked.
"""
# ruff: noqa: S311 # chance is not a secret

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from stage import Figures, Gateway, added, books, figures, main, median
from traffic import Call, Clients, Judge, asked, config, make, script

from trivium.mock import ScriptedUpstream

KILLS = 1_000
_BETWEEN_CHECKS = 50
"""Kills."""
_CLIENTS = 12
_WHERE = ("start-up", "recovery", "traffic", "traffic", "traffic")


class Lives:
    """The gateway's lives one after the other, and what the checks between them found."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.kills: list[float] = []
        self.where: dict[str, int] = dict.fromkeys(_WHERE, 0)
        self.clients = Clients(gateway, _CLIENTS)
        self.judge = Judge(upstream, self.kills)
        self.found: list[Figures] = []
        self.starts: list[float] = []
        self.recoveries: list[float] = []
        self.refills = self._refilled_to = 0

    async def live(self) -> None:
        """One life, from its start to its kill."""
        where = random.choice(_WHERE)
        self.where[where] += 1
        began = time.monotonic()
        self.gateway.configure(config(self.upstream, edition=len(self.kills)))
        self.gateway.spawn()
        refilling = asyncio.create_task(self._refill())
        if where == "start-up":
            await asyncio.sleep(random.uniform(0, median(self.starts)))
        else:
            # The last life's calls are taken over in the milliseconds around its first words.
            await self.gateway.heard("no embedded model" if where == "recovery" else "ready")
            self.starts.append(time.monotonic() - began)
            await asyncio.sleep(random.uniform(0, 0.03 if where == "recovery" else random.choice((0.3, 0.6, 1.5))))
        self.kills.append(time.monotonic())
        self.gateway.kill()
        await refilling

    async def check(self) -> None:
        """A life in which nothing new comes in until all is compared."""
        self.starts.append(await asyncio.to_thread(self.gateway.start))
        await self.clients.pause()
        self.recoveries.append(await asyncio.to_thread(self.gateway.wait_for_recovery))
        for number in range(self._refilled_to + 1, self.refills + 1):
            # Those that a kill answered are asked for again: none may have been made twice.
            await asyncio.to_thread(self.clients.refill, "poor", number)
        self._refilled_to = self.refills
        calls, self.clients.calls = self.clients.calls, []
        verified = await asyncio.to_thread(self.gateway.verify)
        self.found += [self.judge.judge(calls, self.gateway.rows), books(self.gateway.rows), self._refilled()]
        self.found.append(figures({"charge_differences": len(verified)}, verified[:20]))
        self.clients.refill("capped", len(self.starts))
        self.gateway.kill()
        self.clients.go()

    async def _refill(self) -> None:
        """Credits given in the midst of it, whose giver may never hear whether they were."""
        self.refills += 1
        usd, key = "0.005", f"refill:poor:{self.refills}"
        await asyncio.sleep(median(self.starts) + random.uniform(0, 0.3))
        await asked(self.gateway, "credits.grant", account="poor", usd=usd, idempotency_key=key)

    def _refilled(self) -> Figures:
        ((made,),) = self.gateway.rows("SELECT count(*) FROM entries WHERE idempotency_key LIKE 'refill:poor:%'")
        return figures({"lost": max(0, self.refills - made), "double": max(0, made - self.refills)})


async def _first_lives(folder: Path, upstream: ScriptedUpstream, count: int, ready: float) -> Figures:
    """New data folders whose first gateway dies while it makes them: the second one must serve all the same."""
    found = []
    for number in range(count):
        gateway = Gateway(folder / f"new-{number}", config(upstream))
        gateway.spawn()
        await asyncio.sleep(random.uniform(0.5, 1.2) * ready)
        gateway.kill()
        await asyncio.to_thread(gateway.start)
        clients = Clients(gateway, 1)
        clients.open_accounts()
        call = Call("quick-first", "up", "chat", stream=False, leaves=False, account="default")
        await make(call, gateway.port, gateway.key)
        await asyncio.to_thread(gateway.wait_for_recovery)
        found += [Judge(upstream).judge([call], gateway.rows, allowed=(200,)), books(gateway.rows)]
        gateway.kill()
    return added(found)


def _told(lives: Lives, first: int, seconds: float) -> list[str]:
    judge, statuses = lives.judge, lives.judge.statuses
    ended = lives.gateway.rows("SELECT count(*) FROM records WHERE error_code = 'gateway_ended'")[0][0]
    where = ", ".join(f"{count} in {name}" for name, count in lives.where.items())
    answers = ", ".join(f"{count} with {status}" for status, count in sorted(statuses.items(), key=str) if status)
    return [
        f"{len(lives.kills) + first} kills in {seconds:.0f} s: {where}, {first} while a new folder was made",
        f"{sum(statuses.values())} calls, {judge.seen} seen by the upstream; {answers}, the others without a status",
        f"{ended} calls were ended by a later life, in {max(lives.recoveries):.2f} s at the most",
        f"{judge.answered} priced answers were received whole; {len(judge.unsettled)} were charged 0, as the kill came"
        f" before their settlement was durable, at the most {1000 * max(judge.unsettled, default=0):.0f} ms later",
        f"{judge.unheld} calls without a hold left no start; that is not promised",
        f"{lives.refills} grants were asked for amidst the kills and asked for again: each was made once",
        f"start to ready: {median(lives.starts):.2f} s, at the most {max(lives.starts):.2f} s",
    ]


async def play(scale: float, folder: Path) -> Figures:
    kills, began = max(10, round(KILLS * scale)), time.monotonic()
    first = kills // 20
    async with ScriptedUpstream(script()) as upstream:
        gateway = Gateway(folder / "kills", config(upstream))
        lives = Lives(gateway, upstream)
        gateway.start()
        lives.clients.open_accounts()
        gateway.kill()
        lives.starts.append(gateway.start())
        gateway.kill()
        lives.clients.go()
        for number in range(1, kills - first + 1):
            await lives.live()
            if number % _BETWEEN_CHECKS == 0 or number == kills - first:
                await lives.check()
        await lives.clients.pause()
        lives.found.append(await _first_lives(folder, upstream, first, median(lives.starts)))
        gateway.start()
        told = _told(lives, first, time.monotonic() - began)
        gateway.kill()
    return added([figures({}, told), *lives.found])


def run(scale: float, folder: Path) -> Figures:
    return asyncio.run(play(scale, folder))


if __name__ == "__main__":
    sys.exit(main("kills", run))
