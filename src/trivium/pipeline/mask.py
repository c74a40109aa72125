"""Errors of a stealth model's upstream, as its callers are told of them: what happened, and nothing that says where.

The record keeps the upstream's own words.
"""

from __future__ import annotations

from trivium.errors import (
    ContextExceeded,
    TriviumError,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefusedUs,
    UpstreamTimeout,
)
from trivium.pipeline.settle import Run

_SAID: dict[int, tuple[int, str, str]] = {
    400: (400, "upstream_error", "The model does not take this request."),
    404: (502, "upstream_error", "The model cannot answer at the moment."),
    408: (504, "upstream_timeout", "The model took too long to answer."),
    413: (413, "upstream_error", "The request is too large for the model."),
    422: (400, "upstream_error", "The model does not take this request."),
    429: (429, "rate_limited", "The model has more to do than it can. Try again in a moment."),
    500: (500, "upstream_error", "The model failed to answer. Try again."),
    503: (503, "upstream_unavailable", "The model has more to do than it can. Try again in a moment."),
    504: (504, "upstream_timeout", "The model took too long to answer."),
    529: (503, "upstream_unavailable", "The model has more to do than it can. Try again in a moment."),
}
"""By the upstream's status: the client's, our code, and what to say. Some statuses are as good as a name."""
_REFUSED = (400, "upstream_error", "The model does not take this request.")
_BROKEN = (502, "upstream_error", "The model failed to answer. Try again.")
_RETRYABLE = (429, 503)
_PAUSE = 5
"""Seconds until a client may try again, whatever the upstream says: its figures are as good as a name."""


def told_of(error: TriviumError, run: Run) -> TriviumError:
    """The error for the client's eyes."""
    if run.target is None or not run.target.stealth or not isinstance(error, UpstreamError):
        return error
    status, code, message = _what(error)
    told = UpstreamError(message, retry_after=_PAUSE if status in _RETRYABLE else None)
    told.status, told.code = status, code
    return told


def _what(error: UpstreamError) -> tuple[int, str, str]:
    if isinstance(error, UpstreamRefusedUs):
        return _SAID[503]
    if isinstance(error, UpstreamTimeout):
        return _SAID[504]
    if isinstance(error, UpstreamBroken):
        return 502, UpstreamBroken.code, "The model's answer broke off."
    if isinstance(error, ContextExceeded):  # in our own words already
        return error.status, error.code, error.message
    return _SAID.get(error.status, _REFUSED if 400 <= error.status < 500 else _BROKEN)
