"""What single providers get wrong on the wire, mended by name. Each mending says what it mends, and where it was seen."""

from __future__ import annotations

from collections.abc import Callable

from trivium.canon.api import Api

Mend = Callable[[bytes], bytes]


def mending(quirks: frozenset[str], api: Api) -> Mend | None:
    """A fresh mender for one stream's events; None where there is nothing to mend."""
    return None
