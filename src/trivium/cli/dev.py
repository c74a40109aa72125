"""`trivium dev`: what people who work on Trivium need and nobody else."""

from __future__ import annotations

import asyncio
import os
import time

import click

from trivium import config
from trivium.cli.ask import settings_and_folder
from trivium.cli.options import config_option
from trivium.operations.seed import seed
from trivium.store.ownership import ownership


@click.group()
def dev() -> None:
    """For work on Trivium itself."""


@dev.command("seed")
@click.option("--records", default=100_000, show_default=True, type=click.IntRange(1, 100_000_000))
@click.option("--seed", "number", default=1, show_default=True, help="Another number gives other data.")
@click.option("--force", is_flag=True, help="Also into a store that has records.")
@config_option
def seed_(records: int, number: int, force: bool, config_file: str | None) -> None:
    """Fills the data folder with made-up organizations, keys and calls of the last 90 days. Not beside a gateway."""
    settings, folder = settings_and_folder(config_file)
    with ownership(folder):
        url, now_ms = config.database_url(settings, os.environ), time.time_ns() // 1_000_000
        asyncio.run(seed(folder, url, records, now_ms, force=force, say=click.echo, number=number))
