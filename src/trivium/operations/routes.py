"""How the routes of models do that have several: an operator's look."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trivium.clock import Clock
from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.routing.health import Health


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """Of the last ten minutes."""

    route: str
    """`PROVIDER/MODEL`, or a provider's name for all of its routes together."""
    calls: int
    failed: int
    rests_s: int
    """Seconds for which only calls come to it that have no other route; 0: it does not rest."""


def routes_table(health: Callable[[], Health], clock: Clock) -> Table:
    async def show(_: Arguments, __: Actor) -> list[RouteState]:
        found = health().all(clock.monotonic_ns() // 1_000_000)
        return [
            RouteState(route=name, calls=rates.calls, failed=rates.failed, rests_s=-(-rests_ms // 1000))
            for name, (rates, rests_ms) in sorted(found.items())
        ]

    return {"routes.show": Op(arguments=Arguments, result=list[RouteState], act=show)}
