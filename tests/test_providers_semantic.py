"""Providers by the names that OpenTelemetry's conventions give them."""

from __future__ import annotations

import pytest

from trivium.providers.rows import ROWS
from trivium.providers.semantic import PROVIDER_NAMES, provider_name


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("openai", "team-a", "openai"),
        ("anthropic", "anthropic", "anthropic"),
        ("bedrock-messages", "aws", "aws.bedrock"),
        ("azure", "azure", "azure.ai.openai"),
        ("google", "gemini", "gcp.gemini"),
        ("xai", "grok", "x_ai"),
        ("openai-compatible", "our-vllm", "our-vllm"),
        ("anthropic-compatible", "proxy", "proxy"),
    ],
)
def test_the_row_says_who_it_is_and_the_name_where_it_may_be_anybody(kind: str, name: str, said: str) -> None:
    assert provider_name(kind, name) == said


def test_every_name_is_of_a_row() -> None:
    assert PROVIDER_NAMES.keys() <= ROWS.keys()
