"""Under which names a tool is shut out, and which name lets it in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon import wildcard
from trivium.wire.toolgate import ToolGate

HOSTED = {"type": "web_search_20250305", "name": "web_search"}
EDITOR = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://x"}


def lets(
    tool: Any, *, exclude: str = "", include: str = "*", space: str | None = None, translated: bool = False
) -> bool:
    shut, let = (wildcard.compiled(pattern).fullmatch for pattern in (exclude or "?nothing", include))
    gate = ToolGate(lambda name: shut(name) is not None, lambda name: let(name) is not None)
    return gate.lets(tool, space, translated=translated)


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "function", "function": {"name": "read"}}, "read"),
        ({"type": "custom", "custom": {"name": "patch"}}, "patch"),
        ({"type": "function", "name": "read"}, "read"),
        ({"type": "custom", "name": "patch"}, "patch"),
        ({"type": "tool", "name": "read"}, "read"),
        ({"name": "read", "input_schema": {}}, "read"),
        (HOSTED, "web_search"),
        (HOSTED, "web_search_20250305"),
        (EDITOR, "str_replace_based_edit_tool"),
        (EDITOR, "text_editor"),
        ({"type": "web_search_preview"}, "web_search_preview"),
        ({"type": "web_search_preview_2025_03_11"}, "web_search"),
        ({"type": "openrouter:web_search"}, "web_search"),
        (MCP, "docs"),
        ({"type": "mcp_toolset", "mcp_server_name": "docs"}, "docs"),
        ({"type": "url", "name": "docs", "url": "https://x"}, "docs"),
    ],
)
def test_a_tool_has_its_name_in_all_apis(tool: dict[str, Any], name: str) -> None:
    assert lets(tool)
    assert not lets(tool, exclude=name)
    assert lets(tool, include=name)
    assert not lets(tool, include="other")
    assert lets(tool, exclude="other")


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "ok", "function": {"name": "shell_exec"}},
        {"type": "function", "name": "shell_exec", "function": {"name": "ok"}},
        {"name": "ok", "custom": {"name": "shell_exec"}},
        {"type": "custom", "name": "ok", "custom": {"name": "shell_exec"}},
        {"type": "new", "name": "ok", "new": {"name": "shell_exec"}},
        {"type": "mcp", "server_label": "shell_exec", "name": "ok"},
        {"type": "mcp_toolset", "mcp_server_name": "shell_exec", "name": "ok"},
        {"type": "shell_exec", "name": "ok"},
        {"type": "shell_exec_20250305", "name": "ok"},
        {"type": "function", "name": "ok", "namespace": "shell_exec"},
        "shell_exec",
    ],
)
def test_a_second_name_lets_no_tool_through(tool: Any) -> None:
    assert lets(tool)
    assert not lets(tool, exclude="shell_exec*")
    assert not lets(tool, include="ok", translated=True)


def test_a_tool_of_the_vendor_is_what_its_type_says() -> None:
    for kind in ("web_search", "web_search_20250305"):
        assert not lets({"type": kind, "name": "ok"}, exclude="web_search")
        assert not lets({"type": kind, "name": "ok"}, include="ok")
        assert not lets({"type": kind, "name": "ok"}, include="web_search")
    assert not lets({"type": "web_search", "name": "str_replace_based_edit_tool"}, include="str*")
    assert not lets(MCP, exclude="mcp")
    assert not lets(MCP, include="mcp")
    assert lets({"type": "mcp"}, include="mcp")


def test_a_tool_in_a_namespace_goes_by_both_names() -> None:
    tool = {"type": "function", "name": "a"}
    for exclude in ("shell*", "shellns", "shellns__a", "a"):
        assert not lets(tool, space="shellns", exclude=exclude)
        assert not lets(tool, space="shellns__", exclude=exclude if exclude != "shellns" else "shellns__")
    assert lets(tool, space="shellns", include="a")
    assert not lets(tool, space="shellns", include="a", translated=True)
    for translated in (False, True):
        assert lets(tool, space="shellns", include="shellns__a", translated=translated)


def test_a_name_that_no_upstream_takes_is_tried_as_it_would_arrive() -> None:
    assert not lets({"name": "shell.exec"}, exclude="shell_*")
    assert lets({"name": "shell.exec"}, include="shell.exec", translated=True)


@pytest.mark.parametrize("odd", [5, None, [], {}, {"name": 5}, {"type": "function"}, {"function": "x"}])
def test_what_has_no_name_is_let_in_where_all_is(odd: Any) -> None:
    assert lets(odd, exclude="shell*")
    assert not lets(odd, include="read")


def test_a_switch_has_the_names_that_it_is_given() -> None:
    gate = ToolGate(lambda name: name == "a", lambda name: name in ("a", "b"))
    assert [gate.lets_switch(*names) for names in (("a", "b"), ("b", "c"), ("c",))] == [False, True, False]


NAMES = st.sampled_from(["shell", "read", "", 5])
TOOLS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["function", "custom", "mcp", "shell", "namespace", "x"]),
        **dict.fromkeys(("name", "server_label", "mcp_server_name", "namespace"), NAMES),
        **dict.fromkeys(("function", "custom"), st.fixed_dictionaries({}, optional={"name": NAMES})),
    },
)


@given(TOOLS, st.booleans())
def test_nothing_is_let_in_that_says_the_name_anywhere(tool: dict[str, Any], translated: bool) -> None:
    if "shell" in str(tool):
        assert not lets(tool, exclude="shell")
