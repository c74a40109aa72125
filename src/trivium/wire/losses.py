"""What could not be said: each thing that does not reach the other side is a value, never a silence."""

from __future__ import annotations

import msgspec


class Loss(msgspec.Struct, frozen=True):
    """`field` is a JSON path in the request or answer that said it; `why` is for people."""

    field: str
    why: str
