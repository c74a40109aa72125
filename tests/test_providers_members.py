"""Which members vendors' own servers know: each row of the tables is a provider's, and says something of it."""

from __future__ import annotations

import pytest

from trivium.canon.api import CHAT, RESPONSES
from trivium.providers.members import AT_MISTRAL, BY_EFFORT, CACHE_KEY, SAFETY, UNKNOWN, USER, told_in
from trivium.providers.rows import ROWS

OPENROUTERS = {"include_reasoning", "plugins", "top_a", "transforms", "usage"}


def test_every_row_is_a_providers() -> None:
    assert UNKNOWN.keys() <= ROWS.keys()
    assert UNKNOWN.keys() >= BY_EFFORT


@pytest.mark.parametrize("row", UNKNOWN)
def test_no_vendor_is_sent_what_only_openrouter_knows(row: str) -> None:
    assert OPENROUTERS - {"include_reasoning"} <= UNKNOWN[row]
    assert ("include_reasoning" in UNKNOWN[row]) is (row != "groq"), "which has a member of this name"


def test_gateways_and_servers_that_nobody_knows_are_sent_everything() -> None:
    kept = {"openrouter", "vercel", "openai-compatible", "vllm", "ollama", "llama.cpp", "together", "fireworks"}
    assert not kept & UNKNOWN.keys()
    assert OPENROUTERS < AT_MISTRAL


@pytest.mark.parametrize(
    ("row", "chat", "responses"),
    [
        ("openai", {USER, SAFETY, CACHE_KEY}, {USER, SAFETY, CACHE_KEY}),
        ("openrouter", {USER, SAFETY, CACHE_KEY}, {USER, SAFETY, CACHE_KEY}),
        ("openai-compatible", {USER, SAFETY, CACHE_KEY}, {USER, SAFETY, CACHE_KEY}),
        ("azure-deployments", {USER}, {USER}),
        ("groq", {USER}, {USER}),
        ("cerebras", {USER}, {USER}),
        ("local", set(), set()),
        ("xai", {USER}, {USER, CACHE_KEY}),
        ("google", set(), set()),
        ("deepseek", set(), set()),
    ],
)
def test_who_calls_is_told_in_words_that_a_provider_knows(row: str, chat: set[str], responses: set[str]) -> None:
    assert (set(told_in(row, CHAT)), set(told_in(row, RESPONSES))) == (chat, responses)


@pytest.mark.parametrize("row", UNKNOWN)
def test_nothing_is_told_that_would_be_taken_out_again(row: str) -> None:
    assert not told_in(row, CHAT) & UNKNOWN[row]
