"""A row of the table, and how what was said is compared with what arrived.

What must arrive is written as a pattern of JSON: an object needs the named members and may have more, a list needs
exactly its elements, `...` fits anything. The classes below fit more loosely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.mock import Reply

C, R, M = APIS = Api.CHAT, Api.RESPONSES, Api.MESSAGES
BOTH = ("whole", "stream")
DONE = "Done."
"""What upstreams say where it does not matter."""

Pattern = Any
Says = Mapping[Api, Any]


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    asks: Says = {}
    """What a client of the API sends, members laid over the simplest request. An API that is not here has no words for
    it, if another one has."""
    told: Mapping[Api, Pattern] = {}
    """What an upstream of the API receives; where nothing is said here, what a client of the API would send. None:
    nothing, and the loss must be told."""
    reply: Reply | Mapping[Api, Reply] = Reply(text=DONE)
    """What the upstream answers. An API that is not here has no words for it, if another one has."""
    heard: Mapping[Api, Pattern] | None = None
    """What a client of the API hears, as a whole answer. None for an API: nothing, and the loss must be told. Left out:
    that the upstream is done."""
    returned: Mapping[Api, Pattern] | None = None
    """What an upstream of the API receives when the client goes on, calls answered with `RESULT`."""
    upstreams: str = "owners"
    """A row of `run.UPSTREAMS`."""
    ways: tuple[str, ...] = BOTH
    counts: bool = False
    """The client asks how many tokens it would be."""
    openrouters: bool = False
    """What goes to an upstream of Chat is OpenRouter's dialect, which the owner of the API does not take."""


class Some:
    """A list with elements that fit these patterns, in this order."""

    def __init__(self, *patterns: Pattern) -> None:
        self._patterns = patterns

    def misses(self, found: Any, at: str) -> Iterator[str]:
        rest = iter(found if isinstance(found, list) else [])
        for pattern in self._patterns:
            if not any(fits(pattern, element) for element in rest):
                yield f"{at}: nothing like {pattern} in {found}"


class Like:
    """A string in which the regular expression is found."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __repr__(self) -> str:
        return f"Like({self._pattern!r})"

    def misses(self, found: Any, at: str) -> Iterator[str]:
        if not isinstance(found, str) or not re.search(self._pattern, found, re.DOTALL):
            yield f"{at}: nothing like {self._pattern!r} in {found!r}"


class _Absent:
    """For a member: that it is not there, or null."""

    def misses(self, found: Any, at: str) -> Iterator[str]:
        if found is not None:
            yield f"{at}: {found!r} should not be there"


ABSENT = _Absent()


class AnyOf:
    """What fits one of the patterns."""

    def __init__(self, *patterns: Pattern) -> None:
        self._patterns = patterns

    def misses(self, found: Any, at: str) -> Iterator[str]:
        if not any(fits(pattern, found) for pattern in self._patterns):
            yield from misses(self._patterns[0], found, at)


def misses(pattern: Pattern, found: Any, at: str = "") -> Iterator[str]:
    """What of the pattern is not there, each with its place; nothing where it fits."""
    if pattern is ...:
        return
    if isinstance(pattern, Some | Like | _Absent | AnyOf):
        yield from pattern.misses(found, at)
    elif isinstance(pattern, dict) and isinstance(found, dict):
        for name, inner in pattern.items():
            yield from misses(inner, found.get(name), f"{at}.{name}")
    elif isinstance(pattern, list) and isinstance(found, list) and len(pattern) == len(found):
        for place, (inner, element) in enumerate(zip(pattern, found, strict=True)):
            yield from misses(inner, element, f"{at}[{place}]")
    elif pattern != found or isinstance(pattern, bool) is not isinstance(found, bool):
        yield f"{at}: {found!r} instead of {pattern!r}"


def fits(pattern: Pattern, found: Any) -> bool:
    return next(misses(pattern, found), None) is None
