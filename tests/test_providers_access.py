"""As whom a provider is called, by settings and environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trivium import config
from trivium.canon.api import Api
from trivium.errors import ConfigError
from trivium.providers import builtin
from trivium.providers.account import CredentialChain, ServiceAccount
from trivium.providers.provider import Provider
from trivium.providers.sigv4 import Signing

ID, SECRET = "AKIDEXAMPLE000000001", "secret-access-key"
AWS = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET}
ACCOUNT = {
    "type": "service_account",
    "client_email": "me@my-project.iam.gserviceaccount.com",
    "private_key": "-----BEGIN PRIVATE KEY-----",
    "private_key_id": "k1",
    "project_id": "my-project",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def one(text: str, **env: str) -> Provider:
    (provider,) = builtin.build(config.parse(text, "t.toml"), env).values()
    return provider


def complaint(text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as raised:
        one(text, **env)
    return raised.value.message


def test_bedrock_is_called_with_an_api_key_where_there_is_one() -> None:
    found = builtin.build(config.parse(""), {"AWS_BEARER_TOKEN_BEDROCK": "absk", "AWS_REGION": "eu-west-1", **AWS})
    (provider,) = found.values()
    assert provider.headers == ((b"authorization", b"Bearer absk"),)
    assert (provider.signing, provider.account) == (None, None)
    assert provider.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"


def test_bedrock_is_called_with_an_access_key() -> None:
    text = f"[providers.bedrock]\naccess_key_id = '{ID}'\nkey = 'env:S'\nsession_token = 'session-token'\n"
    provider = one(f"{text}region = 'us-west-2'", S=SECRET)
    assert provider.signing == Signing(
        access_key_id=ID, secret_access_key=SECRET, session_token="session-token", region="us-west-2"
    )
    assert provider.headers == ()
    assert SECRET not in repr(provider)


def test_an_access_key_in_the_environment_makes_no_provider_and_serves_one_that_is_named() -> None:
    assert builtin.build(config.parse(""), AWS) == {}
    signing = one("[providers.bedrock]", **AWS, AWS_SESSION_TOKEN="session-token").signing
    assert signing is not None
    assert (signing.access_key_id, signing.session_token, signing.region) == (ID, "session-token", "us-east-1")


def test_without_any_key_aws_finds_what_it_finds() -> None:
    assert one("[providers.bedrock]", AWS_REGION="eu-west-1").account == CredentialChain(region="eu-west-1")
    profile = one("[providers.bedrock]\nprofile = 'work'", **AWS)
    assert (profile.account, profile.signing) == (CredentialChain(region="us-east-1", profile="work"), None)


def test_a_service_account_knows_its_project(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(ACCOUNT))
    provider = one(f"[providers.vertex]\nservice_account = 'file:{path}'\nregion = 'europe-west1'")
    assert isinstance(provider.account, ServiceAccount)
    assert provider.account.client_email == ACCOUNT["client_email"]
    assert provider.base_url == (
        "https://europe-west1-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west1"
        "/publishers/anthropic/models"
    )
    assert "PRIVATE" not in repr(provider.account)
    found = builtin.build(
        config.parse(""), {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "ANTHROPIC_VERTEX_PROJECT_ID": "other"}
    )
    assert "/projects/other/locations/global/" in found["vertex"].base_url
    assert found["vertex"].base_url.startswith("https://aiplatform.googleapis.com/v1/")


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
    ],
)
def test_vertex_has_a_host_for_each_region(region: str, host: str) -> None:
    provider = one("[providers.vertex]\nkey = 'ya29'\nproject = 'p'", CLOUD_ML_REGION=region)
    assert provider.base_url.startswith(f"https://{host}/v1/projects/p/locations/{region}/")
    assert provider.headers == ((b"authorization", b"Bearer ya29"),)


def test_azure_is_reached_at_the_resource_with_its_header() -> None:
    env = {
        "AZURE_OPENAI_API_KEY": "k",
        "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/",
        "OPENAI_API_VERSION": "1",
    }
    found = builtin.build(config.parse(""), env)
    assert list(found) == ["azure"]
    assert found["azure"].base_url == "https://mine.openai.azure.com/openai/v1"
    assert found["azure"].headers == ((b"api-key", b"k"),)
    named = "[providers.a]\ntype = 'azure-deployments'\napi_version = '2025-01-01-preview'"
    older = builtin.build(config.parse(named), env)["a"]
    assert (older.base_url, older.query) == ("https://mine.openai.azure.com/openai", "api-version=2025-01-01-preview")


def test_several_keys_are_the_provider_several_times() -> None:
    text = "[providers.deepseek]\nkey = 'a'\nkeys = ['b', 'env:C']\nheaders = { x-team = 'blue' }"
    provider = one(text, C="c")
    assert provider.headers == ((b"authorization", b"Bearer a"), (b"x-team", b"blue"))
    every = provider.keyed()
    assert [one.headers[0][1] for one in every] == [b"Bearer a", b"Bearer b", b"Bearer c"]
    assert [one.elsewhere[0].headers[0] for one in every] == [(b"x-api-key", key) for key in (b"a", b"b", b"c")]
    assert [(one.key_number, one.spare) for one in every] == [(1, ()), (2, ()), (3, ())]
    assert all(one.headers[1] == (b"x-team", b"blue") for one in every)
    plain = one("[providers.openai]\nkey = 'a'")
    assert plain.keyed() == (plain,)
    assert plain.key_number == 0


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[providers.groq]", "t.toml:1: providers.groq", "set `key`, or GROQ_API_KEY in the environment"),
        ("[providers.zai-coding]", "t.toml:1: providers.zai-coding", "set `key`"),
        ("[providers.groq]\nkey = 'a'\nkeys = ['b', 'a']", "t.toml:3: providers.groq.keys", "stands twice"),
        ("[providers.groq]\nkeys = ['']", "t.toml:2: providers.groq.keys", "length >= 1"),
        ("[providers.groq]\nkey = 'a'\nregion = 'eu'", "t.toml:3: providers.groq.region", "no such setting"),
        ("[providers.groq]\nkey = 'a'\nproject = 'p'", "t.toml:3: providers.groq.project", "no such setting"),
        ("[providers.groq]\naccess_key_id = 'a'\nkey = 'a'", "t.toml:2: providers.groq.access_key_id", "no such"),
        (
            "[providers.azure]\nkey = 'a'",
            "t.toml:1: providers.azure",
            "needs `base_url`, such as http://127.0.0.1:8080/v1, or AZURE_OPENAI_ENDPOINT in",
        ),
        ("[providers.a]\nkey = 'a'", "t.toml:1: providers.a", "needs `base_url`"),
        ("[providers.groq]\nkey = 'env:'", "t.toml:2: providers.groq.key", "the name of an environment variable"),
        ("[providers.groq]\nkey = '$GROQ_KEY'", "t.toml:2: providers.groq.key", "is written env:GROQ_KEY"),
        ("[providers.groq]\nkey = '${GROQ_KEY}'", "t.toml:2: providers.groq.key", "is written env:GROQ_KEY"),
        ("[providers.groq]\nkey = 'os.environ/GROQ_KEY'", "t.toml:2: providers.groq.key", "is written env:GROQ_KEY"),
        (
            "[providers.a]\nbase_url = 'http://h/v1/chat/completions/'",
            "t.toml:2: providers.a.base_url",
            "the address that /chat/completions stands behind",
        ),
        ("[providers.vertex]", "t.toml:1: providers.vertex", "`service_account` or `key`"),
        ("[providers.vertex]\nkey = 'a'", "t.toml:1: providers.vertex", "needs `project`"),
        ("[providers.vertex]\nservice_account = '{}'", "t.toml:2: providers.vertex.service_account", "JSON key"),
        ("[providers.vertex]\nservice_account = 'no'", "t.toml:2: providers.vertex.service_account", "JSON key"),
        ("[providers.bedrock]\naccess_key_id = 'a'", "t.toml:2: providers.bedrock.access_key_id", "one `key`"),
        ("[providers.bedrock]\naccess_key_id = 'a b'\nkey = 'c'", "t.toml:2: providers.bedrock.access_key_id", "AWS"),
        ("[providers.bedrock]\nregion = 'EU!'", "t.toml:2: providers.bedrock.region", "2 to 40 of a-z, 0-9 and -"),
        ("[providers.bedrock]\napis = ['chat']", "t.toml:2: providers.bedrock.apis", "speak messages alone"),
        ("[providers.groq]\nkey = 'a'\nproxy = 'socks5://h'", "t.toml:3: providers.groq.proxy", "absolute http URL"),
        ("[providers.groq]\nkey = 'a'\nproxy = 'http://h/x'", "t.toml:3: providers.groq.proxy", "without a path"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(text: str, place: str, words: str) -> None:
    said = complaint(text, AWS_REGION="us-east-1")
    assert said.startswith(f"{place}: ")
    assert words in said


def test_no_complaint_repeats_a_secret() -> None:
    said = complaint(
        "[providers.bedrock]\naccess_key_id = 'bad id'\nkey = 'top-secret'\nsession_token = 'token-secret'"
    )
    assert "secret" not in said.replace("the secret", "")


@pytest.mark.parametrize(
    ("text", "collects", "retains"),
    [
        ("[providers.together]\nkey = 'k'", False, False),
        ("[providers.together]\nkey = 'k'\nbase_url = 'https://eu.api.together.xyz/v1'", False, False),
        ("[providers.together]\nkey = 'k'\nbase_url = 'https://relay.example.org/v1'", True, True),
        ("[providers.together]\nbase_url = 'https://relay.example.org/v1'\ncollects_data = false", False, True),
        ("[providers.openai]\nkey = 'k'\nbase_url = 'http://127.0.0.1:9/v1'", True, True),
        (
            "[providers.vertex]\nkey = 'k'\nproject = 'p'\nbase_url = 'https://us-east1-aiplatform.googleapis.com'",
            False,
            True,
        ),
        ("[providers.azure]\nkey = 'k'\nbase_url = 'https://mine.openai.azure.com'", False, True),
        ("[providers.ollama]\nbase_url = 'http://10.0.0.5:11434'", False, False),
    ],
)
def test_a_vendors_word_holds_where_the_vendor_is(text: str, collects: bool, retains: bool) -> None:
    provider = one(text)
    assert (provider.collects_data, provider.retains_data) == (collects, retains)


def test_a_vendors_apis_at_several_addresses_are_one_provider() -> None:
    provider = one("[providers.moonshot]\nkey = 'k'")
    assert provider.apis == {Api.CHAT, Api.MESSAGES}
    assert provider.at(Api.CHAT).base_url == "https://api.moonshot.ai/v1"
    assert provider.at(Api.MESSAGES).base_url == "https://api.moonshot.ai/anthropic/v1"
    only = one("[providers.moonshot]\nkey = 'k'\napis = ['messages']")
    assert (set(only.apis), only.base_url) == ({Api.MESSAGES}, "https://api.moonshot.ai/anthropic/v1")
    own = one("[providers.moonshot]\nbase_url = 'http://h'")
    assert (set(own.apis), own.base_url) == ({Api.CHAT}, "http://h/v1")
    assert only.elsewhere == own.elsewhere == ()
    assert own.headers == ()
