"""Kilo Code's command line with this gateway in the place of its own: its provider, its paths, its headers, its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from programs import Ended, installed, run
from test_clients import FINAL_TEXT, TASK, playing

from gateway import ALL_APIS, Running, running
from support_kilo import organization, person
from support_money import CREDITS, customer
from trivium.policy.caller import Role

pytestmark = pytest.mark.clients

HOUSE = """
[catalog]
default_model = "second"
preferred = ["second"]
[models."up/*"]
price = { input = "1", output = "2" }
"""
PROVIDER = f'{ALL_APIS}\nmodels = ["first", "second"]'


async def kilo(house: Running, home: Path, *words: str, key: str | None = "", **env: str) -> Ended:
    """`key=None` signs nobody in."""
    program = installed("agents") / "node_modules" / ".bin" / "kilo"
    key = house.key if key == "" else key
    signed_in = {"KILO_API_KEY": key} if key is not None else {}
    settled = {"KILO_DISABLE_AUTOUPDATE": "1", "KILO_DISABLE_MODELS_FETCH": "1", "KILO_TELEMETRY_LEVEL": "off"}
    return await run([str(program), *words], home=home, env={"KILO_API_URL": house.url, **signed_in, **settled, **env})


def house(**options: Any) -> Any:
    return running(**{"script": playing(), "settings": HOUSE, "provider": PROVIDER, **options})


async def test_a_turn_with_its_shell_goes_through_and_says_where_it_comes_from(tmp_path: Path) -> None:
    async with house() as running_:
        ended = await kilo(running_, tmp_path, "run", "--auto", "-m", "kilo/first", TASK)
        records = [record for record in await running_.records() if record["upstream_model"]]
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert {record["outcome"] for record in records} == {"success"}
    assert {record["mode"] for record in records} >= {"code"}
    assert {(record["feature"], record["editor"]) for record in records} == {("cli", "Kilo CLI 7.7.7")}
    turns = [record for record in records if record["mode"] == "code"]
    assert len({record["task_id"] for record in turns}) == 1
    assert all(record["machine_id"] for record in turns)


async def test_it_lists_the_models_and_takes_the_default(tmp_path: Path) -> None:
    async with house() as running_:
        listed = await kilo(running_, tmp_path, "models", "kilo")
        ended = await kilo(running_, tmp_path, "run", "--auto", TASK)
        records = [record for record in await running_.records() if record["upstream_model"]]
    assert sorted(listed.out.split()) == ["kilo/first", "kilo/second"], listed
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert "second" in {record["upstream_model"] for record in records}


async def test_an_organizations_policy_is_what_its_members_see(tmp_path: Path) -> None:
    async with house() as running_:
        key = await person(running_)
        await organization(running_, "acme", {"alice": Role.MEMBER}, models_allow=("first",))
        listed = await kilo(running_, tmp_path, "models", "kilo", key=key, KILO_ORG_ID="acme")
        ended = await kilo(running_, tmp_path, "run", "--auto", TASK, key=key, KILO_ORG_ID="acme")
        refused = [r for r in await running_.records() if r["outcome"] == "refused" and r["error_code"] != "path_not_found"]
    assert listed.out.split() == ["kilo/first"], listed
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert refused == []


async def test_it_shows_what_a_402_says(tmp_path: Path) -> None:
    async with house(settings=CREDITS) as running_:
        await customer(running_, "0.000001")
        ended = await kilo(running_, tmp_path, "run", "--auto", "-m", "kilo/first", TASK)
    assert ended.status == 1
    assert "or add credits" in ended.out + ended.err, ended


async def test_a_wrong_key_is_said(tmp_path: Path) -> None:
    async with house() as running_:
        ended = await kilo(running_, tmp_path, "run", "--auto", "-m", "kilo/first", TASK, key="tv-wrong")
        asked = {record["error_code"] for record in await running_.records()}
    assert ended.status == 1
    print(ended)
    assert "invalid_api_key" in asked
