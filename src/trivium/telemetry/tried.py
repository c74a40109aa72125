"""The routes that a call tried in vain, as its record tells of them (`routing`, JSON)."""

from __future__ import annotations

import msgspec


class Tried(msgspec.Struct, frozen=True):
    """A route that failed, before another one was tried."""

    route: str
    """`provider/model`, with `#2` where a provider has several keys."""
    status: int = 0
    code: str = ""
    ms: int = 0
    own: bool = False
    """With the caller's own key."""

    @property
    def place(self) -> tuple[str, str]:
        """Provider and model."""
        provider, _, model = self.route.partition("/")
        named, mark, number = model.rpartition("#")
        return provider, named if mark and number.isdigit() else model


class _Journey(msgspec.Struct, frozen=True):
    tried: tuple[Tried, ...] = ()


_decoder = msgspec.json.Decoder(_Journey)


def tried_of(routing: str | None) -> tuple[Tried, ...]:
    return () if routing is None else _decoder.decode(routing).tried
