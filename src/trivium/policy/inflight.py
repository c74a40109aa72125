"""The global budget of bytes in memory: one client with large bodies cannot take what the others need."""

from __future__ import annotations

from trivium.errors import Overloaded


class InFlight:
    """Counts bytes and calls against limits. One per process; callers release what they took, once."""

    def __init__(self, max_bytes: int, max_calls: int) -> None:
        self._max_bytes = max_bytes
        self._max_calls = max_calls
        self.bytes = 0
        self.calls = 0

    def allow(self, max_bytes: int, max_calls: int) -> None:
        """Other limits from now on; what is taken stays taken."""
        self._max_bytes = max_bytes
        self._max_calls = max_calls

    def enter(self) -> None:
        """Counts a call. Raises Overloaded, in which case nothing is counted."""
        if self.calls >= self._max_calls:
            raise Overloaded("Too many calls are in progress. Try again in a moment.", detail="max_calls")
        self.calls += 1

    def leave(self) -> None:
        self.calls -= 1

    def check(self, size: int) -> None:
        """Raises Overloaded where `size` further bytes would not fit now; takes nothing."""
        if self.bytes + size > self._max_bytes:
            raise Overloaded(
                "The gateway holds as many bytes as it may. Try again in a moment.", detail="max_in_flight_bytes"
            )

    def take(self, size: int) -> None:
        """Takes `size` bytes; negative gives back. Raises Overloaded."""
        if size > 0:
            self.check(size)
        self.bytes += size
