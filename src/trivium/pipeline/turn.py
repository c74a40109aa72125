"""Calls that are under way together go in step: each does a part of its work, then the others do theirs.

What a part of the pipeline needs, its code and what it reads, is then in the processor's nearest caches for all calls
but the first. A call that went its whole way alone would find nothing there, since the next part has just driven out
this one's. Many calls at once take a fifth less time for it (docs/decisions/0028-calls-go-in-step.md).

A call that has little company gains nothing, and goes on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

COMPANY = 8
"""Calls; with fewer it takes as long to change from one to the next as the caches save."""

_LATER: tuple[None, ...] = (None,)
_AT_ONCE: tuple[None, ...] = ()


class Bursts(Protocol):
    """What tells how many calls are under way together."""

    burst: int
    """Writes to clients and upstreams that went out together last."""


class Turn:
    """`await turn` stands between the parts of a call's work, which are some ten microseconds each. It is where a call
    may be cancelled, as at any other `await`."""

    __slots__ = ("_bursts",)

    def __init__(self, bursts: Bursts) -> None:
        self._bursts = bursts

    def __await__(self) -> Generator[None, None, None]:
        """What comes out of it a task takes for: later, when the others have had their turn. The iterator of a tuple
        needs no frame."""
        return iter(_LATER if self._bursts.burst >= COMPANY else _AT_ONCE)  # type: ignore[return-value]
