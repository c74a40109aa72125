"""The secrets that the configuration holds, for those who have to keep them out of sight."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote, urlsplit

from trivium.config import database_url, redis_url, secret, secret_keys, token_key
from trivium.providers.provider import Provider
from trivium.settings import Settings
from trivium.settings_alerts import AlertSettings


def secrets_of(settings: Settings, env: Mapping[str, str], providers: Collection[Provider]) -> set[str]:
    """Raises ConfigError."""
    found = {text for provider in providers for text in provider.secrets}
    found.update(text for _, text in secret_keys(settings, env))
    for url in (database_url(settings, env), redis_url(settings, env)):
        found.update(_password(url))
    if (key := token_key(settings, env)) is not None:
        found.add(key.decode("utf-8", "replace"))
    found.update(secret(text, env, settings.source, path) for path, text in _written(settings))
    return found


def _password(url: str | None) -> Iterator[str]:
    if url is not None and (password := urlsplit(url).password):
        yield password
        yield unquote(password)


def _written(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a secret may stand, and what stands there."""
    if settings.identity.salt is not None:
        yield ("identity", "salt"), settings.identity.salt
    classifier = settings.abuse.classifier
    if classifier is not None and classifier.key is not None:
        yield ("abuse", "classifier", "key"), classifier.key
    for section in ("events", "otel"):
        part = getattr(settings.telemetry, section)
        for name, value in part.headers.items() if part is not None else ():
            yield ("telemetry", section, "headers", name), value
    if settings.payments.secret_key is not None:
        yield ("payments", "secret_key"), settings.payments.secret_key
    for text in settings.payments.webhook_secrets:
        yield ("payments", "webhook_secrets"), text
    yield from _of_channels(settings.alerts)


def _of_channels(alerts: AlertSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """The URL of a webhook is all that it takes to write there."""
    for kind in ("slack", "webhooks"):
        for name, said in getattr(alerts, kind).items():
            yield ("alerts", kind, name, "url"), said.url
            for header, value in getattr(said, "headers", {}).items():
                yield ("alerts", kind, name, "headers", header), value
    for name, mail in alerts.email.items():
        if mail.password is not None:
            yield ("alerts", "email", name, "password"), mail.password
