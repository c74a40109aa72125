"""Who asks: a credential of an operator, as `Authorization: Bearer tva-...`. An API key is none.

Whatever is no live credential gets the same answer, byte by byte. An address that sends many is not listened to for a
while, but for credentials that were good before, so that a guesser behind the same address locks no operator out.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from trivium.clock import Clock
from trivium.errors import CredentialInvalid
from trivium.ids import ADMIN_PREFIX
from trivium.operations.table import Actor
from trivium.policy.addresses import subscriber
from trivium.policy.guesses import Guesses
from trivium.store.admins import Admins

_INVALID = (
    "The admin credential is not valid. Send one as `Authorization: Bearer tva-...`; `trivium admins create` makes one."
)
_REMEMBERED = 1_000


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, with the text of the credential, which seals what is kept for the same caller."""

    actor: Actor
    credential: str


class Credentials:
    """Mutable: counts guesses and remembers which credentials were good, by their keyed hashes."""

    def __init__(self, admins: Admins, clock: Clock) -> None:
        self._admins = admins
        self._clock = clock
        self.guesses = Guesses(what="admin credentials")
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def authenticate(self, authorization: bytes | None, client_ip: str | None) -> Asking:
        """Raises CredentialInvalid, RateLimited, StoreUnavailable."""
        text = _bearer(authorization)
        if text is None:
            raise CredentialInvalid(_INVALID)
        digest, address, now_ms = self._admins.digest(text), subscriber(client_ip), self._clock.now_ms()
        if digest not in self._good:
            self.guesses.check(address, now_ms)
        found = await self._admins.find(text) if text.startswith(ADMIN_PREFIX) else None
        if found is None:
            self.guesses.wrong(address, now_ms)
            self._good.pop(digest, None)
            raise CredentialInvalid(_INVALID)
        self._remember(digest)
        if found.user_id is None:
            return Asking(actor=Actor(id=found.id, house=True), credential=text)
        roles, invited = await self._admins.roles(found.user_id)
        actor = Actor(id=found.id, user_id=found.user_id, roles=roles, invited=invited)
        return Asking(actor=actor, credential=text)

    def _remember(self, digest: bytes) -> None:
        self._good[digest] = None
        self._good.move_to_end(digest)
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)


def _bearer(authorization: bytes | None) -> str | None:
    scheme, _, token = (authorization or b"").strip().partition(b" ")
    return token.strip().decode("latin-1") or None if scheme.lower() == b"bearer" else None
