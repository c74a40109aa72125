"""What a custom model's admins do to requests: tools by name, members, a limit; and that all of it is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.wire.custom import extended, without_tools
from trivium.wire.losses import Losses
from trivium.wire.request import parse
from trivium.wire.toolgate import ToolGate

CHAT: dict[str, Any] = {"model": "m", "messages": []}
RESPONSES: dict[str, Any] = {"model": "m", "input": ""}
MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": []}


def filtered(api: Api, body: dict[str, Any] | bytes, *kept: str) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    after = without_tools(parse(api, data), ToolGate(lambda _: False, lambda name: name in kept), api, losses)
    assert {name: bytes(raw) for name, raw in after.members.items()} == {
        name: bytes(raw) for name, raw in msgspec.json.decode(after.body, type=dict[str, msgspec.Raw]).items()
    }
    return msgspec.json.decode(after.body), [loss.field for loss in losses.told()]


def test_a_choice_among_tools_keeps_those_that_are_left() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}
    after, lost = filtered(Api.CHAT, CHAT | {"tools": tools, "tool_choice": choice}, "b")
    assert after["tools"] == after["tool_choice"]["allowed_tools"]["tools"] == tools[1:]
    assert lost == ["tools[0]", "tool_choice"]
    flat = [{"type": "function", "name": name} for name in ("a", "b")]
    after, _ = filtered(
        Api.RESPONSES, RESPONSES | {"tools": flat, "tool_choice": {"type": "allowed_tools", "tools": flat}}, "b"
    )
    assert after["tool_choice"] == {"type": "allowed_tools", "tools": flat[1:]}


def test_a_choice_by_words_stays_and_one_of_nothing_goes() -> None:
    tools = [{"name": "a"}, {"name": "b"}]
    after, lost = filtered(Api.MESSAGES, MESSAGES | {"tools": tools, "tool_choice": {"type": "any"}}, "b")
    assert (after["tool_choice"], lost) == ({"type": "any"}, ["tools[0]"])
    after, lost = filtered(Api.MESSAGES, MESSAGES | {"tools": tools, "tool_choice": {"type": "any"}})
    assert (after, lost) == (MESSAGES, ["tools[0]", "tool_choice"])
    functions = {"functions": [{"name": "a"}], "function_call": {"name": "a"}, "parallel_tool_calls": True}
    assert filtered(Api.CHAT, CHAT | functions)[0] == CHAT


def test_tools_in_namespaces_and_of_mcp_servers_are_filtered_too() -> None:
    space = {"type": "namespace", "name": "fs", "tools": [{"type": "function", "name": name} for name in ("a", "b")]}
    after, lost = filtered(Api.RESPONSES, RESPONSES | {"tools": [space]}, "b")
    assert (after["tools"], lost) == ([space | {"tools": space["tools"][1:]}], ["tools[0].tools"])
    assert "tools" not in filtered(Api.RESPONSES, RESPONSES | {"tools": [space]})[0]
    servers = [{"name": "docs", "url": "https://x"}, {"name": "code", "url": "https://y"}]
    after, lost = filtered(Api.MESSAGES, MESSAGES | {"mcp_servers": servers}, "code")
    assert (after["mcp_servers"], lost) == (servers[1:], ["mcp_servers[0]"])


def test_a_member_that_stands_twice_reaches_nobody_unread() -> None:
    body = b'{"model":"m","messages":[],"tools":[{"name":"a"}],"tools":[{"name":"b"}]}'
    assert filtered(Api.CHAT, body, "b")[0]["tools"] == [{"name": "b"}]


def test_nor_does_a_name_that_stands_twice() -> None:
    body = b'{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a","name":"b"}}]}'
    after = without_tools(parse(Api.CHAT, body), ToolGate(lambda _: False, lambda _: True), Api.CHAT, Losses())
    assert b'"a"' not in after.body


def test_numbers_of_a_tool_keep_their_digits() -> None:
    schema = b'{"maximum":1.10,"minimum":12345678901234567890123}'
    body = b'{"model":"m","messages":[],"tools":[{"name":"b","parameters":%b}]}' % schema
    after = without_tools(parse(Api.CHAT, body), ToolGate(lambda _: False, lambda _: True), Api.CHAT, Losses())
    assert schema in after.body


def test_a_search_that_a_member_switches_on_is_a_tool_too() -> None:
    for member in ("web_search_options", "search_parameters"):
        said = CHAT | {member: {}}
        assert filtered(Api.CHAT, said, "web_search") == filtered(Api.CHAT, said, member) == (said, [])
        assert filtered(Api.CHAT, said, "other") == (CHAT, [member])
        assert filtered(Api.CHAT, CHAT | {member: None}, "other")[1] == []
    plugins = CHAT | {"plugins": [{"id": "web"}, {"id": "file-parser"}]}
    assert filtered(Api.CHAT, plugins, "web_search") == (plugins, [])
    assert filtered(Api.CHAT, plugins, "x") == (CHAT | {"plugins": [{"id": "file-parser"}]}, ["plugins"])


@pytest.mark.parametrize("odd", [5, "x", {}, [5, None, "x"], [[]]])
def test_what_are_no_tools_is_the_server_s_to_refuse(odd: Any) -> None:
    after, _ = filtered(Api.CHAT, CHAT | {"tools": odd}, "", "x")
    assert after["tools"] == odd


def complete(api: Api, body: dict[str, Any], extra: dict[str, Any], limit: int | None = None) -> tuple[Any, list[str]]:
    losses = Losses()
    data = msgspec.json.encode(body)
    return msgspec.json.decode(extended(parse(api, data), api, data, extra, limit, losses)), [
        loss.field for loss in losses.told()
    ]


def test_members_are_set_and_objects_merged() -> None:
    said = CHAT | {"top_p": 1, "kwargs": {"a": 1, "b": {"c": 2}}}
    after, lost = complete(Api.CHAT, said, {"seed": 7, "kwargs": {"d": 3, "b": {"e": 4}}})
    assert (after["seed"], after["kwargs"], lost) == (7, {"a": 1, "b": {"c": 2, "e": 4}, "d": 3}, [])
    after, lost = complete(Api.CHAT, said, {"top_p": 0.5, "kwargs": {"b": 1}})
    assert (after["top_p"], after["kwargs"], lost) == (0.5, {"a": 1, "b": 1}, ["top_p", "kwargs"])
    assert complete(Api.CHAT, said, {"top_p": 1}) == (said, [])


def test_a_limit_lowers_what_is_asked_for_and_no_more() -> None:
    assert complete(Api.CHAT, CHAT | {"max_tokens": 9}, {}, 5) == (CHAT | {"max_tokens": 5}, ["max_tokens"])
    assert complete(Api.CHAT, CHAT | {"max_completion_tokens": 9}, {}, 5)[0]["max_completion_tokens"] == 5
    assert complete(Api.RESPONSES, RESPONSES | {"max_output_tokens": 9}, {}, 5)[0]["max_output_tokens"] == 5
    assert complete(Api.MESSAGES, MESSAGES, {}, 5) == (MESSAGES, [])
    assert complete(Api.CHAT, CHAT, {}, 5) == (CHAT, [])
    assert complete(Api.CHAT, CHAT | {"max_tokens": 2}, {"max_tokens": 9}, 5)[0]["max_tokens"] == 9


_names = st.sampled_from(["a", "b", "c"])


@given(st.lists(_names, max_size=5), st.sets(_names), st.sampled_from(list(Api)))
def test_the_model_is_told_exactly_of_the_tools_that_it_is_given(names: list[str], kept: set[str], api: Api) -> None:
    body = {Api.CHAT: CHAT, Api.RESPONSES: RESPONSES, Api.MESSAGES: MESSAGES}[api]
    made = [{"type": "function", "function": {"name": n}} if api is Api.CHAT else {"name": n} for n in names]
    after, lost = filtered(api, body | {"tools": made}, *kept)
    told = [tool.get("function", tool)["name"] for tool in after.get("tools", [])]
    assert told == [name for name in names if name in kept]
    assert bool(lost) == any(name not in kept for name in names)
