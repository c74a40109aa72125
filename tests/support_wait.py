"""Waiting for what nobody tells of."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable


async def until(holds: Callable[[], object], seconds: float = 30) -> None:
    """`holds` says what is waited for, asynchronously or not. How long a busy machine takes is not what tests are
    about. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            told = holds()
            if await told if inspect.isawaitable(told) else told:
                return
            await asyncio.sleep(0.005)
