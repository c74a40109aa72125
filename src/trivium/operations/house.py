"""What the house's operators decide while it runs, and the log of who changed what. `table` is for `Operations`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.operations.orgs import Version
from trivium.operations.table import OFFICERS, Actor, Arguments, ListArguments, Listed, Needs, Op, Table, listed
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Id
from trivium.store.changes import changes
from trivium.store.house import Settings
from trivium.store.store import Store


class SetHouse(Arguments, frozen=True, kw_only=True):
    """Replaces all of them."""

    settings: HouseSettings
    version: Version | None = None
    """The version that they were made from: refused where there is another by now."""


class ListChanges(ListArguments, frozen=True, kw_only=True):
    """The newest first."""

    organization: Id | None = None


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log. Times are milliseconds since the epoch."""

    seq: int
    time_ms: int
    actor: str
    """`operator` for whoever uses the gateway's own door, else an admin credential's id."""
    action: str
    """The operation's name."""
    organization_id: str | None
    target: str
    """The id of what was changed."""
    before: Any = None
    after: Any = None


class HouseOperations:
    """Must run where the store is owned. `on_change` takes new settings into use at once."""

    def __init__(self, store: Store, on_change: Callable[[HouseSettings], None] = lambda _: None) -> None:
        self._store = store
        self._on_change = on_change
        self.table: Table = {
            "settings.show": Op(arguments=Arguments, result=Settings, act=self._show),
            "settings.set": Op(arguments=SetHouse, result=Settings, act=self._set, changes=True),
            "changes.list": Op(
                arguments=ListChanges, result=Listed[ChangeRow], act=self._changes, needs=Needs(roles=OFFICERS)
            ),
        }

    async def _show(self, _: Arguments, __: Actor) -> Settings:
        return await self._store.house.get()

    async def _set(self, query: SetHouse, actor: Actor) -> Settings:
        changed = await self._store.house.set(query.settings, query.version, actor.id)
        self._on_change(changed.settings)
        return changed

    async def _changes(self, query: ListChanges, _: Actor) -> Listed[ChangeRow]:
        rows = await changes(self._store.database, query.organization, query.below(), query.limit + 1)
        return listed(msgspec.convert(rows, list[ChangeRow]), query, lambda row: row.seq)
