"""Kilo Code's command line with this gateway in the place of its own: its paths, its headers, its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from programs import Ended, installed, run
from test_clients import FINAL_TEXT, TASK, playing

from gateway import ALL_APIS, Running, running
from support_kilo import organization, person
from support_money import CREDITS, customer, operate
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
        refused = [
            r for r in await running_.records() if r["outcome"] == "refused" and r["error_code"] != "path_not_found"
        ]
    assert listed.out.split() == ["kilo/first"], listed
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert refused == []


async def test_it_shows_what_a_402_says(tmp_path: Path) -> None:
    async with house(settings=CREDITS) as running_:
        await customer(running_, "0.000001")
        ended = await kilo(running_, tmp_path, "run", "--auto", "-m", "kilo/first", TASK)
    assert ended.status == 1
    assert "or add credits" in ended.out + ended.err, ended


@pytest.mark.parametrize(
    ("key", "said", "code"),
    [
        ("tv-wrong", "The API key is not valid.", "invalid_api_key"),
        (None, "No API key was sent.", "paid_model_auth_required"),
    ],
)
async def test_it_shows_what_a_401_says(tmp_path: Path, key: str | None, said: str, code: str) -> None:
    model = {"first": {"name": "First", "limit": {"context": 100_000, "output": 8_000}}}  # for it is told no list
    settings = tmp_path / ".config" / "kilo" / "kilo.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"provider": {"kilo": {"models": model}}}))
    async with house() as running_:
        ended = await kilo(running_, tmp_path, "run", "--auto", "-m", "kilo/first", TASK, key=key)
        turns = [record for record in await running_.records() if record["mode"] == "code"]
    assert ended.status == 1
    assert said in ended.out + ended.err, ended
    assert {(record["status"], record["error_code"]) for record in turns} == {(401, code)}


async def test_its_profile_is_the_users(tmp_path: Path) -> None:
    async with house(settings=CREDITS) as running_:
        key = await person(running_)
        await operate(running_, "credits.top_up", account="alice", usd="2.5")
        signed_in = {"type": "oauth", "access": key, "refresh": key, "expires": 9_999_999_999_999}
        file = tmp_path / ".local" / "share" / "kilo" / "auth.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"kilo": signed_in}))
        ended = await kilo(running_, tmp_path, "profile", key=None)
    shown = dict(line.split(": ", 1) for line in ended.out.splitlines() if ": " in line)
    assert (shown["Name"], shown["Email"], shown["Balance"]) == ("Alice", "alice@example.com", "$2.50"), ended


async def test_without_a_key_it_works_with_a_free_model_and_hears_of_no_other(tmp_path: Path) -> None:
    dear = '[models."up/second"]\nprice = { input = "1", output = "2" }\n'
    settings = f'[free]\nanonymous = true\npatterns = ["up/first"]\n{dear}'
    async with house(settings=settings) as running_:
        listed = await kilo(running_, tmp_path, "models", "kilo", key=None)
        ended = await kilo(running_, tmp_path, "run", "--auto", "-m", "kilo/first", TASK, key=None)
        records = [record for record in await running_.records() if record["upstream_model"]]
    assert listed.out.split() == ["kilo/first"], listed
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert {(record["key_id"], record["cost_nano"]) for record in records} == {(None, 0)}
