"""Settings of where alerts go (docs/alerts.md). What they are about is said while the gateway runs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Severity = Literal["page", "ticket"]
Secret = Annotated[str, msgspec.Meta(min_length=1)]
Address = Annotated[str, msgspec.Meta(pattern=r"^[!-;=?-~]+@[!-;=?-~]+\Z", max_length=254)]
Patience = Annotated[float, msgspec.Meta(gt=0, le=60)]
"""Seconds."""


class SlackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts.slack.NAME]`: an incoming webhook of Slack, or of whoever takes the same (Mattermost, Rocket.Chat)."""

    url: Secret
    """A secret: literal, `env:NAME` or `file:PATH`."""
    severities: tuple[Severity, ...] = ("page", "ticket")
    timeout: Patience = 10


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts.webhooks.NAME]`: any HTTP service."""

    url: Secret
    """As of Slack."""
    headers: dict[str, str] = {}
    """Values may be `env:NAME` or `file:PATH`."""
    severities: tuple[Severity, ...] = ("page", "ticket")
    timeout: Patience = 10


class EmailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts.email.NAME]`: by a mail server."""

    host: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]+\Z")]
    sender: Address
    to: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1, max_length=50)]
    security: Literal["starttls", "tls", "none"] = "starttls"
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    """Default: 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    user: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password: Secret | None = None
    """A secret, as the URLs."""
    ca: str | None = None
    """A file with the certificates that the server's is checked by, in place of the system's."""
    severities: tuple[Severity, ...] = ("page", "ticket")
    timeout: Patience = 20


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts]`. Without a channel nothing is counted for alerts and nothing evaluated."""

    apps: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...], msgspec.Meta(max_length=200)
    ] = ()
    """Client apps that are told apart beside those that are known: the User-Agent's first word, up to its `/`."""
    slack: dict[str, SlackSettings] = {}
    webhooks: dict[str, WebhookSettings] = {}
    email: dict[str, EmailSettings] = {}

    @property
    def channels(self) -> bool:
        return bool(self.slack or self.webhooks or self.email)
