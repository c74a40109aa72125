"""What would become of a request, without a call to any upstream: who asks, where it leads and why not elsewhere, what
limits and balances say, what it may cost (behaviour page, section 7).

The same steps as in `handle.py`, in their order, none of which counts, holds or records anything. What refuses the
request is told beside what was found before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from trivium.canon.api import KINDS, Api, kind_of
from trivium.errors import ApiNotServed, FieldInvalid, RequestError, TriviumError
from trivium.metering.bound import usual_input
from trivium.metering.charge import HOUSE
from trivium.metering.sheet import written
from trivium.money import nano_text
from trivium.pipeline.authenticate import acting, authenticate
from trivium.pipeline.authorize import check_call
from trivium.pipeline.auto import lead
from trivium.pipeline.bill import Bill, account_of, bill_of
from trivium.pipeline.call import Body, Call, Reply, is_strict
from trivium.pipeline.deps import Deps
from trivium.pipeline.forward import prepare, way_to
from trivium.pipeline.free import check_anonymous, find
from trivium.pipeline.hold import checked_bill, hold_of, refused
from trivium.pipeline.legs import Leg, fallbacks_of, legs_of, most_of, now_ms, ready
from trivium.pipeline.limits import look
from trivium.pipeline.patience import deadline_of
from trivium.pipeline.read import cap_of, check_head, read_body
from trivium.pipeline.settle import Run
from trivium.pipeline.tell import json_headers
from trivium.policy.access import check_caller
from trivium.policy.caller import Caller, organization_of
from trivium.policy.limits import refusal
from trivium.policy.spending import scopes_of
from trivium.routing.auto import Resolution
from trivium.routing.catalog import Target
from trivium.wire.body import members
from trivium.wire.request import Request, check_stateless, parse
from trivium.wire.size import measure


async def answer(call: Call, body: Body, reply: Reply, deps: Deps) -> None:
    """Explains the request in a body. Raises what concerns the caller's key and the body's size."""
    run = Run(call, deps)
    check_head(call, deps, anonymous=False)
    caller = await authenticate(call.headers, call.client_ip, deps)
    try:
        content = await read_body(body, run, cap_of(call, deps, anonymous=caller is None))
        called = _of_its_api(call, content)
        told = msgspec.json.encode(await explain(called, caller, content, deps, bills=not caller or caller.sees_bills))
    finally:
        run.hold(0)
    await reply.start(200, json_headers(told, call))
    await reply.end(told)


def _of_its_api(call: Call, body: bytes) -> Call:
    """In the API whose request it is: `?api=` says it, or the header `anthropic-version`, or a member `input`. Raises
    FieldInvalid."""
    named = dict(parse_qsl(call.query.decode("latin-1"))).get("api")
    if named is not None:
        try:
            return msgspec.structs.replace(call, api=kind_of(named))
        except ValueError:
            known = ", ".join(api.short for api in KINDS)
            raise FieldInvalid(f"`api` must be one of {known}.", param="api") from None
    if b"anthropic-version" in call.headers:
        return msgspec.structs.replace(call, api=Api.MESSAGES)
    return msgspec.structs.replace(call, api=Api.RESPONSES if "input" in members(body) else Api.CHAT)


class Explanation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Parts that were not reached are left out."""

    caller: dict[str, Any] | None = None
    api: str
    requested_model: str | None = None
    auto: dict[str, Any] | None = None
    """What an auto model chose, and why none of those before."""
    own_key: str | None = None
    """The vendor for which the caller's own key pays."""
    routes: list[dict[str, Any]] = []
    """In the order in which they are tried, the first of them `chosen`."""
    refused: list[dict[str, str]] = []
    """Routes that the call cannot take, and why."""
    limits: list[dict[str, Any]] = []
    hold: dict[str, Any] | None = None
    rules: list[str] = []
    """What would be done to the request on its way there, by name, as its record has it (docs/adaptations.md)."""
    losses: list[dict[str, str]] = []
    """What the request would lose on its way to the first route."""
    error: dict[str, Any] | None = None
    """What the caller would be refused with."""


async def explain(
    call: Call, caller: Caller | None, body: bytes, deps: Deps, *, bills: bool = True, to_operator: bool = False
) -> Explanation:
    """`body` is a request in the call's API; `bills`: who asks may see the balance. Callers hear nothing of what is
    hidden. Raises nothing that the request itself would be refused with."""
    told = Explanation(api=call.api, caller=_who(caller))
    run = Run(call, deps)
    run.key = caller
    try:
        if caller is not None:
            await _check(call, caller, told, run, deps)
        await _explain(call, body, told, run, deps)
    except TriviumError as error:
        told.error = {"status": error.status, "code": error.code, "message": error.message, **error.facts}
    if told.hold is not None and not bills:
        told.hold.pop("free_usd", None)
    if not to_operator and run.target is not None:
        hidden = {one.route for one in deps.catalog.routes(run.target) if deps.catalog.is_hidden(one)}
        told.refused = [one for one in told.refused if one["route"] not in hidden]
    return told


async def _check(call: Call, caller: Caller, told: Explanation, run: Run, deps: Deps) -> None:
    """Whether the caller may call. Raises Forbidden, StoreUnavailable."""
    run.key = caller = await acting(caller, call.headers, deps)
    told.caller = _who(caller)
    check_caller(caller, call.client_ip)


