"""Channels as the configuration says, and what of it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium import config
from trivium.errors import ConfigError
from trivium.server.alerting import channels
from trivium.server.hidden import secrets_of
from trivium.upstream.http1 import Http1Client

ENV = {"SLACK": "https://hooks.slack.test/services/T/B/secret", "KEY": "hook-secret", "PASS": "mail-secret"}
WRITTEN = """
[alerts.slack.ops]
url = "env:SLACK"
severities = ["page"]
[alerts.webhooks.desk]
url = "https://desk.test/hooks/desk-path"
headers = { authorization = "env:KEY" }
[alerts.email.people]
host = "mail.test"
sender = "trivium@gw.test"
to = ["a@ops.test"]
user = "me"
password = "env:PASS"
"""
MAIL = '[alerts.email.m]\nhost = "h"\nsender = "a@b"\nto = ["c@d"]\n'


def test_channels_in_the_order_of_their_kinds() -> None:
    found = channels(config.parse(WRITTEN), ENV, Http1Client()).all
    assert [(one.name, one.said.kind, one.said.severities) for one in found] == [
        ("ops", "slack", ("page",)),
        ("desk", "webhook", ("page", "ticket")),
        ("people", "email", ("page", "ticket")),
    ]
    assert channels(config.parse(""), {}, Http1Client()).all == []


def test_what_they_are_reached_with_is_kept_out_of_sight() -> None:
    hidden = secrets_of(config.parse(WRITTEN), ENV, [])
    assert {*ENV.values(), "https://desk.test/hooks/desk-path"} <= hidden


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[alerts.slack.a]\nurl = "env:NO"', "t.toml:2: alerts.slack.a.url", "NO is not set"),
        ('[alerts.slack.a]\nurl = "ftp://x"', "t.toml:2: alerts.slack.a.url", ""),
        ('[alerts.slack."a b"]\nurl = "http://x"', "t.toml:2: alerts.slack.a b", "a name of"),
        ('[alerts.webhooks.a]\nurl = "http://x"\n[alerts.webhooks.a.headers]\n"a b" = "c"', "t.toml:4: ", "printable"),
        (MAIL + 'user = "u"', "t.toml: alerts.email.m", "together"),
        (MAIL + 'user = "u"\npassword = "p"\nsecurity = "none"', "t.toml:7: alerts.email.m.security", "`starttls` or"),
        (MAIL + 'ca = "/nowhere"', "t.toml:5: alerts.email.m.ca", "cannot be read"),
        ('[alerts.slack.m]\nurl = "http://x"\n' + MAIL, "t.toml:6: alerts.email.m", "a name of its own"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(text: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        channels(config.parse(text, "t.toml"), {}, Http1Client())
    assert raised.value.message.startswith(place.split(":", maxsplit=1)[0])
    assert place.rpartition(": ")[2] in raised.value.message
    assert words in raised.value.message
    assert "ftp://x" not in raised.value.message


@pytest.mark.parametrize(
    "text",
    [
        '[alerts.slack.a]\nurl = ""',
        '[alerts.email.m]\nhost = "h"\nsender = "a@b\\nBcc: x@y"\nto = ["c@d"]',
        '[alerts.email.m]\nhost = "h"\nsender = "a@b"\nto = []',
        "[alerts]\nnonsense = 1",
    ],
)
def test_values_that_cannot_be_are_refused_when_they_are_read(text: str) -> None:
    with pytest.raises(ConfigError):
        config.parse(text)


def test_a_certificate_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigError, match="cannot be read"):
        channels(config.parse(MAIL + f'ca = "{tmp_path}/ca.pem"'), {}, Http1Client())
