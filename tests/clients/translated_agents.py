"""Agents on upstreams that do not speak their API: what such an upstream says, and what it was sent, in any API."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from test_clients import AGENTS, FINAL_TEXT, KILO, Agent, provider_file, work

from gateway import running
from support_vendors import faults
from trivium.canon.api import Api
from trivium.mock import Match, Reply, Rule, Script, ToolCall, Usage


def asking_for(model: str, agent: Agent) -> Agent:
    """The same set-up with another model's name: agents send other things to models that they know to be newer."""

    def renamed(text: str) -> str:
        return text.replace("claude-sonnet-4-5", model)

    file = agent.file and (agent.file[0], renamed(agent.file[1]))
    return agent._replace(command=tuple(map(renamed, agent.command)), file=file)


def knowing(agent: Agent, **said: Any) -> Agent:
    """opencode or Kilo, told this of the model."""
    assert agent.file is not None
    config = json.loads(agent.file[1])
    (models,) = (provider["models"] for provider in config["provider"].values())
    models.update(dict.fromkeys(models, said))
    return agent._replace(file=(agent.file[0], json.dumps(config)))


SET_UPS = {
    **AGENTS,
    "claude-code-newer": asking_for("claude-opus-5-5", AGENTS["claude-code"]),  # system messages in the conversation
    "codex-newer": asking_for("gpt-5.5", AGENTS["codex"]),  # a tool that takes free text
    "kilo-responses": KILO._replace(file=(".config/kilo/kilo.json", provider_file("@ai-sdk/openai"))),
    "kilo-messages": KILO._replace(file=(".config/kilo/kilo.json", provider_file("@ai-sdk/anthropic"))),
}
ALIASES = {"claude-sonnet-4-5": "m", "claude-opus-5-5": "newer", "claude-opus-4-6": "newer", "gpt-5.5": "newer"}


# What the upstream says.

CALLS = {
    "call_one": ("echo scripted-$((40 + 2))", "scripted-42"),
    "call_two": ("echo scripted-$((40 + 3))", "scripted-43"),
}
"""By the id of the call: a command, and what only its result can say."""
THOUGHT = 'The user wants “the shell”.\n\n\tGrüße, \\ and "quotes" 😀, and a line break at the end.\n'
SEAL = base64.b64encode(bytes(range(256))).decode()
SECRET = base64.b64encode(bytes(range(255, -1, -1))).decode()
"""A thought of which nothing else is shown."""
LAST_WORD = Rule(
    Reply(text=FINAL_TEXT, usage=Usage(input=220, cache_read=1800, output=12)), Match(has_tool_result=True)
)
SHELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "Bash": ("command", {"description": "Try the shell"}),
    "bash": ("command", {"description": "Try the shell"}),
    "exec_command": ("cmd", {}),
    "run_shell_command": ("command", {"is_background": False}),
}
"""By the name of an agent's shell: the argument for the command, and what else it wants."""


def shell_call(shell: str, command: str, id: str) -> ToolCall:
    argument, others = SHELLS[shell]
    return ToolCall(shell, {argument: command, **others}, id)


def calling(shell: str, *, prefix: str = "", **said: Any) -> Reply:
    """Thinks, says a word, calls the shell twice at once."""
    return Reply(
        reasoning=THOUGHT,
        **{"signature": SEAL, "redacted": SECRET, **said},
        text="I will try the shell.",
        tool_calls=[shell_call(shell, command, prefix + id) for id, (command, _) in CALLS.items()],
        usage=Usage(input=20, cache_read=1800, output=40, reasoning=10),
    )


def playing(*rules: Rule) -> Script:
    """The rules, and the last word once there is a result. What asks for no tools (a title) gets the default."""
    return Script([LAST_WORD, *rules], default=Reply(text="A scripted conversation"))


SCRIPT = playing(
    *(Rule(calling(shell, calls_interleaved=True), Match(tool=shell, model="newer")) for shell in SHELLS),
    *(Rule(calling(shell), Match(tool=shell)) for shell in SHELLS),
)


# What it was sent.


class Worked(NamedTuple):
    """An agent that has worked to the end."""

    bodies: list[dict[str, Any]]
    """All that the upstream was asked, counts apart."""
    records: list[dict[str, Any]]
    paths: set[str]

    @property
    def last(self) -> dict[str, Any]:
        """The request that had most to tell."""
        return max(self.bodies, key=lambda body: len(json.dumps(body)))

    @property
    def sent(self) -> str:
        """All of them, to be searched."""
        return json.dumps(self.bodies, ensure_ascii=False)


