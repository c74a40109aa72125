"""Where limits are counted at the moment: an operator's look at it."""

from __future__ import annotations

from collections.abc import Callable

from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.store.counters import State


def limits_table(state: Callable[[], State]) -> Table:
    async def show(_: Arguments, __: Actor) -> State:
        return state()

    return {"limits.show": Op(arguments=Arguments, result=State, act=show)}
