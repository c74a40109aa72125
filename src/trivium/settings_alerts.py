"""Settings of where alerts go (docs/alerts.md). What they are about is said while the gateway runs."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from trivium.patterns import Secret, matching

Severity = Literal["page", "ticket"]
Rule = Literal["errors", "slow", "balance", "budget", "refusal", "payments", "audit"]
"""What alerts are about (docs/alerts.md)."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
RULES: tuple[Rule, ...] = get_args(Rule)
Address = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@(?:[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\])\Z", "an e-mail address", longest=254
    ),
]
"""One address, as RFC 5321 has it without quotes."""
MailHost = Annotated[str, matching(r"^[A-Za-z0-9._:-]+\Z", "a host's name or address", longest=253)]
MailSecurity = Literal["starttls", "tls", "none"]
MAIL_PORTS: dict[MailSecurity, int] = {"starttls": 587, "tls": 465, "none": 25}
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Patience = Annotated[float, msgspec.Meta(gt=0, le=60)]
"""Seconds."""


class SlackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts.slack.NAME]`: an incoming webhook of Slack, or of whoever takes the same (Mattermost, Rocket.Chat)."""

    url: Secret
    """A secret: literal, `env:NAME` or `file:PATH`."""
    severities: tuple[Severity, ...] = SEVERITIES
    rules: tuple[Rule, ...] = RULES
    timeout: Patience = 10


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts.webhooks.NAME]`: any HTTP service."""

    url: Secret
    """As of Slack."""
    headers: dict[str, str] = {}
    """Values may be `env:NAME` or `file:PATH`."""
    severities: tuple[Severity, ...] = SEVERITIES
    rules: tuple[Rule, ...] = RULES
    timeout: Patience = 10


class EmailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts.email.NAME]`: by a mail server."""

    host: MailHost
    sender: Address
    to: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1, max_length=50)]
    security: MailSecurity = "starttls"
    port: Port | None = None
    """Default: 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    user: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password: Secret | None = None
    """A secret, as the URLs."""
    ca: str | None = None
    """A file with the certificates that the server's is checked by, in place of the system's."""
    severities: tuple[Severity, ...] = SEVERITIES
    rules: tuple[Rule, ...] = RULES
    timeout: Patience = 20


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts]`. More channels can be set while the gateway runs."""

    apps: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...], msgspec.Meta(max_length=200)
    ] = ()
    """Client apps that are told apart beside those that are known: the User-Agent's first word, up to its `/`."""
    slack: dict[str, SlackSettings] = {}
    webhooks: dict[str, WebhookSettings] = {}
    email: dict[str, EmailSettings] = {}
