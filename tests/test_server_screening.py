"""What `[abuse]` says, and what a gateway makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium import config
from trivium.clock import SystemClock
from trivium.errors import ConfigError
from trivium.pipeline.screening import Screening
from trivium.policy.abuse import Seen
from trivium.server.screening import screening
from trivium.upstream.http1 import Http1Client

SEEN = Seen(identity="key:1", client_ip="203.0.113.7", agent="evilbot", time_ms=0)


def made(text: str, env: dict[str, str] | None = None) -> Screening | None:
    return screening(config.parse(text), env or {}, Http1Client(), SystemClock())


def failure(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        made(text)
    return raised.value.message


def test_left_out_or_off_there_is_nothing() -> None:
    assert made("") is None
    assert made('[abuse]\nmode = "off"') is None


def test_the_section_alone_switches_the_rules_on_and_acts_on_nothing() -> None:
    found = made("[abuse]")
    assert found is not None
    assert (found.settings.mode, found.enforces, found.classifier, found.asks) == ("log", False, None, None)


def test_lists_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "lists.txt"
    file.write_text("address 203.0.113.0/24\nagent EvilBot*\n")
    found = made(f'[abuse.rules]\nlists = "{file}"')
    assert found is not None
    assert found.rules.judge(SEEN, tuple).reason == "bad_address; bad_agent"


def test_the_key_of_the_classifier_may_lie_elsewhere() -> None:
    text = '[abuse.classifier]\nurl = "http://127.0.0.1:1"\nkey = "env:JUDGE"'
    found = made(text, {"JUDGE": "secret"})
    assert found is not None
    assert found.asks is not None
    assert "the environment variable JUDGE is not set" in failure(text)


def test_what_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text("agnet x\n")
    assert "abuse.rules.lists: cannot read /nowhere/x" in failure('[abuse.rules]\nlists = "/nowhere/x"')
    assert "odd.txt:1: expected one of datacentre" in failure(f'[abuse.rules]\nlists = "{tmp_path}/odd.txt"')
    assert "abuse.rules.bad_addresses: expected addresses" in failure('[abuse.rules]\nbad_addresses = ["x"]')
    assert "abuse.rules.datacentres: expected addresses" in failure('[abuse.rules]\ndatacentres = ["x"]')
    assert "abuse.classifier: Object missing required field url" in failure("[abuse.classifier]\ntimeout = 1")
    assert "abuse.rules.verdicts.velocity" in failure('[abuse.rules.verdicts]\nvelocity = "block"')
