"""What runs beside the calls for as long as the gateway does, and what is taken in there of other gateways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from trivium.errors import StoreUnavailable

_LOG = logging.getLogger("trivium.gateway")
_FOLLOWED = 0.5
"""Seconds between two looks at what other gateways of the same database were told: half of the second that is
promised, as the looks themselves take their part."""


async def watched(what: str, running: Coroutine[Any, Any, None]) -> None:
    """Awaits it. Where it fails, that is said: nobody else would hear of it before the gateway ends."""
    try:
        await running
    except Exception:
        _LOG.exception("%s has ended", what)


class Following:
    """Looks again and again at what other gateways of the same database were told, each kind by itself: one that this
    gateway cannot read, as a newer version wrote it, keeps it from no other. That is said once, for as long as it is
    the same."""

    def __init__(self, looks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self._looks = looks
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Ends by being cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_FOLLOWED)

    async def look(self) -> None:
        """Once. Where the store cannot be asked, which is said elsewhere, this is for another time."""
        for what, look in self._looks.items():
            try:
                await look()
            except StoreUnavailable:
                return
            except Exception as error:
                if self._said.get(what) != repr(error):
                    _LOG.exception("%s stay as they were: what another gateway was told cannot be read", what)
                self._said[what] = repr(error)
            else:
                self._said.pop(what, None)
