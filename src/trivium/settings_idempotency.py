"""Settings of calls that carry an idempotency key."""

from __future__ import annotations

from typing import Annotated

import msgspec

_MIB = 1024 * 1024


class IdempotencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[idempotency]`: answers that are kept for calls with an idempotency key (docs/idempotency.md)."""

    hours: Annotated[float, msgspec.Meta(ge=0, le=24)] = 24
    """How long. 0: the header is passed over."""
    max_answer_bytes: Annotated[int, msgspec.Meta(ge=0, le=16 * _MIB)] = 1 * _MIB
    """A longer answer is not kept."""
    max_total_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * _MIB
    """Of all answers; beyond it none is kept until older ones have gone."""
    organizations: bool = False
    """Whether answers to calls that organizations pay for are kept too. Of those with zero data retention none is."""
