"""`trivium abuse`, which asks the gateway that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support_cli import CommandLine, beside_a_gateway
from trivium import config
from trivium.server import control
from trivium.server.deps import Gateway
from trivium.store.ownership import ownership


def test_without_a_gateway_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert "No gateway runs here" in CommandLine(tmp_path).refusal("abuse")


async def test_where_nobody_looks_it_says_so(tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path):
        assert await asyncio.to_thread(CommandLine(tmp_path).json, "abuse") == {"mode": "off"}


async def test_the_figures_of_the_running_gateway(tmp_path: Path) -> None:
    with ownership(tmp_path):
        text = '[local]\nenabled = false\n[abuse.classifier]\nurl = "http://127.0.0.1:9"\n'
        gateway = Gateway(config.parse(text), tmp_path, {})
        door = await control.serve(tmp_path, gateway.operations.perform)
        rows = await asyncio.to_thread(CommandLine(tmp_path).table, "abuse")
        door.close()
        await gateway.close()
    assert rows == [
        ["what", "how many"],
        ["mode", "log"],
        ["allow", "0"],
        ["soft block", "0"],
        ["challenge", "0"],
        ["hard block", "0"],
        ["late verdicts", "0"],
    ]
