"""`trivium explain` and `trivium routes`, where no gateway runs and where one does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway

SETTINGS = """
[local]
enabled = false
[providers.a]
base_url = "http://127.0.0.1:1/v1"
models = ["one"]
[providers.b]
base_url = "http://127.0.0.1:1/v1"
models = ["two"]
[models."a/one"]
price = { input = "1", output = "4" }
[catalog.models.twin]
routes = [{ to = "a/one" }, { to = "b/two" }]
"""


@pytest.fixture
def trivium(tmp_path: Path) -> CommandLine:
    (tmp_path / "trivium.toml").write_text(SETTINGS)
    return CommandLine(tmp_path)


def test_it_says_who_asks_where_it_goes_and_for_how_much(trivium: CommandLine) -> None:
    key = trivium.json("keys", "create", "--name", "me")["id"]
    assert trivium("explain", "twin", "--key", key).stdout.splitlines()[:4] == [
        f"caller   key {key}",
        "asks     twin over chat_completions",
        "-> a/one: the first route (chat_completions, $1 in and $4 out, paid by house)",
        "   b/two: if those before it fail (chat_completions, paid by house)",
    ]
    told = trivium.json("explain", "twin", "--key", key, "--header", "x-trivium-fallbacks=b/two")
    assert [route["route"] for route in told["routes"]] == ["a/one", "b/two"]


def test_a_markup_is_told_beside_the_price(trivium: CommandLine) -> None:
    trivium("prices", "set", "a/*", "--markup", "12.5")
    key = trivium.json("keys", "create", "--name", "me")["id"]
    assert (
        "(chat_completions, $1 in and $4 out, +12.5 %, paid by house)"
        in trivium("explain", "twin", "--key", key).stdout
    )
    told = trivium.json("explain", "twin", "--key", key)
    assert [route["markup_ppm"] for route in told["routes"]] == [125_000, 0]


def test_what_it_would_be_refused_with_is_the_last_line(trivium: CommandLine) -> None:
    *_, last, hint = trivium("explain", "twin").stdout.splitlines()
    assert last.startswith("refused  401 paid_model_auth_required: No API key was sent.")
    assert hint == "This was a caller without a key: --key ID explains the call of one (`trivium keys list`)."


def test_a_request_can_come_from_a_file(trivium: CommandLine, tmp_path: Path) -> None:
    key = trivium.json("keys", "create", "--name", "me")["id"]
    asked = tmp_path / "request.json"
    asked.write_text(json.dumps({"model": "a/one", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}))
    told = trivium.json("explain", "--request", str(asked), "--api", "messages", "--key", key)
    assert (told["requested_model"], told["hold"]["max_tokens"]) == ("a/one", 5)
    asked.write_text("[")
    assert "not a JSON object" in trivium.refusal("explain", "--request", str(asked))
    assert "nowhere.json" in trivium.refusal("explain", "--request", "nowhere.json")
    assert "There is no live key 'key_none'." in trivium.refusal("explain", "twin", "--key", "key_none")
    assert trivium("explain").exit_code == 2


async def test_routes_are_asked_of_the_gateway_that_runs(trivium: CommandLine, tmp_path: Path) -> None:
    none = await asyncio.to_thread(trivium, "routes")
    assert none.stdout == "No model with several routes was called lately.\n"
    async with beside_a_gateway(tmp_path) as gateway:
        now = gateway.deps.clock.monotonic_ns() // 1_000_000
        gateway.deps.health.failed("a/one", now, wish_s=60)
        rows = await asyncio.to_thread(trivium.table, "routes")
    assert rows[0] == ["route", "calls", "failed", "rests (s)"]
    assert [row[:3] for row in rows[1:]] == [["a", "1", "1"], ["a/one", "1", "1"]]
