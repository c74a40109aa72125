"""The seam between the pipeline and whatever HTTP client carries a call upstream.

Errors of any client arrive as `trivium.errors`: `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamGarbage`,
`UpstreamBroken`. A client follows no redirects, keeps no cookies, and sends the headers and the body as given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from trivium.providers.provider import Network

Headers = list[tuple[bytes, bytes]]

RESTED = 1.0
"""Seconds without a call from which on a server may have closed a connection that it kept."""
SOON = 0.2
"""Seconds within which word comes that a connection at rest had been closed before a request was sent on it: it takes
half a round trip."""
AT_ONCE = 0.02
"""The same where the last answer has only just ended: some servers close behind an answer without having said so. What
ends later does so because its server does, which may have begun to work."""

STATUSES = range(200, 600)
"""What answers have (RFC 9110, section 15): a client cannot be told another one."""


def is_stale(rested: float, waited: float) -> bool:
    """Whether a kept connection that ends without an answer had been closed before the request, so that nobody has
    worked on it: by the seconds without a call before it, and those since it was sent."""
    return waited < (SOON if rested >= RESTED else AT_ONCE)


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. A phase that takes longer ends the call with `UpstreamTimeout`."""

    connect: float = 10.0
    """Name lookup, TCP and TLS together; also the wait for a free connection."""
    first_byte: float = 300.0
    """From the request being sent to the response's headers."""
    idle: float = 120.0
    """Between two reads of the body, and between two writes of the request."""


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. `headers` are complete but for `host`, `content-length` and `connection`."""

    method: str = "POST"
    url: str
    """Absolute, http or https, with its query string."""
    headers: Headers = []
    body: bytes = b""
    timeouts: Timeouts = Timeouts()
    guarded: bool = False
    """The URL comes from a user: the address that it leads to is checked, and no other is connected to."""
    network: Network | None = None
    """How the server is connected to, where that is not as all others are."""
    goes_out: Callable[[], None] | None = None
    """Called whenever the request begins to be sent, on a connection that is there."""

    def __repr__(self) -> str:
        """Without headers and body, which hold keys, for a log or a trace."""
        return f"UpstreamRequest({self.method}, {len(self.body)} bytes)"


class UpstreamResponse(Protocol):
    """Status and headers have arrived; the body is read chunk by chunk, as it comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """Names in lower case, in the order of arrival. Those that speak of the body (`content-encoding`,
        `content-length`) speak of it as it was sent, not as `read` gives it."""
        ...

    async def read(self) -> bytes:
        """The next bytes of the body, content-decoded, as soon as any are there; `b""` once it has ended whole.

        Reading is what asks for more: a caller that does not read makes the upstream wait (backpressure).
        Raises UpstreamBroken (cut off), UpstreamTimeout (idle), UpstreamGarbage (bad framing, a limit).
        """
        ...

    def close(self) -> None:
        """Done with the response. Unless the body was read to its end the connection is cut at once, which is how a
        call is cancelled upstream. May be called twice, and from a `finally` during cancellation: it never awaits."""
        ...


class Wrapped:
    """An `UpstreamResponse` in front of another one: what it does not change passes on."""

    _response: UpstreamResponse
    headers: Headers

    @property
    def status(self) -> int:
        return self._response.status

    def close(self) -> None:
        self._response.close()


Take = Callable[[bytes], bool]
"""Is offered a chunk, and says whether it has taken it."""


@runtime_checkable
class Pumping(Protocol):
    """An `UpstreamResponse` that can hand on what comes without waking its reader."""

    async def pump(self, take: Take) -> bytes:
        """As `read`, of what `take` does not take: until then it is offered each chunk the moment that it comes. What
        it raises is raised here."""
        ...


class UpstreamClient(Protocol):
    """Sends requests over pooled connections."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Returns when the response's headers are there. Cancelling the await cuts the connection at once.

        A request goes out once. The exception: a kept connection that ends without a byte of an answer, as it does when
        the upstream had just closed it (`is_stale`); the request is then sent again on another.
        Raises any UpstreamError but UpstreamRefusedUs, DestinationRefused where it is guarded, and ValueError for a
        request that is no HTTP (line breaks in headers or URL, a header that is the client's to set).
        """
        ...

    async def close(self) -> None:
        """Closes every connection."""
        ...
