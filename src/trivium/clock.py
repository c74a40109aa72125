"""Time as a value that can be passed in: wall clock for records, monotonic for durations."""

from __future__ import annotations

import re
import time
from typing import Protocol

_AGE = re.compile(r"(\d{1,6})([mhd])")
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary origin; never goes back."""
        ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    monotonic_ns = staticmethod(time.perf_counter_ns)


def age_ms(text: str) -> int:
    """An age such as `90m`, `24h` or `7d` in milliseconds. Raises ValueError."""
    age = _AGE.fullmatch(text)
    if age is None:
        raise ValueError(f"{text!r} is no age like 90m, 24h or 7d")
    return int(age[1]) * _UNITS_MS[age[2]]
