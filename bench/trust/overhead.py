"""What hold, settlement and record cost: CPU time for a request, and how long a request waits for its hold.

    .venv/bin/python bench/trust/overhead.py [--scale S]

2,000 requests a second begin, stay for 20 ms and end, over a ledger in a file with durable commits. The same requests
without the ledger are taken off; both take turns, and medians count. Nothing is checked here: the other scenarios do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop
from stage import Figures
from stage import main as played

from trivium import ids
from trivium.clock import SystemClock
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.server.run import settle_down
from trivium.store.accounts import Accounts
from trivium.store.ledger import Ledger
from trivium.store.migrations import migrate
from trivium.store.posting import Entry
from trivium.store.sqlite import SqliteDatabase

RATE = 2_000
"""Requests a second."""
STAY = 0.02
"""Seconds that a request is under way."""
SECONDS = 10.0
"""Of one turn, at full size."""
TURNS = 5
ACCOUNTS = 20


class Turn(NamedTuple):
    cpu_us: float
    waits_ms: list[float]


def run(scale: float, folder: Path) -> Figures:
    seconds = max(2.0, SECONDS * scale)
    turns = max(3, round(TURNS * min(scale, 1)))
    settle_down()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pairs = [
            (runner.run(_turn(folder / f"{n}.db", seconds)), runner.run(_turn(None, seconds))) for n in range(turns)
        ]
    overhead = median(with_.cpu_us - without.cpu_us for with_, without in pairs)
    waits = sorted(wait for with_, _ in pairs for wait in with_.waits_ms)
    middle, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    said = f"hold, settlement and record: {overhead:.0f} us CPU a request at {RATE:,} a second (at most 60)"
    return Figures(lines=(f"{said}; a hold is waited for {middle:.1f} ms, p99 {late:.1f} ms (p50 at most 4)",))


async def _turn(file: Path | None, seconds: float) -> Turn:
    """Over a ledger in this file; without one where there is none."""
    house = await _House.open(file) if file is not None else None
    waits: list[float] = []
    total, tasks = round(RATE * seconds), set[asyncio.Task[None]]()
    cpu, began, sent = time.process_time(), time.perf_counter(), 0
    while sent < total:
        due = min(total, int((time.perf_counter() - began) * RATE))
        for n in range(sent, due):
            task = asyncio.create_task(_request(house, n, waits))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        sent = due
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    if house is not None:
        await house.ledger.writer.flush()
    cpu = time.process_time() - cpu
    if house is not None:
        await house.close()
    return Turn(cpu / total * 1e6, waits)


async def _request(house: _House | None, number: int, waits: list[float]) -> None:
    if house is None:
        await asyncio.sleep(STAY)
        return
    began = time.perf_counter()
    start = house.start(number)
    if await house.ledger.start(start) is not None:
        raise RuntimeError("a hold was refused")
    waits.append((time.perf_counter() - began) * 1000)
    await asyncio.sleep(STAY)
    house.ledger.end(_outcome(start))


class _House:
    def __init__(self, file: Path) -> None:
        self._database = SqliteDatabase(file)
        migrate(self._database)
        self._clock = SystemClock()
        self.ledger = Ledger(self._database, self._clock, "run_overhead")

    @classmethod
    async def open(cls, file: Path) -> _House:
        house = cls(file)
        await house.ledger.load()
        accounts = Accounts(house._database, house.ledger, house._clock)
        for n in range(ACCOUNTS):
            await accounts.create("somebody", "user", f"acct_{n}")
            grant = Entry(
                account_id=f"acct_{n}", kind="grant", amount_nano=10**15, time_ms=1, idempotency_key=f"grant {n}"
            )
            await accounts.credit(grant)
        return house

    def start(self, number: int) -> Start:
        return Start(
            id=ids.request_id(),
            time_ms=self._clock.now_ms(),
            api="chat_completions",
            key_id="key_000000000000",
            account_id=f"acct_{number % ACCOUNTS}",
            scopes=(),
            payer="house",
            hold_nano=1_000_000,
            requested_model="openai/gpt-5",
            provider="openai",
            upstream_model="gpt-5",
            price_version="pr_000000000000",
        )

    async def close(self) -> None:
        await self.ledger.writer.close()
        self._database.close()


def _outcome(start: Start) -> Record:
    return Record(
        id=start.id,
        time_ms=start.time_ms,
        api=start.api,
        operation="generate",
        outcome="success",
        status=200,
        key_id=start.key_id,
        account_id=start.account_id,
        requested_model=start.requested_model,
        provider=start.provider,
        upstream_api=start.api,
        upstream_model=start.upstream_model,
        answer_model="gpt-5-2025-08-07",
        upstream_status=200,
        upstream_id="chatcmpl-000000000000000000000000",
        finish_reason="stop",
        native_finish_reason="stop",
        usage_known=True,
        input_uncached_tokens=500,
        output_tokens=300,
        service_tier="default",
        payer="house",
        cost_nano=500_000,
        market_cost_nano=500_000,
        cost_source="computed",
        price_version=start.price_version,
        hold_nano=start.hold_nano,
        total_us=20_000,
        client_ip="127.0.0.1",
        client_app="OpenAI/Python",
    )


if __name__ == "__main__":
    sys.exit(played("overhead", run))
