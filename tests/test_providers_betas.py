"""Betas of Anthropic's that providers know."""

from __future__ import annotations

import tracemalloc

import pytest

from trivium.providers.betas import known, named

MODEL = "claude-opus-4-6"


def test_anthropic_and_gateways_get_all_the_clouds_what_they_know() -> None:
    said = named(b"claude-code-20250219, context-1m-2025-08-07 ,advanced-tool-use-2025-11-20,,context-1m-2025-08-07")
    all_of_them = ("claude-code-20250219", "context-1m-2025-08-07", "advanced-tool-use-2025-11-20")
    assert known("anthropic", MODEL, said) == known("openrouter", MODEL, said) == all_of_them
    assert (
        known("bedrock", MODEL, said)
        == known("vertex", MODEL, said)
        == ("context-1m-2025-08-07", "tool-search-tool-2025-10-19")
    )
    assert known("bedrock-messages", MODEL, said) == known("bedrock", MODEL, said), "one house, two doors"
    assert known("vertex", MODEL, named(b"fine-grained-tool-streaming-2025-05-14")) == ()


@pytest.mark.parametrize(
    ("row", "model", "takes"),
    [
        ("bedrock", "us.anthropic.claude-opus-4-6-v1", True),
        ("bedrock", "eu.anthropic.claude-opus-4-7", False),
        ("bedrock", "global.anthropic.claude-sonnet-5-5", False),
        ("bedrock-messages", "anthropic.claude-opus-4-7", True),
        ("anthropic", "claude-opus-4-7", True),
    ],
)
def test_invokemodel_refuses_betas_of_newer_models_that_need_none(row: str, model: str, *, takes: bool) -> None:
    told = known(row, model, named(b"fine-grained-tool-streaming-2025-05-14,effort-2025-11-24,compact-2026-01-12"))
    assert told[-1] == "compact-2026-01-12"
    assert len(told) == (3 if takes else 1)


def test_what_clients_name_does_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for client in range(20):
            known("anthropic", MODEL, named(",".join(f"beta-{client}-{number}" for number in range(2_000)).encode()))
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 100_000
