"""Texts that have to fit a pattern: what people are told of it, in place of a regular expression, stands beside it."""

from __future__ import annotations

import msgspec

EXPECTED = "expected"
"""Under which the words stand in the `extra` of msgspec's `Meta`."""


def matching(pattern: str, expected: str, shortest: int | None = None, longest: int | None = None) -> msgspec.Meta:
    """`expected` goes on from "Expected"; `converted.worded` says it."""
    return msgspec.Meta(pattern=pattern, extra={EXPECTED: expected}, min_length=shortest, max_length=longest)
