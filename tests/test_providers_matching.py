"""Which rules concern whom: by the provider's row, the model, and the APIs on both sides."""

from __future__ import annotations

import pytest

from trivium.canon.api import Api
from trivium.providers.custom import CustomModel, CustomSettings, provider_of
from trivium.providers.matching import is_like, row_of, rules_of
from trivium.providers.provider import Provider
from trivium.providers.rules import GEMINI, HAIKU, OPENAI, RULES, XAI
from trivium.providers.traits import CLAUDE, MISTRAL, MOONSHOT, QWEN, THOUGHTFUL

C, R, M = Api.CHAT, Api.RESPONSES, Api.MESSAGES
MODELS = [
    (XAI, ["x-ai/grok-4", "xai/grok-4", "grok-4", "grok-4-fast"], ["groq/llama", "y/x-ai"]),
    (OPENAI, ["openai/gpt-5", "gpt-5.1", "o3", "chatgpt-4o"], ["openai/gpt-oss-120b", "gpt-oss:20b", "olmo"]),
    (GEMINI, ["google/gemini-3-pro", "gemini-2.5-flash"], ["google/gemma-3"]),
    (MOONSHOT, ["moonshotai/kimi-k2", "kimi-k2-0905", "moonshot-v1-8k"], ["akimi"]),
    (THOUGHTFUL, ["deepseek-v4-pro", "deepseek-ai/DeepSeek-V4-Pro", "kimi-k2-thinking"], ["deepseek-chat", "kimi-k2"]),
    (HAIKU, ["anthropic/claude-haiku-4.5", "claude-3-5-haiku-latest"], ["claude-sonnet-4-5"]),
    (CLAUDE, ["anthropic/claude-opus-4", "us.anthropic.claude-opus-4-5"], ["cloud"]),
    (QWEN, ["qwen/qwen3-coder", "Qwen3-8B", "accounts/x/qwen2", "qwq-32b"], ["my-quen"]),
    (MISTRAL, ["mistralai/devstral-2", "codestral-2508", "Mixtral-8x7B"], ["mystral"]),
]


@pytest.mark.parametrize(("pattern", "fit", "differ"), MODELS, ids=[row[1][0] for row in MODELS])
def test_families(pattern: str, fit: list[str], differ: list[str]) -> None:
    assert [is_like(model, pattern) for model in fit] == [True for _ in fit]
    assert [is_like(model, pattern) for model in differ] == [False for _ in differ]


def names(row: str, model: str, client: Api, api: Api) -> set[str]:
    return {rule.name for rule in rules_of(row, model, client, api, translated=client is not api)}


def test_an_unknown_server_is_concerned_by_next_to_nothing() -> None:
    assert names("openai-compatible", "llama", C, C) == {
        "no-preferences",
        "nothing-stored",
        "identity",
        "tool-repair",
        "reasoning-copies",
        "no-stream-options",
    }
    told = {"no-preferences", "messages-user", "system-turns", "tool-repair", "embedded-stops", "betas", "known-keys"}
    assert names("local", "llama", M, M) == told


def test_what_is_looked_up_is_kept() -> None:
    first = rules_of("openai", "gpt-5", C, C, translated=False)
    assert rules_of("openai", "gpt-5", C, C, translated=False) is first
    assert rules_of("openai", "x" * 10_000, C, C, translated=False) is rules_of(
        "openai", "x" * 300, C, C, translated=False
    )


def test_each_rule_can_concern_somebody() -> None:
    models = [model for _, fit, _ in MODELS for model in fit]
    rows = ["openrouter", "vercel", "anthropic", "mistral", "groq", "openai", "xai", "openai-compatible", "local"]
    found = {
        name
        for row in rows
        for model in models
        for client in Api
        for api in Api
        for name in names(row, model, client, api)
    }
    assert found == {rule.name for rule in RULES}


def provider(name: str, kind: str) -> Provider:
    return Provider(name=name, kind=kind, base_url="http://x/v1", apis=frozenset(Api))


def test_a_provider_is_known_by_its_row_or_where_that_is_anybodys_by_its_name() -> None:
    assert row_of(provider("mine", "openrouter")) == "openrouter"
    assert row_of(provider("mistral", "openai-compatible")) == "mistral"
    assert row_of(provider("mine", "openai-compatible")) == "openai-compatible"
    assert row_of(provider("custom", "openai-compatible")) == "openai-compatible"
    own = CustomModel(
        id="c", organization_id="acme", name="m", settings=CustomSettings(base_url="https://x"), created_ms=1
    )
    assert row_of(provider_of(own, None)) == "custom"
