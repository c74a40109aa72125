"""The client of `http1`, to a server of ours that listens on a Unix socket."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from trivium.upstream.connection import Connection
from trivium.upstream.http1 import Http1Client
from trivium.upstream.outbox import Outbox
from trivium.upstream.pool import Pool, PoolLimits
from trivium.upstream.target import Origin

Place = Callable[[], AbstractContextManager[Path]]
"""The socket's path, for as long as it takes to connect to it."""


class UnixClient(Http1Client):
    """Whatever host a URL names, it is this socket that is connected to."""

    def __init__(self, place: Place, limits: PoolLimits | None = None) -> None:
        super().__init__(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), limits=limits)
        self._place = place

    def _add_pool(self, origin: Origin) -> Pool:
        pool = self._pools[origin] = _UnixPool(origin, self._limits, self._outbox, self._place)
        return pool


class _UnixPool(Pool):
    def __init__(self, origin: Origin, limits: PoolLimits, outbox: Outbox, place: Place) -> None:
        super().__init__(origin, None, limits, outbox)
        self._place = place

    async def _dial(self) -> Connection:
        with self._place() as path:
            _, connection = await self._loop.create_unix_connection(
                lambda: Connection(self._loop, self, self._outbox), str(path)
            )
        return connection
