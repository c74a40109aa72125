"""How commands reach the store: through the gateway that owns it, or as its owner where no gateway runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trivium import config
from trivium.clock import SystemClock
from trivium.errors import ConfigError
from trivium.operations.operations import Operations
from trivium.server import control
from trivium.server.deps import Gateway, secret_tables
from trivium.settings import Settings
from trivium.store.ownership import ownership
from trivium.store.store import Store

_WHOLE = (
    *("catalog.", "free.", "prices.", "reconcile", "limits", "explain", "routes"),
    *("alerts.channels", "alerts.test", "payments."),
)
"""Operations that need providers, prices and what else the configuration brings."""

_PART = 200
"""As much of a list as can be had at once."""


def settings_and_folder(config_file: str | None, env: Mapping[str, str] = os.environ) -> tuple[Settings, Path]:
    """Raises ConfigError."""
    settings = config.load(config.find_file(config_file, env), env)
    return settings, config.data_folder(settings, env)


def ask(config_file: str | None, operation: str, **arguments: Any) -> Any:
    """The operation's result. Raises ConfigError, OperationError, StoreUnavailable."""
    try:
        return ask_running(config_file, operation, **arguments)
    except ConnectionError:
        settings, folder = settings_and_folder(config_file)
        with ownership(folder):
            return asyncio.run(_alone(settings, folder, operation, arguments))


def ask_running(config_file: str | None, operation: str, **arguments: Any) -> Any:
    """The same of a gateway that runs, which does not mind what has become of its file since. Raises ConfigError where
    it cannot be told where its data lies, OperationError, and ConnectionError where none runs."""
    file = config.find_file(config_file, os.environ)
    try:
        folder = config.data_folder(config.load(file, os.environ), os.environ)
    except ConfigError:
        despite = config.folder_despite(file, os.environ)
        if despite is None:
            raise
        folder = despite
    return control.ask(folder, operation, arguments)


def every(config_file: str | None, operation: str, most: int | None = None, **arguments: Any) -> list[dict[str, Any]]:
    """The items of a list, part by part; up to `most` of them. Raises what `ask` does."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        limit = _PART if most is None else min(_PART, most - len(found))
        part = ask(config_file, operation, **arguments, after=after, limit=limit)
        found += part["items"]
        after = part["next"]
        if after is None or len(found) == most:
            return found


async def _alone(settings: Settings, folder: Path, operation: str, arguments: dict[str, Any]) -> Any:
    """Most operations need the store alone; a provider whose key is not at hand shall not keep anybody from them."""
    registers = operation.startswith("byok.") and settings.byok.openrouter is not None
    if operation.startswith(_WHOLE) or registers:
        gateway = Gateway(settings, folder, os.environ)
        try:
            await gateway.open()
            await gateway.read_prices()
            return await gateway.operations.perform(operation, arguments)
        finally:
            await gateway.close()
    keys = config.secret_keys(settings, os.environ)
    store = Store(folder, SystemClock(), config.database_url(settings, os.environ), keys)
    try:
        await store.ledger.load()
        tables = secret_tables(store, settings, folder)
        return await Operations(store, tables).perform(operation, arguments)
    finally:
        await store.close()
