"""In which API of its upstream a call of Chat is made, where OpenAI would refuse it in its own."""

from __future__ import annotations

from typing import Any

import pytest

from support_rules import House, house, only

TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
CHAT, RESPONSES = "chat", "responses"


async def api_of(up: House, model: str, **members: Any) -> str:
    """Which API the upstream was asked in."""
    await up.send("chat", model, **members)
    return "responses" if up.running.upstream.requests[-1].path.endswith("/responses") else "chat"


@pytest.mark.parametrize(
    ("model", "members", "api"),
    [
        ("gpt-5.4", {}, CHAT),
        ("gpt-5.4", {"reasoning_effort": "high"}, CHAT),
        ("gpt-5.4", {"tools": TOOLS, "reasoning_effort": "low"}, RESPONSES),
        ("gpt-5.4", {"tools": TOOLS, "reasoning_effort": "none"}, CHAT),
        ("gpt-5.5", {"tools": TOOLS}, RESPONSES),
        ("gpt-5.6-sol", {"functions": [{"name": "look", "parameters": {"type": "object"}}]}, RESPONSES),
        ("gpt-6-astra", {"tools": TOOLS, "reasoning_effort": "none"}, RESPONSES),
        ("gpt-6-astra", {"tools": []}, CHAT),
        ("gpt-6-astra", {"tools": None}, CHAT),
        ("gpt-5.5-chat-latest", {"tools": TOOLS}, CHAT),
        ("gpt-5.2", {"tools": TOOLS, "reasoning_effort": "low"}, CHAT),
        ("gpt-4.1", {"tools": TOOLS}, CHAT),
        ("gpt-5.3-codex", {}, RESPONSES),
        ("gpt-5.1-codex-max", {}, RESPONSES),
        ("gpt-5.5-pro", {}, RESPONSES),
        ("o3-deep-research", {}, RESPONSES),
    ],
)
@pytest.mark.parametrize("kind", ["openai", "azure"])
async def test_a_call_goes_where_openai_takes_it(kind: str, model: str, members: dict[str, Any], api: str) -> None:
    async with house(kind, apis=only("chat", "responses")) as up:
        assert await api_of(up, model, **members) == api


@pytest.mark.parametrize(("kind", "apis"), [("openai", ("chat",)), ("openai-compatible", ("chat", "responses"))])
async def test_elsewhere_it_is_made_in_chat(kind: str, apis: tuple[str, ...]) -> None:
    async with house(kind, apis=only(*apis)) as up:
        assert await api_of(up, "gpt-5.5", tools=TOOLS) == CHAT
