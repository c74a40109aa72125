"""Tools that come and go in the middle of a conversation of Messages, for upstreams that know one list of tools."""

from __future__ import annotations

from typing import Any

import pytest

from support_requests import M, messages, read, said, text, user
from support_rules import house, only
from support_vendors_values import Body

LOOK: Body = {"name": "look", "input_schema": {"type": "object"}}
FIND: Body = {"name": "find", "description": "Finds it.", "input_schema": {"type": "object", "title": "a"}}


def added(tool: Body) -> Body:
    return {"type": "tool_addition", "tool": tool}


def removed(name: str) -> Body:
    return {"type": "tool_removal", "tool": {"type": "tool_reference", "name": name}}


def inline(tool: Body) -> Body:
    return added({"type": "tool_definition", "definition": tool})


def system(*blocks: Body) -> Body:
    return {"role": "system", "content": list(blocks)}


def offered(*told: Body, **more: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """The tools that there are, with where the request has them, and what is lost."""
    request, lost = read(M, messages(*told, tools=[LOOK], **more))
    return [(tool.name, tool.at) for tool in request.tools], lost


def test_a_tool_that_is_defined_in_mid_conversation_is_there() -> None:
    tools, lost = offered(user("hi"), system(inline(FIND)), said(text("So")), user("go on"))
    assert tools == [("look", "tools[0]"), ("find", "messages[1].content[0].tool.definition")]
    assert lost == ["messages[1].content[0]"]


def test_a_tool_that_was_taken_away_is_not_there() -> None:
    tools, lost = offered(user("hi"), system(removed("look"), text("It is gone.")))
    assert (tools, lost) == ([], ["messages[1].content[0]"])


@pytest.mark.parametrize("back", [added({"type": "tool_reference", "name": "look"}), inline(LOOK)])
def test_a_tool_that_came_back_is_there(back: Body) -> None:
    tools, _ = offered(user("hi"), system(removed("look")), said(text("So")), user("on"), system(back))
    assert [name for name, _ in tools] == ["look"]


def test_what_was_summed_up_says_which_tools_came_and_went() -> None:
    summed = {"type": "compaction", "content": "So far.", "tool_changes": [inline(FIND), removed("look")]}
    tools, lost = offered(said(summed), user("go on"))
    assert tools == [("find", "messages[0].content[0].tool_changes[0].tool.definition")]
    assert lost == ["messages[0].content[0]"]


def test_a_tool_that_runs_at_the_provider_is_lost_here_too() -> None:
    tools, lost = offered(user("hi"), system(inline({"type": "web_search_20250305", "name": "web_search"})))
    assert [name for name, _ in tools] == ["look"]
    assert "messages[1].content[0].tool.definition" in lost


@pytest.mark.parametrize(
    "tool", [None, "look", {}, {"type": "tool_definition"}, {"type": "tool_definition", "definition": 3}]
)
def test_changes_that_say_nothing_change_nothing(tool: Any) -> None:
    tools, lost = offered(user("hi"), system(added(tool), {"type": "tool_removal", "tool": tool}))
    assert [name for name, _ in tools] == ["look"]
    assert lost == ["messages[1].content[0]"]


async def test_servers_that_take_no_system_messages_there_hear_of_the_tools_too() -> None:
    told = [user("hi"), system(inline(FIND), removed("look")), said(text("So")), user("go on")]
    async with house("ollama", apis=only("messages")) as up:
        sent = await up.send("messages", "qwen3.8:27b", messages=told, tools=[LOOK])
    assert sent.body["tools"] == [FIND]
    assert [message["role"] for message in sent.body["messages"]] == ["user", "assistant", "user"]
    assert sent.losses == ["messages[1].content"]
