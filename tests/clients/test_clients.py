"""The vendors' JavaScript SDKs and five coding agents through the gateway, each set up as its users would.

An agent's task: call the shell as the scripted upstream tells it, send back what came of it, end with the final text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from programs import HERE, Ended, installed, run

from gateway import ALL_APIS, Running, running
from trivium.mock import Error, Match, Reply, Rule, Script, ToolCall, Usage, load_script

pytestmark = pytest.mark.clients

# The JavaScript SDKs.

JS_RULES = (
    Rule(Reply(status=429, error=Error(message="Slow down.")), Match(model="limited")),
    Rule(Reply(text="one two three four", abort="reset", abort_after_events=4), Match(model="broken")),
    Rule(Reply(usage=Usage(input=1234)), Match(path="*_tokens")),
    Rule(Reply(text="It is sunny."), Match(has_tool_result=True)),
    Rule(Reply(tool_calls=[ToolCall("weather", {"city": "Köln"})]), Match(tool="weather")),
    Rule(Reply(text="grüße", usage=Usage(input=20, cache_read=30, output=9))),
)
JS_OPTIONS: Mapping[str, Any] = {
    "provider": f'{ALL_APIS}\nmodels = ["m", "limited", "broken"]',
    "settings": '[aliases]\nquick = "up/m"',
}
REFUSALS = {
    "unauthorized": ["AuthenticationError", 401],
    "unknown": ["NotFoundError", 404],
    "limited": ["RateLimitError", 429],
    "broken": ["APIError", None],
}


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_the_javascript_sdk_asks_in_every_way_and_sees_what_is_recorded(vendor: str, tmp_path: Path) -> None:
    folder = installed("js")
    async with running(*JS_RULES, **JS_OPTIONS) as house:
        env = {"OPENAI_BASE_URL": f"{house.url}/v1", "OPENAI_API_KEY": house.key}
        env |= {"ANTHROPIC_BASE_URL": house.url, "ANTHROPIC_API_KEY": house.key}
        ended = await run(["node", str(folder / f"{vendor}.mjs")], home=tmp_path, env=env)
        records = [record for record in await house.records() if record["output_tokens"] == 9]
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert set(map(tuple, told["seen"].values())) == {("grüße", 50, 30, 9)}
    assert {(row["input_uncached_tokens"], row["cache_read_tokens"]) for row in records} == {(20, 30)}
    assert len(records) == len(told["seen"])
    assert told["models"] == ["quick", "m", "limited", "broken"]
    assert (told["model"], told["counted"], told["toolRunner"]) == ("quick", 1234, ["It is sunny.", "Köln"])
    assert told["refusals"] == REFUSALS


async def test_the_javascript_tool_runner_goes_on_without_a_thread(tmp_path: Path) -> None:
    folder = installed("js")
    async with running(*JS_RULES, **JS_OPTIONS) as house:
        env = {"ANTHROPIC_BASE_URL": house.url, "ANTHROPIC_API_KEY": house.key}
        ended = await run(["node", str(folder / "anthropic.mjs")], home=tmp_path, env=env)
    assert json.loads(ended.out)["toolRunnerThreaded"] == ["It is sunny.", "Köln"]


# The coding agents.

TASK = "Show me the shell at work."
FINAL_TEXT = "The shell works: the scripted command has run."
AGENT_SCRIPT = load_script(HERE.parent.parent / "examples" / "mock" / "agent.toml")
OPENCODE_IN_ANY_API = Rule(
    Reply(tool_calls=[ToolCall("bash", {"command": "echo scripted", "description": "Try the shell"})]),
    Match(tool="bash"),
)
BAD_DAY = (
    Rule(Reply(status=429, headers={"retry-after": "1"}, error=Error(message="Slow down.")), times=1),
    Rule(Reply(text="Never to be finished", abort="reset", abort_after_events=5), Match(stream=True), times=1),
    Rule(Reply(text="Nor this", error=Error(message="Overloaded."), error_after_events=5), Match(stream=True), times=1),
)


class Agent(NamedTuple):
    """A set-up: what is run, with which environment and which file beside it. `{url}` and `{key}` are the gateway's."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    file: tuple[str, str] | None = None
    probes: frozenset[str] = frozenset()
    """Codes of the refusals that it gets over: paths it tries first."""


CLAUDE_CODE = Agent(
    ("claude", "-p", TASK, "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"),
    {
        "ANTHROPIC_BASE_URL": "{url}",
        "ANTHROPIC_AUTH_TOKEN": "{key}",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    },
)

_CODEX = ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK)
CODEX = Agent(
    _CODEX,
    {"CODEX_HOME": "{home}", "TRIVIUM_KEY": "{key}"},
    (
        "config.toml",
        'model = "claude-sonnet-4-5"\nmodel_provider = "trivium"\n[model_providers.trivium]\nname = "Trivium"\n'
        'base_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "TRIVIUM_KEY"\n',
    ),
)
CODEX_BUILT_IN = Agent(
    _CODEX,
    {"CODEX_HOME": "{home}", "CODEX_API_KEY": "{key}"},
    ("config.toml", 'model = "claude-sonnet-4-5"\nopenai_base_url = "{url}/v1"\n'),
    probes=frozenset({"websocket_not_offered"}),  # before it falls back
)


def provider_file(package: str) -> str:
    """The configuration of opencode, and of Kilo, its fork."""
    options = {"baseURL": "{url}/v1", "apiKey": "{env:TRIVIUM_KEY}"}
    provider = {"npm": package, "name": "Trivium", "options": options, "models": {"claude-sonnet-4-5": {}}}
    return json.dumps({"provider": {"trivium": provider}})


