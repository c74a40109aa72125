"""Names with `*` and `?` in them, as configuration and operators write them."""

from __future__ import annotations

import fnmatch
import re

_SIGNS = {"*", "?"}


def is_wild(pattern: str) -> bool:
    return not _SIGNS.isdisjoint(pattern)


def compiled(pattern: str) -> re.Pattern[str]:
    """`*` and `?`; brackets, which a shell would read too, occur in model names.

    `fnmatch` looks for each piece once (atomic groups): names come from callers, and `.*` would try every place again.
    """
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def precision(pattern: str) -> tuple[bool, int]:
    """The greater, the more precisely it says which names it means: an exact name most, then by its letters."""
    return not is_wild(pattern), len(pattern) - sum(pattern.count(sign) for sign in _SIGNS)
