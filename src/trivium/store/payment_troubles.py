"""Payments that somebody has to see to, for alerts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from trivium.clock import AHEAD_MS
from trivium.policy.payment_alerts import SILENT_MS, Trouble
from trivium.store.sql import Row

_QUESTION = """
    SELECT 'stray', event, why FROM stray_payments WHERE ours = 1 AND ended_ms IS NULL
    UNION ALL SELECT 'stopped', account_id, problem FROM auto_top_ups WHERE enabled = 0 AND problem IS NOT NULL
    UNION ALL SELECT 'silent', id, 'The card of ' || account_id || ' was charged a while ago.' FROM payments
    WHERE kind = 'auto' AND state = 'pending' AND tried_ms NOT BETWEEN ? AND ?
"""
"""With some ways to pay a bank takes days; those that are charged by themselves are cards."""


async def troubles(read: Callable[[str, Sequence[Any]], Awaitable[list[Row]]], now_ms: int) -> list[Trouble]:
    """Raises StoreUnavailable."""
    return [Trouble(*row) for row in await read(_QUESTION, (now_ms - SILENT_MS, now_ms + AHEAD_MS))]
