"""Messages requests that ask Claude to think in a form that another Claude takes."""

from __future__ import annotations

from typing import Any

import pytest

from support_rules import House, Sent, house, only

EFFORT = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 8000}}
CALLED = [
    {"role": "user", "content": "look"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}]},
]


def asked(sent: Sent) -> dict[str, Any]:
    """How the upstream is asked to think."""
    return {name: sent.body[name] for name in ("thinking", "output_config", "context_management") if name in sent.body}


async def ask(up: House, model: str, **members: Any) -> Sent:
    return await up.send("messages", model, **{"max_tokens": 32_000, **members})


@pytest.mark.parametrize("kind", ["anthropic", "anthropic-compatible"])
@pytest.mark.parametrize(
    ("model", "said", "told", "losses"),
    [
        ("claude-haiku-4-5", EFFORT, {"thinking": {"type": "enabled", "budget_tokens": 8192}}, []),
        (
            "claude-sonnet-4-20250514",
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            {"thinking": {"type": "enabled", "display": "omitted", "budget_tokens": 24_576}},
            [],
        ),
        ("claude-sonnet-4.5", {"output_config": {"effort": "low"}}, {}, ["output_config.effort"]),
        (
            "claude-sonnet-4-5-20250929",
            {"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
            ["output_config.effort"],
        ),
        (
            "claude-opus-4-5",
            EFFORT,
            {"thinking": {"type": "enabled", "budget_tokens": 8192}, "output_config": {"effort": "medium"}},
            [],
        ),
        (
            "claude-opus-4-8",
            BUDGET,
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "medium"}},
            [],
        ),
        (
            "claude-sonnet-5",
            {**BUDGET, "output_config": {"effort": "max"}},
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            [],
        ),
        (
            "claude-opus-5-5",
            {"thinking": {"type": "disabled"}},
            {"output_config": {"effort": "low"}},
            ["thinking"],
        ),
        (
            "claude-opus-4-6",
            {"output_config": {"effort": "xhigh"}},
            {"output_config": {"effort": "high"}},
            [],
        ),
        ("claude-3-5-haiku-latest", EFFORT, {"thinking": {"type": "disabled"}}, ["thinking", "output_config.effort"]),
    ],
)
async def test_thinking_is_asked_for_as_the_model_takes_it(
    kind: str, model: str, said: dict[str, Any], told: dict[str, Any], losses: list[str]
) -> None:
    async with house(kind, apis=only("messages")) as up:
        sent = await ask(up, model, **said)
        record = await up.running.record()
    assert (asked(sent), sent.losses, record["rules"]) == (told, losses, "claude-thinking")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("claude-opus-4-6", {**EFFORT, "max_tokens": 1024}),
        ("claude-sonnet-4-6", BUDGET),
        ("claude-opus-4-8", EFFORT),
        ("claude-opus-4-8", {"thinking": {"type": "disabled"}}),
        ("claude-mythos-preview", EFFORT),
        ("claude-haiku-4-5", BUDGET),
        ("claude-haiku-4-5", {"thinking": {"type": "disabled"}}),
        ("glm-4.7", EFFORT),
    ],
)
async def test_what_a_model_takes_stays(model: str, said: dict[str, Any]) -> None:
    async with house("anthropic-compatible", apis=only("messages")) as up:
        sent = await ask(up, model, **said)
    assert (asked(sent), sent.losses) == ({name: said[name] for name in said if name != "max_tokens"}, [])


KEEPS = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}


@pytest.mark.parametrize(
    "hindrance", [{"max_tokens": 1024}, {"messages": CALLED}], ids=["no room", "calls not thought"]
)
async def test_where_there_can_be_no_budget_the_model_does_not_think(hindrance: dict[str, Any]) -> None:
    async with house("anthropic", apis=only("messages")) as up:
        sent = await ask(up, "claude-haiku-4-5", thinking={"type": "adaptive"}, context_management=KEEPS, **hindrance)
    assert asked(sent) == {"thinking": {"type": "disabled"}, "context_management": None}
    assert sent.losses == ["thinking", "context_management.edits"]


async def test_a_count_is_asked_for_in_the_same_form() -> None:
    async with house("anthropic", apis=only("messages")) as up:
        body = b'{"model": "up/claude-haiku-4-5", "thinking": {"type": "adaptive"}, "messages": []}'
        await up.running.post("/v1/messages/count_tokens", body)
        (counted,) = up.running.upstream.requests
    assert counted.json["thinking"] == {"type": "enabled", "budget_tokens": 24_576}
