"""Where limits are counted, as an operator is told."""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.operations.table import OPERATOR, Arguments, telling
from trivium.store.counters import State


async def shown(state: State) -> Any:
    return msgspec.to_builtins(await telling(State, lambda: state).act(Arguments(), OPERATOR))


async def test_in_memory_and_in_redis() -> None:
    assert await shown(State(since_ms=5)) == {"counters": "memory", "redis": None, "since_ms": 5, "problem": None}
    gone = State(redis="h:6379/0", since_ms=5, problem="Connection refused")
    assert await shown(gone) == {
        "counters": "memory",
        "redis": "h:6379/0",
        "since_ms": 5,
        "problem": "Connection refused",
    }
