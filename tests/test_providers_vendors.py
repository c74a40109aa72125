"""Whose model a name means, and how its vendor is called with somebody's key."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from trivium.canon.api import Api
from trivium.providers.credential import Credential
from trivium.providers.rows import Door
from trivium.providers.vendors import (
    VENDORS,
    door_of,
    match,
    match_served,
    provider_of,
    with_key,
)

ALL = list(VENDORS)
KEY = Credential(key="sk-0123456789")
AWS = Credential(key="secret-access-key", access_key_id="AKIDEXAMPLE000000001", session_token="session-token")


@pytest.mark.parametrize(
    ("name", "vendor", "model"),
    [
        ("anthropic/claude-sonnet-4.5", "anthropic", "claude-sonnet-4-5"),
        ("anthropic/claude-opus-4-6", "anthropic", "claude-opus-4-6"),
        ("anthropic/claude-sonnet-4.5:thinking", "anthropic", "claude-sonnet-4-5"),
        ("openai/gpt-5.1-codex", "openai", "gpt-5.1-codex"),
        ("openai/gpt-oss-120b", None, None),
        ("google/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("google/models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("mistralai/mistral-large-2512", "mistral", "mistral-large-2512"),
        ("mistralai/codestral-2508", "codestral", "codestral-2508"),
        ("x-ai/grok-4", "xai", "grok-4"),
        ("z-ai/glm-4.6", "zai", "glm-4.6"),
        ("minimax/minimax-m2", "minimax", "MiniMax-M2"),
        ("bedrock/eu.anthropic.claude-sonnet-4-5-v1:0", "bedrock", "eu.anthropic.claude-sonnet-4-5-v1:0"),
        ("openrouter/anthropic/claude-sonnet-4.5:online", "openrouter", "anthropic/claude-sonnet-4.5:online"),
        ("vercel/openai/gpt-5", "vercel", "openai/gpt-5"),
        ("custom/llama:8b", "custom", "llama:8b"),
        ("alibaba-coding/qwen3-coder-plus", "alibaba-coding", "qwen3-coder-plus"),
        ("kimi-coding/kimi-for-coding", "kimi-coding", "kimi-for-coding"),
        ("byteplus-coding/ark-code-latest", "byteplus-coding", "ark-code-latest"),
        ("zai-coding/glm-4.6", "zai-coding", "glm-4.6"),
        ("claude-haiku-4-5-20251001", "anthropic", "claude-haiku-4-5-20251001"),
        ("o3-mini", "openai", "o3-mini"),
        ("codestral-latest", "codestral", "codestral-latest"),
        ("devstral-medium", "mistral", "devstral-medium"),
        ("moonshotai/kimi-k2", None, None),
        ("x-ai/grok-code-fast-1:free", "xai", "grok-code-fast-1"),
        ("~anthropic/claude-opus-latest", "anthropic", "claude-opus-latest"),
        ("openai/gpt-5@preset/x", "openai", "gpt-5"),
        ("openrouter/~openai/gpt-latest", "openrouter", "~openai/gpt-latest"),
        ("openrouter/x-ai/grok-4:free", "openrouter", "x-ai/grok-4:free"),
        ("anthropic/", None, None),
        ("llama", None, None),
        ("anthropic/" + "x" * 300, None, None),
    ],
)
def test_a_name_means_one_vendors_model(name: str, vendor: str | None, model: str | None) -> None:
    found = match(name, ALL)
    assert (found and found.vendor, found and found.model) == (vendor, model)
    assert match(name, reversed(ALL)) == found  # type: ignore[arg-type] # any order will do
    assert match(name, [one for one in ALL if one != vendor]) is None


@pytest.mark.parametrize(
    ("kind", "provider", "model", "vendor"),
    [
        ("anthropic", "house", "claude-opus-4-6", "anthropic"),
        ("openai-compatible", "mistral", "mistral-large-latest", "mistral"),
        ("openrouter", "openrouter", "anthropic/claude-sonnet-4.5", "anthropic"),
        ("openrouter", "openrouter", "deepseek/deepseek-v3", "openrouter"),
        ("openai-compatible", "up", "deepseek-v3", None),
    ],
)
def test_a_model_of_the_house_is_its_vendors(kind: str, provider: str, model: str, vendor: str | None) -> None:
    found = match_served(kind, provider, model, ALL)
    assert (found.vendor if found else None) == vendor


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("api", Api)
def test_every_vendor_can_be_called_with_a_key(vendor: str, api: Api) -> None:
    door = door_of(vendor, "some-model", api, own_url=False)
    own = "https://example.org/v1" if vendor == "custom" else None
    providers = with_key(provider_of(vendor, door), door, KEY, base_url=own, region=None)
    for provider in providers:
        url = urlsplit(provider.base_url)
        assert (url.scheme, url.query, "{" in provider.base_url) == ("https", "", False)
        assert not provider.base_url.endswith("/")
        assert any(KEY.key.encode() in value for _, value in provider.headers)
        assert (provider.byok, provider.guarded) == (True, own is not None)
        assert KEY.key not in repr(provider)
    assert providers


def test_the_door_speaks_the_clients_api_where_there_is_one() -> None:
    kinds = [door_of("minimax", "m", api, own_url=False).apis for api in Api]
    assert kinds == [(Api.CHAT, Api.RESPONSES), (Api.CHAT, Api.RESPONSES), (Api.MESSAGES,)]
    assert door_of("minimax", "m", Api.MESSAGES, own_url=True).apis == (Api.CHAT, Api.RESPONSES)
    assert door_of("anthropic", "m", Api.CHAT, own_url=False).apis == (Api.MESSAGES,)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("eu.anthropic.claude-x", "/anthropic/v1"),
        ("anthropic.claude-x", "/anthropic/v1"),
        ("openai.gpt-oss", "/openai/v1"),
    ],
)
def test_bedrock_has_a_path_for_claude_and_one_for_all_others(model: str, path: str) -> None:
    for api in Api:
        door = door_of("bedrock", model, api, own_url=False)
        (provider,) = with_key(provider_of("bedrock", door), door, AWS, base_url=None, region="eu-west-1")
        assert provider.base_url == f"https://bedrock-runtime.eu-west-1.amazonaws.com{path}"
        assert provider.headers == ()
        assert provider.signing is not None
        assert provider.signing.region == "eu-west-1"


def test_zais_coding_plan_is_tried_first() -> None:
    door = door_of("zai", "glm-4.6", Api.CHAT, own_url=False)
    tried = with_key(provider_of("zai", door), door, KEY, base_url=None, region=None)
    assert [provider.base_url for provider in tried] == [
        "https://api.z.ai/api/coding/paas/v4",
        "https://api.z.ai/api/paas/v4",
    ]


def test_every_pattern_of_the_table_can_be_compiled() -> None:
    for row in VENDORS.values():
        assert re.compile(row.names).groups == 1
        re.compile(row.bare)
        assert all(re.compile(pattern) for pattern, _ in (*row.ids, *row.spelt))
        assert all(isinstance(door, Door) and door.apis for door in row.doors)


@pytest.mark.parametrize(("vendor", "told"), [("openai", True), ("custom", False)])
def test_a_server_of_somebodys_own_is_not_told_who_calls(vendor: str, told: bool) -> None:
    assert provider_of(vendor, door_of(vendor, "m", Api.CHAT, own_url=True), own_url=True).told_who is told


@pytest.mark.parametrize(
    ("vendor", "own", "called"),
    [
        ("openai", "https://h", "https://h/v1"),
        ("openai", "https://h/proxy", "https://h/proxy"),
        ("custom", "https://h", "https://h/v1"),
        ("google", "https://h", "https://h/v1beta/openai"),
        ("zai", "https://h", "https://h/api/paas/v4"),
        ("anthropic", "https://h", "https://h/v1"),
        ("anthropic", "https://h/claude", "https://h/claude/v1"),
        ("anthropic", "https://h/claude/v1", "https://h/claude/v1"),
    ],
)
def test_somebodys_own_address_gets_the_path_that_is_commonly_left_out(vendor: str, own: str, called: str) -> None:
    door = door_of(vendor, "m", Api.CHAT, own_url=True)
    (provider,) = with_key(provider_of(vendor, door, own_url=True), door, KEY, base_url=own, region=None)
    assert provider.base_url == called


def test_what_stands_at_somebodys_own_address_may_keep_what_it_is_sent() -> None:
    door = door_of("anthropic", "m", Api.CHAT, own_url=False)
    assert not provider_of("anthropic", door).collects_data
    provider = provider_of("anthropic", door, own_url=True)
    assert (provider.collects_data, provider.retains_data) == (True, True)
