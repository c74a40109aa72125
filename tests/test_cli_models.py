"""`trivium models`, with and without a gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support_cli import CommandLine, beside_a_gateway
from trivium.store.organizations import OrganizationRow
from trivium.store.store import Store

URL = "https://llm.example.com/v1"
OF = ("--organization", "acme")


async def people(store: Store) -> None:
    for id in ("acme", "blue"):
        await store.organizations.add(OrganizationRow(id=id, name=id, created_ms=1), None, "operator")


@pytest.fixture
def trivium(trivium: CommandLine) -> CommandLine:
    async def fill() -> None:
        store = trivium.store()
        await people(store)
        await store.close()

    asyncio.run(fill())
    return trivium


def test_add_list_set_share_and_remove(trivium: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("server-key-0123\n")
    settings = (
        "--api",
        "messages",
        "--api",
        "chat",
        "--model",
        "meta/llama",
        "--context",
        "8192",
        "--output-limit",
        "512",
    )
    more = ("--extra-body", '{"seed": 1}', "--exclude-tool", "shell*", "--include-tool", "read", "--collects-nothing")
    added = trivium.json("models", "add", "llama", *OF, "--base-url", URL, "--key-file", "key", *settings, *more)
    told: dict[str, Any] = {
        "organization": "acme",
        "name": "llama",
        "base_url": URL,
        "apis": ["messages", "chat"],
        "model": "meta/llama",
        "context": 8192,
        "output_limit": 512,
        "extra_body": {"seed": 1},
        "exclude_tools": ["shell*"],
        "include_tools": ["read"],
        "collects_data": False,
        "retains_data": True,
        "auth": None,
        "display_name": None,
        "organizations": [],
        "hint": "0123",
    }
    assert {name: added[name] for name in told} == told
    assert trivium.json("models", "list", *OF) == [added]
    assert trivium.table("models", "list", *OF)[1][:6] == ["llama", "meta/llama", URL, "messages,chat", "...0123", "-"]
    result = trivium(
        "models", "set", "llama", *OF, "--key-file", "-", "--retains-nothing", "--json", given=b"other-key-4567\n"
    )
    assert '"hint": "4567"' in result.stdout and "other-key" not in result.stdout
    assert trivium.json("models", "set", "llama", *OF, "--no-key")["hint"] is None
    assert trivium.json("models", "share", "llama", *OF, "--with", "blue")["organizations"] == ["blue"]
    assert trivium.json("models", "share", "llama", *OF)["organizations"] == []
    assert trivium("models", "remove", "llama", *OF).stdout == f"llama of acme, at {URL}, is removed.\n"
    assert trivium.json("models", "list", *OF) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("llama", *OF, "--base-url", "https://127.0.0.1"), "its address is not allowed here (loopback)"),
        (("llama", *OF, "--base-url", "http://example.com"), "only https is allowed here"),
        (("llama", *OF, "--base-url", URL, "--extra-body", '{"model": "x"}'), "cannot set `model`"),
        (("llama", *OF, "--base-url", URL, "--extra-body", '{"stream": true}'), "cannot set `stream`"),
        (("llama", *OF, "--base-url", URL, "--extra-body", "[]"), "must be a JSON object"),
        (("llama", *OF, "--base-url", URL, "--extra-body", f'{{"a": "{"x" * 17_000}"}}'), "16384 bytes"),
        (("llama", *OF, "--base-url", URL, "--model", "a\nb"), "printable"),
        (("-", *OF, "--base-url", URL), "name: expected 1 to 200 letters"),
        (("llama", "--organization", "none", "--base-url", URL), "no organization 'none'"),
    ],
)
def test_what_cannot_be_is_said(trivium: CommandLine, words: tuple[str, ...], why: str) -> None:
    assert why in trivium.refusal("models", "add", *words)


def test_networks_that_the_operator_allows_are_allowed(trivium: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "trivium.toml").write_text('[security]\nallow_networks = ["10.0.0.0/8"]\nallow_http = true\n')
    assert trivium("models", "add", "llama", *OF, "--base-url", "http://10.0.0.5:8000").exit_code == 0
    assert "loopback" in trivium.refusal("models", "add", "other", *OF, "--base-url", "http://127.0.0.1:8000")


async def test_a_running_gateway_knows_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trivium = CommandLine(tmp_path / "data")
    async with beside_a_gateway(trivium.data) as gateway:
        await people(gateway.store)
        result = await asyncio.to_thread(trivium, "models", "add", "llama", *OF, "--base-url", URL)
        assert result.exit_code == 0
        assert list(gateway.store.custom_models.of("acme")) == ["llama"]
        refused = await asyncio.to_thread(trivium, "models", "set", "llama", *OF, "--base-url", "https://[::1]")
        assert refused.exit_code == 1 and "loopback" in refused.stderr
