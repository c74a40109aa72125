"""Operations on tokens: one call ends all of a user's."""

from __future__ import annotations

import msgspec

from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.policy.caller import Id
from trivium.store.answers import told
from trivium.store.tokens import Peppers


class ResetTokens(Arguments, frozen=True, kw_only=True):
    user: Id


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    pepper: str
    """What new tokens must carry; not shown again."""


class TokenOperations:
    """For the house alone: the pepper is the issuer's business."""

    def __init__(self, peppers: Peppers) -> None:
        self._peppers = peppers
        self.table: Table = {
            "tokens.reset": Op(arguments=ResetTokens, result=Reset, act=self._reset, changes=True),
        }

    async def _reset(self, query: ResetTokens, actor: Actor) -> Reset:
        return await told(
            lambda pepper: Reset(user=query.user, pepper=pepper), self._peppers.reset(query.user, actor.id)
        )
