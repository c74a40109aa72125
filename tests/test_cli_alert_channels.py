"""`trivium alerts channels`: secrets come from files and standard input, and nothing of them is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support_cli import CommandLine

HOOK = "https://hooks.example.com/services/T/B/abcdefgh1234"


@pytest.fixture
def home(tmp_path: Path) -> CommandLine:
    (tmp_path / "trivium.toml").write_text("[local]\nenabled = false\n")
    made = CommandLine(tmp_path)
    made.env["TRIVIUM_CONFIG"] = str(tmp_path / "trivium.toml")
    return made


def test_channels_are_added_changed_paused_and_removed(home: CommandLine) -> None:
    words = ("alerts", "channels")
    added = home(*words, "add", "slack", "ops", "--severity", "page", "--rule", "audit", given=f"{HOOK}\n".encode())
    assert added.stdout == "ops (slack, https://hooks.example.com/...1234) is there.\n"
    (home.data / "url").write_text(HOOK + "x")
    (home.data / "headers").write_text('{"authorization": "hook-secret"}')
    files = ("--url-file", str(home.data / "url"), "--headers-file", str(home.data / "headers"))
    assert home(*words, "add", "webhook", "desk", *files, "--paused").exit_code == 0
    mail = ("--host", "mx.example.com", "--sender", "a@b.example", "--to", "c@d.example", "--to", "e@f.example")
    assert home(*words, "add", "email", "people", *mail, "--login", "me", given=b"mail-secret\n").exit_code == 0
    assert home.table(*words) == [
        ["channel", "kind", "where", "severities", "rules", "of", "problem"],
        ["desk", "webhook", "https://hooks.example.com/...234x", "page, ticket", "all", "paused", "-", "-"],
        ["ops", "slack", "https://hooks.example.com/...1234", "page", "audit", "on", "-", "-"],
        ["people", "email", "mx.example.com:587", "page, ticket", "all", "on", "-", "-"],
    ]
    assert home(*words, "pause", "ops").stdout.endswith(" is paused.\n")
    assert home(*words, "resume", "desk").stdout.endswith(" is told again.\n")
    assert home(*words, "set", "desk", "--no-headers", "--timeout", "3").exit_code == 0
    assert "given for another server" in home.refusal(*words, "set", "people", "--host", "evil.example")
    assert home(*words, "set", "people", "--host", "mx.example.org", "--no-login").exit_code == 0
    states = {one["name"]: one for one in home.json(*words)}
    assert [states["ops"]["enabled"], states["desk"]["enabled"], states["desk"]["timeout"]] == [False, True, 3]
    assert (states["desk"]["header_names"], states["people"]["login"]) == ([], None)
    assert home(*words, "remove", "ops").exit_code == 0
    assert len(home.json(*words)) == 2
    assert "There is no channel 'ops'" in home.refusal(*words, "remove", "ops")
    log = home("audit", "--json").stdout
    for secret in ("abcdefgh", "hook-secret", "mail-secret"):
        assert secret not in log


def test_what_cannot_be_is_said(home: CommandLine) -> None:
    inside = home("alerts", "channels", "add", "webhook", "a", given=b"https://10.0.0.1/x")
    assert (inside.exit_code, "its address is not allowed here (private)" in inside.stderr) == (1, True)
    (home.data / "headers").write_text("nonsense")
    headers = ("--headers-file", str(home.data / "headers"))
    assert "headers cannot be read" in home.refusal("alerts", "channels", "add", "webhook", "a", *headers)
