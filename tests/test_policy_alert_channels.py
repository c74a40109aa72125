"""Channels of alerts: what belongs to which kind, what is shown of it, and what is sent to no other server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trivium.errors import OperationError, SecretUnreadable, UrlRefused
from trivium.policy.addresses import networks
from trivium.policy.alert_channels import Channel, Kind, Sealed, changed, made, where
from trivium.policy.destinations import Destinations

RULES = Destinations()
HOOK = "https://hooks.example.com/services/T0/B0/abcdefgh1234"
MAIL: dict[str, Any] = {"host": "Mail.Example.com", "sender": "gw@example.com", "to": ("ops@example.com",)}
LOGIN = MAIL | {"login": "gw", "password": "mail-secret"}


def never() -> Sealed:
    raise AssertionError("nothing need be opened for this")


def shown(channel: Channel) -> str:
    return msgspec.json.encode(channel).decode()


def test_of_a_url_the_end_is_shown_and_of_a_password_nothing() -> None:
    slack, sealed = made("slack", {"url": HOOK}, RULES)
    assert (slack.where, sealed.url) == ("https://hooks.example.com/...1234", HOOK)
    desk, _ = made("webhook", {"url": HOOK, "headers": {"authorization": "Bearer abc", "x-a": "b"}}, RULES)
    assert desk.header_names == ("authorization", "x-a")
    mail, sealed = made("email", LOGIN, RULES)
    assert (mail.where, mail.host, mail.timeout) == ("mail.example.com:587", "mail.example.com", 20)
    assert sealed.secrets == ["mail-secret"]
    assert "Bearer abc" in Sealed(headers={"a": "Bearer abc"}).secrets
    for channel, secret in ((slack, "abcdefgh"), (desk, "Bearer abc"), (mail, "secret")):
        assert secret not in shown(channel)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://h.example/x", "https://h.example/..."),  # so short that its end would be all of it
        ("https://h.example:8443/v1/spaces/x/messages?key=abcdefgh&token=wxyz", "https://h.example:8443/...wxyz"),
        (f"https://{'h' * 80}.example/services/abcdefghij", f"https://{'h' * 60}.../...ghij"),
    ],
)
def test_where_a_url_leads(url: str, told: str) -> None:
    assert where(url) == told


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("slack", {}, "needs `url`"),
        ("slack", {"url": HOOK, "headers": {"a": "b"}}, "has no `headers`"),
        ("webhook", {"url": HOOK, "host": "h.example"}, "has no `host`"),
        ("webhook", {"url": HOOK, "headers": {"Content-Length": "5"}}, "`content-length` is the gateway's"),
        ("webhook", {"url": HOOK, "headers": {"X-A": "b", "x-a": "c"}}, "`x-a` is given twice"),
        ("email", MAIL | {"to": ()}, "needs `to`"),
        ("email", MAIL | {"login": "gw"}, "together, or neither"),
        ("email", MAIL | {"password": "x"}, "together, or neither"),
        ("email", LOGIN | {"security": "none"}, "`starttls` or `tls` only"),
        ("email", MAIL | {"url": HOOK}, "has no `url`"),
        ("slack", {"url": HOOK, "rules": ()}, "one rule at least"),
    ],
)
def test_what_does_not_belong_together_is_refused(kind: Kind, given: dict[str, Any], words: str) -> None:
    with pytest.raises(OperationError, match=words):
        made(kind, given, RULES)


@pytest.mark.parametrize(
    "url",
    [
        *("http://hooks.example.com/x", "https://127.0.0.1/x", "https://localhost/x", "https://169.254.169.254/x"),
        *("https://10.0.0.1/x", "https://[::1]/x", "https://user:pass@hooks.example.com/x", "https://2130706433/x"),
        *("https://hooks.example.com:6379/x", "https://hooks.example.com/x#y", "https://hooks.example.com/x?a b"),
        *("https://hooks.example.com/x?" + "a" * 2000, "ftp://hooks.example.com/x", "env:SLACK", "file:/etc/passwd"),
    ],
)
def test_urls_that_may_not_be_called_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UrlRefused) as raised:
        made("webhook", {"url": url}, RULES)
    assert url not in raised.value.message


@pytest.mark.parametrize(
    "mail",
    [{"host": "localhost"}, {"host": "10.1.2.3"}, {"host": "169.254.169.254"}, {"port": 22}, {"port": 6379}],
)
def test_mail_servers_that_may_not_be_connected_to_are_refused(mail: dict[str, Any]) -> None:
    with pytest.raises(UrlRefused, match="The mail server cannot be used"):
        made("email", MAIL | mail, RULES)


def test_the_operator_can_let_them_lead_into_the_own_network() -> None:
    own = Destinations(allowed=networks(("10.0.0.0/8",)), http=True)
    assert made("webhook", {"url": "http://10.0.0.5:8080/x"}, own)[0].where == "http://10.0.0.5:8080/..."
    assert made("email", MAIL | {"host": "10.0.0.6", "port": 25, "security": "none"}, own)[0].where == "10.0.0.6:25"


def test_a_url_is_called_as_it_was_given() -> None:
    for url in ("https://h.example/hook/", "https://h.example/a?sp=%2Ftriggers&sig=x/y?z", "https://h.example/"):
        assert made("webhook", {"url": url}, RULES)[1].url == url


def test_what_is_not_sealed_is_changed_without_opening_anything() -> None:
    for kind, given in (("slack", {"url": HOOK}), ("email", LOGIN)):
        before, _ = made(kind, given, RULES)  # type: ignore[arg-type] # one of the kinds
        after, sealed = changed(before, {"enabled": False, "rules": ("audit",)}, RULES, never)
        assert sealed is None
        assert after == msgspec.structs.replace(before, enabled=False, rules=("audit",))


def test_a_new_url_takes_the_place_of_one_that_cannot_be_read_any_more() -> None:
    before, _ = made("slack", {"url": HOOK}, RULES)
    after, sealed = changed(before, {"url": "https://other.example/services/xyz987654"}, RULES, never)
    assert (after.where, sealed) == (
        "https://other.example/...7654", Sealed(url="https://other.example/services/xyz987654"),
    )  # fmt: skip


def test_what_headers_hold_is_sent_to_no_other_server() -> None:
    before, old = made("webhook", {"url": HOOK, "headers": {"authorization": "abc"}}, RULES)
    moved = {"url": "https://evil.example/collect/0123456789"}
    with pytest.raises(OperationError, match="was given for another server"):
        changed(before, moved, RULES, lambda: old)
    for headers in ({"authorization": "new"}, {}):
        after, sealed = changed(before, moved | {"headers": headers}, RULES, lambda: old)
        assert sealed == Sealed(url=moved["url"], headers=headers)
        assert after.header_names == tuple(headers)
    same, sealed = changed(before, {"url": f"{HOOK}/new"}, RULES, lambda: old)
    assert (sealed and sealed.headers, same.header_names) == (old.headers, ("authorization",))
    _, sealed = changed(before, {"headers": {"x": "y"}}, RULES, lambda: old)
    assert sealed == Sealed(url=HOOK, headers={"x": "y"})


@pytest.mark.parametrize("moved", [{"host": "evil.example"}, {"port": 2525}, {"security": "tls"}])
def test_a_password_is_sent_to_no_other_server(moved: dict[str, Any]) -> None:
    before, _ = made("email", LOGIN, RULES)
    with pytest.raises(OperationError, match="The password was given for another server"):
        changed(before, moved, RULES, never)
    after, sealed = changed(before, moved | {"password": "new"}, RULES, never)
    assert (after.login, sealed) == ("gw", Sealed(password="new"))
    without, sealed = changed(before, moved | {"login": None}, RULES, never)
    assert (without.login, sealed) == (None, Sealed())


def test_a_login_is_whole_or_not_there() -> None:
    before, _ = made("email", MAIL, RULES)
    with pytest.raises(OperationError, match="together"):
        changed(before, {"login": "gw"}, RULES, never)
    assert changed(before, {"login": "gw", "password": "x"}, RULES, never)[1] == Sealed(password="x")
    assert changed(before, {"host": "mx.example.com", "port": 2525}, RULES, never)[0].where == "mx.example.com:2525"


def test_only_a_part_of_what_is_sealed_needs_the_rest() -> None:
    before, _ = made("webhook", {"url": HOOK, "headers": {"a": "b"}}, RULES)

    def away() -> Sealed:
        raise SecretUnreadable("not at hand")

    with pytest.raises(SecretUnreadable):
        changed(before, {"headers": {}}, RULES, away)
    assert changed(before, {"headers": {}, "url": HOOK}, RULES, away)[1] == Sealed(url=HOOK)
