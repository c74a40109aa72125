"""The command line in the test's own process, over a data folder of its own, with and without a gateway beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from support_store import furnish
from trivium import config
from trivium.cli.main import main
from trivium.clock import SystemClock
from trivium.metering.record import Record
from trivium.server import control
from trivium.server.deps import Gateway
from trivium.store.ownership import ownership
from trivium.store.store import Store


class Spoken:
    """What is called with words, and what it says."""

    def __call__(self, *words: str) -> Result:
        raise NotImplementedError

    def json(self, *words: str) -> Any:
        result = self(*words, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def refusal(self, *words: str) -> str:
        """The one line with which a command fails."""
        result = self(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("trivium: ")
        return line

    def table(self, *words: str) -> list[list[str]]:
        """The rows of a table, heads first; cells stand at least two blanks apart."""
        result = self(*words)
        assert (result.exit_code, result.stderr) == (0, "")
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()]


def heard(result: Result) -> Result:
    """An exception that would have been a trace on the terminal is raised."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class CommandLine(Spoken):
    """Calls `trivium`."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.env: dict[str, str | None] = {"TRIVIUM_CONFIG": None, "TRIVIUM_DATA": str(data)}

    def __call__(self, *words: str, given: bytes | None = None) -> Result:
        return heard(CliRunner().invoke(main, words, input=given, env=self.env))

    def store(self) -> Store:
        """To be closed before a command is given."""
        furnish(self.data)
        return Store(self.data, SystemClock())

    def keep(self, *records: Record) -> None:
        """Puts records into the store, while nobody else owns it."""

        async def fill() -> None:
            store = self.store()
            for record in records:
                store.ledger.end(record)
            await store.close()

        asyncio.run(fill())


@contextlib.asynccontextmanager
async def beside_a_gateway(folder: Path) -> AsyncIterator[Gateway]:
    """Owns the folder as a running gateway does. Commands must be called from another thread."""
    with ownership(folder):
        furnish(folder)
        gateway = Gateway(config.parse("[local]\nenabled = false"), folder, {})
        door = await control.serve(folder, gateway.operations.perform)
        try:
            yield gateway
        finally:
            door.close()
            await gateway.close()
