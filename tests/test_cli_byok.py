"""`trivium byok` and `trivium secrets`, with and without a gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway
from support_openrouter import openrouter
from test_operations_registrar import VIA
from trivium.store.users import User

KEY = "sk-canary-0123456789"


@pytest.fixture
def trivium(trivium: CommandLine) -> CommandLine:
    async def make_ann() -> None:
        store = trivium.store()
        await store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
        await store.close()

    asyncio.run(make_ann())
    return trivium


def test_a_key_is_read_from_standard_input_and_never_shown(trivium: CommandLine) -> None:
    result = trivium("byok", "add", "--user", "ann", "--vendor", "openai", given=f"{KEY}\n".encode())
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("(ann's main for openai, ...6789) is kept.\n")
    listed = trivium("byok", "list", "--user", "ann")
    assert KEY not in result.output + listed.output + trivium("byok", "list", "--user", "ann", "--json").output
    heads, (_, vendor, order, name, key, where, use, _) = trivium.table("byok", "list", "--user", "ann")
    assert heads == ["id", "vendor", "order", "name", "key", "where", "use", "created (UTC)"]
    assert (vendor, order, name, key, where, use) == ("openai", "1", "main", "...6789", "-", "on")


def test_a_key_is_read_from_a_file_with_what_belongs_to_it(trivium: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "token").write_text("session-token\n")
    aws = ["--access-key-id", "AKIDEXAMPLE000000001", "--session-token-file", "token", "--region", "eu-west-1"]
    added = trivium.json("byok", "add", "--user", "ann", "--vendor", "bedrock", "--key-file", "key", *aws)
    assert (added["vendor"], added["region"], added["hint"]) == ("bedrock", "eu-west-1", "0001")


def test_set_order_and_remove(trivium: CommandLine) -> None:
    ann = ("--user", "ann")
    for name in ("a", "b"):
        trivium("byok", "add", *ann, "--vendor", "openai", "--name", name, given=KEY.encode())
    moved = ("byok", "set", *ann, "a", "--disable", "--base-url", "https://example.org")
    assert "given for another server" in trivium.refusal(*moved)
    assert trivium(*moved, "--new-key", given=KEY.encode()).exit_code == 0
    assert trivium("byok", "set", *ann, "b", "--new-key", given=b"sk-another-key-9999").stdout.endswith(
        "(ann's b for openai, ...9999) is changed.\n"
    )
    trivium("byok", "order", *ann, "--vendor", "openai", "b", "a")
    rows = [row[3:7] for row in trivium.table("byok", "list", *ann)[1:]]
    assert rows == [["b", "...9999", "-", "on"], ["a", "...6789", "https://example.org", "off"]]
    assert trivium("byok", "remove", *ann, "a").stdout.endswith("is removed.\n")
    assert len(trivium.json("byok", "list", *ann)) == 1


def test_what_cannot_be_done_is_one_line(trivium: CommandLine) -> None:
    assert "Name whose key it is" in trivium.refusal("byok", "list")
    assert "cannot be read" in trivium.refusal(
        "byok", "add", "--user", "ann", "--vendor", "openai", "--key-file", "/nowhere"
    )
    assert "There is no key: it is read from" in trivium.refusal("byok", "add", "--user", "ann", "--vendor", "openai")
    assert "No key has the id or name 'x'" in trivium.refusal("byok", "remove", "--user", "ann", "x")


def test_secrets_are_rotated_and_their_state_is_told(trivium: CommandLine) -> None:
    trivium("byok", "add", "--user", "ann", "--vendor", "openai", given=KEY.encode())
    ((_, *told),) = trivium.table("secrets", "status")[1:]
    assert told == ["1", "current", "0", "-"]
    assert trivium("secrets", "rotate", "--new").stdout.startswith("1 secrets were put under local-")
    assert [row[1:] for row in trivium.table("secrets", "status")[1:]] == [
        ["1", "current", "0", "-"],
        ["0", "-", "0", "-"],
    ]
    assert trivium.json("secrets", "rotate")["rewrapped"] == 0


async def test_a_running_gateway_hears_of_it_at_once(trivium: CommandLine) -> None:
    async with beside_a_gateway(trivium.data) as gateway:
        await gateway.open()
        add = ("byok", "add", "--user", "ann", "--vendor", "openai")
        assert (await asyncio.to_thread(trivium, *add, given=KEY.encode())).exit_code == 0
        assert gateway.deps.own.vendors("user:ann") == {"openai": False}
        assert (await asyncio.to_thread(trivium, "secrets", "rotate", "--new")).exit_code == 0
        (sealed,) = await gateway.deps.own.keys("user:ann", "openai")
        assert KEY.encode() in gateway.deps.own.plain(sealed)


async def test_without_a_gateway_a_key_is_registered_at_openrouter_too(trivium: CommandLine, tmp_path: Path) -> None:
    async with openrouter() as there:
        text = VIA.replace("URL", there.url) + "[local]\nenabled = false\n[auto]\nenabled = false\n"
        (tmp_path / "trivium.toml").write_text(text)
        add = ("byok", "add", "--user", "ann", "--vendor", "anthropic", "--name")
        added = await asyncio.to_thread(trivium, *add, "one", given=KEY.encode())
        assert added.stdout.endswith("(ann's one for anthropic, ...6789) is kept.\n")
        there.failing["POST /byok"] = 400
        refused = await asyncio.to_thread(trivium, *add, "two", given=KEY.encode())
        assert (refused.exit_code, refused.stderr.startswith("trivium: OpenRouter refused (status 400): no: ")) == (
            1,
            True,
        )
        assert KEY not in refused.output
        assert there.keys_of("anthropic") == [KEY]
        await asyncio.to_thread(trivium, "byok", "remove", "--user", "ann", "one")
    assert (there.api_keys, there.byok) == ({}, {})
