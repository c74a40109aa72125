"""The scripts that ship as examples do what their comments say, and the page about them leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import openai
import pytest

from test_mock_chat import client
from test_mock_messages import client as messages_client
from trivium.mock import Generation, Match, Recorded, Reply, Script, ScriptedUpstream, ToolCall, load_script

PAGE = Path(__file__).parents[1] / "docs/mock.md"
EXAMPLES = Path(__file__).parents[1] / "examples/mock"
ASK: Any = {"role": "user", "content": "Try the shell"}
DONE = "The shell works: the scripted command has run."
Turn = tuple[str, str | None]
"""The name of the tool that was called, and the text that followed its result."""


async def chat_agent(upstream: ScriptedUpstream, name: str) -> Turn:
    tools: Any = [{"type": "function", "function": {"name": name}}]
    async with client(upstream) as api:
        said = (await api.chat.completions.create(model="m", messages=[ASK], tools=tools)).choices[0].message
        (call,) = said.tool_calls or []
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": "scripted"}
        history: Any = [ASK, said.to_dict(), result]
        after = await api.chat.completions.create(model="m", messages=history, tools=tools)
    assert call.type == "function"
    return call.function.name, after.choices[0].message.content


async def responses_agent(upstream: ScriptedUpstream, name: str) -> Turn:
    tools: Any = [{"type": "function", "name": name}]
    async with client(upstream) as api:
        said = await api.responses.create(model="m", input=[ASK], tools=tools)
        call = said.output[-1]
        assert call.type == "function_call"
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "scripted"}
        history: Any = [ASK, *(item.to_dict() for item in said.output), result]
        after = await api.responses.create(model="m", input=history, tools=tools)
    return call.name, after.output_text


async def messages_agent(upstream: ScriptedUpstream, name: str) -> Turn:
    tools: Any = [{"name": name, "input_schema": {"type": "object"}}]
    async with messages_client(upstream) as api:
        said = await api.messages.create(model="m", max_tokens=9, messages=[ASK], tools=tools)
        call = said.content[-1]
        assert call.type == "tool_use"
        result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "done"}]}
        history: Any = [ASK, {"role": "assistant", "content": [block.to_dict() for block in said.content]}, result]
        after = await api.messages.create(model="m", max_tokens=9, messages=history, tools=tools)
    assert after.content[0].type == "text"
    return call.name, after.content[0].text


@pytest.mark.parametrize(
    ("agent", "tool"),
    [
        (chat_agent, "bash"),
        (chat_agent, "run_shell_command"),
        (responses_agent, "exec_command"),
        (responses_agent, "shell_command"),
        (responses_agent, "shell"),
        (messages_agent, "Bash"),
    ],
)
async def test_an_agent_calls_its_shell_and_then_has_the_last_word(agent: Any, tool: str) -> None:
    async with ScriptedUpstream(load_script(EXAMPLES / "agent.toml")) as upstream:
        assert await agent(upstream, tool) == (tool, DONE)


async def test_a_bad_day_gets_better() -> None:
    heard: list[str] = []

    async def talk(api: openai.AsyncOpenAI) -> str:
        heard.clear()
        async for chunk in await api.chat.completions.create(model="steady", messages=[ASK], stream=True):
            heard.append(chunk.choices[0].delta.content or "")
        return "".join(heard)

    async with ScriptedUpstream(load_script(EXAMPLES / "failures.toml")) as upstream, client(upstream) as api:
        with pytest.raises(openai.RateLimitError):
            await talk(api)
        with pytest.raises(openai.APIConnectionError):
            await talk(api)
        assert "".join(heard) == "This sentence will never"
        assert await talk(api) == "One byte at a time."
        assert await talk(api) == "You said: Try the shell"
        with pytest.raises(openai.InternalServerError) as page:
            await api.responses.create(model="broken-html", input="Hi")
        assert page.value.response.headers["content-type"] == "text/html"
        assert [model.id async for model in api.models.list()] == ["steady", "broken-html", "broken-silent"]


@pytest.mark.parametrize("value", [Match, Reply, Script, ToolCall, Generation, Recorded])
def test_the_page_names_every_key(value: Any) -> None:
    page = PAGE.read_text("utf-8")

    assert [key for key in value.__struct_fields__ if f"`{key}`" not in page] == []


def test_the_scripts_on_the_page_can_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "capture.sse").touch()
    scripts = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for text in scripts:
        (tmp_path / "script.toml").write_text(text, "utf-8")
        assert load_script(tmp_path / "script.toml").rules

    assert len(scripts) == 4
