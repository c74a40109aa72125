"""The beginning of an upstream call, as it is kept before the upstream hears of it."""

from __future__ import annotations

import msgspec


class Start(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One upstream call. It ends once: by the record with its id."""

    id: str
    """The request's."""
    time_ms: int
    """Arrival of the request, milliseconds since the epoch."""
    api: str
    key_id: str | None
    account_id: str | None
    """Whose balance pays; None where none does."""
    organization_id: str | None = None
    """For which the call is made."""
    scopes: tuple[str, ...]
    """What budgets may be set for that count this call: `key:...`, `user:...`, `account:...`, ..."""
    payer: str | None
    """As in the record; None for a call that only counts tokens."""
    hold_nano: int
    """The most that it is expected to cost. 0 needs no balance and is not waited for."""
    requested_model: str
    provider: str
    upstream_model: str
    price_version: str | None
    public_model: str | None = None
    """As in the record."""
    stream: bool = False
    """Kept in memory alone, for whoever looks at what is going on."""
