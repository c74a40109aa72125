"""The operations by name, with typed arguments and plain results, so that any face can carry them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from trivium.converted import worded
from trivium.errors import OperationError
from trivium.operations.admins import AdminOperations
from trivium.operations.alerts import AlertRuleOperations
from trivium.operations.audit import AuditOperations
from trivium.operations.captures import CaptureOperations
from trivium.operations.describe import describing
from trivium.operations.house import HouseOperations
from trivium.operations.keys import KeyOperations
from trivium.operations.money import MoneyOperations
from trivium.operations.orgs import OrganizationOperations
from trivium.operations.overview import OverviewOperations
from trivium.operations.reports import ReportOperations
from trivium.operations.requests import RequestOperations
from trivium.operations.retention import RetentionOperations
from trivium.operations.sessions import SessionOperations
from trivium.operations.table import OPERATOR, Actor, Arguments, Op, Table, check
from trivium.operations.tokens import TokenOperations
from trivium.operations.usage import UsageOperations
from trivium.operations.users import UserOperations
from trivium.settings_dashboard import DashboardSettings
from trivium.store.backup import back_up
from trivium.store.store import Store
from trivium.store.unbroken import unbroken


class Backup(Arguments, frozen=True):
    file: str
    """An absolute path, which the owner of the store can write."""


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    bytes: int


class Operations:
    """`perform` is the one way in. Must run where the store is owned."""

    def __init__(
        self, store: Store, more: Iterable[Table] = (), before_reading: Callable[[], None] = lambda: None
    ) -> None:
        """`more` are the operations of parts that a store alone does not have; they win over those that it has.
        `before_reading` hands over what is not with the store yet."""
        self._store = store
        self._before_reading = before_reading
        self.others: Callable[[], Awaitable[None]] | None = None
        """Has other processes of this gateway hand over theirs."""
        self.table: Table = {
            **KeyOperations(store).table,
            **ReportOperations(store, self._flush).table,
            **UsageOperations(store, self._flush).table,
            **OverviewOperations(store, self._flush).table,
            **RequestOperations(store, self._flush).table,
            **CaptureOperations(store, self._flush).table,
            "backup": Op(arguments=Backup, result=BackedUp, act=self._backup),
            **RetentionOperations(store).table,
            **MoneyOperations(store.accounts, store.clock).table,
            **TokenOperations(store.peppers).table,
            **AuditOperations(store.snapshot, self._flush).table,
            **UserOperations(store).table,
            **OrganizationOperations(store).table,
            **HouseOperations(store).table,
            **AdminOperations(store).table,
            **SessionOperations(store, DashboardSettings()).table,
            **AlertRuleOperations(store.alerts, store.clock).table,
        }
        for table in more:
            self.table.update(table)
        self.table |= describing(self.table)

    async def perform(self, name: str, arguments: dict[str, Any], actor: Actor = OPERATOR) -> Any:
        """Plain values. What changes something goes on to its end, though whoever asked for it leaves. Raises as
        `check`, and what the operation raises."""
        op, query = self._allowed(name, arguments, actor)
        acting = op.act(query, actor)
        return msgspec.to_builtins(await (unbroken(acting) if op.changes else acting))

    def check(self, name: str, arguments: dict[str, Any], actor: Actor) -> None:
        """Raises OperationError for an unknown name or arguments that do not fit, RoleMissing or NotFound where the
        actor may not."""
        self._allowed(name, arguments, actor)

    def _allowed(self, name: str, arguments: dict[str, Any], actor: Actor) -> tuple[Op, Any]:
        op = self.table.get(name)
        if op is None:
            raise OperationError(f"Unknown operation {name!r}; there are {', '.join(self.table)}.")
        try:
            query = msgspec.convert(arguments, op.arguments)
        except msgspec.ValidationError as error:
            raise OperationError(f"{name}: {worded(str(error), op.arguments)}") from None
        check(op, query, actor)
        return op, query

    async def _backup(self, query: Backup, _: Actor) -> BackedUp:
        file = Path(query.file)
        if not file.is_absolute():
            raise OperationError("The owner of the store works elsewhere: name the file by an absolute path.")
        await self._flush()
        return BackedUp(file=str(file), bytes=await asyncio.to_thread(back_up, self._store.database, file))

    async def flush(self) -> None:
        """Hands over what this process has and the database has not."""
        self._before_reading()
        await self._store.ledger.writer.flush()

    async def _flush(self) -> None:
        await self.flush()
        if self.others is not None:
            await self.others()
