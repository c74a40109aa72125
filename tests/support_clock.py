"""Clocks that tests set."""

from __future__ import annotations

from trivium.clock import SystemClock


class Standing:
    """Stands where it is put: as much time has passed as it was put forward by."""

    def __init__(self, ms: int) -> None:
        self.ms = ms
        self.off_ms = 0
        """What somebody has set it by: no more time has passed for that."""

    def now_ms(self) -> int:
        return self.ms + self.off_ms

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000


class Ahead(SystemClock):
    """The system's, set forward: no more time has passed for that."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms
