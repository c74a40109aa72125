"""The store of one data folder: opened once, by its owner."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

from trivium.clock import Clock
from trivium.store import reports
from trivium.store.database import connect, migrate
from trivium.store.keys import KeyStore, read_pepper
from trivium.store.writer import RecordWriter


class Store:
    """Keys, records and reports over one SQLite file. Reads have a connection beside the writer's, so that they wait
    for no commit. Raises StoreUnavailable when the file cannot be opened."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "trivium.db"
        # What SQLite lays beside the file has the file's mode.
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._writing = connect(path)
        migrate(self._writing)
        self._reading = connect(path)
        pepper = read_pepper(folder)
        self.keys = KeyStore(self._reading, pepper, clock)
        self.seal_key = hashlib.blake2b(pepper, person=b"seals").digest()
        """The secret of envelopes; the same at the next start, and of no use to find the pepper."""
        self.records = RecordWriter(self._writing)

    def usage(self, query: reports.UsageQuery) -> list[dict[str, Any]]:
        return reports.usage(self._reading, query)

    def requests(self, query: reports.RequestQuery) -> list[dict[str, Any]]:
        return reports.requests(self._reading, query)

    def problem(self) -> str | None:
        """Why the store cannot do its work now; None when it answers."""
        try:
            self._reading.execute("SELECT count(*) FROM keys WHERE id = ''").fetchone()
        except sqlite3.Error as error:
            return str(error)
        return self.records.failing

    async def close(self) -> None:
        """Makes everything durable, then closes the file."""
        await self.records.close()
        for connection in (self._reading, self._writing):
            connection.close()
