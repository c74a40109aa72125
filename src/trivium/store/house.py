"""The house's own settings, with their version."""

from __future__ import annotations

import msgspec

from trivium.policy.access import HouseSettings
from trivium.store.versioned import Versioned


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The house's settings with their version; 0: never set."""

    version: int = 0
    settings: HouseSettings = HouseSettings()


class House(Versioned[HouseSettings, Settings]):
    kind, name, action, answer = HouseSettings, "house", "settings.set", Settings
