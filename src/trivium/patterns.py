"""What texts of settings have to look like: of a pattern, what people are told in place of a regular expression."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

Secret = Annotated[str, msgspec.Meta(min_length=1)]
"""Written literally, as `env:NAME` or as `file:PATH`."""
Tokens = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
"""The most of a context or of an answer."""

EXPECTED = "expected"
"""Under which the words stand in the `extra` of msgspec's `Meta`."""


def matching(pattern: str, expected: str, shortest: int | None = None, longest: int | None = None) -> msgspec.Meta:
    """`expected` goes on from "Expected"; `converted.worded` says it."""
    return msgspec.Meta(pattern=pattern, extra={EXPECTED: expected}, min_length=shortest, max_length=longest)


def twice(names: Iterable[str]) -> str | None:
    """The first name of a header that is another's, capitals apart: servers take either value, or both in one."""
    seen = set[str]()
    for name in names:
        if name.lower() in seen:
            return name
        seen.add(name.lower())
    return None
