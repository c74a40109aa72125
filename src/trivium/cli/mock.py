"""`trivium mock`: the scripted upstream on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import click

from trivium.mock import load_script, serve
from trivium.mock.script import Script
from trivium.telemetry import logs


@click.command()
@click.option(
    "--script",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML or JSON; without one the last user text is repeated.",
)
@click.option("--port", required=True, type=click.IntRange(0, 65_535))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), help="Append what it is sent, as JSON lines."
)
def mock(script: Path | None, port: int, host: str, record: Path | None) -> None:
    """Play answers, streams, delays, errors and aborts in all three APIs, as a script says."""
    logs.set_up("info")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(load_script(script) if script else Script(), host, port, record))
