"""`trivium backup`, and the way back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway
from support_records import record
from support_store import PostgresServer
from trivium.store.schema import MIGRATIONS


def test_a_store_comes_back_from_its_copy_and_its_pepper(trivium: CommandLine, tmp_path: Path) -> None:
    made = trivium.json("keys", "create", "--name", "laptop")
    trivium.keep(record("a", output_tokens=3))
    copy = tmp_path / "copy.db"
    said = trivium("backup", str(copy)).stdout
    assert said.startswith(f"{copy}: ")
    assert "pepper" in said
    restored = CommandLine(tmp_path / "restored")
    restored.data.mkdir()
    shutil.copy(copy, restored.data / "trivium.db")
    shutil.copy(trivium.data / "pepper", restored.data)
    assert restored.json("requests") == trivium.json("requests")
    assert restored.json("usage") == trivium.json("usage")
    assert restored.json("keys", "list")[0]["id"] == made["id"]


def test_a_name_is_taken_where_the_command_is_given(
    trivium: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trivium.json("backup", "copy.db")["file"] == str(tmp_path / "copy.db")


def test_a_copy_is_looked_at(trivium: CommandLine, tmp_path: Path) -> None:
    trivium.keep(record("a"))
    copy = str(tmp_path / "copy.db")
    trivium("backup", copy)
    heads, *rows = trivium.table("backup", "--check", copy)[1:]
    assert heads == ["table", "rows"]
    assert ["records", "1"] in rows
    assert trivium.json("backup", "--check", copy)["schema"] == len(MIGRATIONS)


def test_nothing_is_overwritten_and_nothing_else_is_believed(trivium: CommandLine, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("precious")
    assert "is there already" in trivium.refusal("backup", str(other))
    assert "no sound copy" in trivium.refusal("backup", "--check", str(other))
    assert other.read_text() == "precious"


async def test_a_running_gateway_makes_it(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(trivium.data) as gateway:
        gateway.store.ledger.end(record("a"))
        await asyncio.to_thread(trivium.json, "backup", str(tmp_path / "copy.db"))
    assert trivium.json("backup", "--check", str(tmp_path / "copy.db"))["rows"]["records"] == 1


def test_of_postgres_it_is_said_how_without_the_password(
    trivium: CommandLine, tmp_path: Path, postgres: PostgresServer
) -> None:
    name = postgres.create("newest")
    (tmp_path / "url").write_text(postgres.url(name) + "&password=secret")
    (tmp_path / "trivium.toml").write_text(f'[storage]\nurl = "file:{tmp_path / "url"}"\n')
    trivium.env["TRIVIUM_CONFIG"] = str(tmp_path / "trivium.toml")
    said = trivium.refusal("backup", str(tmp_path / "copy.dump"))
    assert f"pg_dump --format=custom --exclude-table-data=captures --file={tmp_path / 'copy.dump'} --dbname=" in said
    assert "secret" not in said
    assert trivium.json("keys", "create", "--name", "laptop")["name"] == "laptop"
    assert len(trivium.json("keys", "list")) == 1
    assert not (trivium.data / "trivium.db").exists()
    postgres.drop(name)
