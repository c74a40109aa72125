"""Operations on tokens: one call ends all of a user's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trivium.store.tokens import Peppers

OPERATOR = "operator"


class ResetTokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: str


class TokenOperations:
    def __init__(self, peppers: Peppers) -> None:
        self._peppers = peppers
        self.table: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Awaitable[Any]]]] = {
            "tokens.reset": (ResetTokens, self._reset)
        }

    async def _reset(self, query: ResetTokens) -> dict[str, Any]:
        return {"user": query.user, "pepper": await self._peppers.reset(query.user, OPERATOR)}
