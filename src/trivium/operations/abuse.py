"""What was judged to be abuse, and how the classifier does, since the gateway started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivium.operations.table import Actor, Arguments, Op, Table


def abuse_table(status: Callable[[], dict[str, Any]]) -> Table:
    async def tell(_: Arguments, __: Actor) -> dict[str, Any]:
        return status()

    return {"abuse.status": Op(arguments=Arguments, result=dict[str, Any], act=tell)}
