"""Names with `*` and `?` in them, as configuration and operators write them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable

_SIGNS = {"*", "?"}


def is_wild(pattern: str) -> bool:
    return not _SIGNS.isdisjoint(pattern)


def compiled(pattern: str) -> re.Pattern[str]:
    """`*` and `?`; brackets, which a shell would read too, occur in model names.

    `fnmatch` looks for each piece once (atomic groups): names come from callers, and `.*` would try every place again.
    """
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def fitting(pattern: str) -> Callable[[str], object]:
    """As `compiled`, for lists that callers write: what says yes to the names that the pattern means. With `*` alone it
    is made in microseconds, where a regular expression of this length takes a thousand."""
    if "?" in pattern:
        return compiled(pattern).fullmatch
    first, *pieces = pattern.split("*")
    if not pieces:
        return pattern.__eq__
    last = pieces.pop()
    shortest = len(pattern) - pattern.count("*")
    between = [piece for piece in pieces if piece]

    def fits(name: str) -> bool:
        """The first place for each piece leaves most room for the next."""
        if len(name) < shortest or not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in between:
            at = name.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return fits


def precision(pattern: str) -> tuple[bool, int]:
    """The greater, the more precisely it says which names it means: an exact name most, then by its letters."""
    return not is_wild(pattern), len(pattern) - sum(pattern.count(sign) for sign in _SIGNS)
