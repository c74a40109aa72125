"""Marks of what to cache, for requests without any."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.wire import body as json_body
from trivium.wire.breakpoints import mark_conversation, mark_places
from trivium.wire.draft import Draft
from trivium.wire.losses import Losses

MARK = {"cache_control": {"type": "ephemeral"}}


def draft(api: Api, **members: Any) -> Draft:
    return Draft(api, json_body.members(json.dumps(members).encode()), Losses())


def marked(api: Api, **members: Any) -> list[str]:
    """The texts that have a mark."""
    one = draft(api, **members)
    mark_places(one)
    parts = one.value("system") if isinstance(one.value("system"), list) else []
    parts += [part for said in one.value("messages") for part in said["content"] if isinstance(part, dict)]
    return [
        part.get("text") or part.get("content") for part in parts if part.get("cache_control") == MARK["cache_control"]
    ]


def says(*turns: str) -> list[dict[str, Any]]:
    """`user:text` and so on."""
    return [{"role": turn.partition(":")[0], "content": turn.partition(":")[2]} for turn in turns]


CHATS = [
    (("user:a",), ["a"]),
    (("system:s", "user:a"), ["s", "a"]),
    (("system:s", "developer:d", "user:a"), ["d", "a"]),
    (("user:a", "assistant:b", "user:c"), ["a", "c"]),
    (("user:a", "assistant:b", "tool:t", "assistant:c", "tool:u", "tool:v"), ["t", "v"]),
    (("user:a", "assistant:b"), ["a"]),
    (("assistant:b",), []),
    (("user:",), []),
]


@pytest.mark.parametrize(("said", "places"), CHATS)
def test_chat(said: tuple[str, ...], places: list[str]) -> None:
    assert marked(Api.CHAT, messages=says(*said)) == places


def test_messages() -> None:
    result = [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]
    said = [*says("user:a", "assistant:b"), {"role": "user", "content": result}]
    assert marked(Api.MESSAGES, system="s", messages=said) == ["s", "a", "r"]


@pytest.mark.parametrize("where", ["tools", "system", "messages"])
def test_a_mark_anywhere_is_enough(where: str) -> None:
    holder = [{"role": "user", "content": [{"type": "text", "text": "a", **MARK}], "name": "f"}]
    one = draft(Api.MESSAGES, **{"messages": says("user:a"), where: holder})
    mark_places(one)
    mark_conversation(one)
    assert not one.touched
    told = draft(Api.CHAT, messages=says('user:they say "cache_control": x'))
    mark_places(told)
    assert told.touched, "the word in a text is no mark"


def test_a_conversation_is_more_than_one_message() -> None:
    one, two = draft(Api.MESSAGES, messages=says("user:a")), draft(Api.MESSAGES, messages=says("user:a", "assistant:b"))
    for each in (one, two):
        mark_conversation(each)
    assert ("cache_control" in one, two.value("cache_control")) == (False, {"type": "ephemeral"})
