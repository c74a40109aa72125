"""The one writer of records: off the request path, in batches, and never losing one that it took.

`add` is called on the event loop and only appends. A batch goes to a thread of its own, so that a commit (which waits
for the disk) never holds up the loop. A batch that cannot be written is kept and tried again; while the backlog is
full, `accepts` is false and the gateway refuses new calls rather than lose what they did.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import msgspec

from trivium.errors import StoreUnavailable
from trivium.metering.record import COLUMNS, Record
from trivium.store.database import transaction

_INSERT = (
    f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (id) DO NOTHING"
)
_LOG = logging.getLogger("trivium.store")


class RecordWriter:
    """Runs on the loop that first calls `add`; `close` drains it."""

    def __init__(
        self, connection: sqlite3.Connection, *, window: float = 0.1, backlog: int = 100_000, retry: float = 1.0
    ) -> None:
        """`window` is how many seconds a record may wait for company; `retry` how many to wait after a failure."""
        self._connection = connection
        self._window = window
        self._retry = retry
        self._backlog = backlog
        self._waiting: list[Record] = []
        self._taken = 0
        self._thread = ThreadPoolExecutor(1, "trivium-records")
        self._writing = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self.failing: str | None = None
        """Why the last batch could not be written; None while all is well."""

    @property
    def accepts(self) -> bool:
        return len(self._waiting) < self._backlog

    def add(self, record: Record) -> None:
        self._waiting.append(record)
        self._taken += 1
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush_later())

    async def flush(self) -> None:
        """Returns when everything added so far is durable. Raises StoreUnavailable if it cannot be made so now."""
        taken = self._taken
        while self._taken - len(self._waiting) < taken:
            await self._write()

    async def close(self, attempts: int = 5) -> None:
        """The last flush, tried a few times; what still cannot be written is said in the log, record by record."""
        for attempt in range(attempts):
            try:
                while self._waiting:
                    await self.flush()
                break
            except StoreUnavailable:
                await asyncio.sleep(self._retry if attempt < attempts - 1 else 0)
        if self._flushing is not None:
            self._flushing.cancel()
        for record in self._waiting:
            _tell_lost(record, self.failing)
        self._thread.shutdown()

    async def _flush_later(self) -> None:
        delay = self._window
        while self._waiting:
            await asyncio.sleep(delay)
            try:
                await self._write()
                delay = self._window
            except StoreUnavailable as error:
                if self.failing is None:
                    _LOG.error("records cannot be written, %d wait: %s", len(self._waiting), error.detail)
                self.failing = error.detail
                delay = self._retry
        self._flushing = None

    async def _write(self) -> None:
        """One batch. If the waiter is cancelled the thread still finishes, and the next batch finds its rows there."""
        async with self._writing:
            if not (batch := self._waiting[:]):
                return
            await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, batch)
            del self._waiting[: len(batch)]
            self.failing = None

    def _insert(self, batch: list[Record]) -> None:
        try:
            with transaction(self._connection) as connection:
                connection.executemany(_INSERT, map(msgspec.structs.astuple, batch))
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                _tell_lost(batch[0], error)
            else:
                for record in batch:
                    self._insert([record])


def _tell_lost(record: Record, why: object) -> None:
    _LOG.critical("record not stored (%s): %s", why, msgspec.json.encode(record).decode())
