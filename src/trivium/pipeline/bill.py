"""Who pays for a call where it leads, and at which price."""

from __future__ import annotations

import msgspec

from trivium.canon.api import Kind
from trivium.metering.book import fallback
from trivium.metering.charge import HOUSE, Payer, payer_of
from trivium.metering.prices import Quote
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.policy.caller import Caller
from trivium.policy.spending import DEFAULT_ACCOUNT
from trivium.routing.catalog import Target

CREDITS = "credits"


class Bill(msgspec.Struct, frozen=True):
    target: Target
    quote: Quote | None
    payer: Payer

    @property
    def unpriced(self) -> bool:
        """The house pays, and nobody knows how much."""
        return self.quote is None and self.payer is HOUSE


def bill_of(call: Call, target: Target, run: Run, deps: Deps) -> Bill:
    """Of a call, whether it may be made or not."""
    key = run.key
    whose = run.account_id or (key.account_id if key else None)
    return _bill(target, key, whose, call.time_ms, deps, call.api)


def is_unsold(caller: Caller | None, target: Target, time_ms: int, deps: Deps) -> bool:
    """Whether whatever is called in place of a model is refused, since the caller's balance pays and nobody knows how
    much."""
    if caller is None or (account_id := account_of(caller, deps)) is None:
        return False
    return all(_bill(route, caller, account_id, time_ms, deps).unpriced for route in deps.catalog.routes(target))


def is_free_route(target: Target, time_ms: int, deps: Deps) -> bool:
    """Whether one route of a model costs its callers nothing: the house gives it away, or it has no price to begin
    with."""
    quote = deps.prices.quote(target.provider, target.model, None, time_ms)
    return target.given_away(quote) or (quote is not None and quote.free)


def account_of(key: Caller, deps: Deps) -> str | None:
    """Whose balance pays for the calls of a key; None where balances are not charged."""
    return (key.account_id or DEFAULT_ACCOUNT) if deps.billing.mode == CREDITS else None


def _bill(  # noqa: PLR0917
    target: Target, key: Caller | None, whose: str | None, time_ms: int, deps: Deps, api: Kind | None = None
) -> Bill:
    provider, quote = target.provider, None
    if target.custom is None:  # which has no price, as the house does not sell it
        quote = deps.prices.quote(provider, target.model, whose, time_ms)
        if quote is None and api is not None:
            quote = fallback(api, provider.name, target.model)
    promoted = deps.promotions.apply(target.route, account=whose, key=key.id if key else None, time_ms=time_ms)
    free = target.given_away(quote)
    return Bill(
        target, quote, payer_of(quote, byok=provider.byok, fee=provider.charges_fee, promoted=promoted, free=free)
    )
