"""How routes do: which fail so often that they rest, and what part of their calls has failed lately. Pure; times are
milliseconds of a clock that does not go back.

A route rests after some failures in a row, or for as long as its provider asks. Then one call is let through to see
whether it answers again (half-open): if it does the route is as good as new, else it rests twice as long. Only calls of
models that have several routes count, and none that a caller's own key pays for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

WELL, RESTING, HALF_OPEN = STATES = ("well", "resting", "half_open")
_SLICES = 10
_SLICE_MS = 60_000
_MOST = 10_000
"""Routes that are remembered."""
_LONGEST = 10
"""A rest is at most so many times the first one."""
_PROBE_MS = 30_000
"""How long a call that looks whether a route answers again keeps the others away."""
_LONGEST_WISH_MS = 3_600_000
"""A provider may ask for no longer rest."""


class Rates(NamedTuple):
    """Of the last ten minutes."""

    calls: int
    failed: int

    @property
    def rate(self) -> float:
        return self.failed / self.calls if self.calls else 0.0


class _State:
    __slots__ = (
        *("asked_until_ms", "calls", "failed", "in_a_row", "newest"),
        *("probe_until_ms", "rests", "rests_until_ms"),
    )

    def __init__(self, slice_: int) -> None:
        self.calls = [0] * _SLICES
        self.failed = [0] * _SLICES
        self.newest = slice_
        self.in_a_row = 0
        self.rests = 0
        """How often it has rested since it last answered, other than for as long as its provider asked."""
        self.rests_until_ms = 0
        self.asked_until_ms = 0
        """How long of that its provider asked for, which an answer to a call from before does not end."""
        self.probe_until_ms = 0

    def advance(self, slice_: int) -> None:
        for number in range(max(self.newest + 1, slice_ - _SLICES + 1), slice_ + 1):
            self.calls[number % _SLICES] = self.failed[number % _SLICES] = 0
        self.newest = max(self.newest, slice_)


class Health:
    """Of all routes of a process, by `Target.route`; rates also by a provider's name."""

    def __init__(self, *, failures: int, rest_s: float) -> None:
        """A route rests after so many failures in a row, for so many seconds the first time."""
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._resting = 0
        self.allow(failures=failures, rest_s=rest_s)

    def allow(self, *, failures: int, rest_s: float) -> None:
        """Other limits from now on; what is known of routes stays."""
        self._failures = failures
        self._rest_ms = int(rest_s * 1000)

    def forget(self, providers: Collection[str]) -> None:
        """These are other ones from now on, by a key or an address: what the former did says nothing of those."""
        for route in [one for one in self._states if _provider(one) in providers]:
            self._resting -= self._states.pop(route).rests_until_ms > 0

    @property
    def is_well(self) -> bool:
        """No route rests, or has yet to show that it need not."""
        return not self._resting

    def rests_ms(self, route: str, now_ms: int) -> int:
        """How long it still rests; 0: it does not, or a call may look whether it answers again."""
        state = self._states.get(route)
        if state is None or not state.rests_until_ms:
            return 0
        return max(0, state.rests_until_ms - now_ms, state.probe_until_ms - now_ms)

    def begins(self, route: str, now_ms: int) -> int:
        """A call goes out on it. On one that has rested it is the only one until it is known how it ends: it gets a
        claim to be that, for `unknown`; else 0."""
        state = self._states.get(route)
        if state is None or not state.rests_until_ms or now_ms < max(state.rests_until_ms, state.probe_until_ms):
            return 0
        state.probe_until_ms = now_ms + _PROBE_MS
        return state.probe_until_ms

    def answered(self, route: str, now_ms: int) -> None:
        state = self._count(route, now_ms)
        self._count(_provider(route), now_ms)
        if now_ms < state.asked_until_ms:
            return
        self._resting -= state.rests_until_ms > 0
        state.in_a_row = state.rests = state.rests_until_ms = state.probe_until_ms = 0

    def failed(self, route: str, now_ms: int, wish_s: int | None = None) -> None:
        """`wish_s`: the seconds that the provider asks to be left alone."""
        state = self._count(route, now_ms)
        for one in (state, self._count(_provider(route), now_ms)):
            one.failed[one.newest % _SLICES] += 1
        state.in_a_row += 1
        if wish_s:
            wish_ms = min(wish_s * 1000, _LONGEST_WISH_MS)
            self._rest(state, now_ms, wish_ms)
            state.asked_until_ms = max(state.asked_until_ms, now_ms + wish_ms)
        elif now_ms < state.rests_until_ms:
            return  # of calls that began together the first few have said it; the others are no news
        elif state.rests_until_ms or state.in_a_row >= self._failures:
            length_ms = self._rest_ms * min(2**state.rests, _LONGEST)
            state.rests += 1
            self._rest(state, now_ms, length_ms)

    def unknown(self, route: str, claim: int) -> None:
        """A call ended of which nobody can say whether the route was to blame: its client left. What it claimed by
        `begins` another may claim now."""
        state = self._states.get(route)
        if claim and state is not None and state.probe_until_ms == claim:
            state.probe_until_ms = 0

    def rates(self, route: str, now_ms: int) -> Rates:
        state = self._states.get(route)
        if state is None:
            return Rates(0, 0)
        state.advance(now_ms // _SLICE_MS)
        return Rates(sum(state.calls), sum(state.failed))

    def state(self, route: str, now_ms: int) -> str:
        """`well`, `resting`, or `half_open`: the next call looks whether it answers again, or one does now."""
        state = self._states.get(route)
        if state is None or not state.rests_until_ms:
            return WELL
        return RESTING if now_ms < state.rests_until_ms else HALF_OPEN

    def all(self, now_ms: int) -> dict[str, tuple[Rates, int]]:
        """Rates and rests of every route and provider that is known."""
        return {name: (self.rates(name, now_ms), self.rests_ms(name, now_ms)) for name in self._states}

    def _rest(self, state: _State, now_ms: int, length_ms: int) -> None:
        self._resting += state.rests_until_ms == 0
        state.probe_until_ms = 0
        state.rests_until_ms = max(state.rests_until_ms, now_ms + length_ms)

    def _count(self, route: str, now_ms: int) -> _State:
        slice_ = now_ms // _SLICE_MS
        state = self._states.get(route)
        if state is None:
            if len(self._states) >= _MOST:
                _, oldest = self._states.popitem(last=False)
                self._resting -= oldest.rests_until_ms > 0
            state = self._states[route] = _State(slice_)
        else:
            self._states.move_to_end(route)
            state.advance(slice_)
        state.calls[state.newest % _SLICES] += 1
        return state


def _provider(route: str) -> str:
    return route.partition("/")[0]


class Sessions:
    """Which route each session had last."""

    def __init__(self, keep_s: float, most: int = 50_000) -> None:
        self._most = most
        self._last: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()
        self.allow(keep_s)

    def allow(self, keep_s: float) -> None:
        """Another length from now on."""
        self._keep_ms = int(keep_s * 1000)

    def route(self, session: str, model: str, now_ms: int) -> str | None:
        """The route on which the provider may still have the session's prompts in its cache."""
        found = self._last.get((session, model))
        return found[0] if found is not None and now_ms - found[1] <= self._keep_ms else None

    def keep(self, session: str, model: str, route: str, now_ms: int) -> None:
        self._last[session, model] = (route, now_ms)
        self._last.move_to_end((session, model))
        if len(self._last) > self._most:
            self._last.popitem(last=False)
