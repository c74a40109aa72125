"""What was judged to be abuse, and how the classifier does, since the gateway started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.operations.operations import Table


class AbuseStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


def abuse_table(status: Callable[[], dict[str, Any]]) -> Table:
    async def tell(_: AbuseStatus) -> dict[str, Any]:
        return status()

    return {"abuse.status": (AbuseStatus, tell)}
