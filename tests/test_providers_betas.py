"""Betas of Anthropic's that providers know."""

from __future__ import annotations

import tracemalloc

from trivium.providers.betas import known, named


def test_anthropic_and_gateways_get_all_the_clouds_what_they_know() -> None:
    said = named(b"claude-code-20250219, context-1m-2025-08-07 ,advanced-tool-use-2025-11-20,,context-1m-2025-08-07")
    all_of_them = ("claude-code-20250219", "context-1m-2025-08-07", "advanced-tool-use-2025-11-20")
    assert known("anthropic", said) == known("openrouter", said) == all_of_them
    assert known("bedrock", said) == known("vertex", said) == ("context-1m-2025-08-07", "tool-search-tool-2025-10-19")
    assert known("bedrock-messages", said) == known("bedrock", said), "one house, two doors"
    assert known("vertex", named(b"fine-grained-tool-streaming-2025-05-14")) == ()


def test_what_clients_name_does_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for client in range(20):
            known("anthropic", named(",".join(f"beta-{client}-{number}" for number in range(2_000)).encode()))
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 100_000
