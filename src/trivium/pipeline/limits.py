"""Whether there is room for a call in all its limits (behaviour page, section 2, check 13). A call that has none passes
without a step; one that is refused has counted nothing."""

from __future__ import annotations

import msgspec

from trivium.metering.bound import usual_input
from trivium.pipeline.call import Call, Operation
from trivium.pipeline.deps import Deps
from trivium.pipeline.limited import Limited
from trivium.pipeline.settle import Run
from trivium.policy.counters import Claim, Taken
from trivium.policy.limits import Rules, refusal, rooms
from trivium.routing.catalog import Target
from trivium.wire.ratelimits import headers
from trivium.wire.request import Request
from trivium.wire.size import measure


async def admit(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> None:
    """Counts the call in its limits. Raises RateLimited."""
    found = _claims_of(call, request, target, run, deps)
    if found is None:
        return
    rules, claims, tokens = found
    limited = Limited(call.id, rules, tokens, deps.counters, deps.clock)
    taken = await deps.counters.enter(claims, call.id)
    run.limited = limited
    limited.headers = headers(call.api.shape, rooms(rules, taken), deps.clock.now_ms())
    if taken.denial is not None:
        limited.forget()
        raise refusal(rules, taken.denial)


async def look(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> tuple[Rules, Taken] | None:
    """What `admit` would find: how the call's limits stand, and which has no room for it. Nothing is counted."""
    found = _claims_of(call, request, target, run, deps)
    if found is None:
        return None
    rules, claims, _ = found
    asked = [claim.asked() for claim in claims]
    taken = await deps.counters.enter(asked)
    if (denial := taken.denial) is not None:
        denial = msgspec.structs.replace(denial, claim=claims[asked.index(denial.claim)])
    return rules, Taken(denial, taken.uses)


def _claims_of(
    call: Call, request: Request, target: Target, run: Run, deps: Deps
) -> tuple[Rules, list[Claim], int] | None:
    """What a call claims of its limits, with the input tokens that it is taken to have; None: it has no limits."""
    provider, model = target.known_as
    rules = deps.rules.rules(
        run.key, provider, model, deps.house, also_known_as(target, run), of_model=run.is_by_house(target)
    )
    if rules is None:
        return None
    if call.operation is Operation.COUNT_TOKENS:
        rules = rules.of_counting()
    if not rules.inputs:
        return rules, rules.claims, 0
    run.size = run.size or measure(request)
    tokens = usual_input(run.size)
    return rules, _with_input(rules, tokens), tokens


async def readmit(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> None:
    """The call goes to another model than it was admitted to: it counts in that one's limits, and in no others of a
    model. Raises RateLimited."""
    if run.limited is not None:
        run.limited.withdraw()
        run.limited = None
    await admit(call, request, target, run, deps)


async def admit_on(request: Request, target: Target, run: Run, deps: Deps) -> None:
    """The call goes on to another route, and counts in the limits of that model from here on, once in each. Raises
    RateLimited."""
    found = deps.rules.rules(
        None, *target.known_as, deps.house, also_known_as(target, run), of_model=run.is_by_house(target)
    )
    of_model, before = found.all if found is not None else (), run.limited
    if before is not None:
        before.stays_in(frozenset(rule.claim.key for rule in of_model))
        of_model = tuple(rule for rule in of_model if not before.has(rule.claim.key))
    if not of_model:
        return
    rules, tokens = Rules(of_model), 0
    if rules.inputs:
        run.size = run.size or measure(request)
        tokens = usual_input(run.size)
    here = Limited(run.call.id, rules, tokens, deps.counters, deps.clock)
    taken = await deps.counters.enter(_with_input(rules, tokens), run.call.id)
    if before is None:
        run.limited = here
    else:
        before.follows(here)
    if taken.denial is not None:
        here.forget()
        raise refusal(rules, taken.denial)


def also_known_as(target: Target, run: Run) -> tuple[str, ...]:
    """The further names by which limits mean what is asked for: of an auto model, its own too."""
    return target.also if run.auto is None else target.also + run.auto.known_as


def _with_input(rules: Rules, tokens: int) -> list[Claim]:
    """The claims, with what the request itself tells."""
    claims = rules.claims.copy()
    for place in rules.inputs:
        claim = claims[place]
        claims[place] = Claim(claim.key, claim.limit, tokens, claim.window_s)
    return claims
