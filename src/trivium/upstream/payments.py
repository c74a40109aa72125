"""The seam between Trivium and whoever takes people's money: a page to pay on, a saved card to charge, what is told.

A processor never sees a card of ours, nor we one of its: people type cards on its pages. What it answers is an opinion;
what it tells by webhook, signed, is what is booked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from trivium.errors import RequestError
from trivium.policy.payments import Event


class SignatureInvalid(RequestError):
    """A webhook that no secret of ours has signed, or not in the last minutes."""

    code = "signature_invalid"


class SettingUnfit(ValueError):
    """What a processor cannot be made of."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that somebody wants to make, or that is to be made for an account. Amounts are cents of a USD."""

    payment: str
    """Ours. The processor does nothing twice under one."""
    account: str
    cents: int
    """Credits."""
    fee_cents: int = 0
    customer: str | None = None
    """As the processor knows the account, if it does."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody pays."""

    session: str
    url: str


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """What a processor answers when a saved card is charged."""

    outcome: Literal["taken", "declined", "refused", "unknown"]
    """`declined`: the card's own. `refused`: we asked for something wrong, or may not ask. `unknown`: it may have been
    charged; asking again under the same payment finds out."""
    intent: str | None = None
    problem: str | None = None


class Processor(Protocol):
    name: str

    async def begin(self, wanted: Wanted, done_url: str, left_url: str, *, save: bool) -> Page:
        """Makes a page; `save`: the card may be charged later. Whoever has paid comes back to the one address, whoever
        has not to the other. Raises OperationError."""
        ...

    async def charge(self, wanted: Wanted, method: str) -> Charged:
        """Charges a saved card whose owner is not there. Raises nothing."""
        ...

    async def describe(self, method: str) -> str:
        """A saved card in words, as `visa 4242`. Raises OperationError."""
        ...

    async def forget(self, method: str) -> None:
        """Removes a saved card. One that is not there is removed. Raises OperationError."""
        ...

    def read(self, content: bytes, headers: Mapping[bytes, bytes], now_ms: int) -> Event | None:
        """What a webhook tells; None for what is of no concern. Raises SignatureInvalid before anything of the content
        is believed, FieldInvalid for what is signed and not understood."""
        ...
