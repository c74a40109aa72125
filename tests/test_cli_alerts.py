"""`trivium alerts`, which asks the gateway that runs."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from support_cli import CommandLine
from support_hooks import Hook
from support_records import record
from trivium import config
from trivium.server import control
from trivium.server.deps import Gateway
from trivium.store.ownership import ownership


@pytest.fixture
def home(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


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


def test_rules_are_shown_and_replaced(home: CommandLine) -> None:
    before = json.loads(home("alerts", "rules", "show").stdout)
    assert (before["version"], before["settings"]["objective"]) == (0, 0.999)
    after = home("alerts", "rules", "set", "-", "--version", "0", given=b'{"objective": 0.99}')
    assert json.loads(after.stdout)["version"] == 1
    again = home("alerts", "rules", "set", "-", "--version", "0", given=b"{}")
    assert (again.exit_code, "have version 1, not 0" in again.stderr) == (1, True)
    wrong = home("alerts", "rules", "set", "-", given=b'{"objective": 2}')
    assert (wrong.exit_code, "objective" in wrong.stderr) == (1, True)
    (change,) = home.json("audit")
    assert (change["action"], change["after"]["objective"]) == ("alerts.rules.set", 0.99)


def test_the_past_suggests_rules_that_can_be_taken(home: CommandLine) -> None:
    now = int(time.time() * 1000)
    told = {"time_ms": now, "provider": "up", "upstream_model": "m", "payer": "house"}
    home.keep(*(record(f"r{n}", **told, first_token_us=400_000 + n) for n in range(200)))
    home.keep(*(record(f"x{n}", **(told | {"upstream_model": "rare"})) for n in range(3)))
    rows = home.table("alerts", "baseline")
    assert rows == [
        ["model", "calls", "errors", "p99 first token (ms)", "objective", "slow from (ms)"],
        ["up/m", "200", "0", "401", "0.9999", "510"],
        ["up/rare", "3", "0", "-", "-", "-"],
    ]
    home("alerts", "rules", "set", "-", given=b'{"objectives": {"up/*": 0.9}}')
    assert home("alerts", "baseline", "--apply").exit_code == 0
    rules = json.loads(home("alerts", "rules", "show").stdout)["settings"]
    assert rules["objectives"] == {"up/*": 0.9, "up/m": 0.9999}
    assert rules["slow_ms"] == {"up/m": 510}


def test_without_channels_there_is_nothing_to_test(home: CommandLine) -> None:
    assert "There is no channel" in home.refusal("alerts", "test")
    assert home.table("alerts", "channels") == [["channel", "kind", "where", "severities", "rules", "of", "problem"]]
    assert home.table("alerts", "notices") == [["time (UTC)", "severity", "what", "told to"]]


async def test_a_test_says_which_channels_take_it(home: CommandLine) -> None:
    async with Hook() as good, Hook(404) as bad:
        urls = {"good": good.url, "bad": bad.url}
        text = "".join(f'[alerts.webhooks.{name}]\nurl = "{url}"\n' for name, url in urls.items())
        (home.data / "trivium.toml").write_text(f"[local]\nenabled = false\n{text}")
        result = await asyncio.to_thread(home, "alerts", "test")
        one = await asyncio.to_thread(home, "alerts", "test", "good")
        nobody = await asyncio.to_thread(home, "alerts", "test", "nobody")
        channels = await asyncio.to_thread(home.table, "alerts", "channels")
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["good", "status", "200", "-"], ["bad", "status", "404", "status", "404"],
    ]  # fmt: skip
    assert (one.exit_code, len(good.bodies)) == (0, 2)
    assert (good.bodies[0]["test"], good.bodies[0]["alerts"][0]["rule"]) == (True, "test")
    assert (nobody.exit_code, "there are good, bad" in nobody.stderr) == (1, True)
    for row, url in zip(channels[1:], urls.values(), strict=True):
        assert row[1:3] == ["webhook", url.replace("/services/secret-path", "/...path")]
        assert row[3:] == ["page, ticket", "all", "on", "file", "-"]
