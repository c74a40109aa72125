"""How long a client waits: its header `x-trivium-timeout`, seconds for the whole call."""

from __future__ import annotations

import asyncio

from trivium.errors import FieldInvalid
from trivium.pipeline.call import Call

TIMEOUT = b"x-trivium-timeout"
_LONGEST = 86_400


def deadline_of(call: Call, elapsed_us: int) -> float | None:
    """The moment on the event loop's clock when a call must be over that has taken so long by now; None where its
    client does not say. Raises FieldInvalid."""
    said = call.headers.get(TIMEOUT)
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= _LONGEST:
        raise FieldInvalid(
            f"The header `{TIMEOUT.decode()}` must be a number of seconds, at most {_LONGEST:,}.",
            param=TIMEOUT.decode(),
        )
    return asyncio.get_running_loop().time() + seconds - elapsed_us / 1_000_000
