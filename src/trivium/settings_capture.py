"""Settings of bodies that are kept for keys whose calls are captured."""

from __future__ import annotations

from typing import Annotated

import msgspec

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3


class CaptureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[capture]`: bodies of calls with keys that are switched on for it (docs/capture.md)."""

    enabled: bool = False
    """Whether any are kept at all, whatever keys say."""
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7
    """How long."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=_KIB, le=4 * _MIB)] = 256 * _KIB
    """Of each body, after media and secrets were taken out; the rest is cut, which is said."""
    max_memory_bytes: Annotated[int, msgspec.Meta(ge=_MIB)] = 64 * _MIB
    """Of all bodies that are not written yet; beyond it bodies are lost, calls are not."""
    max_total_bytes: Annotated[int, msgspec.Meta(ge=_MIB)] = 1 * _GIB
    """Of all that are stored; beyond it the oldest go."""
    media: bool = False
    """Whether images and the like stay as they are; by default a size and a hash stand in their place."""
    hide: list[Annotated[str, msgspec.Meta(min_length=3, max_length=500)]] = []
    """Regular expressions of what is secret here beside what is known to be."""
