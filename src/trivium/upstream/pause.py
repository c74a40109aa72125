"""How long a server asks to be left alone: `retry-after` in seconds or as a date (RFC 9110, section 10.2.3), or
`retry-after-ms`, which OpenAI and Azure send beside it and which is the more exact one; else as its error says."""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime

from trivium.canon.events import Fault
from trivium.upstream.client import Headers

_LONGEST = 20
"""Characters of a number; a longer one says nothing."""


def pause_s(headers: Headers, now_ms: int, fault: Fault | None = None) -> int | None:
    """Whole seconds, rounded up; None where the server does not say, or nothing that can be read. `now_ms` is the time
    of day, for dates."""
    told = dict(headers)
    for name, of_second in ((b"retry-after-ms", 1000), (b"retry-after", 1)):
        said = told.get(name, b"").strip()
        if said.replace(b".", b"", 1).isdigit() and len(said) <= _LONGEST:
            return math.ceil(float(said) / of_second)
    until = _until(told.get(b"retry-after", b""), now_ms)
    return fault.pause_s if until is None and fault is not None else until


def _until(date: bytes, now_ms: int) -> int | None:
    try:
        moment = parsedate_to_datetime(date[:100].decode("latin-1"))
        if moment.tzinfo is None:  # C's asctime, and `-0000`, which have no zone: HTTP's is Greenwich's
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, math.ceil(seconds - now_ms / 1000))
