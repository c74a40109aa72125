"""Before the upstream hears of a call: what it may cost is put aside, and that it begins is kept.

A call that costs somebody's balance or budget waits until its hold is durable; every other one goes on at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from trivium.canon.api import Api
from trivium.canon.size import Size
from trivium.clock import rfc3339
from trivium.errors import BudgetExceeded, InsufficientCredits, PriceUnknown, RequestError
from trivium.metering.bound import worst_usages
from trivium.metering.charge import CHARGED, HOUSE
from trivium.metering.cost import cost
from trivium.metering.prices import Quote
from trivium.metering.start import Start
from trivium.money import nano_text
from trivium.pipeline.bill import Bill, bill_of
from trivium.pipeline.call import GENERATE, Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.policy.caller import organization_of
from trivium.policy.spending import Refusal, scopes_of
from trivium.routing.catalog import Target
from trivium.wire.request import MAX_TOKENS, Request
from trivium.wire.size import measure

_PERIODS = {"day": "daily ", "week": "weekly ", "month": "monthly ", "total": ""}


async def begin(  # noqa: PLR0917
    call: Call, request: Request, target: Target, run: Run, deps: Deps, others: Sequence[Bill] = ()
) -> None:
    """Starts the call in the ledger, with a hold that is enough wherever else it may lead. Raises PriceUnknown,
    InsufficientCredits, BudgetExceeded, StoreUnavailable."""
    hold, charged = 0, False
    scopes: tuple[str, ...] = ()
    if call.operation is GENERATE:
        bill = await checked_bill(call, target, run, deps)
        run.quote, run.payer = bill.quote, bill.payer
        payers = {bill.payer, *(one.payer for one in others)}
        charged = not CHARGED.isdisjoint(payers)
        if HOUSE in payers:
            scopes = scopes_of(run.key, run.account_id) if run.key else ()
            hold = await hold_of(request, (bill, *others), scopes, run, deps)
        if request.stream:
            # Its body is let go of before anybody knows whether an estimate is needed.
            run.size = run.size or measure(request)
    key = run.key
    start = Start(
        id=call.id,
        time_ms=call.time_ms,
        api=call.api,
        key_id=key.id if key else None,
        account_id=run.account_id if charged else None,
        organization_id=organization_of(key),
        scopes=scopes,
        payer=run.payer,
        hold_nano=hold,
        requested_model=request.model[:256],
        provider=target.provider.name,
        upstream_model=target.model[:256],
        price_version=run.quote.version if run.quote else None,
        public_model=target.covered_for(organization_of(key)),
        stream=request.stream,
    )
    refusal = await deps.ledger.start(start)
    if refusal is not None:
        raise refused(refusal, request, deps)
    run.hold_nano = hold


async def checked_bill(call: Call, target: Target, run: Run, deps: Deps) -> Bill:
    """The bill of a call that may be made. Raises PriceUnknown, StoreUnavailable."""
    bill = bill_of(call, target, run, deps)
    if bill.quote is not None:
        deps.ledger.priced(bill.quote)
    elif bill.unpriced:
        await _check_unpriced(target, run, deps)
    return bill


async def _check_unpriced(target: Target, run: Run, deps: Deps) -> None:
    """Whether a call may be made of which nobody knows what it costs. Raises PriceUnknown, StoreUnavailable."""
    if run.account_id is not None:
        raise PriceUnknown(
            f"Nobody knows what `{target.model}` of {target.provider.name} costs, so it cannot be charged. "
            "The operator can set a price: trivium prices set.",
            param="model",
        )
    if not target.provider.reports_cost:
        return
    if await deps.ledger.counts(scopes_of(run.key, run.account_id) if run.key else ()):
        raise PriceUnknown(
            f"A budget counts this call, and what `{target.model}` of {target.provider.name} costs is known "
            "only afterwards. The operator can set a price: trivium prices set.",
            param="model",
        )


async def hold_of(request: Request, bills: Sequence[Bill], scopes: tuple[str, ...], run: Run, deps: Deps) -> int:
    """The most that the call may cost whom the house charges; 0 where nobody's balance or budget counts it."""
    priced = [(bill.target, bill.quote) for bill in bills if bill.payer is HOUSE and bill.quote is not None]
    if not priced or not (run.account_id is not None or await deps.ledger.counts(scopes)):
        return 0
    run.size = size = run.size or measure(request)
    return max(_most(size, request, target, quote, deps) for target, quote in priced)


def _most(size: Size, request: Request, target: Target, quote: Quote, deps: Deps) -> int:
    limits = deps.prices.limits(target.provider, target.model)
    price = quote.price
    asked = price.tiers.get(size.service_tier or "")
    return max(
        cost(usage, quote, tier).nano
        for tier, rates in ((None, price), *([(size.service_tier, asked)] if asked is not None else []))
        for usage in worst_usages(size, request.max_tokens, limits, rates)
    )


def refused(refusal: Refusal, request: Request, deps: Deps) -> RequestError:
    """What was needed and what is there, in words and as members of the error."""
    needed, free = _dollars(refusal.needed), _dollars(refusal.free)
    lower = _advice(request)
    aside = f" ({_dollars(refusal.held)} is put aside for calls in progress)" if refusal.held else ""
    error: RequestError
    if refusal.budget is None:
        error = InsufficientCredits(
            f"This request may cost up to {needed}, and {free} of credits are free{aside}. {lower}, or add credits."
        )
    else:
        budget = refusal.budget
        resets_at = rfc3339(refusal.resets_ms / 1000) if refusal.resets_ms is not None else None
        anew = f" It begins anew at {resets_at}." if resets_at else ""
        error = BudgetExceeded(
            f"This request may cost up to {needed}, and {free} are left of the {_PERIODS[budget.period]}budget of "
            f"${nano_text(budget.limit_nano)} of {budget.scope}{aside}. {lower}, or have the budget raised.{anew}"
        )
        error.facts |= {"budget": budget.scope, "budget_usd": nano_text(budget.limit_nano)}
        if resets_at is not None:
            error.facts["budget_resets_at"] = resets_at
    error.facts |= {"balance_usd": nano_text(refusal.free), "needed_usd": nano_text(refusal.needed)}
    if deps.billing.buy_credits_url:
        error.facts["buy_credits_url"] = deps.billing.buy_credits_url
    return error


def _dollars(nano: int) -> str:
    """A balance or a budget may be overdrawn."""
    return f"-${nano_text(-nano)}" if nano < 0 else f"${nano_text(nano)}"


def _advice(request: Request) -> str:
    """By which member the call would cost less."""
    names = MAX_TOKENS[request.api]
    if not names:
        return "Send less `input` at once"
    name = next((name for name in names if name in request.members), names[-1])
    fewer = ""
    limit = "max_tool_calls" if request.api is Api.RESPONSES else "max_uses"
    called = measure(request).server_tools.items()
    if tools := [tool for tool, calls in called if calls > 1 and (tool, limit) != ("mcp", "max_uses")]:
        fewer = f", allow fewer calls of {' and '.join(f'`{tool}`' for tool in tools)} (`{limit}`)"
    return (f"Send a smaller `{name}`" if request.max_tokens is None else f"Lower `{name}`") + fewer
