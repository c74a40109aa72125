"""Own keys in OpenRouter's words."""

from __future__ import annotations

import json

import msgspec
import pytest

from trivium.providers.credential import Credential
from trivium.providers.openrouter import Registration, kept, only, openrouter_id, refused_own, registered
from trivium.providers.provider import Provider
from trivium.providers.vendors import VENDORS, match

HOUSE = Provider(
    name="openrouter",
    kind="openrouter",
    base_url="https://openrouter.ai/api/v1",
    apis=frozenset(),
    headers=((b"authorization", b"Bearer house-key"), (b"x-title", b"Trivium")),
    spare=(((b"authorization", b"Bearer second-house-key"),),),
)
REGISTERED = Registration(api_key="sk-or-canary", hash="h", credential_id="c")


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4.5"),
        ("anthropic/claude-opus-4.5:online", "anthropic/claude-opus-4.5"),
        ("gpt-5.2", "openai/gpt-5.2"),
        ("google/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("mistral/devstral-2512", "mistralai/devstral-2512"),
        ("xai/grok-4", "x-ai/grok-4"),
        ("glm-4.6", "z-ai/glm-4.6"),
        ("MiniMax-M2", "minimax/minimax-m2"),
        ("mercury-2", "inception/mercury-2"),
    ],
)
def test_a_vendors_model_has_openrouters_name(name: str, id: str) -> None:
    found = match(name, VENDORS)
    assert found is not None
    assert openrouter_id(found) == id
    assert VENDORS[found.vendor].openrouter is not None


def test_a_call_has_the_keys_own_api_key_and_none_of_the_houses() -> None:
    called = registered(HOUSE, REGISTERED)
    assert called.headers == ((b"authorization", b"Bearer sk-or-canary"), (b"x-title", b"Trivium"))
    assert "house-key" not in f"{called.headers}{called.spare}"


def test_nobody_but_the_vendor_is_asked_whatever_the_client_says() -> None:
    said = {"only": ["openai"], "order": ["azure"], "ignore": ["google-ai-studio"], "zdr": True}
    assert only("google", said) == {"zdr": True, "only": ["google-ai-studio"]}


def test_what_is_kept_of_a_key_hides_all_of_its_secrets() -> None:
    one = kept(Credential(key="sk-own-canary"), REGISTERED)
    assert one.secrets() == (b"sk-own-canary", b"sk-or-canary")
    assert "canary" not in f"{one!r} {one.at_openrouter!r}"
    assert kept(one, None) == kept(Credential(key="sk-own-canary"), None)
    # What was sealed before there were registrations is read as it was.
    assert msgspec.json.decode(msgspec.json.encode(Credential(key="sk-own-canary")), type=type(one)) == kept(one, None)


def passed_on(raw: object, *, own: bool) -> str:
    """The error in which OpenRouter passes on a provider's."""
    told = {"provider_name": "Anthropic", "is_byok": own} | ({"raw": raw} if raw is not None else {})
    return json.dumps({"error": {"message": "Provider returned error", "code": 401, "metadata": told}})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (passed_on("Invalid API key", own=False), None),
        ('{"error":{"message":"No auth credentials found","code":401}}', None),
        (passed_on('{"error": {"message": "no"}}', own=True), "no"),
        (passed_on('{"error": "no"}', own=True), "no"),
        (passed_on('{"message": "no"}', own=True), "no"),
        (passed_on("Invalid API key", own=True), "Invalid API key"),
        (passed_on("[1]", own=True), "[1]"),
        (passed_on(7, own=True), "Provider returned error"),
        (passed_on(None, own=True), "Provider returned error"),
        ("<html>", None),
        ('{"error":"no"}', None),
        ("\udcff", None),
        ('{"x":' + "[" * 100_000, None),
    ],
    ids=lambda one: str(one)[:40],
)
def test_the_vendors_refusal_of_a_registered_key_is_told_from_openrouters_own(body: str, said: str | None) -> None:
    assert refused_own(body.encode(errors="surrogateescape")) == said
