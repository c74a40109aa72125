"""Counters with a limit: of the last minute, hour or day, and of what is going on at once. Pure, in memory.

A window is cut into slices. What counts is the slice that runs and as many before it as the window has, so that in no
stretch of a window's length more than the limit passes; the price is that a slice more is remembered than need be (65
seconds instead of 60). A take is all or nothing: where one claim has no room, none is counted.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import msgspec

SLICES = 12
"""Of a window: 5 seconds of a minute, 5 minutes of an hour, 2 hours of a day."""
MOST_KEYS = 100_000
"""Windows, at 0.6 KB; beyond it those are forgotten that were asked for longest ago, of the length that has the most:
who calls from ever new addresses pushes out what is counted of addresses by the hour, and no limits by the minute."""


class Claim(msgspec.Struct, frozen=True):
    """What a request would count of a limit. The keys of the claims that are taken together differ."""

    key: str
    limit: int
    amount: int = 1
    """0: nothing is counted or held, it is only asked whether there is room for 1."""
    window_s: int = 60
    """A multiple of `SLICES`. 0: not by time, but at once: 1 is held until its holder leaves."""

    def asked(self) -> Claim:
        """Whether there is room for as much, of which nothing is counted."""
        return Claim(self.key, self.limit + 1 - max(1, self.amount), 0, self.window_s)


class Denial(msgspec.Struct, frozen=True):
    """There was no room."""

    claim: Claim
    used: int
    retry_after: int
    """Seconds, at least 1: when there is room again if nobody else takes it."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """How a counter stands after a take."""

    used: int
    resets_ms: int
    """Until nothing of it counts any more. 0: nothing does."""


class Taken(msgspec.Struct, frozen=True):
    """What came of a take."""

    denial: Denial | None
    uses: tuple[Use, ...]
    """In the order of the claims."""


class _Window:
    __slots__ = ("gone_ms", "last", "next_ms", "place", "ring", "slice_ms", "total")

    def __init__(self, window_s: int) -> None:
        self.slice_ms = window_s * 1000 // SLICES
        self.ring = [0] * (SLICES + 1)
        self.total = 0
        self._begin(0)

    def advance(self, now_ms: int) -> None:
        """Forgets what is too old; to be called once `next_ms` has come. A clock that goes back changes nothing."""
        now = now_ms // self.slice_ms
        if now - self.last > SLICES:
            self.ring = [0] * (SLICES + 1)
            self.total = 0
        else:
            for number in range(self.last + 1, now + 1):
                place = number % (SLICES + 1)
                self.total -= self.ring[place]
                self.ring[place] = 0
        self._begin(now)

    def _begin(self, number: int) -> None:
        self.last = number
        """The newest slice, by its number since the clock's origin."""
        self.place = number % (SLICES + 1)
        """Its place in the ring."""
        self.next_ms = (number + 1) * self.slice_ms
        self.gone_ms = (number + SLICES + 1) * self.slice_ms
        """When it counts no more."""

    def correct(self, amount: int, time_ms: int) -> None:
        """Adds to the slice of a moment, if it still counts. Who corrects knows only to some milliseconds when it was
        counted: what that slice does not have is taken from those beside it, and what these do not have from none."""
        oldest, number = self.last - SLICES, min(time_ms // self.slice_ms, self.last)
        if number < oldest:
            return
        for beside in (number, number - 1, number + 1):
            if oldest <= beside <= self.last:
                place = beside % (SLICES + 1)
                part = max(amount, -self.ring[place])
                self.ring[place] += part
                self.total += part
                if not (amount := amount - part):
                    return

    def used(self, now_ms: int) -> int:
        """What counts, without forgetting anything."""
        if now_ms < self.next_ms:
            return self.total
        now = now_ms // self.slice_ms
        if now - self.last > SLICES:
            return 0
        return self.total - sum(self.ring[number % (SLICES + 1)] for number in range(self.last + 1, now + 1))

    def freed_ms(self, excess: int, now_ms: int) -> int:
        """How long until so much of what was counted counts no more."""
        for number in range(self.last - SLICES, self.last):
            excess -= self.ring[number % (SLICES + 1)]
            if excess <= 0:
                return (number + SLICES + 1) * self.slice_ms - now_ms
        return self.gone_ms - now_ms

    def resets_ms(self, now_ms: int) -> int:
        """How long until nothing of what was counted counts any more."""
        for number in range(self.last, self.last - SLICES - 1, -1):
            if self.ring[number % (SLICES + 1)]:
                return (number + SLICES + 1) * self.slice_ms - now_ms
        return 0


Kept = list[tuple[int, list[str], list[_Window]]]
"""Counters by the length of their window in seconds, and their keys."""


def standing(kept: Kept, prefix: str, now_ms: int) -> list[tuple[str, int, int]]:
    """(key, length of the window in seconds, what counts) of those with such keys of which anything counts. May run in
    another thread than what counts: it looks at numbers, and changes none."""
    return [
        (key, window_s, used)
        for window_s, keys, windows in kept
        for key, window in zip(keys, windows, strict=True)
        if key.startswith(prefix) and (used := window.used(now_ms))
    ]


class Windows:
    """All counters of a process. Times are milliseconds of a clock that does not go back."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._most_keys = most_keys
        self._windows: defaultdict[int, OrderedDict[str, _Window]] = defaultdict(OrderedDict)
        """By the length of the window in seconds; what was asked for last is at the end."""
        self._held: dict[str, set[str]] = {}
        """Holders by key."""

    @property
    def keys(self) -> int:
        """How many windows are in memory."""
        return sum(map(len, self._windows.values()))

    def kept(self) -> Kept:
        """All windows, for `standing`: no copies, but lists of their own, which takes a millisecond for 100,000."""
        return [(window_s, list(windows), list(windows.values())) for window_s, windows in self._windows.items()]

    def take(self, claims: Sequence[Claim], holder: str, now_ms: int) -> Taken:
        """Counts all claims, or none of them."""
        windows: list[_Window | None] = []
        denial: Denial | None = None
        for claim in claims:
            if claim.window_s:
                window = self._window(claim.key, claim.window_s, now_ms)
                used = window.total
            else:
                window, used = None, self.held(claim.key)
            windows.append(window)
            excess = used + (claim.amount or 1) - claim.limit
            if excess > 0:
                wait_s = 1 if window is None else max(1, -(-window.freed_ms(excess, now_ms) // 1000))
                if denial is None or wait_s > denial.retry_after:
                    denial = Denial(claim, used, wait_s)
        uses = []
        for claim, window in zip(claims, windows, strict=True):
            if window is None:
                if denial is None and claim.amount:
                    self.hold(claim.key, holder)
                uses.append(Use(self.held(claim.key), 0))
                continue
            if denial is None and (amount := claim.amount):
                window.ring[window.place] += amount
                window.total += amount
            resets_ms = window.gone_ms - now_ms if window.ring[window.place] else window.resets_ms(now_ms)
            uses.append(Use(window.total, resets_ms))
        return Taken(denial, tuple(uses))

    def add(self, key: str, amount: int, window_s: int, now_ms: int, ago_ms: int = 0) -> None:
        """Counts, whatever the limit. A negative amount corrects what was counted `ago_ms` ago."""
        if amount:
            self._window(key, window_s, now_ms).correct(amount, now_ms - ago_ms)

    def hold(self, key: str, holder: str) -> None:
        """Counts something that goes on, whatever the limit."""
        self._held.setdefault(key, set()).add(holder)

    def leave(self, key: str, holder: str) -> None:
        """Whoever held something does no more. Once more does no harm."""
        holders = self._held.get(key)
        if holders is not None:
            holders.discard(holder)
            if not holders:
                del self._held[key]

    def held(self, key: str) -> int:
        return len(self._held.get(key, ()))

    def holders(self) -> list[tuple[str, list[str]]]:
        """All that goes on: keys, each with its holders."""
        return [(key, list(holders)) for key, holders in self._held.items()]

    def _window(self, key: str, window_s: int, now_ms: int) -> _Window:
        windows = self._windows[window_s]
        window = windows.get(key)
        if window is None:
            self._make_room(windows, now_ms)
            window = windows[key] = _Window(window_s)
        else:
            windows.move_to_end(key)
        if now_ms >= window.next_ms:
            window.advance(now_ms)
        return window

    def _make_room(self, windows: OrderedDict[str, _Window], now_ms: int) -> None:
        """Up to two that count nothing any more go whenever one comes, so that old ones do not stay; at the bound,
        one that counts."""
        for _ in range(2):
            oldest = next(iter(windows), None)
            if oldest is None or now_ms < windows[oldest].gone_ms:
                break
            del windows[oldest]
        if self.keys >= self._most_keys:
            max(self._windows.values(), key=len).popitem(last=False)
