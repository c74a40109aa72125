"""Values that operators replace as a whole, with a version that goes up by one with each change. Rows of `settings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from trivium.store.changes import Changing, text
from trivium.store.organizations import check_version
from trivium.store.sql import Row, Writing

_T = TypeVar("_T", bound=msgspec.Struct)
_R = TypeVar("_R")


class Versioned(Changing, Generic[_T, _R]):
    """As `Changing` has it, of the value under one name. Version 0: never set, and the kind's defaults hold."""

    kind: type[_T]
    name: str
    action: str
    """What the log calls a change."""
    answer: Callable[..., _R]
    """Made of `version` and `settings`."""

    async def get(self) -> _R:
        rows = await self.database.ask("SELECT content, version FROM settings WHERE name = ?", (self.name,))
        value, version = self._read(rows)
        return self.answer(version=version, settings=value)

    async def set(self, value: _T, version: int | None, actor: str) -> _R:
        """Replaces the value; `version` is the one that it was made from, if that matters."""

        def act(tx: Writing) -> _R:
            # Nobody else changes it until the transaction ends.
            rows = tx.execute(
                "UPDATE settings SET version = version WHERE name = ? RETURNING content, version", (self.name,)
            )
            before, present = self._read(rows)
            check_version(version, present)
            tx.execute(
                "INSERT INTO settings (name, content, version) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " content = excluded.content, version = excluded.version",
                (self.name, text(value), present + 1),
            )
            self.note(tx, actor, self.action, self.name, before=before, after=value)
            return self.answer(version=present + 1, settings=value)

        return await self.change(act)

    def _read(self, rows: list[Row]) -> tuple[_T, int]:
        return (msgspec.json.decode(rows[0][0], type=self.kind), rows[0][1]) if rows else (self.kind(), 0)
