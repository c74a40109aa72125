"""What could not be said: each thing that does not reach the other side is a value, never a silence."""

from __future__ import annotations

import re

import msgspec


class Loss(msgspec.Struct, frozen=True):
    """`field` is a JSON path in the request or answer that said it; `why` is for people."""

    field: str
    why: str


_PLACE = re.compile(r"\[\d+\]")


class Losses:
    """Collects losses. Those of one kind, alike but for their places in lists, are told once, with their number."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[str]] = {}

    def add(self, field: str, why: str) -> None:
        self._found.setdefault((_PLACE.sub("[]", field), why), []).append(field)

    def __len__(self) -> int:
        return len(self._found)

    def told(self) -> tuple[Loss, ...]:
        return tuple(
            Loss(fields[0], why if len(fields) == 1 else f"{why} (and {len(fields) - 1} more like it)")
            for (_, why), fields in self._found.items()
        )
