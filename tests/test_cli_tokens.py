"""`trivium tokens`, without a gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support_cli import CommandLine
from trivium.clock import SystemClock
from trivium.store.ownership import ownership
from trivium.store.store import Store
from trivium.store.users import User


def test_the_pepper_is_printed_alone_so_that_a_script_can_take_it(trivium: CommandLine, tmp_path: Path) -> None:
    async def add() -> None:
        store = Store(tmp_path / "data", SystemClock())
        await store.users.add(User(id="alice", name="Alice", created_ms=1), "operator")
        await store.close()

    with ownership(tmp_path / "data"):
        asyncio.run(add())
    result = trivium("tokens", "reset", "alice")
    assert (result.exit_code, len(result.stdout.strip())) == (0, 32)
    assert result.stderr == "No token of alice is valid any more, save those with this pepper.\n"
    made = trivium.json("tokens", "reset", "alice")
    assert made["user"] == "alice"
    assert made["pepper"] != result.stdout.strip()


def test_a_user_who_is_not_there_is_said_in_a_line(trivium: CommandLine) -> None:
    result = trivium("tokens", "reset", "nobody")
    assert (result.exit_code, result.stderr) == (1, "trivium: There is no user 'nobody'.\n")