async def worked(
    agent: Agent,
    upstream_api: str,
    script: Script,
    home: Path,
    *,
    provider: str = "",
    model: str | None = None,
    saying: str = FINAL_TEXT,
) -> Worked:
    """Lets the agent work to the end. `provider` is more of the provider's table, `model` the one behind all names."""
    aliases = "\n".join(f'"{name}" = "up/{model or own}"' for name, own in ALIASES.items())
    table = f'apis = ["{upstream_api}"]\n{provider}'
    async with running(script=script, provider=table, settings=f"[aliases]\n{aliases}") as house:
        ended = await work(agent, house, home)
        records = await house.records()
        requests = [request for request in house.upstream.requests if request.method == "POST"]
    assert (ended.status, saying in ended.out) == (0, True), ended
    bodies = [request.json for request in requests if not request.path.endswith("_tokens")]
    return Worked(bodies, records, {request.path for request in requests})


def refusals(upstream_api: str, bodies: list[dict[str, Any]]) -> list[str]:
    """Why the vendors would refuse them. Reasoning in Chat is none of OpenAI's words: `thoughts` looks at it."""
    plain = [
        {**body, "messages": [_plain(said) for said in body["messages"]]} if "messages" in body else body
        for body in bodies
    ]
    return [fault for body in plain for fault in faults(Api.parse(upstream_api), body)]


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    return {name: said for name, said in message.items() if not name.startswith("reasoning")}


def entries(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Messages or items, and the parts of each behind it."""
    found: list[dict[str, Any]] = []
    for entry in body.get("messages") or body["input"]:
        parts = entry.get("content")
        found += [entry, *(parts if isinstance(parts, list) else [])]
    return found


def results(body: dict[str, Any]) -> dict[str, str]:
    """What tools gave back, by the id of the call."""
    keys = (("tool_call_id", "content"), ("call_id", "output"), ("tool_use_id", "content"))
    return {said[id]: str(said[key]) for said in entries(body) for id, key in keys if id in said and key in said}


def thoughts(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The reasoning that came back, in the words of the upstream's API."""
    found: list[dict[str, Any]] = []
    for said in entries(body):
        found += said.get("reasoning_details", [])
        if "reasoning_content" in said:
            found.append({"reasoning_content": said["reasoning_content"]})
        if said.get("type") in ("reasoning", "thinking", "redacted_thinking"):
            found.append(said)
    return found


def told(upstream_api: str, seal: str = SEAL, secret: str = SECRET) -> list[dict[str, Any]]:
    """The scripted reasoning in the words of the API, as who said it wants it back."""
    detail = {"format": "anthropic-claude-v1"}
    summary = [{"type": "summary_text", "text": THOUGHT}]
    said: dict[str, list[dict[str, Any]]] = {
        "chat": [
            {"type": "reasoning.text", "text": THOUGHT, "signature": seal, **detail, "index": 0},
            {"type": "reasoning.encrypted", "data": secret, **detail, "index": 1},
        ],
        "responses": [
            {"type": "reasoning", "summary": summary, "encrypted_content": seal},
            {"type": "reasoning", "summary": [], "encrypted_content": secret},
        ],
        "messages": [
            {"type": "thinking", "thinking": THOUGHT, "signature": seal},
            {"type": "redacted_thinking", "data": secret},
        ],
    }
    return said[upstream_api]


def pictures(body: dict[str, Any]) -> list[str]:
    """The data of all images, also of those inside results."""
    said = entries(body)
    for entry in list(said):
        inside = entry.get("output") or (entry.get("type") == "tool_result" and entry["content"])
        said += inside if isinstance(inside, list) else []
    return [_picture(part) for part in said if part.get("type") in ("image", "image_url", "input_image")]


def _picture(part: dict[str, Any]) -> str:
    if part["type"] == "image":
        return str(part["source"]["data"])
    url = part["image_url"] if part["type"] == "input_image" else part["image_url"]["url"]
    return str(url).removeprefix("data:image/png;base64,")


def lost(record: dict[str, Any]) -> dict[str, str]:
    """What the request lost, and why."""
    return dict(msgspec.json.decode(record["losses"] or "[]"))
