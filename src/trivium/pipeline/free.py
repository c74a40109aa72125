"""Free models and callers without a key (behaviour page, section 2, checks 7 and 8, and section 4)."""

from __future__ import annotations

import msgspec

from trivium.canon.api import CHAT, Kind, Solo
from trivium.errors import CredentialMissing, RequestError
from trivium.pipeline.bill import is_free_route
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.own import route_of
from trivium.pipeline.own_key import Own
from trivium.pipeline.settle import Run
from trivium.policy.addresses import subscriber
from trivium.policy.caller import Caller
from trivium.policy.counters import Denial
from trivium.policy.free import LIMIT_REACHED, claims_of, key_needed, refusal_key, refused_by
from trivium.routing.catalog import Target

WITH_KEY = frozenset({Solo.FIM})
"""The APIs that answer nobody without a key, free or not (vendors page, "FIM")."""
NO_KEY = "No API key was sent. Send one as `Authorization: Bearer tv-...` or `x-api-key: tv-...`."


def find(caller: Caller | None, name: str, deps: Deps, run: Run | None = None) -> Target | RequestError:
    """Where a name leads; why it leads nowhere is only said after the checks that come before (check 11). `run`: the
    call that goes there."""
    found, own = find_way(caller, name, CHAT if run is None else run.call.api, deps)
    if run is not None and isinstance(found, Target):
        run.own = own
    return found


def find_way(caller: Caller | None, name: str, api: Kind, deps: Deps) -> tuple[Target | RequestError, Own | None]:
    """As `find`, and whose own key pays there."""
    try:
        if caller is None:
            return deps.catalog.resolve(name), None
        own, target = route_of(caller, name, api, deps)
    except RequestError as error:
        return error, None
    return target, own


def is_counted(caller: Caller | None, found: Target | RequestError) -> bool:
    """Whether `count_free` has something to look at: for most calls it has not."""
    return caller is None or (isinstance(found, Target) and found.free)


async def check_free(  # noqa: PLR0917
    call: Call, caller: Caller | None, name: str, found: Target | RequestError, run: Run, deps: Deps
) -> None:
    """Counts the request of a free model, or of a caller without a key. Raises RateLimited, FreeLimitReached,
    CredentialMissing."""
    if (denial := await count_free(call, caller, name, found, run, deps)) is not None:
        raise limit_reached(denial, run, deps)


async def count_free(  # noqa: PLR0917
    call: Call, caller: Caller | None, name: str, found: Target | RequestError, run: Run, deps: Deps
) -> Denial | None:
    """As `check_free`, but that the limit which is reached is for the caller to tell. Raises CredentialMissing."""
    if caller is None:
        check_anonymous(None, None, call.time_ms, deps)
        if call.api in WITH_KEY:
            raise CredentialMissing(NO_KEY)
    ours = found.house if isinstance(found, Target) else None
    if ours is not None and ours.said.disabled:
        return None  # nobody gets anything: that it has ended is said later
    refused = isinstance(found, RequestError) or not is_free(found, call.time_ms, deps)
    if refused and caller is not None:
        return None  # its price was set by the operator, whatever it is called
    house = ours is not None
    claims = claims_of(deps.free, caller=caller, house=house, address=subscriber(call.client_ip))
    if refused:  # by check 8. The limit of the address, check 7, is asked for first, but nothing counts for it
        claims = [msgspec.structs.replace(claim, amount=0) for claim in claims]
    if claims and (denial := await deps.counters.take(claims)) is not None:
        return denial
    if refused:
        raise key_needed(name, deps.free)
    now_ns = deps.clock.monotonic_ns()
    run.free = (*run.free, *((claim, now_ns) for claim in claims))
    return None


def limit_reached(denial: Denial, run: Run, deps: Deps) -> RequestError:
    """What the caller hears, whose refusal is counted and noted."""
    deps.counters.add(refusal_key(denial.claim), 1, denial.claim.window_s)
    run.flags.append(LIMIT_REACHED)
    return refused_by(denial, deps.free)


def give_back(run: Run, deps: Deps) -> None:
    """A call that ends before any upstream has heard of it counts in no limit of free models, nor of models."""
    if run.limited is not None:
        run.limited.give_back()
    if run.free and run.queue_us is None:
        for claim, taken_ns in run.free:
            ago_ms = (deps.clock.monotonic_ns() - taken_ns) // 1_000_000
            deps.counters.add_to((claim.key,), -claim.amount, claim.window_s, ago_ms)
        run.free = ()


def check_anonymous(name: str | None, found: Target | RequestError | None, time_ms: int, deps: Deps) -> None:
    """Whether a caller without a key may name this model, or any. Raises CredentialMissing."""
    if not deps.free.anonymous:
        raise CredentialMissing(NO_KEY)
    if name is not None and not (isinstance(found, Target) and is_free(found, time_ms, deps)):
        raise key_needed(name, deps.free)


def is_free(target: Target, time_ms: int, deps: Deps) -> bool:
    """Whether a model costs its callers nothing, whichever of its routes answers: the house gives it away, or it has no
    price to begin with."""
    return all(is_free_route(route, time_ms, deps) for route in deps.catalog.routes(target))