async def _explain(call: Call, body: bytes, told: Explanation, run: Run, deps: Deps) -> None:
    run.strict = is_strict(call) or (run.key is not None and run.key.strict)
    run.request = request = parse(call.api, body)
    told.requested_model = request.model
    auto = deps.autos.get(request.model)
    found = find(run.key, request.model, deps, run) if auto is None else await lead(auto, call, request, run, deps)
    told.auto = _auto(run.auto) if run.auto is not None else None
    run.account_id = account_of(run.key, deps) if run.key is not None else None
    if run.key is None:
        check_anonymous(request.model, found, call.time_ms, deps)
    check_call(run.key, call, deps)
    check_stateless(request)
    if isinstance(found, RequestError):
        raise found
    run.target = found
    told.own_key = run.own.match.vendor if run.own is not None else None
    fallbacks = fallbacks_of(call, request)
    legs = await legs_of(call, request, found, fallbacks, run, deps) or (Leg(found, run.own, "the only route", found),)
    run.target, run.own = legs[0].target, legs[0].own
    told.refused = [{"route": route, "why": why} for route, why in run.journey.refused]
    tried = _routes(call, request, ready(legs, deps), told, run, deps)
    deadline_of(call, run.elapsed_us())
    await _limits(call, request, run.target, told, run, deps)
    _prepare(call, request, tried, told, run, deps)
    await _hold(call, request, legs, told, run, deps)


def _auto(found: Resolution) -> dict[str, Any]:
    asks = {name: getattr(found.choice, name) for name in ("reasoning", "effort", "verbosity")}
    return {
        "id": found.id,
        "mode": found.mode,
        "model": found.model,
        **{name: value for name, value in asks.items() if value is not None},
        "passed": [{"model": one.name, "why": one.why} for one in found.passed if one.told],
    }


def _who(caller: Caller | None) -> dict[str, Any] | None:
    if caller is None:
        return None
    organization_id = organization_of(caller)
    return {"key": caller.id, "user": caller.user_id, "organization": organization_id, "project": caller.project_id}


def _routes(  # noqa: PLR0917
    call: Call, request: Request, legs: Sequence[Leg], told: Explanation, run: Run, deps: Deps
) -> list[Leg]:
    """Tells the routes; those that can be asked in the call's API. Raises ApiNotServed where none can."""
    tried: list[Leg] = []
    for leg in legs:
        try:
            told.routes.append(_route(call, request, leg, leg.bill or bill_of(call, leg.target, run, deps), deps))
        except ApiNotServed as error:
            if leg is legs[-1] and not tried:
                raise
            if (no := {"route": leg.target.route, "why": error.message}) not in told.refused:  # of several keys once
                told.refused.append(no)
        else:
            tried.append(leg)
    told.routes[0]["chosen"] = True
    return tried


def _route(call: Call, request: Request, leg: Leg, bill: Bill, deps: Deps) -> dict[str, Any]:
    """Of a stealth model nobody hears who answers."""
    target, quote = leg.target, bill.quote
    told: dict[str, Any] = {"why": leg.why, "chosen": False, "payer": bill.payer}
    if target.stealth:
        return {"route": target.public, **told}
    way = way_to(call, request, target, target.provider.apis, deps)
    rests_ms = deps.health.rests_ms(target.place, now_ms(deps))
    return {
        "route": target.place,
        **told,
        "api": way.api if way is not None else call.api,
        "price": written(quote.price) if quote is not None else None,
        "markup_ppm": quote.markup_ppm if quote is not None else 0,
        "price_version": quote.version if quote is not None else None,
        "rests_s": -(-rests_ms // 1000),
    }


async def _limits(  # noqa: PLR0917
    call: Call, request: Request, target: Target, told: Explanation, run: Run, deps: Deps
) -> None:
    """Raises RateLimited."""
    found = await look(call, request, target, run, deps)
    if found is None:
        return
    rules, taken = found
    told.limits = [
        {"kind": rule.kind, "of": rule.owner, "name": rule.name, "limit": rule.claim.limit, "used": use.used}
        for rule, use in zip(rules.all, taken.uses, strict=True)
        if rule.owner != "model"
    ]
    if taken.denial is not None:
        raise refusal(rules, taken.denial)


def _prepare(  # noqa: PLR0917
    call: Call, request: Request, legs: Sequence[Leg], told: Explanation, run: Run, deps: Deps
) -> None:
    """What would be done to the request for the first route. Raises RequestError where no route can be asked so."""
    asked = run.auto
    for place, leg in enumerate(legs):
        target, run.own, run.auto = leg.target, leg.own, leg.auto or asked
        try:
            prepare(
                call,
                request,
                target,
                way_to(call, request, target, target.provider.apis, deps),
                run,
                most_of(leg, deps),
            )
            return
        except RequestError:
            if leg is legs[-1]:
                raise
        finally:
            if not (place or target.stealth):  # what a request loses tells who answers
                told.rules = list(run.rules)
                told.losses = [{"field": loss.field, "why": loss.why} for loss in run.losses]


async def _hold(  # noqa: PLR0917
    call: Call, request: Request, legs: Sequence[Leg], told: Explanation, run: Run, deps: Deps
) -> None:
    """What would be put aside, and what is there. Raises PriceUnknown, InsufficientCredits, BudgetExceeded."""
    first = await checked_bill(call, legs[0].target, run, deps)
    bills = [first, *(leg.bill for leg in legs[1:] if leg.bill is not None)]
    scopes = scopes_of(run.key, run.account_id) if run.key else ()
    amount = await hold_of(request, bills, scopes, run, deps)
    run.size = run.size or measure(request)
    told.hold = {
        "input_tokens": usual_input(run.size),
        "max_tokens": request.max_tokens,
        "hold_usd": nano_text(amount),
    }
    if run.account_id is not None:
        free, _ = await deps.ledger.free_nano(run.account_id)
        told.hold |= {"account": run.account_id, "free_usd": nano_text(free)}
    counted = scopes if any(bill.payer is HOUSE for bill in bills) else ()
    if (lacking := await deps.ledger.lacks(amount, run.account_id, counted, call.time_ms)) is not None:
        raise refused(lacking, request, deps)
