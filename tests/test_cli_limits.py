"""`trivium limits`, with and without a gateway beside it, and with a Redis that is there or not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from support_cli import CommandLine, beside_a_gateway
from support_redis import RedisServer


@pytest.fixture
def trivium(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def configured(trivium: CommandLine, tmp_path: Path, url: str) -> None:
    (tmp_path / "trivium.toml").write_text(f'[limits]\nredis_url = "{url}"\n[local]\nenabled = false\n')


def test_without_redis_a_gateway_counts_alone(trivium: CommandLine) -> None:
    said = trivium("limits", "show").stdout
    assert said == ("Counted by this gateway alone, in memory. `[limits] redis_url` makes several count together.\n")


def test_with_redis_it_says_where(trivium: CommandLine, tmp_path: Path, redis_server: RedisServer) -> None:
    configured(trivium, tmp_path, redis_server.url)
    assert trivium("limits", "show").stdout.startswith(f"Counted in Redis at {redis_server.url[7:]}/0, since 20")
    assert trivium.json("limits", "show")["counters"] == "redis"


def test_with_a_redis_that_is_not_there_it_says_why(trivium: CommandLine, tmp_path: Path) -> None:
    configured(trivium, tmp_path, "unix:///nowhere/redis.sock")
    alone, reason = trivium("limits", "show").stdout.splitlines()
    assert alone.startswith("Counted by this gateway alone, since 20")
    assert alone.endswith("UTC: Redis at /nowhere/redis.sock/0 does not serve.")
    assert reason.startswith("The reason: ")


async def test_a_running_gateway_is_asked(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path) as gateway:
        state = gateway.counters.state
        gateway.counters.state = msgspec.structs.replace(state, redis="h:6379/0", problem="Connection refused")
        said = await asyncio.to_thread(trivium, "limits", "show")
    assert said.stdout.splitlines()[1] == "The reason: Connection refused"
