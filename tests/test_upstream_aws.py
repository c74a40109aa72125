"""Credentials as AWS's SDK finds them; of the SDK itself only where the extra `aws` is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trivium import config
from trivium.errors import ConfigError
from trivium.providers.account import CredentialChain
from trivium.server.deps import Gateway
from trivium.upstream import credentials
from trivium.upstream.aws import ChainFailed, chain_signing, is_available

BEDROCK = "[local]\nenabled = false\n[providers.bedrock]\nregion = 'eu-west-1'"
needs_sdk = pytest.mark.skipif(not is_available(), reason="the extra `aws` is not installed")


def test_without_the_sdk_a_provider_that_needs_it_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "is_available", lambda: False)
    with pytest.raises(ConfigError) as raised:
        Gateway(config.parse(BEDROCK, "t.toml"), tmp_path, {})
    assert raised.value.message.startswith("t.toml:3: providers.bedrock: needs a key: ")
    assert f"{sys.executable} -m pip install 'trivium[aws]'" in raised.value.message
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE000000001", "AWS_SECRET_ACCESS_KEY": "secret-access-key"}
    assert "bedrock" in Gateway(config.parse(BEDROCK), tmp_path, keys).providers


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(
        "[work]\naws_access_key_id = AKIDPROFILE000000001\naws_secret_access_key = s\naws_session_token = t\n"
    )
    (tmp_path / "config").write_text("[profile work]\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@needs_sdk
@pytest.mark.usefixtures("profiles")
def test_a_profiles_credentials_sign_for_the_providers_region() -> None:
    signing = chain_signing(CredentialChain(region="eu-west-1", profile="work"))
    assert (signing.access_key_id, signing.secret_access_key, signing.session_token, signing.region) == (
        "AKIDPROFILE000000001",
        "s",
        "t",
        "eu-west-1",
    )


@needs_sdk
@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize("profile", ["missing", None])
def test_where_there_are_none_it_says_so(profile: str | None) -> None:
    with pytest.raises(ChainFailed):
        chain_signing(CredentialChain(region="eu-west-1", profile=profile))


@needs_sdk
@pytest.mark.usefixtures("profiles")
def test_what_tools_write_into_the_files_is_found_when_it_is_there(tmp_path: Path) -> None:
    chain = CredentialChain(region="eu-west-1")
    with pytest.raises(ChainFailed):
        chain_signing(chain)
    for token in ("of the morning", "of the evening"):
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = A\naws_secret_access_key = s\naws_session_token = {token}\n"
        )
        assert chain_signing(chain).session_token == token


@needs_sdk
@pytest.mark.usefixtures("profiles")
def test_what_the_sdk_renews_by_itself_is_asked_for_once(tmp_path: Path) -> None:
    told = '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "Expiration": "2999-01-01T00:00:00Z"}'
    (tmp_path / "told.json").write_text(told)
    (tmp_path / "config").write_text(f"[profile process]\ncredential_process = cat {tmp_path / 'told.json'}\n")
    chain = CredentialChain(region="eu-west-1", profile="process")
    assert chain_signing(chain).access_key_id == "A"
    (tmp_path / "told.json").unlink()
    assert chain_signing(chain).access_key_id == "A"
