"""Agents on upstreams of another API when not all goes well, when they count, and when the upstream changes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from test_clients import AGENTS, BAD_DAY, CLAUDE_CODE, Agent
from translated_agents import (
    LAST_WORD,
    SCRIPT,
    SET_UPS,
    SHELLS,
    calling,
    lost,
    playing,
    refusals,
    thoughts,
    told,
    worked,
)

from trivium.mock import Error, Match, Reply, Rule, Script, Usage

pytestmark = pytest.mark.clients

# Bad days.

STILLBORN = Rule(Reply(error=Error(message="Overloaded.")), Match(stream=True), times=1)
"""An error inside a 200, before anything else is said."""
RESUMING = Rule(LAST_WORD.reply, Match(contains="scripted-43"))
"""Claude Code asks for the rest of a word that broke off: the results are no longer the last that was said."""


@pytest.mark.parametrize(
    ("name", "upstream_api"),
    [
        ("claude-code", "chat"),
        ("claude-code", "responses"),
        ("codex", "messages"),
        ("codex", "chat"),
        ("opencode-chat", "messages"),
    ],
)
async def test_an_agent_gets_through_a_bad_day_of_another_api(name: str, upstream_api: str, tmp_path: Path) -> None:
    script = msgspec.structs.replace(SCRIPT, rules=[*BAD_DAY, STILLBORN, RESUMING, *SCRIPT.rules])
    done = await worked(SET_UPS[name], upstream_api, script, tmp_path)
    failures = [record["status"] for record in done.records if record["outcome"] == "failed"]
    # Where nothing of an answer had come, Claude Code asks again without a stream, and meets the last one no more.
    assert sorted(failures) in ([200, 200, 429, 502], [200, 200, 429])
    assert not refusals(upstream_api, done.bodies)


# Counting.


@pytest.mark.parametrize(
    ("upstream_api", "asked", "flags"),
    [("chat", set(), "estimated"), ("responses", {"/v1/responses/input_tokens"}, "")],
)
async def test_claude_code_counts_its_context_on_any_upstream(
    upstream_api: str, asked: set[str], flags: str, tmp_path: Path
) -> None:
    counting = CLAUDE_CODE._replace(command=("claude", "-p", "/context", "--model", "claude-sonnet-4-5"))
    done = await worked(counting, upstream_api, Script(), tmp_path, saying="| System tools |")
    assert done.paths == asked
    assert {(record["operation"], record["status"], record["flags"]) for record in done.records} == {
        ("count_tokens", 200, flags)
    }


# A conversation that grows too long.


async def test_codex_sums_up_with_an_upstream_that_wants_the_tools_of_all_calls(tmp_path: Path) -> None:
    """Its request for a summary has the calls but no tools, which the vendor refuses."""
    agent = SET_UPS["codex"]
    assert agent.file is not None
    agent = agent._replace(file=("config.toml", f"model_auto_compact_token_limit = 500\n{agent.file[1]}"))
    summary = "Summary: the shell was seen at work."
    script = Script(
        [
            Rule(LAST_WORD.reply, Match(contains=summary)),
            Rule(Reply(text=summary, usage=Usage(input=20, output=10)), Match(contains="CHECKPOINT COMPACTION")),
            *SCRIPT.rules,
        ]
    )
    done = await worked(agent, "messages", script, tmp_path)
    _, summing, after = done.bodies
    assert [tool["name"] for tool in summing["tools"]] == ["exec_command"]
    assert summing["tool_choice"] == {"type": "none"}
    assert "tool_use" not in json.dumps(after["messages"])
    assert not refusals("messages", done.bodies)


# A conversation that moves from one upstream to another, and back.

AGAIN = "Once more, please."
RESUMED = {
    "claude-code": ("claude", "-p", AGAIN, "--continue", "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"),
    "codex": ("codex", "exec", "resume", "--last", *AGENTS["codex"].command[2:-1], AGAIN),
    "opencode-responses": ("opencode", "run", "--continue", "-m", "trivium/claude-sonnet-4-5", AGAIN),
}


def seal(visit: int) -> str:
    return base64.b64encode(f"seal of visit {visit}".encode() * 5).decode()


def secret(visit: int) -> str:
    return base64.b64encode(f"secret of visit {visit}".encode() * 5).decode()


def resumed(name: str) -> Agent:
    return AGENTS[name]._replace(command=RESUMED[name])


@pytest.mark.parametrize(
    ("name", "there", "own"),
    [
        ("claude-code", "chat", "messages"),
        ("claude-code", "responses", "messages"),
        ("codex", "messages", "responses"),
        ("opencode-responses", "messages", "responses"),
    ],
)
async def test_a_conversation_moves_to_an_upstream_of_the_agents_own_api_and_back(
    name: str, there: str, own: str, tmp_path: Path
) -> None:
    agents = (AGENTS[name], resumed(name), resumed(name))
    first, second, third = [
        await worked(agent, api, _visit(number), tmp_path)
        for number, (agent, api) in enumerate(zip(agents, (there, own, there), strict=True))
    ]
    assert thoughts(first.last) == told(there, seal(0), secret(0))

    assert "~tv1." not in second.sent
    assert seal(0) not in second.sent
    assert [_bare(said) for said in thoughts(second.last)] == told(own, seal(1), secret(1))
    losses = {why for record in second.records for why in lost(record).values()}
    assert losses == {"reasoning of an upstream with another API: only its origin takes it back (and 1 more like it)"}

    assert thoughts(third.last) == told(there, seal(0), secret(0)) + told(there, seal(2), secret(2))
    assert seal(1) not in third.sent
    assert not refusals(there, first.bodies + third.bodies)


async def test_claude_code_moves_on_with_another_model(tmp_path: Path) -> None:
    """It leaves thoughts of another model behind by itself."""
    command = tuple(word.replace("sonnet-4-5", "opus-4-6") for word in RESUMED["claude-code"])
    first = await worked(CLAUDE_CODE, "chat", _visit(0), tmp_path)
    second = await worked(CLAUDE_CODE._replace(command=command), "messages", _visit(1), tmp_path)
    third = await worked(resumed("claude-code"), "chat", _visit(2), tmp_path)
    assert thoughts(first.last) == told("chat", seal(0), secret(0))
    assert thoughts(second.last) == told("messages", seal(1), secret(1))
    assert thoughts(third.last) == told("chat", seal(0), secret(0)) + told("chat", seal(2), secret(2))
    assert "~tv1." not in first.sent + second.sent + third.sent


def _visit(number: int) -> Script:
    """Another upstream's script: agents do not take up a call whose id they have seen."""
    return playing(
        *(
            Rule(
                calling(shell, prefix=f"visit_{number}_", signature=seal(number), redacted=secret(number)),
                Match(tool=shell),
            )
            for shell in SHELLS
        )
    )


def _bare(said: dict[str, object]) -> dict[str, object]:
    """Without what only the agent's own API knows: ids, `content: null`."""
    return {name: value for name, value in said.items() if name != "id" and value is not None}
