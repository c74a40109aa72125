"""Whether there is room for a call in all its limits (behaviour page, section 2, check 13). A call that has none passes
without a step; one that is refused has counted nothing."""

from __future__ import annotations

import msgspec

from trivium.metering.bound import usual_input
from trivium.pipeline.call import Call, Operation
from trivium.pipeline.deps import Deps
from trivium.pipeline.limited import Limited
from trivium.pipeline.settle import Run
from trivium.policy.counters import Claim
from trivium.policy.limits import Rule, Rules, Standing, refusal, standings
from trivium.routing.catalog import Target
from trivium.wire.ratelimits import Room, headers
from trivium.wire.request import Request
from trivium.wire.size import measure

_OF_COUNTING = ("requests", "concurrent")
"""What a request counts in that asks for no answer but how many tokens it has."""


async def admit(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> None:
    """Counts the call in its limits. Raises RateLimited."""
    rules = deps.rules.rules(run.key, *target.known_as, deps.house)
    if not rules:
        return
    if call.operation is Operation.COUNT_TOKENS:
        rules = tuple(rule for rule in rules if rule.kind in _OF_COUNTING)
    tokens = _input_tokens(request, rules, run)
    # Known to the run before anything is counted: a client that leaves while Redis is asked must not stay counted.
    run.limited = limited = Limited(call.id, rules, tokens, deps.counters, deps.clock)
    taken = await deps.counters.enter([_claim(rule, tokens) for rule in rules], call.id)
    denied = taken.denial.claim if taken.denial else None
    rooms = {kind: _room(standing) for kind, standing in standings(rules, taken.uses, denied).items()}
    limited.headers = headers(
        call.api, rooms.get("requests"), rooms.get("input_tokens"), rooms.get("output_tokens"), deps.clock.now_ms()
    )
    if taken.denial is not None:
        limited.forget()
        raise refusal(next(rule for rule in rules if rule.claim.key == taken.denial.claim.key), taken.denial)


def _input_tokens(request: Request, rules: Rules, run: Run) -> int:
    """The estimate; 0 where no limit asks for it."""
    if not any(rule.kind == "input_tokens" for rule in rules):
        return 0
    if run.size is None:
        run.size = measure(request)
    return usual_input(run.size)


def _claim(rule: Rule, tokens: int) -> Claim:
    return msgspec.structs.replace(rule.claim, amount=tokens) if rule.kind == "input_tokens" else rule.claim


def _room(standing: Standing) -> Room:
    return Room(standing.limit, standing.remaining, standing.resets_ms)
