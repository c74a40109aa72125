"""The routes that a call may take, and in which order (behaviour page, section 7): those of its model that the caller
may use, then those of the fallbacks that the client names. Most calls have one route, for which nothing is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import Any, Literal, cast

import msgspec

from trivium.canon.api import Kind, Solo
from trivium.errors import FieldInvalid, ModelNotFound, PriceUnknown, RequestError
from trivium.pipeline.authorize import check_target, keeps_to, named
from trivium.pipeline.auto import stand_in
from trivium.pipeline.bill import Bill, is_free_route
from trivium.pipeline.call import FALLBACKS, Call, Operation
from trivium.pipeline.deps import Deps
from trivium.pipeline.free import check_anonymous, find_way, is_free
from trivium.pipeline.hold import checked_bill
from trivium.pipeline.journey import Journey
from trivium.pipeline.own_key import Own
from trivium.pipeline.preferences import PROVIDER
from trivium.pipeline.settle import Run
from trivium.policy.caller import Policy
from trivium.policy.context import Context, context_of
from trivium.policy.free import key_needed
from trivium.policy.spending import scopes_of
from trivium.routing.auto import Resolution
from trivium.routing.catalog import Target, not_found
from trivium.routing.plan import Asked, Canary, Choice, Plan, behind, plan
from trivium.routing.twins import twin
from trivium.wire import body as json_body
from trivium.wire.lenient import mapping
from trivium.wire.request import MOST_FALLBACKS, OURS, Request, check_name

_REMEMBERED = 10_000
_LONGEST = 500
"""Characters of a session's name."""


class Leg(msgspec.Struct, frozen=True):
    """One route of a call."""

    target: Target
    own: Own | None
    why: str
    main: Target
    """The first route of its model, whose longest answer is what clients know, and whose name sessions go by."""
    bill: Bill | None = None
    """None: what it costs is found out when it is taken."""
    named: str | None = None
    """The name by which a client asks for it as a fallback: a free one counts as such when it is taken."""
    auto: Resolution | None = None
    """What the auto model chose that a client names as a fallback."""
    stands_in: bool = False
    """It answers in place of a model that the client asked for."""


async def legs_of(  # noqa: PLR0917
    call: Call, request: Request, target: Target, fallbacks: tuple[str, ...], run: Run, deps: Deps
) -> tuple[Leg, ...]:
    """The routes that a call may take, in order; none where there is no choice. Raises as `check_target` does where
    it may take none, and what a caller gets who names a fallback that is not there or not allowed."""
    if target.routed is None and not fallbacks and not deps.detours and not target.provider.spare:
        try:
            check_target(run.key, target, deps)
        except ModelNotFound:  # told as `named` does, which most calls need not pay for
            raise not_found(request.model) from None
        return ()
    main = _main(call, request, target, run, deps)
    choices = [Leg(choice.target, run.own, choice.why, target) for choice in main.tried]
    for name in fallbacks:
        known = {leg.target.route for leg in choices}
        param = OURS if name in request.fallbacks else FALLBACKS.decode()
        with _told_of(param):
            check_name(name, param)
            found = await _fallback(call, name, request, run, deps)
        choices += [leg for leg in found if leg.target.route not in known]
    if run.key is None:  # what a canary or an emergency leads to need not be free
        choices = [leg for leg in choices if is_free_route(leg.target, call.time_ms, deps)]
        if not choices:
            raise key_needed(request.model, deps.free)
    legs, refused = await _billed(call, choices, run, deps)
    told = _told(main.refused) + refused
    if any(leg.target.provider.spare for leg in legs):
        legs = _keyed(legs, _asked(call, request, target, run, deps).bucket, deps)
    run.journey = Journey(legs[0].why, refused=told, rested=_told(main.rested))
    return tuple(legs)


def _told(choices: tuple[Choice, ...]) -> tuple[tuple[str, str], ...]:
    return tuple([(choice.target.route, choice.why) for choice in choices])


