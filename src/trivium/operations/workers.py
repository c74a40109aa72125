"""The processes of a running gateway, as an operator is told of them."""

from __future__ import annotations

import msgspec


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One that answers."""

    number: int
    """From 1 on; the first one leads."""
    process: int
    since_ms: int
    """When it was started."""
    lives: int
    """How often it was."""
