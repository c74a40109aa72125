"""Before the upstream hears of a call: what it may cost is put aside, and that it begins is kept.

A call that costs somebody's balance or budget waits until its hold is durable; every other one goes on at once.
"""

from __future__ import annotations

from trivium.canon.size import Size
from trivium.errors import BudgetExceeded, InsufficientCredits, PriceUnknown, RequestError
from trivium.metering.bound import most_usage
from trivium.metering.charge import Payer, payer_of
from trivium.metering.cost import cost
from trivium.metering.prices import Quote
from trivium.metering.start import Start
from trivium.money import nano_text
from trivium.pipeline.call import Call, Operation
from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.policy.caller import Caller
from trivium.policy.spending import DEFAULT_ACCOUNT, Refusal, scopes_of
from trivium.routing.catalog import Target
from trivium.wire.request import Request
from trivium.wire.size import measure, service_tier

CREDITS = "credits"
_PERIODS = {"day": "daily ", "week": "weekly ", "month": "monthly ", "total": ""}


async def begin(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> None:
    """Starts the call in the ledger. Raises PriceUnknown, InsufficientCredits, BudgetExceeded, StoreUnavailable."""
    hold = 0
    scopes: tuple[str, ...] = ()
    if call.operation is Operation.GENERATE:
        account_id = run.account_id
        whose = account_id or (run.key.account_id if run.key else None)
        run.asked_tier = service_tier(request)
        if target.custom is None:  # which has no price, as the house does not sell it
            run.quote = deps.prices.quote(target.provider, target.model, whose, call.time_ms)
        quote = run.quote
        if quote is not None:
            deps.ledger.priced(quote)
        promoted = deps.promotions.apply(
            f"{target.provider.name}/{target.model}", account=whose, key=run.key_id, time_ms=call.time_ms
        )
        run.payer = payer = payer_of(quote, byok=target.provider.byok, promoted=promoted, free=target.given_away(quote))
        if quote is None and account_id is not None and payer is Payer.HOUSE:
            raise PriceUnknown(
                f"Nobody knows what `{target.model}` of {target.provider.name} costs, so it cannot be charged. "
                "The operator can set a price: trivium prices set.",
                param="model",
            )
        if payer is Payer.HOUSE:
            scopes = scopes_of(run.key, run.account_id) if run.key else ()
            if quote is None and target.provider.reports_cost and await deps.ledger.counts(scopes):
                raise PriceUnknown(
                    f"A budget counts this call, and what `{target.model}` of {target.provider.name} costs is known "
                    "only afterwards. The operator can set a price: trivium prices set.",
                    param="model",
                )
            if quote is not None and (account_id is not None or await deps.ledger.counts(scopes)):
                run.size = run.size or measure(request)
                hold = _most(run.size, request, target, quote, deps)
        if request.stream and run.size is None:
            # Its body is let go of before anybody knows whether an estimate is needed.
            run.size = measure(request)
    start = Start(
        id=call.id,
        time_ms=call.time_ms,
        api=call.api,
        key_id=run.key_id,
        account_id=run.account_id if run.payer is Payer.HOUSE else None,
        organization_id=run.key.organization.id if run.key and run.key.organization else None,
        scopes=scopes,
        payer=run.payer,
        hold_nano=hold,
        requested_model=request.model[:256],
        provider=target.provider.name,
        upstream_model=target.model[:256],
        price_version=run.quote.version if run.quote else None,
        public_model=target.public if target.stealth else None,
    )
    refusal = await deps.ledger.start(start)
    if refusal is not None:
        raise _refused(refusal, request, deps)
    run.started = True
    run.hold_nano = hold


def account_of(key: Caller, deps: Deps) -> str | None:
    """Whose balance pays for the calls of a key; None where balances are not charged."""
    return (key.account_id or DEFAULT_ACCOUNT) if deps.billing.mode == CREDITS else None


def _most(size: Size, request: Request, target: Target, quote: Quote, deps: Deps) -> int:
    limits = deps.prices.limits(target.provider, target.model)
    price = quote.price
    asked = price.tiers.get(size.service_tier or "")
    return max(
        cost(most_usage(size, request.max_tokens, limits, rates), quote, tier).nano
        for tier, rates in ((None, price), *([(size.service_tier, asked)] if asked is not None else []))
    )


def _refused(refusal: Refusal, request: Request, deps: Deps) -> RequestError:
    """What was needed and what is there, in words and as members of the error."""
    needed, free, held = (nano_text(max(0, amount)) for amount in (refusal.needed, refusal.free, refusal.held))
    lower = "Send a smaller `max_tokens`" if request.max_tokens is None else "Lower `max_tokens`"
    aside = f" (${held} is put aside for calls in progress)" if refusal.held else ""
    error: RequestError
    if refusal.budget is None:
        error = InsufficientCredits(
            f"This request may cost up to ${needed}, and ${free} of credits are free{aside}. {lower}, or add credits."
        )
        error.facts["balance_usd"] = free
    else:
        budget = refusal.budget
        error = BudgetExceeded(
            f"This request may cost up to ${needed}, and ${free} are left of the {_PERIODS[budget.period]}budget of "
            f"${nano_text(budget.limit_nano)} of {budget.scope}{aside}. {lower}, or have the budget raised."
        )
        error.facts |= {"budget": budget.scope, "budget_usd": nano_text(budget.limit_nano), "balance_usd": free}
    error.facts["needed_usd"] = needed
    if deps.billing.buy_credits_url:
        error.facts["buy_credits_url"] = deps.billing.buy_credits_url
    return error
