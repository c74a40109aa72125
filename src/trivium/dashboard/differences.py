"""How what is differs from what was, member by member: of the audit log, where whole settings stand before and after
each change. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from trivium.dashboard.words import words

MOST = 8
"""A page has many changes; each is told whole elsewhere."""
_MOST_NAMED = 4
_NOTHING: tuple[Any, ...] = (None, "", [], {})


class Difference(msgspec.Struct, frozen=True):
    label: str
    member: str
    """The last part of its name, which says how it is shown."""
    before: Any
    after: Any


def differences(before: Any, after: Any) -> tuple[list[Difference], int]:
    """Of each member that is not what it was, the first few; and how many more. Of lists: what left and what came."""
    found = list(_walk("", "", before, after))
    return found[:MOST], max(0, len(found) - MOST)


def _walk(label: str, member: str, before: Any, after: Any) -> Iterator[Difference]:
    if before == after or (before in _NOTHING and after in _NOTHING):
        return
    if isinstance(before, dict | None) and isinstance(after, dict | None):
        was, now = before or {}, after or {}
        for name in dict.fromkeys((*was, *now)):
            yield from _walk(f"{label} {words(name)}".strip(), name, was.get(name), now.get(name))
        return
    if isinstance(before, list) and isinstance(after, list):
        gone, come = _without(before, after), _without(after, before)
        before, after = (gone, come) if gone or come else (before, after)  # the same in another order
    yield Difference(label, member, _some(before), _some(after))


def _without(some: list[Any], others: list[Any]) -> list[Any]:
    known = {repr(one) for one in others}
    return [one for one in some if repr(one) not in known]


def _some(value: Any) -> Any:
    """The first few of a list."""
    if not isinstance(value, list) or len(value) <= _MOST_NAMED:
        return value
    return [*value[:_MOST_NAMED], f"and {len(value) - _MOST_NAMED} more"]
