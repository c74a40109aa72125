"""How a call came to the route that answered it, for its record: JSON in the column `routing`."""

from __future__ import annotations

import msgspec

from trivium.errors import OwnKeyRefused, TriviumError, UpstreamError, UpstreamTimeout

_LONGEST_REASON = 200
_PASSING = (408, 409, 429)


class Tried(msgspec.Struct, frozen=True, omit_defaults=True):
    """A route that failed."""

    route: str
    status: int
    """The upstream's, else what it would have been to the client."""
    code: str
    why: str
    ms: int
    own: bool = False
    """With the caller's own key."""


class Journey(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one call; of most there is nothing to say."""

    why: str | None = None
    """Why the route that answered, or was tried last, was taken."""
    tried: tuple[Tried, ...] = ()
    """Those that failed before it."""
    refused: tuple[tuple[str, str], ...] = ()
    """Routes that the call could not take, and why."""
    rested: tuple[tuple[str, str], ...] = ()
    """Routes that came behind all others, since they rested when the call began."""

    def failed(self, route: str, status: int, error: TriviumError, ms: int, own: bool) -> Journey:
        why = (error.detail or error.message)[:_LONGEST_REASON]
        one = Tried(route, status, error.code, why, ms, own)
        return msgspec.structs.replace(self, tried=(*self.tried, one))


STRAIGHT = Journey()
"""There was no choice."""


def fails_over(error: TriviumError) -> bool:
    """Whether another route may do better (behaviour page, section 7): the upstream was not there, had too much to do,
    failed, or refused the house; not where it refused the request, or the caller's own key."""
    if not isinstance(error, UpstreamError) or isinstance(error, OwnKeyRefused) or is_clients_own(error):
        return False
    return is_failure(error.status)


def is_clients_own(error: TriviumError) -> bool:
    """Whether the call ended since its client would wait no longer, of which no route is to blame."""
    return isinstance(error, UpstreamTimeout) and error.param is not None


def is_failure(status: int) -> bool:
    """Whether an upstream's status says that it was not able to answer, rather than what is wrong with the request."""
    return status in _PASSING or status >= 500
