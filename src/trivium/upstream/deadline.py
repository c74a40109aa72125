"""An exchange that has to be over at a moment which its client has set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from trivium.errors import UpstreamTimeout
from trivium.upstream.client import UpstreamResponse, Wrapped

_HEADER = "x-trivium-timeout"
_LATE = f"The call took longer than the client's own limit (`{_HEADER}`)."


class DueResponse(Wrapped):
    """An `UpstreamResponse` whose body is there in time or not at all."""

    def __init__(self, response: UpstreamResponse, deadline: float) -> None:
        """`deadline` is on the event loop's clock."""
        self._response = response
        self._deadline = deadline
        self.headers = response.headers

    async def read(self) -> bytes:
        async with until(self._deadline):
            return await self._response.read()


async def due(sending: Awaitable[UpstreamResponse], deadline: float) -> UpstreamResponse:
    """The response if its headers are there in time. Raises UpstreamTimeout."""
    async with until(deadline):
        return DueResponse(await sending, deadline)


@asynccontextmanager
async def until(deadline: float | None) -> AsyncIterator[None]:
    """What is done inside is over by then. Raises UpstreamTimeout."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise UpstreamTimeout(_LATE, param=_HEADER) from None
