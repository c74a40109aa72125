"""`trivium retention`, with and without a gateway beside it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway
from support_records import record

DAY = 86_400_000


@pytest.fixture
def trivium(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def ago(days: int) -> int:
    return time.time_ns() // 1_000_000 - days * DAY


def ids(trivium: CommandLine) -> set[str]:
    return {row["id"] for row in trivium.json("requests")}


def test_nothing_goes_unless_it_is_asked_for(trivium: CommandLine) -> None:
    trivium.keep(record("old", time_ms=ago(91), requests=3), record("new", time_ms=ago(89)))
    said = trivium("retention", "--keep", "90d").stdout
    assert said.startswith("1 records of 3 requests before 20")
    assert said.endswith("UTC would be erased. Nothing was: --apply does it.\n")
    assert ids(trivium) == {"old", "new"}
    assert trivium("retention", "--keep", "90d", "--apply").stdout.endswith("UTC are erased.\n")
    assert ids(trivium) == {"new"}
    assert trivium.json("retention", "--keep", "36h")["records"] == 1


def test_usage_is_the_same_afterwards(trivium: CommandLine) -> None:
    trivium.keep(record("old", time_ms=ago(91), output_tokens=3), record("new", time_ms=ago(89), output_tokens=4))
    before = trivium.json("usage", "--by", "day,outcome")
    trivium("retention", "--keep", "90d", "--apply")
    assert trivium.json("usage", "--by", "day,outcome") == before


def test_a_key_is_forgotten(trivium: CommandLine) -> None:
    trivium.keep(record("a", key_id="key_1", client_ip="192.0.2.1"))
    said = trivium("retention", "erase", "--key", "key_1").stdout
    assert said == "1 records would name nobody. Nothing was done: --apply does it.\n"
    assert trivium("retention", "erase", "--key", "key_1", "--apply").stdout == "1 records name nobody now.\n"
    assert trivium.json("requests", "--id", "a")["client_ip"] is None


def test_a_user_with_live_keys_is_not_quite_forgotten(trivium: CommandLine) -> None:
    asyncio.run(_key_of(trivium, "anna"))
    said = trivium("retention", "erase", "--user", "anna", "--apply").stdout.splitlines()
    assert said == ["0 records name nobody now.", "1 keys that are not revoked still name the user."]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("retention", "--keep", "soon"), "'soon' is no age"),
        (("retention", "--keep", "59m"), "records of the last hour stay"),
        (("retention", "erase"), "Say whose records"),
        (("retention", "erase", "--user", "nobody"), "There is no user 'nobody', and no record names one."),
        (("retention", "erase", "--user", "nobody", "--apply"), "There is no user 'nobody'"),
        (("retention", "erase", "--key", "key_0", "--apply"), "There is no key 'key_0'"),
    ],
)
def test_what_cannot_be_done_is_said(trivium: CommandLine, words: tuple[str, ...], said: str) -> None:
    assert said in trivium.refusal(*words)


def test_without_an_age_it_says_what_is_missing(trivium: CommandLine) -> None:
    result = trivium("retention")
    assert result.exit_code == 2
    assert "--keep 90d" in result.stderr


async def test_a_running_gateway_does_it_itself(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path) as gateway:
        gateway.store.ledger.end(record("old", time_ms=ago(91)))
        done = await asyncio.to_thread(trivium.json, "retention", "--keep", "90d", "--apply")
        assert (done["records"], done["applied"]) == (1, True)


async def _key_of(trivium: CommandLine, user: str) -> None:
    store = trivium.store()
    store.keys.create("k", user_id=user)
    await store.close()
