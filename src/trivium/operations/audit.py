"""What an operator can ask of the auditor (`store/audit.py`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.store.aside import aside
from trivium.store.audit import Report, verify
from trivium.store.snapshot import Snapshot, sqlite_snapshot


class AuditOperations:
    """`table` is for `Operations`."""

    def __init__(
        self, snapshot: Callable[[], AbstractContextManager[Snapshot]], flush: Callable[[], Awaitable[None]]
    ) -> None:
        """`snapshot` opens the database once more, read-only; `flush` hands over what is not in it yet."""
        self._snapshot = snapshot
        self._flush = flush
        self.table: Table = {"ledger.verify": Op(arguments=Arguments, result=Report, act=self._verify)}

    async def _verify(self, _: Arguments, __: Actor) -> dict[str, Any]:
        """In a thread: it takes as long as it takes to read all rows. Raises StoreUnavailable."""
        await self._flush()
        return await aside(_verified, self._snapshot)


def verify_file(path: Path) -> dict[str, Any]:
    """The same of a SQLite file, such as a backup, that no gateway need own. Raises StoreUnavailable."""
    return _verified(lambda: sqlite_snapshot(path))


def _verified(snapshot: Callable[[], AbstractContextManager[Snapshot]]) -> dict[str, Any]:
    with snapshot() as database:
        shown: dict[str, Any] = msgspec.to_builtins(verify(database))
        return shown
