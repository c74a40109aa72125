"""What would become of a request: an operator's look through the eyes of one of the keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec

from trivium.operations.table import Actor, Arguments, Op, Table


class Explain(Arguments, frozen=True, kw_only=True):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None
    """What is asked for; it may stand in the request instead."""
    api: Literal["chat", "responses", "messages"] = "chat"
    key: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    """By its id; null: a caller without a key."""
    address: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    """From where it is called; null: nobody knows, which refuses a key that is bound to networks."""
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    """As a client would send it; what it lacks is a question of one word."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """As `x-trivium-mode`, `x-trivium-task`, `x-trivium-fallbacks`."""


def explain_table(explain: Callable[[Explain], Awaitable[Any]], result: Any) -> Table:
    """`explain` raises NotFound for a key that is not there; `result` is the type of what it answers with."""

    async def act(asked: Explain, _: Actor) -> Any:
        return await explain(asked)

    return {"explain": Op(arguments=Explain, result=result, act=act)}
