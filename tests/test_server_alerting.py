"""Channels as the configuration says, and what of it is refused."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import psycopg
import pytest

from support_store import PostgresServer
from support_wait import until
from trivium import config
from trivium.errors import ConfigError
from trivium.policy.access import HouseSettings
from trivium.server.alerting import channels
from trivium.server.deps import Gateway
from trivium.server.hidden import secrets_of
from trivium.settings_alerts import RULES
from trivium.upstream.guard import AddrInfo, Guard
from trivium.upstream.http1 import Http1Client

ENV = {"SLACK": "https://hooks.slack.test/services/T/B/secret", "KEY": "hook-secret", "PASS": "mail-secret"}
WRITTEN = """
[alerts.slack.ops]
url = "env:SLACK"
severities = ["page"]
rules = ["audit"]
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
    assert [one.said.rules for one in found] == [("audit",), RULES, RULES]
    assert [one.said.where for one in found] == [
        "https://hooks.slack.test/...cret", "https://desk.test/...path", "mail.test:587",
    ]  # fmt: skip
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


HOOK = {"name": "ops", "kind": "slack", "url": "https://hooks.example.com/services/T/B/x"}
ALONE = "[local]\nenabled = false\n[auto]\nenabled = false\n"


def open_channels(gateway: Gateway) -> list[str]:
    return [one.name for one in gateway.alerting.channels.open]


async def test_what_was_set_is_there_after_a_restart(tmp_path: Path) -> None:
    for before in ([], ["ops"]):
        gateway = Gateway(config.parse(ALONE), tmp_path, {})
        await gateway.open()
        assert open_channels(gateway) == before
        if not before:
            await gateway.operations.perform("alerts.channels.add", HOOK)
        await gateway.close()


async def test_what_is_set_at_one_gateway_is_told_by_the_others(tmp_path: Path, postgres: PostgresServer) -> None:
    """Within a second; half of it is between two looks."""
    database = postgres.create("newest")
    settings = config.parse(f'{ALONE}[storage]\nurl = "{postgres.url(database)}"\n')
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pepper").write_bytes(b"p" * 32)
    one, other = (Gateway(settings, tmp_path / name, {}) for name in ("a", "b"))
    await one.open()
    await other.open()
    following = asyncio.create_task(other.follow())
    for operation, arguments, left in (
        ("add", HOOK, ["ops"]),
        ("set", {"channel": "ops", "enabled": False}, []),
        ("set", {"channel": "ops", "enabled": True}, ["ops"]),
        ("remove", {"channel": "ops"}, []),
    ):
        await one.operations.perform(f"alerts.channels.{operation}", arguments)
        assert open_channels(one) == left
        async with asyncio.timeout(30):
            while open_channels(other) != left:  # noqa: ASYNC110 # of another gateway
                await asyncio.sleep(0.02)
    following.cancel()
    await one.close()
    await other.close()
    postgres.drop(database)


async def test_a_channel_that_a_newer_gateway_has_set_keeps_an_older_one_from_nothing_else(
    tmp_path: Path, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """While gateways of one database are replaced one by one."""
    database = postgres.create("newest")
    gateway = Gateway(config.parse(f'{ALONE}[storage]\nurl = "{postgres.url(database)}"\n'), tmp_path, {})
    await gateway.open()
    following = asyncio.create_task(gateway.follow())
    with psycopg.connect(postgres.url(database), autocommit=True) as newer:
        newer.execute(
            "INSERT INTO alert_channels (id, name, content, created_ms) VALUES ('c', 'n', '{\"kind\": \"pager\"}', 1)"
        )
        newer.execute("INSERT INTO settings (name, version, content) VALUES ('alert_channels', 1, '{}')")
        await until(lambda: "channels of alerts stay as they were" in caplog.text)
        limits = '{"key_limits": {"concurrent_requests": 5}}'
        newer.execute("INSERT INTO settings (name, version, content) VALUES ('house', 1, %s)", (limits,))
        async with asyncio.timeout(30):
            while gateway.deps.house == HouseSettings():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    following.cancel()
    await gateway.close()
    postgres.drop(database)


async def test_a_message_goes_to_no_address_that_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was good when it was saved leads into the house when it is connected to."""

    async def look_up(_guard: Guard, _host: str, port: int) -> list[AddrInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(Guard, "_look_up", look_up)
    gateway = Gateway(config.parse(ALONE), tmp_path, {})
    await gateway.open()
    perform = gateway.operations.perform
    await perform("alerts.channels.add", HOOK)
    mail = {"host": "mx.example.com", "sender": "a@b.example", "to": ["c@d.example"]}
    await perform("alerts.channels.add", {"name": "people", "kind": "email", **mail})
    told = await perform("alerts.test", {})
    await gateway.close()
    assert {one["channel"]: one["problem"] for one in told} == {
        "ops": "the gateway does not connect to it: hooks.example.com: loopback",
        "people": "the gateway does not connect to it: mx.example.com: loopback",
    }
