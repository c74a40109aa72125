"""Guessed keys: an address that sent many that are none is not looked up for a while (behaviour page, section 3).

A key of 256 bits is not found by guessing; what is kept from harm is the store, which would be asked each time. Keys
that were good lately are looked up all the same (`pipeline/authenticate.py`), so that a guesser behind the same address
locks nobody out who is at work.
"""

from __future__ import annotations

from collections import OrderedDict

from trivium.errors import RateLimited

WINDOW_MS = 60_000
MOST = 30
"""Wrong keys of an address in a window."""
_REMEMBERED = 10_000


class Guesses:
    """Counts wrong keys by address, in memory; the oldest addresses are forgotten where there are too many."""

    def __init__(self, most: int = MOST, what: str = "API keys") -> None:
        self._most = most
        self._what = what
        self._wrong: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """(end of the window, how many) by address."""

    def check(self, address: str, now_ms: int) -> None:
        """Raises RateLimited where an address has guessed too often."""
        until, count = self._counted(address, now_ms)
        if count >= self._most:
            wait_s = max(1, -(-(until - now_ms) // 1000))
            raise RateLimited(
                f"Too many {self._what} that are not valid came from this address. Try again in {wait_s} "
                f"second{'s' if wait_s > 1 else ''}.",
                retry_after=wait_s,
            )

    def wrong(self, address: str, now_ms: int) -> None:
        """Counts a key that was none."""
        until, count = self._counted(address, now_ms)
        self._wrong[address] = (until, count + 1)
        self._wrong.move_to_end(address)
        if len(self._wrong) > _REMEMBERED:
            self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Takes back one that was counted before it was known whether it is right."""
        if (found := self._wrong.get(address)) is not None:
            self._wrong[address] = (found[0], max(0, found[1] - 1))

    def _counted(self, address: str, now_ms: int) -> tuple[int, int]:
        """Of the window that runs. One that ends later than any can was begun before the clock went back."""
        until, count = self._wrong.get(address, (0, 0))
        return (until, count) if now_ms < until <= now_ms + 2 * WINDOW_MS else (now_ms + WINDOW_MS, 0)
