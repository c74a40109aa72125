"""What was judged to be abuse, and how the classifier does, since the gateway started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivium.operations.table import Actor, Arguments, Op, Table


class AbuseStatus(Arguments, frozen=True, kw_only=True):
    pass


def abuse_table(status: Callable[[], dict[str, Any]]) -> Table:
    async def tell(_: AbuseStatus, __: Actor) -> dict[str, Any]:
        return status()

    return {"abuse.status": Op(arguments=AbuseStatus, result=dict[str, Any], act=tell)}
