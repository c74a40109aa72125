"""A yardstick for the ledger's overhead: its rows by bare statements, and nothing else that a ledger is for.

It leaves out nearly everything: budgets, credits that expire, several processes, starts that end twice, rows that a
database does not take, sums for reports, word of failures. Balances are numbers in a dictionary, and a thread commits
every two milliseconds what has come since, with a statement of each kind. Nobody could keep accounts with it; the goal
of 60 us comes from a prototype of this kind, and what it takes tells what the machine of the moment can do.
"""
# ruff: noqa: S608 # statements are made of the tables' own columns

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import msgspec

from trivium.metering.record import COLUMNS, Record
from trivium.metering.start import Start
from trivium.store.migrations import migrate
from trivium.store.posting import charge_of, start_row, write_starts
from trivium.store.sqlite import SqliteDatabase

WINDOW = 0.002
"""Seconds between two transactions."""
_ACCOUNT = "INSERT INTO accounts (id, kind, name, created_ms, balance_nano) VALUES (?, 'user', 'somebody', 1, ?)"
_HELD = "UPDATE accounts SET held_nano = held_nano + ? WHERE id = ?"
_ENDED = "UPDATE starts SET ended = 1 WHERE id = ?"
_CHARGED = "UPDATE accounts SET balance_nano = balance_nano - ?, held_nano = held_nano - ? WHERE id = ?"
_ENTRY = f"INSERT INTO entries VALUES (NULL, {', '.join('?' * 10)})"
_RECORD = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Bare:
    """A ledger to look at."""

    def __init__(self, file: Path, balances: dict[str, int]) -> None:
        self._database = SqliteDatabase(file)
        migrate(self._database)
        with self._database.transaction() as tx:
            tx.executemany(_ACCOUNT, balances.items())
        self._free = dict(balances)
        self._starts: list[tuple[Start, asyncio.Future[None]]] = []
        self._ends: list[Record] = []
        self._thread = threading.Thread(target=self._work)
        self._ending = False

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def start(self, start: Start) -> None:
        """Returns when the hold is durable."""
        assert start.account_id is not None
        if self._free[start.account_id] < start.hold_nano:
            raise RuntimeError("a hold was refused")
        self._free[start.account_id] -= start.hold_nano
        durable = self._loop.create_future()
        self._starts.append((start, durable))
        await durable

    def end(self, record: Record) -> None:
        assert record.account_id is not None
        self._free[record.account_id] += record.hold_nano - record.cost_nano
        self._ends.append(record)

    async def written(self) -> None:
        """When everything is; it is the end."""
        self._ending = True
        await asyncio.to_thread(self._thread.join)

    def close(self) -> None:
        self._database.close()

    def _work(self) -> None:
        while not (self._ending and not self._starts and not self._ends):
            time.sleep(WINDOW)
            starts, self._starts = self._starts, []
            ends, self._ends = self._ends, []
            if starts or ends:
                self._commit([start for start, _ in starts], ends)
            if starts:
                self._loop.call_soon_threadsafe(_tell, [durable for _, durable in starts])

    def _commit(self, starts: list[Start], ends: list[Record]) -> None:
        with self._database.transaction() as tx:
            if starts:
                write_starts(tx, [start_row(start, "run_bare", ()) for start in starts])
                tx.executemany(_HELD, [(start.hold_nano, start.account_id) for start in starts])
            if ends:
                tx.executemany(_ENDED, [(end.id,) for end in ends])
                tx.executemany(_CHARGED, [(end.cost_nano, end.hold_nano, end.account_id) for end in ends])
                charges = [charge_of(end, end.account_id or "", end.hold_nano) for end in ends]
                tx.executemany(_ENTRY, map(msgspec.structs.astuple, charges))
                tx.executemany(_RECORD, map(msgspec.structs.astuple, ends))


def _tell(waiting: list[asyncio.Future[None]]) -> None:
    for durable in waiting:
        durable.set_result(None)
