"""What could not be said: each thing that does not reach the other side is a value, never a silence."""

from __future__ import annotations

import re

import msgspec


class Loss(msgspec.Struct, frozen=True, omit_defaults=True):
    """`field` is a JSON path in the request or answer that said it; `why` is for people."""

    field: str
    why: str
    count: int = 1
    """How many there are of its kind."""


_PLACE = re.compile(r"\[\d+\]")
_MOST_KINDS = 200
_LONGEST_FIELD = 200
"""Names are strangers', and all of them end up in a record."""


class Losses:
    """Collects losses. Those of one kind, alike but for their places in lists, are told once, with their number. Where
    there are too many kinds, further losses are no more than a number: a request may have hundreds of thousands."""

    __slots__ = ("_beyond", "_found")

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[str, int]] = {}
        """The first of each kind, and how many there are."""
        self._beyond = 0

    def add(self, field: str, why: str) -> None:
        if len(self._found) >= _MOST_KINDS:
            self._beyond += 1
            return
        field = field[:_LONGEST_FIELD]
        kind = (_PLACE.sub("[]", field), why)
        first, count = self._found.get(kind, (field, 0))
        self._found[kind] = (first, count + 1)

    def __len__(self) -> int:
        return len(self._found) + (self._beyond > 0)

    def told(self) -> tuple[Loss, ...]:
        if not self._found:
            return ()
        told = tuple(
            Loss(first, why if count == 1 else f"{why} (and {count - 1} more like it)", count)
            for (_, why), (first, count) in self._found.items()
        )
        return (*told, Loss("...", f"{self._beyond} more", self._beyond)) if self._beyond else told
