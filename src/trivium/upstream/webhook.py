"""Posts a body to a URL that an operator has set, and says whether it was taken. A channel of alerts.

Redirects are not followed. Of an answer its status counts; how it begins is told, for that is where services say what
is wrong. What may pass (nobody there, 408, 429, 5xx) is told apart from what will not.
"""

from __future__ import annotations

from typing import NamedTuple

from trivium.errors import DestinationRefused, TriviumError
from trivium.upstream.client import Headers, Timeouts, UpstreamClient, UpstreamRequest, UpstreamResponse

_PASSING = frozenset((408, 425, 429))
_MOST_READS = 20
LONGEST = 200
"""Characters of an answer that are told."""


class Problem(NamedTuple):
    """Why something was not taken."""

    why: str
    passing: bool
    """It may be taken if it is sent once more."""


class Taken(NamedTuple):
    """It was."""

    said: str = ""
    """What the other side said to it."""
    lacks: str | None = None
    """Who did not get it for all that, and why."""


class Webhook:
    def __init__(
        self, client: UpstreamClient, url: str, headers: Headers, timeout: float, *, guarded: bool = False
    ) -> None:
        """`timeout`: seconds for each phase; `guarded`: as `UpstreamRequest` has it."""
        self._client, self._url, self._guarded = client, url, guarded
        self._headers = [(b"content-type", b"application/json"), *headers]
        self._timeouts = Timeouts(connect=timeout, first_byte=timeout, idle=timeout)

    async def post(self, body: bytes) -> Problem | Taken:
        request = UpstreamRequest(
            url=self._url, headers=self._headers, body=body, timeouts=self._timeouts, guarded=self._guarded
        )
        try:
            response = await self._client.send(request)
        except DestinationRefused as error:
            return Problem(f"the gateway does not connect to it: {error.detail}", passing=False)
        except TriviumError as error:
            return Problem(error.detail or error.message, passing=True)
        said = f"status {response.status}"
        if text := await _beginning(response):
            said = f"{said}: {text}"
        if 200 <= response.status < 300:
            return Taken(said)
        return Problem(said, response.status >= 500 or response.status in _PASSING)


async def _beginning(response: UpstreamResponse) -> str:
    """Of the answer, on one line; a whole answer leaves the connection for the next time."""
    begins = b""
    try:
        for _ in range(_MOST_READS):
            part = await response.read()
            if not part:
                break
            begins = (begins + part)[: 4 * LONGEST]
    except TriviumError:
        pass  # the status has been told
    finally:
        response.close()
    return one_line(begins)


def one_line(said: bytes) -> str:
    """What another side said, as it can be shown."""
    text = " ".join(said.decode("utf-8", "replace").split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:LONGEST]
