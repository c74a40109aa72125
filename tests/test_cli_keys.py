"""`trivium keys`, with and without a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway
from trivium.store.ownership import ownership

CAPTURE = ("capture", "capture_until_ms")


def test_a_key_is_printed_alone_so_that_a_script_can_take_it(trivium: CommandLine) -> None:
    result = trivium("keys", "create", "--name", "laptop")
    assert result.exit_code == 0
    assert re.fullmatch(r"tv-[0-9A-Za-z]{43}\n", result.stdout)
    assert re.fullmatch(r"key_\w{12} \(laptop\): copy the key now, it is not shown again\.\n", result.stderr)


def test_create_list_and_revoke_as_json(trivium: CommandLine) -> None:
    made = trivium.json("keys", "create", "--name", "laptop")
    shown = {"id", "name", "hint", "created_ms", "revoked_ms", "strict", "account_id", "user_id", "project_id"}
    assert set(made) == {*shown, "expires_ms", "scopes", "limits", "ceiling", "last_used_ms", "key", *CAPTURE}
    assert made["strict"] is False
    assert made["key"].endswith(made["hint"])
    (listed,) = trivium.json("keys", "list")
    assert listed == {name: value for name, value in made.items() if name != "key"}
    ended = trivium.json("keys", "revoke", made["id"])
    assert ended["revoked_ms"] >= made["created_ms"]
    assert trivium.json("keys", "list") == [ended]


def test_the_list_shows_no_key(trivium: CommandLine) -> None:
    heads = ["id", "name", "key", "created (UTC)", "revoked (UTC)", "losses", "capture", "account", "user", "project"]
    assert trivium.table("keys", "list") == [heads]
    assert trivium.json("keys", "list") == []
    text = trivium("keys", "create", "--name", "Füße").stdout.strip()
    _, (id, name, hint, created, revoked, *others) = trivium.table("keys", "list")
    assert (name, hint, revoked, others) == ("Füße", f"...{text[-4:]}", "-", ["-"] * 5)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", created)
    trivium("keys", "revoke", id)
    assert trivium.table("keys", "list")[1][4] != "-"


def test_a_moment_that_has_no_date_is_shown_as_its_number(trivium: CommandLine) -> None:
    """As keys may have that were made before the year 9999 was the last."""
    made = trivium.json("keys", "create", "--name", "far")
    with contextlib.closing(sqlite3.connect(trivium.data / "trivium.db")) as database, database:
        database.execute("UPDATE keys SET expires_ms = ?", (2**53,))
    assert str(2**53) in trivium("keys", "show", made["id"]).stdout


def test_a_key_may_be_strict_about_losses(trivium: CommandLine) -> None:
    made = trivium.json("keys", "create", "--name", "exact", "--strict")
    assert made["strict"] is True
    assert trivium.table("keys", "list")[1][5] == "strict"


def test_a_keys_calls_are_captured_for_as_long_as_is_said(trivium: CommandLine) -> None:
    made = trivium.json("keys", "create", "--name", "seen", "--capture", "--capture-until", "24h")
    assert made["capture"] is True
    assert 86_300_000 < made["capture_until_ms"] - made["created_ms"] <= 86_460_000
    assert trivium.table("keys", "list")[1][6] == "on"
    assert trivium.json("keys", "set", "seen", "--strict")["capture"] is True
    off = trivium.json("keys", "set", "seen", "--no-capture")
    assert (off["capture"], off["capture_until_ms"]) == (False, None)


def test_revoke_takes_a_name_and_says_what_it_ended(trivium: CommandLine) -> None:
    trivium("keys", "create", "--name", "laptop")
    assert re.fullmatch(r"key_\w{12} \(laptop\) is revoked\.\n", trivium("keys", "revoke", "laptop").stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["revoke", "nobody"], "No live key has the id or name 'nobody'; `trivium keys list` shows them."),
        (["create", "--name", ""], "A key needs a name of 1 to 100 printable characters."),
        (["create", "--name", "a\nb"], "A key needs a name of 1 to 100 printable characters."),
        (["revoke", "a\nb"], "No live key has the id or name 'a\\nb'; `trivium keys list` shows them."),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(trivium: CommandLine, words: list[str], said: str) -> None:
    assert trivium.refusal("keys", *words) == f"trivium: {said}"


def test_an_argument_that_is_no_text_is_one_line(trivium: CommandLine) -> None:
    trivium.refusal("keys", "revoke", "\udcff")


def test_what_is_not_asked_right_is_status_2_with_the_usage(trivium: CommandLine) -> None:
    for words in (["create"], ["revoke"], ["list", "x"], ["drop"], ["create", "--nome", "x"]):
        result = trivium("keys", *words)
        assert result.exit_code == 2
        assert "Usage: " in result.stderr


async def test_a_running_gateway_is_asked_and_knows_at_once(trivium: CommandLine) -> None:
    async with beside_a_gateway(trivium.data) as gateway:
        made = await asyncio.to_thread(trivium.json, "keys", "create", "--name", "laptop")
        assert await gateway.store.keys.find(made["key"])
        assert (await asyncio.to_thread(trivium.json, "keys", "list"))[0]["id"] == made["id"]
        await asyncio.to_thread(trivium.json, "keys", "revoke", "laptop")
        assert await gateway.store.keys.find(made["key"]) is None
        line = await asyncio.to_thread(trivium.refusal, "keys", "revoke", "laptop")
        assert line == "trivium: No live key has the id or name 'laptop'; `trivium keys list` shows them."
    assert (await asyncio.to_thread(trivium.json, "keys", "list"))[0]["revoked_ms"]


async def test_a_running_gateway_is_asked_about_any_argument(trivium: CommandLine) -> None:
    async with beside_a_gateway(trivium.data):
        await asyncio.to_thread(trivium.refusal, "keys", "revoke", "\udcff")


async def test_a_data_folder_with_a_long_path_works_alone_and_with_a_gateway(tmp_path: Path) -> None:
    trivium = CommandLine(tmp_path / ("d" * 150) / ("e" * 150))
    made = await asyncio.to_thread(trivium.json, "keys", "create", "--name", "alone")
    async with beside_a_gateway(trivium.data) as gateway:
        assert await gateway.store.keys.find(made["key"])
        assert len(await asyncio.to_thread(trivium.json, "keys", "list")) == 1


def test_an_owner_who_does_not_listen_is_named(trivium: CommandLine) -> None:
    with ownership(trivium.data):
        assert re.search(r"is in use by process \d+\.$", trivium.refusal("keys", "list"))


class TestFoldersAndFiles:
    def test_the_data_folder_may_be_named_in_the_configuration(self, trivium: CommandLine, tmp_path: Path) -> None:
        trivium.env["TRIVIUM_DATA"] = None
        (tmp_path / "trivium.toml").write_text(f'[storage]\ndata = "{tmp_path}/elsewhere"')
        trivium("keys", "create", "--name", "here")
        assert (tmp_path / "elsewhere" / "trivium.db").exists()
        (tmp_path / "other.toml").write_text(f'[storage]\ndata = "{tmp_path}/third"')
        assert trivium.json("keys", "list", "--config", "other.toml") == []

    def test_a_configuration_that_is_wrong_is_one_line(self, trivium: CommandLine, tmp_path: Path) -> None:
        (tmp_path / "t.toml").write_text("[server]\nport = 'x'")
        assert trivium.refusal("keys", "list", "--config", "t.toml") == (
            "trivium: t.toml:2: server.port: Expected int, got str"
        )
        assert "gone.toml: cannot be read" in trivium.refusal("keys", "list", "--config", "gone.toml")

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"this is no database" * 300, "cannot be opened"), (b"", None)],
        ids=["text", "empty"],
    )
    def test_a_database_that_is_none_is_one_line(self, trivium: CommandLine, content: bytes, said: str | None) -> None:
        trivium.data.mkdir()
        (trivium.data / "trivium.db").write_bytes(content)
        if said is None:
            assert trivium.json("keys", "list") == []
        else:
            assert said in trivium.refusal("keys", "list")

    @pytest.mark.parametrize("below", ["", "below"])
    def test_a_data_folder_that_is_a_file_is_one_line(self, trivium: CommandLine, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").touch()
        trivium.env["TRIVIUM_DATA"] = str(tmp_path / "file" / below)
        assert "file" in trivium.refusal("keys", "list")

    def test_a_database_of_somebody_else_is_one_line(self, trivium: CommandLine) -> None:
        trivium("keys", "list")
        database = trivium.data / "trivium.db"
        damaged = bytearray(database.read_bytes())
        damaged[4096:] = b"\xff" * (len(damaged) - 4096)
        database.write_bytes(damaged)
        trivium.refusal("keys", "list")
