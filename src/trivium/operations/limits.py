"""Where limits are counted at the moment: an operator's look at it."""

from __future__ import annotations

from collections.abc import Callable

from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.store.counters import State


class LimitOperations:
    """`table` has the operations."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self.table: Table = {"limits.show": Op(arguments=Arguments, result=State, act=self._show)}

    async def _show(self, _: Arguments, __: Actor) -> State:
        return self._state()