def _keyed(legs: list[Leg], bucket: int, deps: Deps) -> list[Leg]:
    """With a leg for each key of a provider that has several. Tasks, sessions and users are spread over them; keys that
    rest come behind the route's others."""
    found: list[Leg] = []
    for leg in legs:
        every = leg.target.provider.keyed()
        keys: list[tuple[int, Leg]] = []
        for one in (*every[bucket % len(every) :], *every[: bucket % len(every)]):
            there = msgspec.structs.replace(leg, target=msgspec.structs.replace(leg.target, provider=one))
            rests_ms = _rests_ms(there, deps)
            why = behind(rests_ms) if rests_ms else leg.why
            why = f"{why}; key {one.key_number} of {len(every)}" if one.key_number else leg.why
            keys.append((rests_ms, msgspec.structs.replace(there, why=why)))
        found += [there for _, there in sorted(keys, key=itemgetter(0))]
    return found


def ready(legs: tuple[Leg, ...], deps: Deps) -> tuple[Leg, ...]:
    """In the order in which they are tried: those that rest come last."""
    return legs if deps.health.is_well else tuple(sorted(legs, key=lambda leg: _rests_ms(leg, deps)))


def _rests_ms(leg: Leg, deps: Deps) -> int:
    """Calls with callers' own keys count for nothing."""
    if leg.own is not None or deps.health.is_well:
        return 0
    return deps.health.rests_ms(leg.target.place, now_ms(deps))


