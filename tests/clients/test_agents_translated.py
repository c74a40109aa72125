"""The coding agents on upstreams that do not speak their API: all they send is translated, and all they get.

The model thinks, says a word, calls two shells at once, and has the last word when both results have reached it. What
reached it is held against the vendors' rules, and against what it said itself.
"""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from test_clients import TASK
from translated_agents import (
    CALLS,
    SCRIPT,
    SET_UPS,
    asking_for,
    knowing,
    pictures,
    playing,
    refusals,
    results,
    shell_call,
    thoughts,
    told,
    worked,
)

from trivium.canon.api import Api
from trivium.mock import Match, Reply, Rule, ToolCall

pytestmark = pytest.mark.clients

DIRECTIONS = [
    ("claude-code", "chat"),
    ("claude-code", "responses"),
    ("claude-code-newer", "chat"),
    ("claude-code-newer", "responses"),
    ("codex", "messages"),
    ("codex", "chat"),
    ("codex-newer", "messages"),
    ("codex-newer", "chat"),
    ("opencode-chat", "messages"),
    ("opencode-chat", "responses"),
    ("opencode-responses", "messages"),
    ("opencode-responses", "chat"),
    ("opencode-messages", "chat"),
    ("opencode-messages", "responses"),
    ("kilo", "messages"),
    ("kilo", "responses"),
    ("kilo-responses", "messages"),
    ("kilo-messages", "chat"),
    ("qwen-code", "messages"),
    ("qwen-code", "responses"),
]
SEND_BACK_NO_SEALS = {"opencode-chat", "kilo", "qwen-code"}
"""Their Chat clients know thoughts as plain text, and nobody takes a thought back without its seal."""
SURROUNDINGS = {
    "claude": "# Environment",
    "codex": "<environment_context>",
    "opencode": "<env>",
    "kilo": "<environment_details>",
}
"""What a program says of where it is: of the system, of the user or in between."""


@pytest.mark.parametrize(("name", "upstream_api"), DIRECTIONS)
async def test_an_agent_works_with_an_upstream_of_another_api(name: str, upstream_api: str, tmp_path: Path) -> None:
    done = await worked(SET_UPS[name], upstream_api, SCRIPT, tmp_path)
    given = results(done.last)
    assert given.keys() == CALLS.keys()
    assert all(output in given[id] for id, (_, output) in CALLS.items())
    assert thoughts(done.last) == ([] if name in SEND_BACK_NO_SEALS else told(upstream_api))
    assert not refusals(upstream_api, done.bodies)
    assert TASK in done.sent
    assert SURROUNDINGS.get(SET_UPS[name].command[0], "") in done.sent
    assert "~tv1." not in done.sent
    assert ("Grüße" in done.sent) is (name not in SEND_BACK_NO_SEALS)
    assert {(row["outcome"], Api(row["upstream_api"]).short) for row in done.records} == {("success", upstream_api)}
    assert {(20, 1800, 40), (220, 1800, 12)} <= {
        (row["input_uncached_tokens"], row["cache_read_tokens"], row["output_tokens"]) for row in done.records
    }


# Codex's own kinds of tools.


@pytest.mark.parametrize("upstream_api", ["messages", "chat"])
async def test_codex_patches_a_file_where_tools_take_only_json(upstream_api: str, tmp_path: Path) -> None:
    patch = "*** Begin Patch\n*** Add File: hello.txt\n+grüße\n*** End Patch\n"
    call = ToolCall("apply_patch", {"input": patch}, "call_patch")
    script = playing(Rule(Reply(tool_calls=[call]), Match(tool="apply_patch")))
    done = await worked(SET_UPS["codex-newer"], upstream_api, script, tmp_path)
    assert "Success" in results(done.last)["call_patch"]
    assert (tmp_path / "hello.txt").read_text("utf-8") == "grüße\n"
    assert not refusals(upstream_api, done.bodies)


@pytest.mark.parametrize("upstream_api", ["messages", "chat"])
async def test_codex_is_called_into_a_namespace_where_there_are_none(upstream_api: str, tmp_path: Path) -> None:
    call = ToolCall("close_agent", {"target": "nobody"}, "call_agent", namespace="multi_agent_v1")
    script = playing(Rule(Reply(tool_calls=[call]), Match(tool="multi_agent_v1__close_agent")))
    done = await worked(SET_UPS["codex"], upstream_api, script, tmp_path)
    assert "invalid agent id nobody" in results(done.last)["call_agent"]  # the tool's own words, so it was found
    assert not refusals(upstream_api, done.bodies)


# Thoughts of other kinds.


