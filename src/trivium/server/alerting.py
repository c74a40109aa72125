"""Puts alerts together, as `[alerts]` says. Without a channel nothing is counted for them and nothing evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from trivium.config import ProviderName, secret
from trivium.operations.alerting import Alerting, outcome_of
from trivium.operations.channels import Channel, Channels
from trivium.operations.operations import Operations
from trivium.pipeline.deps import Now
from trivium.policy.alert_rules import Audited
from trivium.policy.alert_words import Message, as_json, as_mail, as_slack
from trivium.policy.blame import Apps
from trivium.server.readings import Names
from trivium.server.telemetry import checked_headers
from trivium.settings import Settings, wrong_setting
from trivium.settings_alerts import EmailSettings, SlackSettings, WebhookSettings
from trivium.store.store import Store
from trivium.telemetry.minutes import Minutes
from trivium.upstream.client import UpstreamClient
from trivium.upstream.mail import Mailer
from trivium.upstream.target import parse_url
from trivium.upstream.webhook import Problem, Webhook

_Env = Mapping[str, str]


def channels(settings: Settings, env: _Env, client: UpstreamClient) -> Channels:
    """Raises ConfigError."""
    _check_names(settings)
    return Channels([*_slack(settings, env, client), *_webhooks(settings, env, client), *_email(settings, env)])


def _check_names(settings: Settings) -> None:
    """Notices name channels, whichever kind they are."""
    seen: set[str] = set()
    said = settings.alerts
    for kind, named in (("slack", said.slack), ("webhooks", said.webhooks), ("email", said.email)):
        for name in named:
            place = ("alerts", kind, name)
            if not ProviderName.fullmatch(name):
                raise wrong_setting(settings.source, place, "expected a name of a-z, 0-9, '.', '_' and '-'")
            if name in seen:
                raise wrong_setting(settings.source, place, "expected a name of its own")
            seen.add(name)


def alerting(
    settings: Settings, told: Channels, now: Now, store: Store, operations: Callable[[], Operations]
) -> Alerting | None:
    if not told.all:
        return None

    async def audit() -> Audited:
        return outcome_of(await operations().perform("ledger.verify", {}), store.clock.now_ms())

    minutes = Minutes(Names(now), Apps(settings.alerts.apps))
    return Alerting(store.alerts, minutes, told, now.deps.alerts.all, audit, store.clock)


def _slack(settings: Settings, env: _Env, client: UpstreamClient) -> Iterator[Channel]:
    for name, said in settings.alerts.slack.items():
        hook = Webhook(client, _url(said, ("slack", name), settings, env), [], said.timeout)

        async def send(message: Message, hook: Webhook = hook) -> Problem | None:
            return await hook.post(as_slack(message))

        yield Channel(name=name, kind="slack", severities=said.severities, timeout=said.timeout, send=send)


def _webhooks(settings: Settings, env: _Env, client: UpstreamClient) -> Iterator[Channel]:
    for name, said in settings.alerts.webhooks.items():
        headers = checked_headers(("alerts", "webhooks", name), said.headers, settings, env)
        sent = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        hook = Webhook(client, _url(said, ("webhooks", name), settings, env), sent, said.timeout)

        async def send(message: Message, hook: Webhook = hook) -> Problem | None:
            return await hook.post(as_json(message))

        yield Channel(name=name, kind="webhook", severities=said.severities, timeout=said.timeout, send=send)


def _email(settings: Settings, env: _Env) -> Iterator[Channel]:
    for name, said in settings.alerts.email.items():
        mailer = _mailer(name, said, settings, env)

        async def send(message: Message, mailer: Mailer = mailer) -> Problem | None:
            return await mailer.send(*as_mail(message))

        yield Channel(name=name, kind="email", severities=said.severities, timeout=said.timeout, send=send)


def _mailer(name: str, said: EmailSettings, settings: Settings, env: _Env) -> Mailer:
    place = ("alerts", "email", name)
    if (said.user is None) != (said.password is None):
        raise wrong_setting(settings.source, place, "expected `user` and `password` together, or neither")
    if said.user is not None and said.security == "none":
        raise wrong_setting(settings.source, (*place, "security"), "a password is sent over `starttls` or `tls` only")
    password = secret(said.password, env, settings.source, (*place, "password")) if said.password is not None else None
    try:
        return Mailer(said, password)
    except OSError as error:
        raise wrong_setting(settings.source, (*place, "ca"), f"cannot be read: {error}") from None


def _url(said: SlackSettings | WebhookSettings, place: tuple[str, str], settings: Settings, env: _Env) -> str:
    """Not repeated in an error: it is a secret."""
    path = ("alerts", *place, "url")
    url = secret(said.url, env, settings.source, path)
    try:
        parse_url(url)
    except ValueError as error:
        raise wrong_setting(settings.source, path, str(error)) from None
    return url
