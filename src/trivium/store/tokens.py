"""Callers by tokens of an issuer that the operator trusts (`issuer.py` reads them).

A token names a user that is here, and maybe an organization that the user is a member of; it is a caller as a key of
that user would be. All tokens of a user end when the user's pepper is reset: a valid one carries the pepper of now, or
none while none was ever set. A verified token stays in memory like a key, and costs no more than one from then on.
"""

from __future__ import annotations

import secrets
from typing import Protocol

import msgspec

from trivium.clock import Clock
from trivium.policy.caller import Caller, Organization
from trivium.store.changes import Changing
from trivium.store.keys import OWNER, KeyStore, owned_by
from trivium.store.sql import Database, Writing
from trivium.store.users import found_user

_FIND = f"""
    SELECT u.token_pepper, {OWNER} FROM users u LEFT JOIN blocked_domains d ON d.domain = u.domain
    LEFT JOIN organizations o ON o.id = ?
    LEFT JOIN memberships m ON m.organization_id = o.id AND m.user_id = u.id AND m.accepted_ms IS NOT NULL
    WHERE u.id = ?
"""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says."""

    user_id: str
    organization_id: str | None
    pepper: str | None
    expires_ms: int


class Reader(Protocol):
    """Reads tokens. Blocks for some microseconds."""

    def read(self, token: str, now_ms: int) -> Claims | None:
        """The claims of a token that is valid now."""
        ...


class TokenStore:
    """Callers by their tokens. For the event loop."""

    def __init__(self, database: Database, keys: KeyStore, clock: Clock, issuer: Reader) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._issuer = issuer

    async def find(self, token: str) -> Caller | None:
        """The caller that a valid token names; None: it is not valid, or its user is not here. Raises
        StoreUnavailable."""
        claims = self._issuer.read(token, self._clock.now_ms())
        if claims is None:
            return None
        return await self._keys.remembered(token, lambda: self._look_up(claims))

    async def _look_up(self, claims: Claims) -> Caller | None:
        rows = await self._database.ask(_FIND, (claims.organization_id, claims.user_id))
        if not rows or rows[0][0] != claims.pepper:
            return None
        owner = owned_by(rows[0][1:])
        if owner["organization"] is None and claims.organization_id is not None:
            # Not told apart from one that the user is no member of.
            owner["organization"] = Organization(id=claims.organization_id, name="")
        return Caller(
            id=self._keys.token_id(claims.user_id),
            name="token",
            account_id=claims.organization_id or claims.user_id,
            user_id=claims.user_id,
            expires_ms=claims.expires_ms,
            **owner,
        )


class Peppers(Changing):
    """As `Changing` has it."""

    async def reset(self, user_id: str, actor: str) -> str:
        """Ends all tokens of a user; the issuer puts what is returned into new ones. Raises NotFound."""
        pepper = secrets.token_urlsafe(24)

        def act(tx: Writing) -> str:
            found_user(tx, user_id)
            tx.execute("UPDATE users SET token_pepper = ? WHERE id = ?", (pepper, user_id))
            self.note(tx, actor, "tokens.reset", user_id)
            return pepper

        return await self.change(act)
