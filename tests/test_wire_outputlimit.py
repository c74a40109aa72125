"""A request whose answer may be longer than its model takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trivium.canon.api import Api, Kind, Solo
from trivium.wire.losses import Losses
from trivium.wire.outputlimit import within
from trivium.wire.request import parse


def shortened(api: Kind, most: int, **said: Any) -> tuple[dict[str, Any], list[str]]:
    """The members that are left, and the fields that lost something."""
    losses = Losses()
    asked = parse(api, json.dumps({"model": "m", "other": [1, 2], **said}).encode())
    found = within(asked, most, "small", losses)
    body = json.loads(found.body)
    assert body.pop("other") == [1, 2]
    assert {name: json.loads(bytes(raw)) for name, raw in found.members.items()} == {**body, "other": [1, 2]}
    return body, [loss.field for loss in losses.told()]


@pytest.mark.parametrize(
    ("api", "name"),
    [
        (Api.CHAT, "max_tokens"),
        (Api.CHAT, "max_completion_tokens"),
        (Api.RESPONSES, "max_output_tokens"),
        (Api.MESSAGES, "max_tokens"),
        (Solo.FIM, "max_tokens"),
    ],
)
def test_only_what_is_too_long_is_shortened(api: Kind, name: str) -> None:
    assert shortened(api, 100, **{name: 101}) == ({"model": "m", name: 100}, [name])
    for value in (100, 1, None, "odd"):
        assert shortened(api, 100, **{name: value}) == ({"model": "m", name: value}, [])
    assert shortened(api, 100) == ({"model": "m"}, [])


def test_both_names_of_chat_are_looked_at() -> None:
    body, lost = shortened(Api.CHAT, 100, max_tokens=500, max_completion_tokens=50)
    assert (body["max_tokens"], body["max_completion_tokens"], lost) == (100, 50, ["max_tokens"])


@pytest.mark.parametrize(
    ("most", "budget", "left"),
    [
        (5000, 4999, {"type": "enabled", "budget_tokens": 4999}),
        (5000, 8000, {"type": "enabled", "budget_tokens": 4999}),
        (1025, 8000, {"type": "enabled", "budget_tokens": 1024}),
        (1024, 8000, {"type": "disabled"}),
    ],
)
def test_thinking_stays_below_the_limit(most: int, budget: int, left: dict[str, Any]) -> None:
    thinking = {"type": "enabled", "budget_tokens": budget}
    body, _ = shortened(Api.MESSAGES, most, max_tokens=9000, thinking=thinking)
    assert (body["max_tokens"], body["thinking"]) == (most, left)


def test_where_there_is_no_room_to_think_no_thoughts_are_cleared() -> None:
    """Claude Code's edit, which Anthropic refuses without thinking."""
    asked = {"thinking": {"type": "enabled", "budget_tokens": 8000}}
    asked["context_management"] = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    body, lost = shortened(Api.MESSAGES, 1024, max_tokens=9000, **asked)
    assert (body["thinking"], body["context_management"]) == ({"type": "disabled"}, None)
    assert lost == ["max_tokens", "thinking", "context_management.edits"]
    assert shortened(Api.MESSAGES, 2000, max_tokens=9000, **asked)[0]["context_management"]


@pytest.mark.parametrize("thinking", [None, 5, "odd", [], {"type": "adaptive"}, {"budget_tokens": "x"}])
def test_odd_thinking_is_the_upstreams_to_refuse(thinking: Any) -> None:
    body, lost = shortened(Api.MESSAGES, 2000, max_tokens=9000, thinking=thinking)
    assert (body["thinking"], lost) == (thinking, ["max_tokens"])
