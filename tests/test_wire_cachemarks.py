"""Prompt-cache marks: their lifetime crosses, and what else they say is lost by name."""

from __future__ import annotations

from typing import Any

import pytest

from trivium.wire.cachemarks import mark_of, marked
from trivium.wire.losses import Losses


def read(said: Any) -> tuple[str | None, list[str]]:
    losses = Losses()
    return mark_of(said, "system[0]", losses), [loss.field for loss in losses.told()]


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        (None, None),
        ({"type": "ephemeral"}, "5m"),
        ({"type": "ephemeral", "ttl": "5m"}, "5m"),
        ({"type": "ephemeral", "ttl": None}, "5m"),
        ({"type": "ephemeral", "ttl": "1h"}, "1h"),
    ],
)
def test_a_mark_is_its_lifetime(said: Any, lifetime: str | None) -> None:
    assert read(said) == (lifetime, [])


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"type": "persistent"},
        {"type": "ephemeral", "ttl": "2d"},
        {"type": "ephemeral", "ttl": []},
        True,
        "ephemeral",
        [],
    ],
)
def test_a_kind_that_nobody_knows_is_lost(odd: Any) -> None:
    assert read(odd) == (None, ["system[0].cache_control"])


def test_what_a_mark_says_beyond_its_lifetime_is_lost_and_the_mark_stays() -> None:
    assert read({"type": "ephemeral", "ttl": "1h", "scope": "global"}) == ("1h", ["system[0].cache_control"])


@pytest.mark.parametrize("lifetime", [None, "5m", "1h"])
def test_a_part_is_marked_as_it_was_read(lifetime: str | None) -> None:
    part = {"type": "text", "text": "x"}
    said = marked(part, lifetime)
    assert read(said.get("cache_control")) == (lifetime, [])
    assert said.items() >= part.items()
    assert "cache_control" not in part


def test_the_usual_lifetime_is_not_written() -> None:
    assert marked({}, "5m") == {"cache_control": {"type": "ephemeral"}}
    assert marked({}, "1h") == {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
