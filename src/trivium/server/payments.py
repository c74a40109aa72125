"""Puts payments together, as `[payments]` says: who processes them, what operators can do, where webhooks arrive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from trivium.clock import Clock
from trivium.config import secret
from trivium.operations.payments import PaymentOperations
from trivium.operations.table import Table
from trivium.operations.top_ups import TopUps
from trivium.server.webhook import WebhookDoor
from trivium.settings import Settings, wrong_setting
from trivium.store.store import Store
from trivium.upstream.client import UpstreamClient
from trivium.upstream.payments import Processor, SettingUnfit
from trivium.upstream.stripe import Stripe

_PROCESSORS: Mapping[str, Callable[[UpstreamClient, str, Sequence[str], str | None], Processor]] = {"stripe": Stripe}
"""By the name in `[payments] provider`: made of the HTTP client, the key, secrets of webhooks, the API's address."""


class Parts(NamedTuple):
    """Of a gateway that takes payments."""

    table: Table
    door: WebhookDoor
    top_ups: TopUps
    forget_card: Callable[[str], Awaitable[None]]
    """There; by the processor's name for it."""


def payments(
    settings: Settings, env: Mapping[str, str], store: Store, client: UpstreamClient, clock: Clock
) -> Parts | None:
    """None: nothing is configured. Raises ConfigError."""
    processor = processor_of(settings, env, client)
    if processor is None:
        return None
    said = settings.payments
    store.payments.most_failures = store.auto_top_ups.most_failures = said.auto_failures
    return_url = said.return_url or settings.dashboard.url or ""
    operations = PaymentOperations(store.payments, store.auto_top_ups, processor, said, return_url, clock)
    return Parts(
        table=operations.table,
        door=WebhookDoor(processor, store.payments, clock),
        top_ups=TopUps(store.auto_top_ups, processor, said, clock),
        forget_card=processor.forget,
    )


def processor_of(settings: Settings, env: Mapping[str, str], client: UpstreamClient) -> Processor | None:
    """Raises ConfigError for what is missing or does not fit."""
    said = settings.payments
    if said.provider is None:
        return None
    missing = {
        "secret_key": said.secret_key is None,
        "webhook_secrets": not said.webhook_secrets,
        "return_url": (said.return_url or settings.dashboard.url) is None,
    }
    for name, absent in missing.items():
        if absent:
            where = " (or `[dashboard] url`)" if name == "return_url" else ""
            raise wrong_setting(settings.source, ("payments", "provider"), f"needs `{name}`{where} beside it")
    if float(said.least_usd) > float(said.most_usd):
        raise wrong_setting(settings.source, ("payments", "least_usd"), "expected no more than `most_usd`")
    key = secret(said.secret_key or "", env, settings.source, ("payments", "secret_key"))
    place = ("payments", "webhook_secrets")
    secrets = [secret(one, env, settings.source, place) for one in said.webhook_secrets]
    try:
        return _PROCESSORS[said.provider](client, key, secrets, said.api_url)
    except SettingUnfit as error:
        raise wrong_setting(settings.source, ("payments", error.setting), str(error)) from None
