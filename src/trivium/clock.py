"""Time as a value that can be passed in: wall clock for records, monotonic for durations."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime
from typing import Protocol

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LAST_MS = 253_402_300_799_999
"""The end of the year 9999, beyond which no date can be written."""
AHEAD_MS = HOUR_MS
"""No two clocks differ by so much: what is stamped further ahead of now was stamped by one that was wrong, and nobody
knows how long ago. Whoever waits for such a moment would wait for as long as that clock was ahead."""
_AGE = re.compile(r"(\d{1,6})([mhd])")
_UNITS_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


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


class Believed:
    """A clock as far as it can be believed by whoever takes something away for good: set forward, it is only once it
    has been so for an hour."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now_ms(), clock.monotonic_ns()
        self._ahead_ns: int | None = None
        """Since when it has been ahead of the time that has passed."""

    def now_ms(self) -> int:
        now, monotonic = self._clock.now_ms(), self._clock.monotonic_ns()
        passed = self._began[0] + (monotonic - self._began[1]) // 1_000_000
        if now <= passed:
            self._ahead_ns = None
        elif self._ahead_ns is None:
            self._ahead_ns = monotonic
        elif monotonic - self._ahead_ns >= HOUR_MS * 1_000_000:
            self._began, self._ahead_ns, passed = (now, monotonic), None, now
        return min(now, passed)


def age_ms(text: str) -> int:
    """An age such as `90m`, `24h` or `7d` in milliseconds. Raises ValueError."""
    age = _AGE.fullmatch(text)
    if age is None:
        raise ValueError(f"{text!r} is no age like 90m, 24h or 7d")
    return int(age[1]) * _UNITS_MS[age[2]]


def rfc3339(seconds: float) -> str:
    """A second since the epoch as APIs write it: `2026-12-01T00:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dated(milliseconds: float, form: str) -> str:
    """A moment in UTC, by `strftime`; the number itself where it lies beyond all dates, as strangers may put there."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)


def dated_ms(text: str, form: str) -> int:
    """What `dated` writes, read again. Raises ValueError."""
    return round(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp() * 1000)


def moment_ms(text: str, *, end_of_day: bool = False) -> int:
    """A date or a moment (ISO 8601; UTC without a zone) in milliseconds since the epoch. A date is its beginning or its
    last millisecond. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    begins = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return begins + DAY_MS - 1 if end_of_day and _is_date(text) else begins


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
