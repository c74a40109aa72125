"""Looks up the hosts of URLs that users supplied, and gives out only addresses that may be connected to.

A name is looked up once for each connection, every address that it has is checked, and the connection goes to what was
checked: a name that leads elsewhere a moment later (DNS rebinding) leads nowhere. A name with good and bad addresses is
refused whole. Names of strangers are looked up by threads of their own, so that a name server which does not answer
keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trivium.errors import DestinationRefused, UpstreamUnreachable
from trivium.policy.addresses import Address
from trivium.policy.destinations import Destinations, fault_of, fault_of_mail, literal, refusal
from trivium.upstream.target import Origin

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` gives it."""
Resolve = Callable[[str, int], Awaitable[Sequence[AddrInfo]]]
"""Name and port to addresses. Raises OSError."""

_AT_ONCE = 16
_REFUSED = (
    "This model's server is at an address that the gateway does not connect to. Whoever set its URL can mend it: "
    "the host must exist, and have public addresses only."
)
"""The same whether a name is unknown or leads into the house: who asks must not learn which."""


class Guard:
    """Belongs to the event loop in which it is first asked."""

    def __init__(self, rules: Destinations | None = None, resolve: Resolve | None = None) -> None:
        self._rules = rules or Destinations()
        self._resolve = resolve or self._look_up
        self._threads: ThreadPoolExecutor | None = None

    async def addresses(self, origin: Origin) -> list[AddrInfo]:
        """Where to connect to. Raises DestinationRefused; UpstreamUnreachable where no name server answers."""
        self.check(origin)
        return await self._addresses(origin.host, origin.port)

    async def mail(self, host: str, port: int) -> list[AddrInfo]:
        """The same of a mail server."""
        if fault := fault_of_mail(host, port, self._rules):
            raise _refused(host, fault)
        return await self._addresses(host, port)

    async def _addresses(self, host: str, port: int) -> list[AddrInfo]:
        address = literal(host)
        if address is not None:
            return [_info(address, port)]
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                raise UpstreamUnreachable("The upstream cannot be reached.", detail=f"{host}: {error!r}") from error
            raise _refused(host, "no such name") from error
        if not found:
            raise _refused(host, "no address")
        return [_info(self._checked(host, info[4]), port) for info in found]

    def check(self, origin: Origin) -> None:
        """What can be said without a look-up. Raises DestinationRefused."""
        if fault := fault_of(origin.secure, origin.host, origin.port, self._rules):
            raise _refused(origin.host, fault)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _checked(self, host: str, place: tuple[Any, ...]) -> Address:
        try:
            address = ipaddress.ip_address(place[0])
        except ValueError:
            raise _refused(host, "no address") from None
        kind = "link-local" if len(place) == 4 and place[3] else refusal(address, self._rules)
        if kind:
            raise _refused(host, kind)
        return address

    async def _look_up(self, host: str, port: int) -> Sequence[AddrInfo]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="guarded-names")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )


def _info(address: Address, port: int) -> AddrInfo:
    if address.version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0)


def _refused(host: str, why: str) -> DestinationRefused:
    """The reason is for the record, and is no address there either."""
    return DestinationRefused(_REFUSED, detail=f"{host}: {why}")
