"""What models take: the families of Claude and GPT, by their ids as their owners and as gateways write them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trivium.canon.api import Api
from trivium.canon.traits import Traits
from trivium.providers.rows import ROWS
from trivium.providers.traits import traits_of

NOBODY = Traits()


def owner(model: str) -> Traits:
    return traits_of("anthropic", Api.MESSAGES, model)


def openai(model: str) -> Traits:
    return traits_of("openai", Api.RESPONSES, model)


CLAUDE = {
    # id: most tokens, form of thinking, schemas, prefill, sampling
    "claude-2.1": (4096, None, False, True, True),
    "claude-3-haiku-20240307": (4096, None, False, True, True),
    "claude-3-opus-latest": (4096, None, False, True, True),
    "claude-3-5-sonnet-20241022": (8192, None, False, True, True),
    "claude-3-5-haiku-latest": (8192, None, False, True, True),
    "claude-3-7-sonnet-20250219": (64_000, "budget", False, True, True),
    "claude-sonnet-4-0": (64_000, "budget", False, True, True),
    "claude-sonnet-4-20250514": (64_000, "budget", False, True, True),
    "claude-opus-4-20250514": (32_000, "budget", False, True, True),
    "claude-opus-4-1-20250805": (32_000, "budget", True, True, True),
    "claude-sonnet-4-5": (64_000, "budget", True, True, True),
    "claude-sonnet-4-5-20250929": (64_000, "budget", True, True, True),
    "claude-haiku-4-5-20251001": (64_000, "budget", True, True, True),
    "claude-opus-4-5-20251101": (64_000, "budget", True, True, True),
    "claude-sonnet-4-6": (64_000, "adaptive", True, False, True),
    "claude-opus-4-6": (64_000, "adaptive", True, False, True),
    "claude-opus-4-7": (64_000, "adaptive", True, False, False),
    "claude-opus-5": (64_000, "adaptive", True, False, False),
    "claude-sonnet-5-5-20260901": (64_000, "adaptive", True, False, False),
}


@pytest.mark.parametrize(("model", "taken"), CLAUDE.items(), ids=CLAUDE)
def test_each_claude_takes_what_its_generation_does(model: str, taken: tuple[Any, ...]) -> None:
    told = owner(model)
    assert (told.max_tokens, told.thinking, told.schemas, told.prefill, told.sampling) == taken
    assert told.strict_tools == told.one_of_temperature_and_top_p == told.schemas
    assert told.thinking_shown == told.sampling
    assert ("xhigh" in told.efforts) == (not told.sampling)


@pytest.mark.parametrize(
    ("model", "thinking_off", "forced_calls"),
    [
        ("claude-opus-4-8", True, True),
        ("claude-opus-5", True, True),
        ("claude-opus-5-20260724", True, True),
        ("claude-haiku-5-5", True, True),
        ("claude-fable-5", False, True),
        ("claude-mythos-5", False, True),
        ("claude-fable-5-1", False, False),
        ("claude-mythos-5-1", False, False),
        ("claude-opus-5-5", False, False),
        ("anthropic/claude-opus-5.5", False, False),
        ("claude-sonnet-5-5-20260901", False, False),
        ("claude-opus-6", False, False),
    ],
)
def test_the_newest_claudes_always_think_and_cannot_be_made_to_call(
    model: str, thinking_off: bool, forced_calls: bool
) -> None:
    for kind in ("anthropic", "bedrock", "anthropic-compatible", "openrouter", "openai-compatible"):
        told = traits_of(kind, Api.MESSAGES, model)
        assert (told.thinking_off, told.forced_calls) == (thinking_off, forced_calls), kind


@pytest.mark.parametrize(
    ("kind", "model", "owners"),
    [
        ("anthropic-compatible", "anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"),
        ("anthropic-compatible", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("anthropic-compatible", "claude-opus-4-1@20250805", "claude-opus-4-1-20250805"),
        ("anthropic-compatible", "anthropic/claude-opus-4.6", "claude-opus-4-6"),
        ("anthropic-compatible", "anthropic/claude-4.5-sonnet", "claude-sonnet-4-5"),
    ],
)
def test_the_same_model_behind_another_server_is_known_by_its_name(kind: str, model: str, owners: str) -> None:
    told, own = traits_of(kind, Api.MESSAGES, model), owner(owners)
    for name in ("thinking", "schemas", "prefill", "sampling", "one_of_temperature_and_top_p"):
        assert getattr(told, name) == getattr(own, name), name


@pytest.mark.parametrize("model", ["glm-4.6", "kimi-k2", "MiniMax-M2", "deepseek-v4-flash"])
def test_another_model_behind_the_messages_api_gets_what_works_everywhere(model: str) -> None:
    assert traits_of("anthropic-compatible", Api.MESSAGES, model) == NOBODY


GPT = {
    "gpt-3.5-turbo": None,
    "gpt-4o": None,
    "gpt-4.1-mini": None,
    "o1": ("low", "medium", "high"),
    "o3": ("low", "medium", "high"),
    "o4-mini": ("low", "medium", "high"),
    "gpt-5": ("minimal", "low", "medium", "high"),
    "gpt-5-mini-2025-08-07": ("minimal", "low", "medium", "high"),
    "gpt-5-codex": ("low", "medium", "high"),
    "gpt-5-pro": ("high",),
    "gpt-5-chat-latest": None,
    "gpt-5.1": ("none", "low", "medium", "high"),
    "gpt-5.1-codex": ("low", "medium", "high"),
    "gpt-5.1-codex-max": ("low", "medium", "high", "xhigh"),
    "gpt-5.2": ("none", "low", "medium", "high", "xhigh"),
    "gpt-5.2-pro": ("medium", "high", "xhigh"),
    "gpt-5.4-pro-2026-03-05": ("medium", "high", "xhigh"),
    "gpt-5.5": ("none", "low", "medium", "high", "xhigh"),
    "gpt-5.6-sol": ("none", "low", "medium", "high", "xhigh", "max"),
    "gpt-6-astra": ("low", "medium", "high", "xhigh", "max"),
}


@pytest.mark.parametrize(("model", "efforts"), GPT.items(), ids=GPT)
def test_a_gpt_reasons_in_the_steps_it_knows_or_not_at_all(model: str, efforts: tuple[str, ...] | None) -> None:
    told = openai(model)
    assert (told.reasoning is not None) == told.encrypted_reasoning == (efforts is not None)
    if efforts is not None:
        assert told.efforts == efforts
        assert not told.sampling


def test_the_last_step_is_in_responses_alone() -> None:
    assert traits_of("openai", Api.CHAT, "gpt-6-astra").efforts == ("low", "medium", "high", "xhigh")


def test_openai_takes_what_its_own_api_has() -> None:
    for model in ("gpt-4o", "gpt-5", "gpt-6-astra", "o3"):
        told = openai(model)
        assert (told.max_completion_tokens, told.system_anywhere, told.developer, told.tiers) == (True,) * 4
        assert (told.cache_key, told.top_k, told.stop_limit) == (True, False, 4 if model == "gpt-4o" else 0)
    assert openai("gpt-4o").sampling
    assert [openai(model).verbosity for model in ("gpt-4o", "o3", "gpt-5", "gpt-5.1-codex")] == [
        False,
        False,
        True,
        True,
    ]
    assert [openai(model).custom_tools for model in ("gpt-5", "o3")] == [True, False]


@pytest.mark.parametrize("kind", ["openrouter", "vercel"])
class TestGateways:
    def test_reasoning_is_an_object_in_chat_and_an_effort_elsewhere(self, kind: str) -> None:
        model = "anthropic/claude-sonnet-4.5"
        assert [traits_of(kind, api, model).reasoning for api in Api] == ["object", "effort", "effort"]

    def test_only_claude_has_cache_marks(self, kind: str) -> None:
        marks = {
            model: traits_of(kind, Api.CHAT, model).cache_marks
            for model in ("anthropic/claude-sonnet-4.5", "openai/gpt-5")
        }
        assert marks == {"anthropic/claude-sonnet-4.5": True, "openai/gpt-5": False}

    @pytest.mark.parametrize(
        ("model", "thinking"),
        [
            ("anthropic/claude-3.5-sonnet", "budget"),
            ("anthropic/claude-sonnet-4.5", "budget"),
            ("anthropic/claude-opus-4.6", "adaptive"),
            ("anthropic/claude-4.6-opus", "adaptive"),
            ("anthropic/claude-opus-5", "adaptive"),
            ("anthropic/claude-opus-4.6:beta", "adaptive"),
        ],
    )
    def test_claude_thinks_as_at_home(self, kind: str, model: str, thinking: str) -> None:
        assert traits_of(kind, Api.MESSAGES, model).thinking == thinking


@pytest.mark.parametrize("model", ["claude-opus-4-5", "gpt-5", "o3", "qwen3-0.6b", ""])
def test_a_server_nobody_knows_gets_the_least_that_works_whatever_the_model_is_called(model: str) -> None:
    for kind in ("openai-compatible", "local", "a-new-row"):
        for api in Api:
            assert traits_of(kind, api, model) == NOBODY


@pytest.mark.parametrize("kind", ROWS)
def test_every_row_answers_for_any_model(kind: str) -> None:
    for model in ("", "a" * 10_000_000, "claude-" * 1_000_000, "日本"):
        assert isinstance(msgspec.structs.asdict(traits_of(kind, Api.CHAT, model)), dict)


@pytest.mark.parametrize(
    ("kind", "model", "as_anthropic_has_it"),
    [
        ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("bedrock-messages", "anthropic.claude-opus-4-7-v1:0", "claude-opus-4-7"),
        ("vertex", "claude-opus-4@20250514", "claude-opus-4-20250514"),
        ("vertex", "claude-sonnet-5", "claude-sonnet-5"),
    ],
)
def test_claude_takes_the_same_wherever_it_is_served(kind: str, model: str, as_anthropic_has_it: str) -> None:
    found = traits_of(kind, Api.MESSAGES, model)
    assert found == traits_of("anthropic", Api.MESSAGES, as_anthropic_has_it)


def test_azures_dated_apis_get_nothing_that_they_may_not_know() -> None:
    found = traits_of("azure-deployments", Api.CHAT, "gpt-5")
    assert (found.cache_key, found.tiers, found.verbosity, found.max_completion_tokens) == (False, False, False, True)
    assert traits_of("azure", Api.CHAT, "gpt-5") == traits_of("openai", Api.CHAT, "gpt-5")


def test_the_newest_claude_thinks_in_one_way_whoever_stands_before_it() -> None:
    for api in Api:
        assert traits_of("openai-compatible", api, "claude-opus-4-7") == msgspec.structs.replace(
            NOBODY, thinking="adaptive"
        )


def test_models_behind_unknown_servers_are_known_by_their_quirks() -> None:
    def unknown(model: str) -> Traits:
        return traits_of("openai-compatible", Api.CHAT, model)

    mistrals = ["mistral-large-latest", "codestral-2508", "mistralai/Devstral-2".lower(), "magistral-small"]
    assert all(unknown(model).nine_letter_ids and unknown(model).answer_between for model in mistrals)
    assert unknown("gemini-3-pro").unsigned_call
    assert unknown("qwen3-8b") == Traits()


@pytest.mark.parametrize(
    ("kind", "model", "member"),
    [
        ("groq", "openai/gpt-oss-120b", "reasoning"),
        ("groq", "qwen/qwen3-32b", "reasoning"),
        ("groq", "moonshotai/kimi-k2-instruct-0905", None),
        ("cerebras", "zai-glm-4.7", "reasoning"),
        ("cerebras", "gpt-oss-120b", "reasoning"),
        ("mistral", "magistral-medium-2509", "thinking"),
        ("mistral", "devstral-2512", None),
        ("codestral", "codestral-2508", None),
        ("deepseek", "deepseek-reasoner", "reasoning_content"),
        ("xai", "grok-code-fast-1", "reasoning_content"),
        ("vllm", "magistral-small", "reasoning_content"),
        ("openai-compatible", "gpt-oss-120b", "reasoning_content"),
    ],
)
def test_reasoning_comes_back_by_the_name_that_the_vendor_takes(kind: str, model: str, member: str | None) -> None:
    assert traits_of(kind, Api.CHAT, model).reasoning_member == member


def test_of_xais_models_those_that_reason_give_their_reasoning_along() -> None:
    def gives(model: str) -> bool:
        return traits_of("xai", Api.RESPONSES, model).encrypted_reasoning

    assert all(map(gives, ["grok-3-mini", "grok-4", "grok-4-fast-reasoning", "grok-4.7", "grok-code-fast-1"]))
    assert not any(map(gives, ["grok-2-1212", "grok-3", "grok-4-fast-non-reasoning", "grok-4-1-fast-non-reasoning"]))


def test_of_xais_models_these_can_be_told_how_hard_to_reason() -> None:
    def takes(model: str) -> bool:
        return traits_of("xai", Api.RESPONSES, model).efforts != ()

    efforts = ["grok-3-mini", "grok-3-mini-fast", "grok-4", "grok-4.3", "grok-4.20-multi-agent-0309", "grok-4.7"]
    none = ["grok-2-1212", "grok-3", "grok-3-fast", "grok-4-0709", "grok-4-fast-reasoning", "grok-4-1-fast"]
    none += ["grok-4.20-0309-reasoning", "grok-code-fast-1", "grok-build-0.1", "grok-composer-2.5-fast"]
    assert [takes(model) for model in efforts] == [True for _ in efforts]
    assert [takes(model) for model in none] == [False for _ in none]


def test_deepseek_takes_all_steps() -> None:
    for model in ("deepseek-v4-pro", "deepseek-flash"):
        told = traits_of("deepseek", Api.CHAT, model)
        assert (told.unthinking, told.efforts) == (
            ("thinking", {"type": "disabled"}),
            ("minimal", "low", "medium", "high", "xhigh", "max"),
        )


def test_of_groqs_models_only_those_that_reason() -> None:
    models = ("openai/gpt-oss-120b", "qwen/qwen3-32b", "llama-3.3-70b-versatile")
    assert [traits_of("groq", Api.CHAT, model).efforts for model in models] == [
        ("low", "medium", "high"),
        ("none", "default"),
        (),
    ]
