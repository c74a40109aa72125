"""Mail by a server that speaks SMTP: in clear, by STARTTLS and by TLS, and what it may refuse."""

from __future__ import annotations

import base64
import email
import email.policy
import socket
import ssl
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme

from support_hooks import MailServer
from trivium.policy.addresses import networks
from trivium.policy.destinations import Destinations
from trivium.settings_alerts import EmailSettings
from trivium.upstream.guard import AddrInfo, Guard
from trivium.upstream.mail import Mailer
from trivium.upstream.webhook import Problem, Taken


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def certified(name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def ca(tmp_path: Path) -> str:
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def mailer(server: MailServer, **said: Any) -> Mailer:
    told: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "sender": "trivium@gw.test",
        "to": ("a@ops.test", "b@ops.test"),
    }
    return Mailer(EmailSettings(**(told | {"timeout": 5, **said})), "pass" if "user" in said else None)


async def test_a_mail_has_its_text_and_goes_to_all() -> None:
    async with MailServer() as server:
        assert await mailer(server, security="none").send("[Trivium page] Größe", "one\n.\ntwo\n") == Taken("250 fine")
    (raw,) = server.mails
    mail = email.message_from_string(
        raw.removesuffix("\r\n.\r\n").replace("\r\n..", "\r\n."), policy=email.policy.default
    )
    assert (mail["subject"], mail["from"], mail["to"]) == (
        "[Trivium page] Größe", "trivium@gw.test", "a@ops.test, b@ops.test",
    )  # fmt: skip
    assert mail.get_content().split() == ["one", ".", "two"]
    assert mail["auto-submitted"] == "auto-generated"
    assert [line.lower() for line in server.heard if line.lower().startswith("rcpt")] == [
        "rcpt to:<a@ops.test>", "rcpt to:<b@ops.test>",
    ]  # fmt: skip


async def test_with_starttls_nothing_is_said_before_it(ca: str) -> None:
    async with MailServer(starttls=certified()) as server:
        assert await mailer(server, ca=ca, user="me").send("s", "t") == Taken("250 fine")
    clear = [line for line in server.heard if not line.startswith("TLS ")]
    assert [line.split(" ")[0].upper() for line in clear] == ["EHLO", "STARTTLS"]
    (login,) = [line for line in server.heard if line.startswith("TLS AUTH")]
    assert base64.b64decode(login.split(" ")[-1]) == b"\0me\0pass"
    assert len(server.mails) == 1


async def test_a_server_without_starttls_gets_no_password(ca: str) -> None:
    async with MailServer() as server:
        problem = await mailer(server, ca=ca, user="me").send("s", "t")
    assert isinstance(problem, Problem)
    assert ("STARTTLS" in problem.why, problem.passing) == (True, False)
    assert not any("AUTH" in line for line in server.heard)


async def test_tls_from_the_first_byte(ca: str) -> None:
    async with MailServer(tls=certified()) as server:
        assert await mailer(server, ca=ca, security="tls").send("s", "t") == Taken("250 fine")
    assert len(server.mails) == 1


async def test_a_certificate_of_somebody_else_is_refused_and_not_tried_again(ca: str) -> None:
    async with MailServer(tls=certified("elsewhere.test")) as server:
        problem = await mailer(server, ca=ca, security="tls").send("s", "t")
        strange = await mailer(server, security="tls").send("s", "t")
    assert isinstance(problem, Problem)
    assert isinstance(strange, Problem)
    assert (problem.passing, strange.passing, server.mails) == (False, False, [])


@pytest.mark.parametrize(
    ("says", "why", "passing"),
    [
        ({"MAIL": "451 later"}, "451 later", True),
        ({"MAIL": "550 not you"}, "not you", False),
        ({"RCPT": "550 nobody"}, "a@ops.test: 550 nobody, b@ops.test: 550 nobody", False),
        ({"EHLO": "421 closing", "HELO": "421 closing"}, "421 closing", True),
    ],
)
async def test_what_the_server_refuses(says: dict[str, str], why: str, passing: bool) -> None:
    async with MailServer(says) as server:
        problem = await mailer(server, security="none").send("s", "t")
    assert isinstance(problem, Problem)
    assert why in problem.why
    assert problem.passing is passing


async def test_a_mail_that_some_get_is_sent() -> None:
    async with MailServer({"RCPT TO:<B@OPS.TEST>": "550 nobody"}) as server:
        answer = await mailer(server, security="none").send("s", "t")
    assert answer == Taken("250 fine", "b@ops.test: 550 nobody")
    assert len(server.mails) == 1


async def test_nobody_there_may_pass() -> None:
    async with MailServer() as server:
        gone = mailer(server, security="none")
    problem = await gone.send("s", "t")
    assert isinstance(problem, Problem)
    assert problem.passing


def named(**addresses: str) -> Guard:
    """A guard that lets nobody but 127.0.0.1 be reached, and knows these names."""

    async def resolve(host: str, port: int) -> list[AddrInfo]:
        address = addresses[host.partition(".")[0]]
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    return Guard(Destinations(allowed=networks(["127.0.0.1/32"])), resolve)


def guarded(server: MailServer, host: str, guard: Guard, **said: Any) -> Mailer:
    made = EmailSettings(host=host, port=server.port, sender="gw@gw.test", to=("a@ops.test",), timeout=5, **said)
    return Mailer(made, None, guard)


async def test_a_guarded_server_is_connected_to_by_the_address_that_was_checked(ca: str) -> None:
    """And its certificate is asked for by its name."""
    guard = named(mail="127.0.0.1", inside="10.0.0.7")
    for security, server in (
        ("none", MailServer()),
        ("starttls", MailServer(starttls=certified("mail.test"))),
        ("tls", MailServer(tls=certified("mail.test"))),
    ):
        async with server:
            answer = await guarded(server, "mail.test", guard, security=security, ca=ca).send("s", "t")
            inside = await guarded(server, "inside.test", guard, security=security).send("s", "t")
        assert (answer, len(server.mails)) == (Taken("250 fine"), 1)
        assert inside == Problem("the gateway does not connect to it: inside.test: private", passing=False)
