"""Settings of payments: whose pages people buy credits on (docs/payments.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trivium.patterns import Secret, matching

Url = Annotated[str, matching(r"^https?://[!-.0-?A-~]+\Z", "https://HOST, or http://, without a path")]
"""Without a path and a user."""
Usd = Annotated[str, matching(r"^[0-9]{1,6}(\.[0-9]{1,2})?\Z", "dollars and cents, as 12.50")]
"""Whole cents."""


class PaymentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[payments]`. Without a provider there are none. What is paid is USD, as balances are."""

    provider: Literal["stripe"] | None = None
    secret_key: Secret | None = None
    """With which the provider is called."""
    webhook_secrets: Annotated[tuple[Secret, ...], msgspec.Meta(max_length=5)] = ()
    """With which the provider signs what it tells; several while one takes another's place."""
    least_usd: Usd = "5"
    most_usd: Usd = "1000"
    """Credits that are bought at once."""
    fee_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0
    """Of the credits, paid on top of them."""
    fee_usd: Usd = "0"
    """The same for each payment."""
    auto_top_up: bool = False
    """Whether a saved card may be charged when a balance runs low."""
    auto_failures: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    """Refusals of the card in a row after which that is switched off."""
    return_url: Url | None = None
    """Where people come back to from the provider's page. Default: `[dashboard] url`."""
    api_url: Url | None = None
    """Where the provider's API is; for tests. Default: where it really is."""
