"""How reasoning is asked for in each API, beside what the client said itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.providers.traits import traits_of
from trivium.settings_auto import AutoChoice
from trivium.wire.dress import dressed, theirs
from trivium.wire.losses import Loss
from trivium.wire.request import Request, parse

CLAUDE, OLD, KIMI, GPT = "anthropic/claude-opus-4.7", "anthropic/claude-sonnet-4.5", "moonshotai/kimi-k2.5", "gpt-5.2"
HIGH = AutoChoice(models=("m",), reasoning=True, effort="high")
OFF = AutoChoice(models=("m",), reasoning=False)
TERSE = AutoChoice(models=("m",), reasoning=True, effort="low", verbosity="low")
BASE: dict[Api, dict[str, Any]] = {
    Api.CHAT: {"model": "auto/frontier", "messages": [{"role": "user", "content": "hi"}]},
    Api.RESPONSES: {"model": "auto/frontier", "input": "hi"},
    Api.MESSAGES: {"model": "auto/frontier", "max_tokens": 50_000, "messages": [{"role": "user", "content": "hi"}]},
}


def asked(api: Api, **more: Any) -> Request:
    return parse(api, json.dumps({**BASE[api], **more}).encode())


def added(api: Api, choice: AutoChoice, where: tuple[str, str] | None, **more: Any) -> dict[str, Any]:
    """What stands in the body that the client did not write so. `where`: row and model; None: it is translated."""
    request = asked(api, **more)
    traits = None
    if where is not None:
        traits = traits_of(where[0], Api.CHAT if api is Api.RESPONSES else api, where[1])
    there = dressed(request, choice, traits)
    body = json.loads(there.body)
    assert {name: json.loads(bytes(raw)) for name, raw in there.members.items()} == body
    before = json.loads(request.body)
    return {name: value for name, value in body.items() if before.get(name) != value}


OPENROUTER, ANTHROPIC, OPENAI = ("openrouter", CLAUDE), ("anthropic", "claude-opus-4-7"), ("openai", GPT)


@pytest.mark.parametrize(
    ("api", "where", "fields"),
    [
        (Api.CHAT, OPENROUTER, {"reasoning": {"enabled": True}, "verbosity": "high"}),
        (Api.CHAT, ("openrouter", KIMI), {"reasoning": {"enabled": True, "effort": "high"}}),
        (Api.CHAT, OPENAI, {"reasoning_effort": "high"}),
        (Api.CHAT, ("openai", "gpt-4.1"), {}),
        (Api.CHAT, ("openai-compatible", "m"), {"reasoning_effort": "high"}),
        (Api.CHAT, ("moonshot", "kimi-k2.5"), {"reasoning": {"enabled": True}}),  # how much cannot be chosen
        (Api.CHAT, ("kimi-coding", "kimi-for-coding"), {"reasoning": {"enabled": True}}),
        (Api.CHAT, ("moonshot", "kimi-k3"), {"reasoning_effort": "high"}),
        (Api.CHAT, ("groq", "qwen/qwen3-32b"), {"reasoning_effort": "default"}),
        (Api.CHAT, ("xai", "grok-4-fast"), {}),  # it takes no effort
        (Api.CHAT, None, {"reasoning": {"enabled": True, "effort": "high"}}),
        (Api.RESPONSES, OPENROUTER, {"reasoning": {"enabled": True}, "text": {"verbosity": "high"}}),
        (Api.RESPONSES, OPENAI, {"reasoning": {"effort": "high"}}),
        (Api.RESPONSES, None, {"reasoning": {"enabled": True, "effort": "high"}}),
        (Api.MESSAGES, OPENROUTER, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (Api.MESSAGES, ANTHROPIC, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (Api.MESSAGES, ("openrouter", OLD), {"thinking": {"type": "enabled", "budget_tokens": 24_576}}),
        (Api.MESSAGES, ("anthropic", "claude-3-haiku"), {}),
        (Api.MESSAGES, None, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
    ],
)
def test_reasoning_on_and_an_effort(api: Api, where: tuple[str, str] | None, fields: dict[str, Any]) -> None:
    assert added(api, HIGH, where) == fields


@pytest.mark.parametrize(
    ("api", "where", "fields"),
    [
        (Api.CHAT, OPENROUTER, {"reasoning": {"enabled": False}}),
        (Api.CHAT, OPENAI, {"reasoning_effort": "none"}),
        (Api.CHAT, ("moonshot", "kimi-k2.5"), {"reasoning": {"enabled": False}}),
        (Api.CHAT, ("openai", "gpt-5"), {}),  # whether it reasons cannot be chosen
        (Api.RESPONSES, OPENROUTER, {"reasoning": {"enabled": False}}),
        (Api.RESPONSES, OPENAI, {"reasoning": {"effort": "none"}}),
        (Api.MESSAGES, OPENROUTER, {"thinking": {"type": "disabled"}}),
        (Api.MESSAGES, ("openrouter", OLD), {"thinking": {"type": "disabled"}}),
        (Api.MESSAGES, ("anthropic", "claude-opus-5-5"), {}),  # it always thinks
        (Api.MESSAGES, None, {"thinking": {"type": "disabled"}}),
    ],
)
def test_reasoning_off(api: Api, where: tuple[str, str] | None, fields: dict[str, Any]) -> None:
    assert added(api, OFF, where) == fields


@pytest.mark.parametrize(
    ("api", "where", "fields"),
    [
        (Api.CHAT, OPENROUTER, {"reasoning": {"enabled": True, "effort": "low"}, "verbosity": "low"}),
        (Api.CHAT, OPENAI, {"reasoning_effort": "low", "verbosity": "low"}),
        (Api.CHAT, ("openai-compatible", "m"), {"reasoning_effort": "low"}),
        (Api.RESPONSES, OPENAI, {"reasoning": {"effort": "low"}, "text": {"verbosity": "low"}}),
        (Api.MESSAGES, ANTHROPIC, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
    ],
)
def test_a_verbosity_of_its_own(api: Api, where: tuple[str, str], fields: dict[str, Any]) -> None:
    assert added(api, TERSE, where) == fields


@pytest.mark.parametrize(
    ("api", "where", "said", "fields"),
    [
        (Api.CHAT, OPENROUTER, {"reasoning": {"effort": "low"}}, {}),
        (Api.CHAT, OPENROUTER, {"reasoning": {"max_tokens": 2000}}, {}),
        (Api.CHAT, OPENROUTER, {"reasoning": {"enabled": False}}, {"verbosity": "high"}),
        (Api.CHAT, OPENROUTER, {"reasoning_effort": "none"}, {}),
        (Api.CHAT, OPENROUTER, {"verbosity": "low"}, {"reasoning": {"enabled": True}}),
        (
            Api.CHAT,
            OPENROUTER,
            {"reasoning": {"exclude": True}},
            {"reasoning": {"exclude": True, "enabled": True}, "verbosity": "high"},
        ),
        (Api.CHAT, OPENROUTER, {"reasoning": None}, {"reasoning": {"enabled": True}, "verbosity": "high"}),
        (Api.CHAT, OPENROUTER, {"reasoning": "much"}, {}),
        (Api.CHAT, OPENAI, {"reasoning_effort": "minimal"}, {}),
        (Api.RESPONSES, OPENROUTER, {"reasoning": {"effort": "low"}}, {}),
        (
            Api.RESPONSES,
            OPENROUTER,
            {"reasoning": {"summary": "auto"}, "text": {"format": {"type": "text"}}},
            {
                "reasoning": {"summary": "auto", "enabled": True},
                "text": {"format": {"type": "text"}, "verbosity": "high"},
            },
        ),
        (Api.RESPONSES, OPENAI, {"reasoning": {"effort": "low"}}, {}),
        (Api.MESSAGES, ANTHROPIC, {"thinking": {"type": "disabled"}}, {}),
        (Api.MESSAGES, ANTHROPIC, {"thinking": {"type": "adaptive"}}, {}),
        (Api.MESSAGES, ANTHROPIC, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {}),
        (Api.MESSAGES, None, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {}),
        (Api.MESSAGES, ANTHROPIC, {"output_config": {"effort": "low"}}, {"thinking": {"type": "adaptive"}}),
        (
            Api.MESSAGES,
            ANTHROPIC,
            {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
            {
                "thinking": {"type": "adaptive"},
                "output_config": {"format": {"type": "json_schema", "schema": {}}, "effort": "high"},
            },
        ),
    ],
)
def test_what_the_client_said_stays(
    api: Api, where: tuple[str, str] | None, said: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert added(api, HIGH, where, **said) == fields


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (CLAUDE, {"tool_choice": {"type": "any"}}),
        (CLAUDE, {"tool_choice": {"type": "tool", "name": "f"}}),
        (CLAUDE, {"temperature": 0.2}),
        (CLAUDE, {"top_p": 0.5}),
        (CLAUDE, {"top_k": 5}),
        (OLD, {"max_tokens": 1024}),
        (OLD, {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]}]}),
    ],
)
def test_thinking_is_not_asked_for_where_a_server_would_refuse_it(model: str, said: dict[str, Any]) -> None:
    assert "thinking" not in added(Api.MESSAGES, HIGH, ("openrouter", model), **said)
    assert "thinking" in added(Api.MESSAGES, HIGH, ("openrouter", model), temperature=1, tool_choice={"type": "auto"})


def test_a_budget_leaves_room_for_the_answer() -> None:
    there = added(Api.MESSAGES, HIGH, ("openrouter", OLD), max_tokens=4000)
    assert there["thinking"] == {"type": "enabled", "budget_tokens": 3200}


@pytest.mark.parametrize("api", list(Api))
def test_a_choice_that_says_nothing_touches_nothing(api: Api) -> None:
    request = asked(api)
    assert dressed(request, AutoChoice(models=("m",)), None) is request


def test_every_other_byte_stays_where_it_is() -> None:
    body = b'{ "model" : "auto/frontier",\n "messages":[],"reasoning": {"exclude" :true} , "name": 1.50e0 }'
    there = dressed(parse(Api.CHAT, body), HIGH, traits_of("openrouter", Api.CHAT, CLAUDE))
    assert there.body == (
        b'{ "model" : "auto/frontier",\n "messages":[],"reasoning": {"exclude" :true,"enabled":true} , "name": 1.50e0 '
        b',"verbosity":"high"}'
    )


def test_a_schema_however_long_goes_on_beside_it() -> None:
    form = {"type": "json_schema", "schema": {"description": "x" * 100_000}}
    there = added(Api.MESSAGES, HIGH, ANTHROPIC, output_config={"format": form})
    assert there["output_config"] == {"format": form, "effort": "high"}


def test_what_the_client_never_said_it_has_not_lost() -> None:
    losses = (Loss("reasoning_effort", "no"), Loss("verbosity", "no"), Loss("seed", "no"))
    assert [loss.field for loss in theirs(asked(Api.CHAT), losses)] == ["seed"]
    said = asked(Api.CHAT, reasoning={"effort": "low"})
    assert [loss.field for loss in theirs(said, losses)] == ["reasoning_effort", "seed"]
