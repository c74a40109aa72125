"""The HTTP client of the hot path: HTTP/1.1 over pooled asyncio connections, parsed by `httptools`.

    target      URL and headers -> bytes          connection  one socket, one exchange at a time
    pool        the connections to one origin     response    the body, as the reader wants it
    decoding    gzip and deflate                  tls         who may be trusted
    guard       where URLs of users may lead      tunnel      through a proxy
    outbox      writes, in bursts

Why it exists beside a mature library, and what it does not do: docs/decisions/0002-edge-and-upstream-client.md.
"""

from __future__ import annotations

import ssl

from trivium.errors import UpstreamUnreachable
from trivium.upstream.client import UpstreamRequest, UpstreamResponse
from trivium.upstream.connection import StaleConnection
from trivium.upstream.decoding import decoded
from trivium.upstream.guard import Guard
from trivium.upstream.outbox import Outbox
from trivium.upstream.pool import SHUTTING_DOWN, Pool, PoolLimits, Use
from trivium.upstream.target import Origin, parse_url, render_head
from trivium.upstream.tls import client_context, context_of

_MANY = 512
"""Users can name servers without end; from so many on, what is not connected to is forgotten."""


class Http1Client:
    """An `UpstreamClient`. Belongs to the event loop in which it first sends."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        limits: PoolLimits | None = None,
        guard: Guard | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._tls = tls or client_context()
        self._outbox = outbox or Outbox()
        self._guard = guard or Guard()
        self._limits = limits or PoolLimits()
        self._pools: dict[Origin, Pool] = {}
        self._closed = False

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """A connection that had gone stale in the pool is replaced once, by one that was not idle, if it is lost before
        anybody can have begun to answer: the one case in which a request is sent twice.

        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamGarbage, UpstreamBroken, DestinationRefused; ValueError for
        a request that cannot be written as HTTP.
        """
        target = parse_url(request.url, request.guarded, request.network)
        head = render_head(request, target)
        pool = self._pools.get(target.origin) or self._add_pool(target.origin)
        connection = pool.take() or await pool.acquire(request.timeouts.connect)
        response = connection.start(head, request)
        try:
            await response.begin()
        except StaleConnection:
            connection = await pool.acquire(request.timeouts.connect)
            response = connection.start(head, request)
            await response.begin()
        return decoded(response, response.coding)

    def uses(self) -> list[tuple[Origin, Use]]:
        """What there is of connections, by where they lead."""
        return [(origin, pool.use) for origin, pool in self._pools.items()]

    async def close(self) -> None:
        self._closed = True
        for pool in self._pools.values():
            await pool.close()
        self._guard.close()

    def _add_pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise UpstreamUnreachable(SHUTTING_DOWN)
        if origin.guarded and len(self._pools) >= _MANY:
            self._pools = {known: pool for known, pool in self._pools.items() if not (known.guarded and pool.is_unused)}
        tls, guard = context_of(origin.network) or self._tls, self._guard if origin.guarded else None
        pool = self._pools[origin] = Pool(origin, tls, self._limits, self._outbox, guard)
        return pool
