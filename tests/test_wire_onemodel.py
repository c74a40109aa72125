"""What would bring other models into a request is left out, and told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from trivium.canon.api import Api
from trivium.errors import FieldUnsupported, InvalidJson
from trivium.wire.body import members
from trivium.wire.losses import Losses
from trivium.wire.onemodel import of_no_cost, of_one_model

CLIENTS_OWN = [
    {"type": "function", "function": {"name": "Agent", "parameters": {"properties": {"model": {"type": "string"}}}}},
    {"type": "custom", "name": "fusion", "model": "words"},
    {"name": "Task", "input_schema": {"properties": {"model": {}, "models": {}}}},
    {"type": "namespace", "name": "advisor", "tools": [{"type": "function", "name": "f", "parameters": {"model": 1}}]},
    {
        "type": "namespace",
        "name": "k8s",
        "tools": [{"type": "function", "name": "namespace", "parameters": {"type": {}}}],
    },
]
HARMLESS = [
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    {"type": "openrouter:web_search", "parameters": {"engine": "exa"}},
    {"type": "image_generation", "size": "1024x1024"},
    {"type": "mcp", "server_label": "the model", "server_url": "https://mcp.example"},
]
OTHERS = [
    {"type": "openrouter:fusion"},
    {"type": "openrouter:fusion", "parameters": {"analysis_models": ["dear/one"], "model": "dear/two"}},
    {"type": "openrouter:advisor", "parameters": {"model": "dear/one"}},
    {"type": "openrouter:subagent"},
    {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-6"},
    {"type": "image_generation", "model": "gpt-image-1"},
    {"type": "openrouter:image_generation", "parameters": {"model": "dear/images"}},
    {"type": "openrouter:image_generation"},
    {"type": "namespace", "name": "n", "tools": [CLIENTS_OWN[0], {"type": "openrouter:subagent"}]},
    {"type": "namespace", "name": "n", "tools": [{"type": "image_generation", "model": "dear/one"}]},
    {"type": "namespace", "name": "n", "tools": [{"type": "namespace", "tools": [{"type": "openrouter:fusion"}]}]},
    {"type": "what_comes_next", "options": {"deep": [{"judge_model": "dear/one"}]}},
]


def done(**fields: Any) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    left = of_one_model(members(json.dumps(fields).encode()), losses)
    return json.loads(msgspec.json.encode(left)), [loss.field for loss in losses.told()]


def test_a_request_without_such_things_is_the_same_object() -> None:
    found = members(json.dumps({"model": "m", "tools": CLIENTS_OWN + HARMLESS, "plugins": [{"id": "web"}]}).encode())
    assert of_one_model(found, Losses()) is found


@pytest.mark.parametrize("tool", OTHERS)
def test_a_tool_that_calls_another_model_goes_and_the_clients_own_stay(tool: dict[str, Any]) -> None:
    left, lost = done(tools=[*CLIENTS_OWN, tool, *HARMLESS], tool_choice="required")
    assert left == {"tools": CLIENTS_OWN + HARMLESS, "tool_choice": "required"}
    assert lost == [f"tools[{len(CLIENTS_OWN)}]"]


@pytest.mark.parametrize(
    "plugin",
    [
        {"id": "fusion"},
        {"id": "fusion", "analysis_models": ["dear/one"], "model": "dear/two"},
        {"id": "auto-router", "allowed_models": ["dear/*"]},
        {"id": "pareto-router"},
        {"id": "auto-beta-router", "enabled": True},
    ],
)
def test_a_plugin_that_does_goes_and_others_stay(plugin: dict[str, Any]) -> None:
    assert done(plugins=[{"id": "web"}, plugin]) == ({"plugins": [{"id": "web"}]}, ["plugins[1]"])
    assert done(plugins=[plugin]) == ({}, ["plugins[0]"])


@pytest.mark.parametrize("name", ["models", "fallbacks", "route", "safety_model", "draft_models", "compound_custom"])
def test_members_that_name_others_go(name: str) -> None:
    assert done(**{name: "dear", "x": 1}) == ({"x": 1}, [name])


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
def test_a_tool_that_an_item_of_the_conversation_brings_along_goes_too(kind: str) -> None:
    said = {"role": "user", "content": 'their "tools" are {"type": "openrouter:fusion"}'}
    listed = {"type": "mcp_list_tools", "tools": [{"name": "f", "input_schema": {"properties": {"model": {}}}}]}
    item = {"type": kind, "role": "developer", "tools": [*CLIENTS_OWN, OTHERS[5], *HARMLESS, OTHERS[0]], "id": "x"}
    left, lost = done(input=[said, item, listed, item])
    without = {**item, "tools": CLIENTS_OWN + HARMLESS}
    assert left == {"input": [said, without, listed, without]}
    assert lost == [f"input[1].tools[{len(CLIENTS_OWN)}]"]
    hidden = b'{"input":[{"type":"%b","\\u0074ools":[{"type":"openrouter:fusion"}]}]}' % kind.encode()
    assert b"fusion" not in bytes(of_one_model(members(hidden), Losses())["input"])
    found = members(json.dumps({"input": [said, listed, {**item, "tools": CLIENTS_OWN}], "x": 1}).encode())
    assert of_one_model(found, Losses()) is found
    for texts in (["tools", "b"], [[1, 2], [3]], "tools"):
        assert done(input=texts) == ({"input": texts}, [])


def test_a_choice_of_what_is_gone_goes_too() -> None:
    fusion, advisor = OTHERS[0], OTHERS[4]
    assert done(tools=[fusion], tool_choice="required", parallel_tool_calls=True) == (
        {},
        ["tools[0]", "tool_choice", "parallel_tool_calls"],
    )
    for gone, choice in ((fusion, {"type": "openrouter:fusion"}), (advisor, {"type": "tool", "name": "advisor"})):
        left, lost = done(tools=[CLIENTS_OWN[2], gone], tool_choice=choice)
        assert (left, lost) == ({"tools": [CLIENTS_OWN[2]]}, ["tools[1]", "tool_choice"])
    kept = {"type": "tool", "name": "Task"}
    assert done(tools=[CLIENTS_OWN[2], advisor], tool_choice=kept)[0]["tool_choice"] == kept


def test_a_choice_names_what_is_gone_in_full() -> None:
    tools = [CLIENTS_OWN[2], {"type": "x:advisor", "name": 7}, {"type": "fusion_v2", "name": "fuse"}]
    for choice in ({"type": "tool", "name": "advisor 7"}, "fuse them", {"tools": [{"name": "fuse\\"}]}):
        assert done(tools=tools, tool_choice=choice)[0]["tool_choice"] == choice
    assert done(tools=tools, tool_choice={"tools": [{"name": "\\"}, {"name": "fuse"}]})[1] == [
        "tools[1]",
        "tool_choice",
    ]


def test_a_choice_as_long_as_a_book_is_refused() -> None:
    with pytest.raises(FieldUnsupported, match="`tool_choice` is too long"):
        done(tools=[CLIENTS_OWN[2], OTHERS[0]], tool_choice="a" * 70_000)


def test_no_spelling_and_no_neighbour_hides_it() -> None:
    for tools in (
        b'[{"type":"openrouter:\\u0066usion"}]',
        b'[{"type":"openrouter\\u003afusion"}]',
        b'[{"type":"x","\\u006dodel":"dear/one"}]',
        b'[null,7,"x",[],{"type":"openrouter:fusion"}]',
    ):
        left = of_one_model(members(b'{"tools":%b}' % tools), Losses())
        assert b"usion" not in bytes(left.get("tools", b""))
        assert b"dear" not in bytes(left.get("tools", b""))


def test_the_id_of_a_plugin_is_not_hidden_either() -> None:
    losses = Losses()
    assert of_one_model(members(b'{"plugins":[{"id":"auto\\u002drouter"}]}'), losses) == {}
    assert [loss.field for loss in losses.told()] == ["plugins[0]"]


def test_for_whom_nobody_pays_what_a_provider_runs_for_money_goes_too() -> None:
    paid = [
        {"type": "openrouter:web_search", "parameters": {"max_results": 50}},
        {"type": "openrouter:datetime"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        {"type": "namespace", "name": "n", "tools": [{"type": "file_search"}]},
        {"type": "web_\\u0073earch"},
    ]
    free = [*CLIENTS_OWN, {"type": "function", "name": "web_search"}, {"type": "bash_20250124", "name": "bash"}]
    losses = Losses()
    asked = {"tools": [*paid, *free], "plugins": [{"id": "web"}], "web_search_options": {}, "x": 1}
    left = of_no_cost(members(json.dumps(asked).replace("\\\\u", "\\u").encode()), losses)
    assert json.loads(msgspec.json.encode(left)) == {"tools": free, "x": 1}
    assert {loss.field for loss in losses.told()} == {"plugins", "web_search_options", "tools[0]"}
    found = members(json.dumps({"tools": free, "x": 1}).encode())
    assert of_no_cost(found, Losses()) is found


@pytest.mark.parametrize("name", ["tools", "plugins"])
@pytest.mark.parametrize("item", [b'{"a":1}', b"[]", b"0"])
def test_a_crowd_is_refused_whatever_it_is_of(name: str, item: bytes) -> None:
    crowd = b"[%b]" % b",".join([item] * 400_000)
    with pytest.raises(FieldUnsupported, match=f"`{name}` has too many items"):
        of_one_model({name: msgspec.Raw(crowd)}, Losses())


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidJson):
        of_one_model({"tools": msgspec.Raw(b'["\xff"]')}, Losses())


def test_of_what_is_no_list_nothing_is_said() -> None:
    assert [api for api in Api if done(model="m", tools={"type": "openrouter:fusion"})[1]] == []
