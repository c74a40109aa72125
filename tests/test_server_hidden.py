"""Which secrets a configuration holds, so that they can be kept out of sight."""

from __future__ import annotations

import json
from pathlib import Path

from trivium import config
from trivium.providers import builtin
from trivium.server.hidden import secrets_of

CONFIGURED = """
[storage]
url = "postgresql://trivium:p%40ss-word@db/trivium"
[limits]
redis_url = "env:REDIS"
[secrets]
keys = ["v1=env:KEK"]
[tokens]
key = "an issuer's secret of 32 bytes, 1"
[identity]
salt = "env:SALT"
[abuse.classifier]
url = "https://classifier.test"
key = "classifier-secret"
[telemetry.events]
url = "https://events.test"
headers = { authorization = "Bearer events-secret" }
[telemetry.otel]
headers = { x-key = "otel-secret" }
[providers.one]
base_url = "https://one.test/v1"
key = "first-secret"
keys = ["second-secret"]
headers = { x-auth-token = "header-secret", x-region = "europe-west" }
proxy = "http://user:proxy-secret@proxy.test:3128"
[providers.bedrock]
type = "bedrock"
region = "eu-central-1"
access_key_id = "AKIDEXAMPLE000000001"
key = "aws-secret"
[providers.vertex]
type = "vertex"
project = "p"
region = "europe-west1"
service_account = "file:{account}"
"""


def test_every_place_that_may_hold_a_secret_is_looked_at(tmp_path: Path) -> None:
    account = tmp_path / "account.json"
    account.write_text(json.dumps({"type": "service_account", "client_email": "a@b.test", "private_key": "pem-secret"}))
    env = {"REDIS": "redis://:redis-secret@redis/0", "KEK": "kek-secret", "SALT": "salt-secret"}
    settings = config.parse(CONFIGURED.replace("{account}", str(account)))
    found = secrets_of(settings, env, builtin.build(settings, env).values())
    words = {
        *("p%40ss-word", "p@ss-word", "redis-secret", "kek-secret", "an issuer's secret of 32 bytes, 1", "salt-secret"),
        *("classifier-secret", "Bearer events-secret", "otel-secret", "first-secret", "second-secret"),
        *("header-secret", "proxy-secret", "aws-secret", "pem-secret"),
    }
    assert words <= found
    assert found.isdisjoint({"europe-west", "trivium", "user"})


def test_a_key_that_is_a_name_hides_no_name() -> None:
    settings = config.parse(
        '[providers.ollama]\nbase_url = "http://h/v1"\nkey = "ollama"\n[providers.b]\nkey = "b-secret"\nbase_url = "http://h/v1"'
    )
    assert secrets_of(settings, {}, builtin.build(settings, {}).values()) >= {"b-secret"}
    assert "ollama" not in secrets_of(settings, {}, builtin.build(settings, {}).values())
