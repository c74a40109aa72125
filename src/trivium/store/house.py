"""The house's own settings, with a version that goes up by one with each change."""

from __future__ import annotations

import msgspec

from trivium.policy.access import HouseSettings
from trivium.store.changes import Changing, text
from trivium.store.organizations import check_version
from trivium.store.sql import Row, Writing

_HOUSE = "house"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The house's settings with their version; 0: never set."""

    version: int = 0
    settings: HouseSettings = HouseSettings()


class House(Changing):
    """As `Changing` has it."""

    async def get(self) -> Settings:
        rows = await self.database.ask("SELECT content, version FROM settings WHERE name = ?", (_HOUSE,))
        return _settings(rows)

    async def set(self, settings: HouseSettings, version: int | None, actor: str) -> Settings:
        """Replaces the house's settings; `version` is the one that they were made from, if that matters."""

        def act(tx: Writing) -> Settings:
            # Nobody else changes them until the transaction ends.
            rows = tx.execute(
                "UPDATE settings SET version = version WHERE name = ? RETURNING content, version", (_HOUSE,)
            )
            before = _settings(rows)
            check_version(version, before.version)
            after = Settings(version=before.version + 1, settings=settings)
            tx.execute(
                "INSERT INTO settings (name, content, version) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " content = excluded.content, version = excluded.version",
                (_HOUSE, text(settings), after.version),
            )
            self.note(tx, actor, "settings.set", _HOUSE, before=before.settings, after=settings)
            return after

        return await self.change(act)


def _settings(rows: list[Row]) -> Settings:
    if not rows:
        return Settings()
    return Settings(version=rows[0][1], settings=msgspec.json.decode(rows[0][0], type=HouseSettings))
