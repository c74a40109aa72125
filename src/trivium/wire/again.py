"""Bytes that come again: an agent sends the same list of tools with each of its turns, and what was found out about it
once need not be found out anew. To compare bytes takes a tenth of the time that it takes to look through them."""

from __future__ import annotations

from collections.abc import Callable

_MOST = 32
_LONGEST = 64 * 1024


class Again:
    """A test whose good results are remembered. It must depend on nothing but the bytes."""

    def __init__(self, test: Callable[[bytes], bool]) -> None:
        self._test = test
        self._passed: dict[int, bytes] = {}
        """By their lengths, so that one comparison tells."""

    def __call__(self, raw: bytes) -> bool:
        if self._passed.get(len(raw)) == raw:
            return True
        passes = self._test(raw)
        if passes and len(raw) <= _LONGEST:
            if len(self._passed) >= _MOST:
                self._passed.clear()
            self._passed[len(raw)] = raw
        return passes