def _main(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> Plan:
    """The routes of the model that was asked for. Raises as `check_target` does where the caller may use none."""
    routes, why_not = _in_emergency(call, target, deps) if run.own is None else ((target,), [])
    open_, refused = _permitted(routes, run, deps)
    if not open_:
        with named(request.model):
            check_target(run.key, routes[0], deps)
    open_ = _as_wished(request, serving(call.api, open_))
    canary = _canary(call, request, routes, open_, run, deps) if run.own is None else None
    if canary is not None:
        open_ = [route for route in open_ if route.route != canary.target.route]
    found = plan(open_, _asked(call, request, target, run, deps), deps.health, now_ms(deps), canary)
    return msgspec.structs.replace(found, refused=(*why_not, *refused))


_Permitted = tuple[list[Target], list[Choice]]
"""Routes that a caller may use, and those that it may not and why. No error: one that is kept and raised again keeps
every call that it was raised in."""


def _permitted(routes: tuple[Target, ...], run: Run, deps: Deps) -> _Permitted:
    """Remembered for a model of the catalogue: the answer changes only with what it is made of."""
    routed, caller = routes[0].routed, run.key
    if routed is None:
        return _look(routes, run, deps)
    place = caller.id if caller is not None else "", routed.id, routes[0].alias
    of = (caller, deps.house, deps.catalog, routes)
    known = deps.permitted.get(place)
    if known is not None and all(one is other for one, other in zip(known[0], of, strict=True)):
        return cast("_Permitted", known[1])
    if len(deps.permitted) >= _REMEMBERED:
        deps.permitted.clear()
    found = _look(routes, run, deps)
    deps.permitted[place] = (of, found)
    return found


def _look(routes: tuple[Target, ...], run: Run, deps: Deps) -> _Permitted:
    open_: list[Target] = []
    refused: list[Choice] = []
    for route in routes:
        try:
            check_target(run.key, route, deps)
        except RequestError as error:
            refused.append(Choice(route, error.message))
        else:
            open_.append(route)
    return open_, refused


def _in_emergency(call: Call, target: Target, deps: Deps) -> tuple[tuple[Target, ...], list[Choice]]:
    """The routes of a model. One switch leads every call to one provider, if that has the model, and has it for nothing
    where it is free."""
    routes, name = deps.catalog.routes(target), deps.routing.emergency_provider
    if name is None or routes[0].house is not None or routes[0].custom is not None:
        return routes, []
    there = tuple(route for route in routes if route.provider.name == name)
    same = twin(deps.catalog, routes[0], name, unlisted=True) if not there else None
    there = there or ((same,) if same is not None else ())
    if not any(serves(call.api, route) for route in there) or not _is_as_free(there, routes[0], call, deps):
        return routes, []
    away = [Choice(route, f"in an emergency {name} answers") for route in routes if route not in there]
    return there, away


def serves(api: Kind, route: Target) -> bool:
    """Whether a route can be taken in this API: where one converses there is always a way."""
    return not isinstance(api, Solo) or api in route.provider.apis


def serving(api: Kind, routes: list[Target]) -> list[Target]:
    """The routes that can be taken; all where none can, whose error says so."""
    return [route for route in routes if serves(api, route)] or routes


def _is_as_free(others: tuple[Target, ...], main: Target, call: Call, deps: Deps) -> bool:
    """Whether callers pay nothing for others that take a free model's place."""
    return all(is_free_route(one, call.time_ms, deps) for one in others) or not is_free(main, call.time_ms, deps)


def _canary(  # noqa: PLR0917
    call: Call, request: Request, routes: tuple[Target, ...], open_: list[Target], run: Run, deps: Deps
) -> Canary | None:
    """The canary's route, if this call may take it: where the catalogue has one there, with what it says of it."""
    said, main = deps.routing.canary, routes[0]
    if said is None or main.provider.name != said.main or not deps.has_canary(main.model):
        return None
    if main.provider.name == deps.routing.emergency_provider or not any(one is main for one in open_):
        return None
    if "ignore" in _preferences(request):
        return None  # whoever chooses among vendors chooses among the main provider's
    if any(route.provider.name == said.to for route in routes):
        same = next((route for route in open_ if route.provider.name == said.to), None)
    else:
        same = twin(deps.catalog, main, said.to)
        same = same if same is not None and _permitted((same,), run, deps)[0] else None
    if same is None or not serves(call.api, same):
        return None
    if not _is_as_free((same,), main, call, deps) or not keeps_to(_wish(request), same.provider):
        return None
    return Canary(same, said)


def _preferences(request: Request) -> dict[str, Any]:
    """What the client says of the providers behind a gateway; what cannot be read is the upstream's to refuse."""
    if PROVIDER not in request.members:
        return {}
    with suppress(RequestError):
        return mapping(json_body.value(request.members, PROVIDER))
    return {}


def _wish(request: Request) -> Policy:
    """What the client itself says that nobody may do with its prompts."""
    said = _preferences(request)
    collection: Literal["allow", "deny"] = "deny" if said.get("data_collection") == "deny" else "allow"
    return Policy(data_collection=collection, zdr=said.get("zdr") is True)


def _as_wished(request: Request, routes: list[Target]) -> list[Target]:
    """Without those whose providers do not keep to that, where others are left."""
    if PROVIDER not in request.members:
        return routes
    wish = _wish(request)
    return [route for route in routes if keeps_to(wish, route.provider)] or routes


@contextmanager
def _told_of(param: str) -> Iterator[None]:
    """What is wrong with a fallback's name is told of where it stands, and not of `model`."""
    try:
        yield
    except RequestError as error:
        error.param = param if error.param == "model" else error.param
        raise


async def _fallback(call: Call, name: str, request: Request, run: Run, deps: Deps) -> list[Leg]:
    """The routes of another model that the client would have as well. Raises what a call for it would."""
    auto = await stand_in(name, call, request, run, deps)
    way = auto.model if auto is not None else None
    found, own = find_way(run.key, way or name, call.api, deps)
    if run.key is None:
        check_anonymous(name, found, call.time_ms, deps)
    if isinstance(found, RequestError):
        raise found
    if auto is not None:
        found = msgspec.structs.replace(found, led=True)
    routes, _ = _in_emergency(call, found, deps) if own is None else ((found,), [])
    open_, _ = _permitted(routes, run, deps)
    if not open_:
        with named(name):
            check_target(run.key, routes[0], deps)
    open_ = _as_wished(request, serving(call.api, open_))
    order = plan(open_, _asked(call, request, found, run, deps), deps.health, now_ms(deps))
    why = "the client's fallback"
    return [Leg(one.target, own, f"{why}: {one.why}", found, named=name, auto=auto) for one in order.tried]


async def _billed(
    call: Call, choices: list[Leg], run: Run, deps: Deps
) -> tuple[list[Leg], tuple[tuple[str, str], ...]]:
    """Without the routes of which nobody knows what they cost, where that has to be known and others are left. Where no
    balance or budget is at stake, what a route costs is nobody's business before it is taken."""
    scopes = scopes_of(run.key, run.account_id) if run.key is not None else ()
    at_stake = run.account_id is not None or await deps.ledger.counts(scopes)
    if not at_stake or call.operation is not Operation.GENERATE or len(choices) == 1:
        return choices, ()
    legs, refused = [], []
    for leg in choices:
        try:
            legs.append(msgspec.structs.replace(leg, bill=await checked_bill(call, leg.target, run, deps)))
        except PriceUnknown as error:
            refused.append((leg.target.route, error.message))
    return legs or choices[:1], tuple(refused)


def _asked(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> Asked:
    context = context_of(call.headers)
    in_body = _told_in_body(request)
    user = (run.key.user_id or run.key.id) if run.key else call.client_ip
    session = _session(context.session or context.task or in_body, run)
    kept = deps.sessions.route(session, name_of(target), now_ms(deps)) if session is not None else None
    whose = context.task or context.session or in_body or user or ""
    return Asked(api=call.api, salt=deps.routing.salt, whose=whose, kept=kept)


def session_of(context: Context, request: Request, run: Run) -> str | None:
    """What is likely to begin as the calls before it did: a session or task, as the client names it in a header or to
    its provider's cache. Of other callers' sessions it knows nothing."""
    return _session(context.session or context.task or _told_in_body(request), run)


def _session(named: str | None, run: Run) -> str | None:
    return f"{run.key_id} {named}" if named else None


def _told_in_body(request: Request) -> str | None:
    """The session as its provider's cache knows it. What is odd about the body is the upstream's to say."""
    members = request.members
    with suppress(RequestError):
        if "prompt_cache_key" in members:
            key = json_body.value(members, "prompt_cache_key")
            return key[:_LONGEST] if isinstance(key, str) else None
        metadata = json_body.value(members, "metadata") if "metadata" in members else None
        user = metadata.get("user_id") if isinstance(metadata, dict) else None
        return user[:_LONGEST] if isinstance(user, str) else None
    return None


def most_of(leg: Leg, deps: Deps) -> int | None:
    """The longest answer, in tokens, of a model for the case of need: how long an answer may be the client said of the
    one that it asked for, as its first route has it. None: it is that one, or nobody knows."""
    target = leg.target
    is_asked_for = leg.named is None and target.route == leg.main.route and not leg.stands_in
    if is_asked_for or target.custom is not None:
        return None
    said = target.house.said.output_limit if target.house is not None else None
    return said or deps.prices.limits(target.provider, target.model).output


def name_of(target: Target) -> str:
    return target.routed.id if target.routed is not None else target.route


def fallbacks_of(call: Call, request: Request) -> tuple[str, ...]:
    """The models that the client would have as well. Raises FieldInvalid."""
    header = call.headers.get(FALLBACKS)
    if header is None:
        return request.fallbacks
    names = [name.strip() for name in header.decode("utf-8", "replace").split(",")]
    found = tuple(dict.fromkeys((*filter(None, names), *request.fallbacks)))
    if len(found) > MOST_FALLBACKS:
        name = FALLBACKS.decode()
        raise FieldInvalid(f"`{name}` may name up to {MOST_FALLBACKS} models.", param=name)
    return found


def now_ms(deps: Deps) -> int:
    return deps.clock.monotonic_ns() // 1_000_000
