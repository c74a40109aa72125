"""In which order the routes of a call are tried, and why. Pure.

Which of them the caller may use was decided before. Of those, a session keeps the route whose prompt cache it has
warmed; else a canary or the routes' weights decide, by a number that is always the same for a task, session or user;
else the first route does that speaks the client's own API, or simply the first. The others follow, for the case that it
fails. Routes that rest come last (behaviour page, section 7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from trivium.canon.api import Kind
from trivium.routing.catalog import Target
from trivium.routing.health import Health
from trivium.settings_routing import CanarySettings

SHARES = 100
_HALF = 0.5
_NEXT = "if those before it fail"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a call decides about its route."""

    api: Kind
    salt: str
    whose: str
    """The task, session or user."""
    kept: str | None = None
    """The route that its session had last."""

    @property
    def bucket(self) -> int:
        """0 to 99: its place in the shares."""
        return bucket_of(self.salt, self.whose)


class Choice(msgspec.Struct, frozen=True):
    """A route, and what speaks for it or against it."""

    target: Target
    why: str


class Plan(msgspec.Struct, frozen=True):
    """Routes in the order in which they are tried, and those that are not."""

    tried: tuple[Choice, ...]
    refused: tuple[Choice, ...] = ()
    rested: tuple[Choice, ...] = ()
    """Of those that are tried the ones that come last, behind one that does not rest."""


def bucket_of(salt: str, whose: str) -> int:
    """The place of a task, session or user in the shares, by a hash (behaviour page, section 7)."""
    return int.from_bytes(hashlib.sha256(f"{salt}_{whose}".encode("utf-8", "surrogateescape")).digest()[:4]) % SHARES


class Canary(msgspec.Struct, frozen=True):
    """The main route's twin at the canary's provider, and what is said of it."""

    target: Target
    said: CanarySettings


def plan(routes: Sequence[Target], asked: Asked, health: Health, now_ms: int, canary: Canary | None = None) -> Plan:
    """`routes` are those that the caller may use, at least one; the first is the main one."""
    every = [*routes, canary.target] if canary is not None else routes
    rests = {} if health.is_well else {target.route: _rests_ms(target, health, now_ms) for target in every}
    ready = every if not rests else [target for target in every if not rests[target.route]]
    first = _kept(ready, asked) if asked.kept is not None else None
    if first is None and canary is not None and canary.target in ready:
        first = _canary(routes[0], canary, asked, health, now_ms)
    if first is None and ready:
        mine = [target for target in ready if target is not canary.target] if canary is not None else ready
        first = _chosen(mine, routes, asked) if mine else None
    others = [target for target in every if first is None or target is not first.target]
    if rests or any(asked.api not in target.provider.apis for target in others):
        others.sort(key=lambda target: (rests.get(target.route, 0), asked.api not in target.provider.apis))
    further = [Choice(target, behind(rests.get(target.route, 0))) for target in others]
    rested = tuple([choice for choice in further if rests[choice.target.route]]) if rests and first is not None else ()
    return Plan(tuple([first, *further] if first is not None else further), rested=rested)


def _kept(ready: Sequence[Target], asked: Asked) -> Choice | None:
    found = next((target for target in ready if target.route == asked.kept), None)
    return Choice(found, "the session's last route, whose prompt cache may be warm") if found is not None else None


def _canary(main: Target, canary: Canary, asked: Asked, health: Health, now_ms: int) -> Choice | None:
    said, to = canary.said, canary.target
    ours, theirs = (health.rates(target.provider.name, now_ms).rate for target in (main, to))
    share, why = said.percent, f"the canary has {said.percent} %"
    if ours > _HALF > theirs:
        share, why = said.failover_percent, f"the canary has {said.failover_percent} % while {main.provider.name} fails"
    return Choice(to, why) if asked.bucket < share else None


def _chosen(ready: Sequence[Target], routes: Sequence[Target], asked: Asked) -> Choice:
    """`routes` are those that are ready, and those that rest."""
    total, some_rest = sum(target.weight for target in ready), len(ready) < len(routes)
    if total:
        place, passed = asked.bucket * total / SHARES, 0
        for target in ready:
            passed += target.weight
            if place < passed:
                of_whom = " of those that do not rest" if some_rest else ""
                return Choice(target, f"its share is {target.weight} of {total}{of_whom}")
    native = next((target for target in ready if asked.api in target.provider.apis), None)
    if native is not None and native is not ready[0]:
        return Choice(native, f"the first that speaks the client's API{' and does not rest' if some_rest else ''}")
    return Choice(ready[0], "the first route" if ready[0] is routes[0] else "the first route that does not rest")


def _rests_ms(target: Target, health: Health, now_ms: int) -> int:
    """A route with several keys rests while all of them do."""
    if not target.provider.spare:
        return health.rests_ms(target.route, now_ms)
    keys = [msgspec.structs.replace(target, provider=one) for one in target.provider.keyed()]
    return min(health.rests_ms(key.place, now_ms) for key in keys)


def behind(rests_ms: int) -> str:
    """Why a route is not the first that is tried."""
    return f"it rests for {-(-rests_ms // 1000)} s: only when no other is left" if rests_ms else _NEXT
