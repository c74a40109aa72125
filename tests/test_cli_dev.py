"""`trivium dev seed`: data that the auditor finds nothing wrong with."""

from __future__ import annotations

import pytest

from support_cli import CommandLine
from support_records import record
from trivium.operations import seed
from trivium.store.ownership import ownership


@pytest.fixture
def trivium(trivium: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr(seed, "_ORGANIZATIONS", ("Acme", "Blue Sky"))
    monkeypatch.setattr(seed, "_USERS", 3)
    monkeypatch.setattr(seed, "DAYS", 3)
    monkeypatch.setattr(seed, "_PATTERNS", 20)
    return trivium


def test_a_seeded_store_is_whole_and_shows_what_was_asked_for(trivium: CommandLine) -> None:
    assert "500 records" in trivium("dev", "seed", "--records", "500").stdout
    assert trivium("ledger", "verify").exit_code == 0
    told = trivium.json("usage", "report", "--since", "4d", "--by", "organization")
    assert told["total"]["requests"] == 500
    assert {row["names"][0] for row in told["rows"]} == {"Acme", "Blue Sky"}
    assert sum(row["requests"] for row in trivium.json("usage", "--by", "day")) == 500
    assert {user["id"] for user in trivium.json("users", "list")} >= {"acme-1", "blue-sky-3"}


def test_a_store_with_records_is_left_alone_but_by_force(trivium: CommandLine) -> None:
    trivium.keep(record("r"))
    assert "--force" in trivium.refusal("dev", "seed", "--records", "5")
    for _ in range(2):
        assert trivium("dev", "seed", "--records", "5", "--force").exit_code == 0
    assert trivium("ledger", "verify").exit_code == 0
    assert len(trivium.json("requests")) == 11


def test_it_is_refused_beside_a_gateway(trivium: CommandLine) -> None:
    with ownership(trivium.data):
        assert "in use by process" in trivium.refusal("dev", "seed")
