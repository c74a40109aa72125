"""Bytes that come again: an agent sends the same list of tools with each of its turns, and what was found out about it
once need not be found out anew. To compare bytes takes a tenth of the time that it takes to look through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_MOST = 16
_LONGEST = 256 * 1024
_T = TypeVar("_T")


class Again(Generic[_T]):
    """A function whose results are remembered, save empty and negative ones. They must depend on nothing but the bytes,
    and nobody may change them."""

    def __init__(self, function: Callable[[bytes], _T]) -> None:
        self._function = function
        self._known: dict[int, tuple[bytes, _T]] = {}
        """By the lengths of the bytes, so that one comparison tells."""

    def __call__(self, raw: bytes) -> _T:
        known = self._known.get(len(raw))
        if known is not None and known[0] == raw:
            return known[1]
        result = self._function(raw)
        if result and len(raw) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[len(raw)] = raw, result
        return result
