"""The connections to one origin: a stack of idle ones (the warmest is used first, the rest expire), a limit on all.

At the limit callers queue, first come first served: what becomes free, a connection or only a slot to open one in, is
handed to the head of the queue and not to whoever happens to ask next.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import aiohappyeyeballs
import msgspec

from trivium.errors import UpstreamTimeout, UpstreamUnreachable
from trivium.upstream.connection import Connection
from trivium.upstream.guard import AddrInfo, Guard
from trivium.upstream.outbox import Outbox
from trivium.upstream.target import Origin
from trivium.upstream.tunnel import tunnel

SHUTTING_DOWN = "The gateway is shutting down."
_SECOND_ADDRESS_AFTER = 0.25
"""Seconds until the next address of a name is tried beside the first (RFC 8305, section 5)."""


class PoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Per origin."""

    connections: int = 10_000
    idle: int = 256
    """More than this many are not kept."""
    idle_seconds: float = 30.0
    """Below the idle limit of common servers, so that it is mostly us who close."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool has at the moment."""

    active: int
    """Connections that carry a call, or are being opened for one."""
    idle: int
    waiting: int
    """Calls without one."""


class Pool:
    """An `Owner` of connections."""

    def __init__(
        self,
        origin: Origin,
        tls: ssl.SSLContext | None,
        limits: PoolLimits,
        outbox: Outbox,
        guard: Guard | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox = outbox
        self._origin = origin
        self._proxy = origin.proxy
        self._tls = tls if origin.secure else None
        self._limits = limits
        self._guard = guard
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._slots = limits.connections
        """Connections that may still be opened."""
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False

    @property
    def is_unused(self) -> bool:
        """No connection is open, none is being opened, and nobody waits for one."""
        return self._slots == self._limits.connections and not self._queue

    @property
    def use(self) -> Use:
        idle = len(self._idle)
        waiting = sum(not waiter.done() for waiter in self._queue)
        return Use(active=self._limits.connections - self._slots - idle, idle=idle, waiting=waiting)

    def take(self) -> Connection | None:
        """An idle connection, without waiting for one."""
        return self._idle.pop() if self._idle else None

    async def acquire(self, within: float) -> Connection:
        """A connection that has not been idle: a new one, or one handed on, `within` as many seconds.

        Raises DestinationRefused, UpstreamTimeout, and UpstreamUnreachable for whatever else keeps us from it.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    connection = await self._obtain()
                    if not connection.closed:
                        return connection
        except TimeoutError as error:
            raise UpstreamTimeout("The upstream took too long to connect to.", detail=self._name()) from error
        except OSError as error:
            raise UpstreamUnreachable("The upstream cannot be reached.", detail=f"{self._name()}: {error!r}") from error

    async def close(self) -> None:
        self._closed = True
        for waiter in self._queue:
            if not waiter.done():
                waiter.set_exception(UpstreamUnreachable(SHUTTING_DOWN))
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.lost

    # What connections tell their owner

    def release(self, connection: Connection) -> None:
        connection.expect(self._limits.idle_seconds)
        if self._hand_on(connection):
            return
        if len(self._idle) < self._limits.idle:
            self._idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: Connection) -> None:
        if connection in self._open:  # or else `_connect` still holds the slot
            self._open.remove(connection)
            with suppress(ValueError):
                self._idle.remove(connection)
            self._free_slot()

    # Inside

    async def _obtain(self) -> Connection:
        if self._closed:
            raise UpstreamUnreachable(SHUTTING_DOWN)
        if not self._slots and self._idle:
            self._idle[0].abort()  # makes room
        if self._slots:
            self._slots -= 1
            return await self._connect()
        return await self._wait() or await self._connect()

    async def _wait(self) -> Connection | None:
        """The connection, or else the slot, that is our turn to have."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._queue.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._return(waiter.result())
            else:
                with suppress(ValueError):  # whose turn it was has been passed over already
                    self._queue.remove(waiter)
            raise

    def _return(self, turn: Connection | None) -> None:
        if turn is None:
            self._free_slot()
        elif not turn.closed:
            self.release(turn)

    def _hand_on(self, turn: Connection | None) -> bool:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(turn)
                return True
        return False

    def _free_slot(self) -> None:
        if not self._hand_on(None):
            self._slots += 1

    async def _connect(self) -> Connection:
        """Fills a slot that is ours; gives it back if it cannot."""
        try:
            connection = await self._dial()
            if self._closed:
                connection.abort()
            if connection.closed:
                raise ConnectionResetError("closed as soon as it was open")
        except BaseException:
            self._free_slot()
            raise
        self._open.add(connection)
        return connection

    async def _dial(self) -> Connection:
        host = self._origin.host
        sock = await aiohappyeyeballs.start_connection(
            await self._addresses(), happy_eyeballs_delay=_SECOND_ADDRESS_AFTER
        )
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._proxy is not None and self._origin.secure:
            await tunnel(self._loop, sock, self._origin, self._proxy)
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._loop, self, self._outbox),
            sock=sock,
            ssl=self._tls,
            server_hostname=host if self._tls else None,
        )
        return connection

    async def _addresses(self) -> Sequence[AddrInfo]:
        if self._guard is not None:
            return await self._guard.addresses(self._origin)
        to = self._proxy or self._origin
        return await self._loop.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)

    def _name(self) -> str:
        return f"{self._origin.host}:{self._origin.port}"
