"""Where limits are counted at the moment: an operator's look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.operations.operations import Nothing, Table
from trivium.store.counters import State


class LimitOperations:
    """`table` has the operations."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self.table: Table = {"limits.show": (Nothing, self._show)}

    async def _show(self, _: Nothing) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(self._state())
        return shown
