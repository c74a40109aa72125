"""How a message leaves by a channel: in the form of its kind, with what is sealed for it opened for this one message.

What the other side says is looked through for that: who is told of it is not told the secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from trivium.errors import SecretUnreadable
from trivium.operations.channels import Channel, in_words_of
from trivium.policy.alert_channels import Channel as Said
from trivium.policy.alert_channels import Kept, Kind, Sealed
from trivium.policy.alert_words import Message, as_json, as_mail, as_slack
from trivium.settings_alerts import EmailSettings
from trivium.telemetry.redaction import Redaction
from trivium.upstream.client import UpstreamClient
from trivium.upstream.guard import Guard
from trivium.upstream.mail import Mailer
from trivium.upstream.webhook import LONGEST, Problem, Taken, Webhook


class Ways(NamedTuple):
    """What messages leave by."""

    client: UpstreamClient
    guard: Guard | None
    """Of channels that were set while the gateway runs; None: of the configuration's, which may lead anywhere."""
    ca: str | None = None
    """A file of certificates, of a mail server."""


_Sending = Callable[[Message, Said, Sealed, Ways], Awaitable[Problem | Taken]]


def kept_channel(kept: Kept, unseal: Callable[[str], Sealed], ways: Ways) -> Channel:
    async def send(message: Message) -> Problem | Taken:
        try:
            sealed = unseal(kept.id)
        except SecretUnreadable as error:
            return Problem(error.message, passing=False)
        return await sent(message, kept.said, sealed, ways)

    return Channel(name=kept.name, said=kept.said, send=send, created_ms=kept.created_ms)


async def sent(message: Message, said: Said, sealed: Sealed, ways: Ways) -> Problem | Taken:
    answer = await _KINDS[said.kind](message, said, sealed, ways)
    covered = Redaction(sealed.secrets)
    return in_words_of(lambda said: (covered.mask_beginning if len(said) >= LONGEST else covered.mask)(said), answer)


def _hook(form: Callable[[Message], bytes]) -> _Sending:
    async def send(message: Message, said: Said, sealed: Sealed, ways: Ways) -> Problem | Taken:
        headers = [(name.lower().encode(), value.encode()) for name, value in sealed.headers.items()]
        guarded = ways.guard is not None
        return await Webhook(ways.client, sealed.url or "", headers, said.timeout, guarded=guarded).post(form(message))

    return send


async def _mail(message: Message, said: Said, sealed: Sealed, ways: Ways) -> Problem | Taken:
    settings = EmailSettings(
        host=said.host or "",
        sender=said.sender or "",
        to=said.to,
        security=said.security or "starttls",
        port=said.port,
        user=said.login,
        ca=ways.ca,
        timeout=said.timeout,
    )
    return await Mailer(settings, sealed.password, ways.guard).send(*as_mail(message))


_KINDS: Mapping[Kind, _Sending] = {"slack": _hook(as_slack), "webhook": _hook(as_json), "email": _mail}
