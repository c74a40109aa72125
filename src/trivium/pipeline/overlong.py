"""The error of a request that is longer than the model's context, in numbers: the upstream's, else what is known of the
model and an estimate of the request."""

from __future__ import annotations

from trivium.errors import ContextExceeded
from trivium.pipeline.settle import Run
from trivium.wire.overlong import Overlong, told


def too_long(found: Overlong, run: Run, *, detail: str) -> ContextExceeded:
    """What the client is told. Of a stealth model the upstream's own figures are not: they would tell whose tokenizer
    it has."""
    target = run.target
    secret = target is not None and target.stealth
    if secret:
        found = Overlong()
    about = found.asked is None
    asked = run.about_tokens() if about else found.asked
    found = Overlong(asked, found.limit or run.context_limit(), None if about else found.more)
    message = told(run.call.api.shape, target.public if target is not None else "", found, about=about)
    return ContextExceeded(message, detail=detail)
