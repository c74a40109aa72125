"""What `[payments]` may say."""

from __future__ import annotations

import pytest

from trivium import config
from trivium.errors import ConfigError
from trivium.server.hidden import secrets_of
from trivium.server.payments import processor_of
from trivium.upstream.http1 import Http1Client

WHOLE = """[payments]
provider = "stripe"
secret_key = "env:STRIPE_KEY"
webhook_secrets = ["env:STRIPE_HOOK", "whsec_the_old_one"]
return_url = "https://gateway.example"
"""
ENV = {"STRIPE_KEY": "sk_test_12345678", "STRIPE_HOOK": "whsec_12345678"}


def test_nothing_is_nothing() -> None:
    assert processor_of(config.parse(""), {}, Http1Client()) is None


def test_all_that_is_needed() -> None:
    settings = config.parse(WHOLE)
    processor = processor_of(settings, ENV, Http1Client())
    assert processor is not None
    assert processor.name == "stripe"
    assert {"sk_test_12345678", "whsec_12345678", "whsec_the_old_one"} <= secrets_of(settings, ENV, [])


def test_people_come_back_to_the_dashboard() -> None:
    text = WHOLE.replace('return_url = "https://gateway.example"', '[dashboard]\nurl = "https://gateway.example"')
    assert processor_of(config.parse(text), ENV, Http1Client()) is not None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('secret_key = "env:STRIPE_KEY"', "", "trivium.toml:2: payments.provider: needs `secret_key`"),
        ('webhook_secrets = ["env:STRIPE_HOOK", "whsec_the_old_one"]', "", "needs `webhook_secrets`"),
        ('return_url = "https://gateway.example"', "", "needs `return_url` (or `[dashboard] url`)"),
        ("env:STRIPE_KEY", "env:NOBODY", "trivium.toml:3: payments.secret_key: the environment variable NOBODY"),
        ("env:STRIPE_KEY", "pk_test_1", "payments.secret_key: expected a secret key"),
        ("env:STRIPE_HOOK", "", "webhook_secrets"),
        ("env:STRIPE_HOOK", "env:STRIPE_KEY", "trivium.toml:4: payments.webhook_secrets: expected signing secrets"),
        ("whsec_the_old_one", "whsec_ ", "payments.webhook_secrets: expected signing secrets"),
        ('"stripe"', '"paypal"', "payments.provider"),
        ("[payments]", '[payments]\nleast_usd = "2000"', "expected no more than `most_usd`"),
        ("[payments]", '[payments]\nleast_usd = "0.001"', "least_usd"),
        ("[payments]", "[payments]\nfee_percent = 101", "fee_percent"),
        ("[payments]", "[payments]\nwhat = 1", "what"),
        ("https://gateway.example", "https://gateway.example/path", "return_url"),
    ],
)
def test_what_does_not_fit_is_said_with_its_line(before: str, after: str, words: str) -> None:
    assert before in WHOLE
    with pytest.raises(ConfigError) as error:
        processor_of(config.parse(WHOLE.replace(before, after, 1)), ENV, Http1Client())
    assert words in error.value.message
    assert "sk_test" not in error.value.message
