"""What hold, settlement and record cost: CPU time for a request, and how long a request waits for its hold.

    .venv/bin/python bench/trust/overhead.py [--scale S]

2,000 requests a second begin, stay for 20 ms and end, over a ledger in a file with durable commits. The same requests
without a ledger are taken off; the same rows by bare statements (`bare.py`) are the yardstick. The three take turns,
and medians count. Nothing is checked here: the other scenarios do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

import uvloop
from bare import WINDOW, Bare
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
BALANCES = {f"acct_{n}": 10**15 for n in range(20)}
"""Nanodollars, by account."""


class House(Protocol):
    """Where requests begin and end."""

    async def open(self) -> None: ...

    async def start(self, start: Start) -> None: ...

    def end(self, record: Record) -> None: ...

    async def written(self) -> None: ...

    def close(self) -> None: ...


class Turn(NamedTuple):
    cpu_us: float
    waits_ms: list[float]


class Round(NamedTuple):
    ledger: Turn
    bare: Turn
    nothing: Turn


def run(scale: float, folder: Path) -> Figures:
    seconds = max(2.0, SECONDS * scale)
    turns = max(3, round(TURNS * min(scale, 1)))
    settle_down()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds = [
            Round(*(runner.run(_turn(make, folder / f"{n}.{name}.db", seconds)) for name, make in KINDS.items()))
            for n in range(turns)
        ]
    takes = [(ledger.cpu_us - nothing.cpu_us, bare.cpu_us - nothing.cpu_us) for ledger, bare, nothing in rounds]
    ours, bares, share = (
        median(one for one, _ in takes),
        median(one for _, one in takes),
        median(a / b for a, b in takes),
    )
    said = f"hold, settlement and record: {ours:.0f} us CPU a request at {RATE:,} a second (at most 60); "
    bare = f"the same rows by bare statements, each {WINDOW * 1000:g} ms: {bares:.0f} us; "
    return Figures(
        lines=(
            f"{said}{_waits(one.ledger for one in rounds)} (p50 at most 4)",
            f"{bare}{_waits(one.bare for one in rounds)}; the ledger costs {share:.2f} of these",
        )
    )


def _waits(turns: Iterable[Turn]) -> str:
    waits = sorted(wait for turn in turns for wait in turn.waits_ms)
    return f"a hold is waited for {waits[len(waits) // 2]:.1f} ms, p99 {waits[len(waits) * 99 // 100]:.1f} ms"


async def _turn(make: Callable[[Path], House] | None, file: Path, seconds: float) -> Turn:
    house = make(file) if make is not None else None
    if house is not None:
        await house.open()
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
        await house.written()
    cpu = time.process_time() - cpu
    if house is not None:
        house.close()
    return Turn(cpu / total * 1e6, waits)


async def _request(house: House | None, number: int, waits: list[float]) -> None:
    if house is None:
        await asyncio.sleep(STAY)
        return
    began = time.perf_counter()
    start = _start(number)
    await house.start(start)
    waits.append((time.perf_counter() - began) * 1000)
    await asyncio.sleep(STAY)
    house.end(_outcome(start))


class _Real:
    """Trivium's."""

    def __init__(self, file: Path) -> None:
        self._database = SqliteDatabase(file)
        migrate(self._database)
        self._ledger = Ledger(self._database, _CLOCK, "run_overhead")

    async def open(self) -> None:
        await self._ledger.load()
        accounts = Accounts(self._database, self._ledger, _CLOCK)
        for id, amount in BALANCES.items():
            await accounts.create("somebody", "user", id)
            entry = Entry(account_id=id, kind="grant", amount_nano=amount, time_ms=1, idempotency_key=f"grant {id}")
            await accounts.credit(entry)

    async def start(self, start: Start) -> None:
        if await self._ledger.start(start) is not None:
            raise RuntimeError("a hold was refused")

    def end(self, record: Record) -> None:
        self._ledger.end(record)

    async def written(self) -> None:
        await self._ledger.writer.flush()

    def close(self) -> None:
        self._ledger.writer.stop()
        self._database.close()


_CLOCK = SystemClock()
KINDS: dict[str, Callable[[Path], House] | None] = {
    "ledger": _Real,
    "bare": lambda file: Bare(file, BALANCES),
    "nothing": None,
}


def _start(number: int) -> Start:
    return Start(
        id=ids.request_id(),
        time_ms=_CLOCK.now_ms(),
        api="chat_completions",
        key_id="key_000000000000",
        account_id=f"acct_{number % len(BALANCES)}",
        scopes=(),
        payer="house",
        hold_nano=1_000_000,
        requested_model="openai/gpt-5",
        provider="openai",
        upstream_model="gpt-5",
        price_version="pr_000000000000",
    )


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
