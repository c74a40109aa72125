"""`trivium alerts`, which asks the gateway that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support_cli import CommandLine
from trivium import config
from trivium.server import control
from trivium.server.deps import Gateway
from trivium.store.ownership import ownership


def test_without_a_gateway_nobody_knows(tmp_path: Path) -> None:
    assert "No gateway runs here" in CommandLine(tmp_path).refusal("alerts")


async def test_who_refuses_the_running_gateway(tmp_path: Path) -> None:
    with ownership(tmp_path):
        gateway = Gateway(config.parse("[local]\nenabled = false\n"), tmp_path, {})
        door = await control.serve(tmp_path, gateway.operations.perform)
        home = CommandLine(tmp_path)
        nothing = await asyncio.to_thread(home, "alerts")
        gateway.deps.alerts.raised("openai", 402, "no credit", 0)
        rows = await asyncio.to_thread(home.table, "alerts")
        told = await asyncio.to_thread(home.json, "alerts")
        door.close()
        await gateway.close()
    assert nothing.stdout == "No provider refuses this gateway's account.\n"
    assert rows[0] == ["provider", "status", "calls", "since (UTC)", "last (UTC)", "what it says"]
    assert (rows[1][:3], rows[1][-1]) == (["openai", "402", "1"], "no credit")
    assert [one["provider"] for one in told] == ["openai"]