def _opencode(package: str) -> Agent:
    return Agent(
        ("opencode", "run", "-m", "trivium/claude-sonnet-4-5", TASK),
        {"TRIVIUM_KEY": "{key}", "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        ("opencode.json", provider_file(package)),
    )


KILO = Agent(
    ("kilo", "run", "--auto", "-m", "trivium/claude-sonnet-4-5", TASK),
    {
        "TRIVIUM_KEY": "{key}",
        "KILO_DISABLE_AUTOUPDATE": "1",
        "KILO_DISABLE_MODELS_FETCH": "1",
        "KILO_TELEMETRY_LEVEL": "off",
        "KILO_API_URL": "http://127.0.0.1:9",  # nobody: it would ask for its own models
    },
    (".config/kilo/kilo.json", provider_file("@ai-sdk/openai-compatible")),  # a project's file may not name variables
)
QWEN_CODE = Agent(
    ("qwen", "--yolo", TASK),
    {"OPENAI_BASE_URL": "{url}/v1", "OPENAI_API_KEY": "{key}", "OPENAI_MODEL": "claude-sonnet-4-5"},
    (
        ".qwen/settings.json",
        json.dumps(
            {
                "general": {"enableAutoUpdate": False},
                "privacy": {"usageStatisticsEnabled": False},
                # without a terminal it loses what one of two shells says that are begun at once
                "tools": {"shell": {"enableInteractiveShell": True}},
            }
        ),
    ),
)


AGENTS = {
    "claude-code": CLAUDE_CODE,
    "codex": CODEX,
    "codex-built-in-provider": CODEX_BUILT_IN,
    "opencode-chat": _opencode("@ai-sdk/openai-compatible"),
    "opencode-responses": _opencode("@ai-sdk/openai"),
    "opencode-messages": _opencode("@ai-sdk/anthropic"),
    "kilo": KILO,
    "qwen-code": QWEN_CODE,
}


async def work(agent: Agent, house: Running, home: Path, key: str | None = None, **options: Any) -> Ended:
    """Runs the agent in `home` and waits for it."""

    def filled(text: str) -> str:
        for name, value in {"url": house.url, "key": key or house.key, "home": str(home)}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    program = installed("agents") / "node_modules" / ".bin" / agent.command[0]
    if agent.file is not None:
        path = home / agent.file[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(agent.file[1]))
    env = {name: filled(value) for name, value in agent.env.items()}
    return await run([str(program), *agent.command[1:]], home=home, env=env, **options)


def playing(*first: Rule) -> Script:
    return msgspec.structs.replace(AGENT_SCRIPT, rules=[*first, *AGENT_SCRIPT.rules, OPENCODE_IN_ANY_API])


HOUSE: Mapping[str, Any] = {"settings": '[aliases]\n"claude-sonnet-4-5" = "up/m"'}


@pytest.mark.parametrize("name", AGENTS)
async def test_an_agent_calls_its_shell_and_ends_with_the_final_text(name: str, tmp_path: Path) -> None:
    agent = AGENTS[name]
    async with running(script=playing(), **HOUSE) as house:
        ended = await work(agent, house, tmp_path)
        records = await house.records()
        sent = [request.body for request in house.upstream.requests]
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert any(b"scripted" in body and b"echo" in body for body in sent)
    assert {record["outcome"] for record in records} <= {"success", "refused"}
    assert {record["error_code"] for record in records if record["outcome"] == "refused"} <= agent.probes
    # The final turn's tokens, as the script has them: 220, 1,800 of them from the cache, 12 out.
    assert (220, 1800, 12) in {
        (row["input_uncached_tokens"], row["cache_read_tokens"], row["output_tokens"]) for row in records
    }


@pytest.mark.parametrize("name", ["claude-code", "codex", "opencode-chat"])
async def test_an_agent_gets_through_an_upstreams_bad_day(name: str, tmp_path: Path) -> None:
    async with running(script=playing(*BAD_DAY), **HOUSE) as house:
        ended = await work(AGENTS[name], house, tmp_path)
        failures = [record["status"] for record in await house.records() if record["outcome"] == "failed"]
    assert (ended.status, FINAL_TEXT in ended.out) == (0, True), ended
    assert sorted(failures) == [200, 200, 429]


@pytest.mark.parametrize("name", ["codex", "opencode-chat", "kilo", "qwen-code"])
async def test_an_agent_shows_the_gateways_words_for_a_model_that_is_not_there(name: str, tmp_path: Path) -> None:
    async with running(provider=f'{ALL_APIS}\nmodels = ["other"]') as house:
        ended = await work(AGENTS[name], house, tmp_path)
    assert ended.status not in (0, None)
    assert "GET /v1/models lists the models" in ended.out + ended.err


async def test_claude_code_counts_its_context_through_the_gateway(tmp_path: Path) -> None:
    asking = CLAUDE_CODE._replace(command=("claude", "-p", "/context", "--model", "claude-sonnet-4-5"))
    async with running(**HOUSE) as house:
        ended = await work(asking, house, tmp_path)
        records = [record for record in await house.records() if record["operation"] == "count_tokens"]
    assert (ended.status, "Context Usage" in ended.out) == (0, True), ended
    assert {record["status"] for record in records} == {200}


async def test_claude_code_gives_up_on_a_wrong_key_at_once(tmp_path: Path) -> None:
    async with running(**HOUSE) as house:
        ended = await work(CLAUDE_CODE, house, tmp_path, key="tv-wrong", limit=15)
        tried = len(await house.records())
    assert ended.status == 1
    assert tried <= 2
