"""The processes of a running gateway: an operator's look at them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trivium.operations.table import Actor, Arguments, Op, Table


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One that answers."""

    number: int
    """From 1 on; the first one leads."""
    process: int
    since_ms: int
    """When it was started."""
    lives: int
    """How often it was."""


def worker_table(state: Callable[[], WorkerState]) -> Table:
    async def show(_: Arguments, __: Actor) -> list[WorkerState]:
        return [state()]

    return {"workers.show": Op(arguments=Arguments, result=list[WorkerState], act=show)}
