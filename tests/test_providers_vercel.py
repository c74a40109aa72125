"""Models, keys and errors as Vercel has them."""

from __future__ import annotations

import msgspec
import pytest

from trivium.providers.credential import Credential
from trivium.providers.vendors import Match
from trivium.providers.vercel import refused_keys, vercel_id, vercel_options

KEY = Credential(key="sk-0123456789")
AWS = Credential(key="secret-access-key", access_key_id="AKIDEXAMPLE000000001", session_token="session-token")


@pytest.mark.parametrize(
    ("found", "id"),
    [
        (Match("anthropic", "claude-sonnet-4-5"), "anthropic/claude-sonnet-4.5"),
        (Match("anthropic", "claude-opus-4-20250514"), "anthropic/claude-opus-4-20250514"),
        (Match("google", "gemini-3-flash-preview"), "google/gemini-3-flash"),
        (Match("codestral", "codestral-2508"), "mistral/codestral"),
        (Match("mistral", "devstral-2512"), "mistral/devstral-2"),
        (Match("zai", "glm-4.6"), "zai/glm-4.6"),
        (Match("minimax", "MiniMax-M2"), "minimax/minimax-m2"),
    ],
)
def test_a_model_has_another_name_at_vercel(found: Match, id: str) -> None:
    assert vercel_id(found) == id


def test_vercel_is_told_the_keys_with_their_addresses_and_regions() -> None:
    assert vercel_options("codestral", [(KEY, None, None)]) == {
        "gateway": {"only": ["mistral"], "byok": {"mistral": [{"apiKey": KEY.key}]}}
    }
    coding = "https://api.z.ai/api/coding/paas/v4"
    assert vercel_options("zai", [(KEY, None, None)]) == {
        "gateway": {"only": ["zai"], "byok": {"zai": [{"apiKey": KEY.key, "baseURL": coding}, {"apiKey": KEY.key}]}}
    }
    own = {"apiKey": KEY.key, "baseURL": "https://example.org/v1"}
    assert vercel_options("openai", [(KEY, "https://example.org/v1", None)]) == {
        "gateway": {"only": ["openai"], "byok": {"openai": [own]}}
    }
    aws = {"accessKeyId": AWS.access_key_id, "secretAccessKey": AWS.key, "sessionToken": AWS.session_token}
    assert vercel_options("bedrock", [(AWS, None, "eu-west-1")]) == {
        "gateway": {"only": ["bedrock"], "byok": {"bedrock": [{**aws, "region": "eu-west-1"}]}}
    }


@pytest.mark.parametrize("name", ["providerMetadata", "provider_metadata"])
def test_an_error_tells_which_keys_were_refused(name: str) -> None:
    attempts = [
        {"provider": "anthropic", "credentialType": "byok", "success": False, "statusCode": 401},
        {"provider": "anthropic", "credentialType": "byok", "success": False, "statusCode": 429},
        {"provider": "anthropic", "credentialType": "system", "success": False, "statusCode": 402},
    ]
    error = {"error": {"message": "no"}, name: {"gateway": {"routing": {"attempts": attempts}}}}
    assert refused_keys(msgspec.json.encode(error)) == [401, 429]


@pytest.mark.parametrize(
    "body",
    [b"", b"no", b"{}", b"[]", b'{"providerMetadata":7}', b'{"error":{"message":"\xff"}}', b'{"x":' + b"[" * 100_000],
    ids=lambda body: body[:20].decode("ascii", "replace"),
)
def test_of_most_errors_it_cannot_be_told(body: bytes) -> None:
    assert refused_keys(body) == []
