"""Puts alerts together: channels of `[alerts]` and those that were set while the gateway runs, what counts for them,
and who tells. While there is no channel nothing is counted for them and nothing evaluated."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping

from trivium.config import ProviderName, secret
from trivium.operations.alert_channels import AlertChannelOperations
from trivium.operations.alerting import Alerting, outcome_of
from trivium.operations.channels import Channel, Channels
from trivium.operations.operations import Operations
from trivium.operations.sending import Ways, kept_channel, sent
from trivium.operations.table import Table
from trivium.pipeline.deps import Now
from trivium.policy.alert_channels import Channel as Said
from trivium.policy.alert_channels import Kind, Sealed, where
from trivium.policy.alert_rules import Audited
from trivium.policy.alert_words import Message
from trivium.policy.blame import Apps
from trivium.policy.destinations import destinations
from trivium.server.readings import Names
from trivium.server.telemetry import Telemetry, checked_headers, checked_url
from trivium.settings import Settings, wrong_setting
from trivium.settings_alerts import MAIL_PORTS, EmailSettings, SlackSettings, WebhookSettings
from trivium.store.store import Store
from trivium.telemetry.minutes import Minutes
from trivium.upstream.client import UpstreamClient
from trivium.upstream.guard import Guard
from trivium.upstream.webhook import Problem, Taken

_Env = Mapping[str, str]


class AlertParts:
    """Those of one gateway. `follow` before the channels that are kept are read."""

    def __init__(  # noqa: PLR0917
        self,
        settings: Settings,
        env: _Env,
        client: UpstreamClient,
        now: Now,
        store: Store,
        operations: Callable[[], Operations],
    ) -> None:
        """Raises ConfigError."""
        self._guard = Guard(destinations(settings.security))
        self._ways = Ways(client, self._guard)
        self._store = store
        self.channels = channels(settings, env, client)
        self.alerting = _alerting(settings, self.channels, now, store, operations)
        rules = destinations(settings.security)
        kept = store.alert_channels
        self.table: Table = AlertChannelOperations(store.alerts, kept, self.channels, rules, store.clock).table

    def follow(self, telemetry: Telemetry, changed: Callable[[], None]) -> None:
        """Counts while there is a channel. `changed` hears of it when `telemetry` begins or ends to want records."""
        kept = self._store.alert_channels

        def loaded() -> None:
            self.channels.kept = [kept_channel(one, kept.unsealed, self._ways) for one in kept.all]
            telemetry.listen(self.alerting.minutes, bool(self.channels.open))
            changed()

        kept.on_load = loaded
        loaded()

    async def close(self) -> None:
        await self.alerting.close()
        self._guard.close()


def _alerting(
    settings: Settings, told: Channels, now: Now, store: Store, operations: Callable[[], Operations]
) -> Alerting:
    async def audit() -> Audited:
        return outcome_of(await operations().perform("ledger.verify", {}), store.clock.now_ms())

    minutes = Minutes(Names(now), Apps(settings.alerts.apps))
    return Alerting(store.alerts, minutes, told, now.deps.alerts.drain, audit, store.clock)


def channels(settings: Settings, env: _Env, client: UpstreamClient) -> Channels:
    """Those of the configuration. Raises ConfigError."""
    _check_names(settings)
    return Channels([*_slack(settings, env, client), *_webhooks(settings, env, client), *_email(settings, env, client)])


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


def _slack(settings: Settings, env: _Env, client: UpstreamClient) -> Iterator[Channel]:
    for name, said in settings.alerts.slack.items():
        sealed = Sealed(url=_url(said, ("slack", name), settings, env))
        yield _channel(name, _of_hook("slack", said, sealed), sealed, Ways(client, None))


def _webhooks(settings: Settings, env: _Env, client: UpstreamClient) -> Iterator[Channel]:
    for name, said in settings.alerts.webhooks.items():
        headers = checked_headers(("alerts", "webhooks", name), said.headers, settings, env)
        sealed = Sealed(url=_url(said, ("webhooks", name), settings, env), headers=headers)
        yield _channel(name, _of_hook("webhook", said, sealed), sealed, Ways(client, None))


def _email(settings: Settings, env: _Env, client: UpstreamClient) -> Iterator[Channel]:
    for name, said in settings.alerts.email.items():
        sealed = Sealed(password=_password(name, said, settings, env))
        shown = Said(
            kind="email",
            severities=said.severities,
            rules=said.rules,
            timeout=said.timeout,
            where=f"{said.host}:{said.port or MAIL_PORTS[said.security]}",
            host=said.host,
            port=said.port,
            security=said.security,
            sender=said.sender,
            to=said.to,
            login=said.user,
        )
        yield _channel(name, shown, sealed, Ways(client, None, said.ca))


def _of_hook(kind: Kind, said: SlackSettings | WebhookSettings, sealed: Sealed) -> Said:
    return Said(
        kind=kind,
        severities=said.severities,
        rules=said.rules,
        timeout=said.timeout,
        where=where(sealed.url or ""),
        header_names=tuple(sealed.headers),
    )


def _channel(name: str, said: Said, sealed: Sealed, ways: Ways) -> Channel:
    async def send(message: Message) -> Problem | Taken:
        return await sent(message, said, sealed, ways)

    return Channel(name=name, said=said, send=send)


def _password(name: str, said: EmailSettings, settings: Settings, env: _Env) -> str | None:
    place = ("alerts", "email", name)
    if (said.user is None) != (said.password is None):
        raise wrong_setting(settings.source, place, "expected `user` and `password` together, or neither")
    if said.user is not None and said.security == "none":
        raise wrong_setting(settings.source, (*place, "security"), "a password is sent over `starttls` or `tls` only")
    if said.ca is not None:
        try:
            ssl.create_default_context(cafile=said.ca)
        except OSError as error:
            raise wrong_setting(settings.source, (*place, "ca"), f"cannot be read: {error}") from None
    return secret(said.password, env, settings.source, (*place, "password")) if said.password is not None else None


def _url(said: SlackSettings | WebhookSettings, place: tuple[str, str], settings: Settings, env: _Env) -> str:
    path = ("alerts", *place, "url")
    return checked_url(path, secret(said.url, env, settings.source, path), settings)
