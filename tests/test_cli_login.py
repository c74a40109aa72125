"""`trivium login-link`, and the link that `trivium up` prints to a person."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway
from trivium import config
from trivium.cli.up import Console
from trivium.server import run
from trivium.server.deps import Gateway
from trivium.settings_dashboard import DashboardSettings
from trivium.store.sessions import Visit


def test_a_link_is_printed_alone_so_that_a_script_can_take_it(trivium: CommandLine) -> None:
    result = trivium("login-link")
    assert result.exit_code == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:4000/dashboard/sign-in\?link=tvl-[0-9A-Za-z]{43}\n", result.stdout)
    assert re.fullmatch(r"good once, until [-\d :]+ UTC, for the house\n", result.stderr)


def test_it_names_the_address_that_people_use(trivium: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "trivium.toml").write_text('[server]\nhost = "::"\nport = 5000\n')
    assert trivium("login-link").stdout.startswith("http://[::1]:5000/dashboard/")
    (tmp_path / "trivium.toml").write_text('[dashboard]\nurl = "https://llm.example"\n')
    assert trivium("login-link").stdout.startswith("https://llm.example/dashboard/")


def test_there_is_none_where_the_dashboard_is_switched_off(trivium: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "trivium.toml").write_text("[dashboard]\nenabled = false\n")
    result = trivium("login-link")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "trivium: The dashboard is switched off: `[dashboard] enabled = false`.\n"


async def test_nor_beside_a_gateway_that_has_none(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path / "data") as gateway:
        gateway.sessions.settings = DashboardSettings(enabled=False)
        assert "is switched off" in await asyncio.to_thread(trivium.refusal, "login-link")


def test_nobody_has_no_link(trivium: CommandLine) -> None:
    result = trivium("login-link", "--user", "nobody")
    assert (result.exit_code, result.stderr) == (1, "trivium: There is no user 'nobody'.\n")


async def test_a_running_gateway_takes_it(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path / "data") as gateway:
        await asyncio.to_thread(trivium, "users", "create", "--name", "Ann", "--id", "ann")
        made = await asyncio.to_thread(trivium.json, "login-link", "--user", "ann", "--minutes", "5")
        opened = await gateway.store.sessions.open_by_link(made["token"], Visit(way="link", lasts_ms=1000))
        assert opened.session.user_id == "ann"
        assert made["url"].endswith(made["token"])
        # It listens elsewhere than the file says that is read here.
        gateway.sessions.address = "http://127.0.0.1:4321"
        found = await asyncio.to_thread(trivium.json, "login-link")
        assert found["url"] == f"http://127.0.0.1:4321/dashboard/sign-in?link={found['token']}"


@pytest.mark.parametrize(
    ("attended", "settings", "links"),
    [(True, "", 1), (False, "", 0), (True, "links = false", 0), (True, "enabled = false", 0)],
)
async def test_up_prints_a_link_where_a_person_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], attended: bool, settings: str, links: int
) -> None:
    class Looked(Console):
        is_attended = attended

    gateway = Gateway(config.parse(f"[local]\nenabled = false\n[dashboard]\n{settings}"), tmp_path, {})
    Looked().ready("http://127.0.0.1:4000", None, gateway)
    gateway.sessions.address = "http://127.0.0.1:4000"
    await run.invite(gateway, Looked())
    said = capsys.readouterr().out
    assert said.count("http://127.0.0.1:4000/dashboard/sign-in?link=tvl-") == links
    assert ("Dashboard " in said) is ("enabled" not in settings)
    await gateway.close()
