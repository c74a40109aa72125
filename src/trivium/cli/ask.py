"""How commands reach the store: through the gateway that owns it, or as its owner where no gateway runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from trivium import config
from trivium.clock import SystemClock
from trivium.operations.operations import Operations
from trivium.server import control
from trivium.store.database import ownership
from trivium.store.store import Store


def settings_and_folder(config_file: str | None) -> tuple[config.Settings, Path]:
    """Raises ConfigError."""
    settings = config.load(config.find_file(config_file, os.environ), os.environ)
    return settings, config.data_folder(settings, os.environ)


def ask(config_file: str | None, operation: str, **arguments: Any) -> Any:
    """The operation's result. Raises ConfigError, OperationError, StoreUnavailable."""
    _, folder = settings_and_folder(config_file)
    try:
        return control.ask(folder, operation, arguments)
    except ConnectionError:
        with ownership(folder):
            return asyncio.run(_alone(folder, operation, arguments))


async def _alone(folder: Path, operation: str, arguments: dict[str, Any]) -> Any:
    store = Store(folder, SystemClock())
    try:
        return await Operations(store).perform(operation, arguments)
    finally:
        await store.close()
