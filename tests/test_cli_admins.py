"""`trivium admins`, with and without a gateway."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from support_cli import CommandLine, beside_a_gateway


def test_a_credential_is_printed_alone_so_that_a_script_can_take_it(trivium: CommandLine) -> None:
    result = trivium("admins", "create", "--name", "laptop")
    assert result.exit_code == 0
    assert re.fullmatch(r"tva-[0-9A-Za-z]{43}\n", result.stdout)
    assert re.fullmatch(r"adm_\w{12} \(laptop\): copy it now, it is not shown again\.\n", result.stderr)


def test_create_list_and_revoke(trivium: CommandLine) -> None:
    trivium("users", "create", "--name", "Ann", "--id", "ann")
    made = trivium.json("admins", "create", "--name", "laptop", "--user", "ann", "--expires", "1h")
    assert (made["user_id"], made["hint"]) == ("ann", made["credential"][-4:])
    assert 3_500_000 < made["expires_ms"] - time.time() * 1000 < 3_700_000
    heads, row = trivium.table("admins", "list")
    assert heads == ["id", "name", "credential", "user", "created (UTC)", "expires (UTC)", "revoked (UTC)"]
    assert row[:4] == [made["id"], "laptop", f"...{made['hint']}", "ann"]
    assert row[-1] == "-"
    assert trivium("admins", "revoke", made["id"]).stdout == f"{made['id']} (laptop) is revoked.\n"
    (listed,) = trivium.json("admins", "list")
    assert listed["revoked_ms"]
    assert "credential" not in listed


def test_what_cannot_be_is_one_line(trivium: CommandLine) -> None:
    assert "no admin credential 'adm_x'" in trivium.refusal("admins", "revoke", "adm_x")
    assert "no user 'bob'" in trivium.refusal("admins", "create", "--name", "x", "--user", "bob")
    assert "expired already" in trivium.refusal("admins", "create", "--name", "x", "--expires", "2020-01-01")


async def test_a_running_gateway_knows_at_once(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path / "data") as gateway:
        made = await asyncio.to_thread(trivium.json, "admins", "create", "--name", "laptop")
        assert await gateway.store.admins.find(made["credential"])
        await asyncio.to_thread(trivium, "admins", "revoke", made["id"])
        assert await gateway.store.admins.find(made["credential"]) is None
        assert [admin["id"] for admin in await asyncio.to_thread(trivium.json, "admins", "list")] == [made["id"]]