@pytest.mark.parametrize(("name", "shell"), [("claude-code", "Bash"), ("codex", "exec_command")])
async def test_googles_seal_of_a_call_comes_back_on_that_call(name: str, shell: str, tmp_path: Path) -> None:
    calls = [shell_call(shell, command, id) for id, (command, _) in CALLS.items()]
    calls[0] = msgspec.structs.replace(calls[0], thought_signature="Z29v+2xl/w==")
    script = playing(Rule(Reply(reasoning="Why not.", tool_calls=calls), Match(tool=shell)))
    done = await worked(SET_UPS[name], "chat", script, tmp_path)
    (called,) = (said["tool_calls"] for said in done.last["messages"] if "tool_calls" in said)
    assert [call.get("extra_content") for call in called] == [{"google": {"thought_signature": "Z29v+2xl/w=="}}, None]


@pytest.mark.parametrize(("name", "goes_on"), [("opencode-chat", False), ("opencode-responses", True)])
async def test_claude_thinks_on_only_where_it_gets_its_thoughts_back(name: str, goes_on: bool, tmp_path: Path) -> None:
    """It refuses to think in the middle of a chain of calls that does not begin with its thinking."""
    provider = 'type = "anthropic"\nkey = "secret"'
    thinking = knowing(asking_for("gpt-5.5", SET_UPS[name]), reasoning=True)  # for others it asks for no effort
    done = await worked(thinking, "messages", SCRIPT, tmp_path, provider=provider, model="claude-sonnet-4-5")
    first, second = (body for body in done.bodies if "tools" in body)
    assert first["thinking"]["type"] == "enabled"
    assert (second.get("thinking") == first["thinking"]) is goes_on
    assert thoughts(second) == (told("messages") if goes_on else [])
    assert not refusals("messages", done.bodies)
    assert ("the last turn with calls came without thinking" in str(done.records)) is not goes_on


# Pictures, and tools that fail.

PICTURE = base64.b64encode(
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0\x90\x91h6\0\0\0\x17IDATx\x9cc\xf8\xcf\xc0@\x12"M\xf5'
    b"\xa8\x86Q\rCJ\x03\0\x90\xf9\xff\x01\xf9\xe1\xfax\0\0\0\0IEND\xaeB`\x82"
).decode()
"""A red square."""
SEEING = {"attachment": True, "modalities": {"input": ["text", "image"], "output": ["text"]}}
LOOKS = {
    "claude": ("Read", "file_path", "Bash"),
    "codex": ("view_image", "path", "exec_command"),
    "opencode": ("read", "filePath", "bash"),
}
"""By program: the tool that shows a picture and its argument, and the shell."""


@pytest.mark.parametrize(
    ("name", "upstream_api"),
    [
        ("claude-code", "chat"),
        ("claude-code", "responses"),
        ("codex", "messages"),
        ("codex-newer", "chat"),
        ("opencode-chat", "messages"),
        ("opencode-responses", "chat"),
        ("opencode-messages", "responses"),
    ],
)
async def test_a_tool_shows_a_picture_beside_one_that_fails(name: str, upstream_api: str, tmp_path: Path) -> None:
    agent = SET_UPS[name]
    if agent.command[0] == "opencode":
        agent = knowing(agent, **SEEING)
    show, argument, shell = LOOKS[agent.command[0]]
    path = tmp_path / "red.png"
    path.write_bytes(base64.b64decode(PICTURE))
    calls = [ToolCall(show, {argument: str(path)}, "call_look"), shell_call(shell, "exit 3", "call_fail")]
    done = await worked(agent, upstream_api, playing(Rule(Reply(tool_calls=calls), Match(tool=shell))), tmp_path)
    assert pictures(done.last) == [PICTURE]
    assert list(results(done.last)) == ["call_look", "call_fail"]
    assert not refusals(upstream_api, done.bodies)
    if agent.command[0] == "claude":  # the others do not say so in a field of its own
        assert results(done.last)["call_fail"].startswith("The tool failed: Exit code 3")


PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj
trailer<</Size 4/Root 1 0 R>>
%%EOF
"""


@pytest.mark.parametrize("upstream_api", ["chat", "responses"])
async def test_claude_code_reads_a_pdf_and_loads_a_deferred_tool(upstream_api: str, tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    path.write_bytes(PDF)
    calls = [ToolCall("Read", {"file_path": str(path)}, "call_read")]
    calls.append(ToolCall("ToolSearch", {"query": "select:WebFetch", "max_results": 1}, "call_load"))
    script = playing(Rule(Reply(tool_calls=calls), Match(tool="ToolSearch")))
    done = await worked(SET_UPS["claude-code"], upstream_api, script, tmp_path)
    assert "data:application/pdf;base64," + base64.b64encode(PDF).decode() in done.sent
    assert "WebFetch" in results(done.last)["call_load"]
    loaded = [tool.get("function", tool)["name"] for tool in done.last["tools"]]
    assert "WebFetch" in loaded
    assert not refusals(upstream_api, done.bodies)
