"""Posts a body to a URL that the operator has set, and says whether it was taken. A channel of alerts.

Redirects are not followed, and of an answer only its status counts. What may pass (nobody there, 408, 429, 5xx) is told
apart from what will not.
"""

from __future__ import annotations

from typing import NamedTuple

from trivium.errors import TriviumError
from trivium.upstream.client import Headers, Timeouts, UpstreamClient, UpstreamRequest

_PASSING = frozenset((408, 425, 429))
_MOST_READS = 20


class Problem(NamedTuple):
    """Why something was not taken."""

    why: str
    passing: bool
    """It may be taken if it is sent once more."""


class Webhook:
    def __init__(self, client: UpstreamClient, url: str, headers: Headers, timeout: float) -> None:
        """`timeout`: seconds for each phase."""
        self._client, self._url = client, url
        self._headers = [(b"content-type", b"application/json"), *headers]
        self._timeouts = Timeouts(connect=timeout, first_byte=timeout, idle=timeout)

    async def post(self, body: bytes) -> Problem | None:
        request = UpstreamRequest(url=self._url, headers=self._headers, body=body, timeouts=self._timeouts)
        try:
            response = await self._client.send(request)
        except TriviumError as error:
            return Problem(error.detail or error.message, passing=True)
        try:
            for _ in range(_MOST_READS):  # a whole answer leaves the connection for the next time
                if not await response.read():
                    break
        except TriviumError:
            pass  # the status has been told
        finally:
            response.close()
        if 200 <= response.status < 300:
            return None
        return Problem(f"status {response.status}", response.status >= 500 or response.status in _PASSING)
