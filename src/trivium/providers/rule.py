"""A rule of what is done to a request: whom it concerns, and under which name."""

from __future__ import annotations

from typing import Literal

import msgspec

from trivium.canon.api import Api, Kind

ALL: frozenset[Kind] = frozenset((Api.CHAT, Api.RESPONSES, Api.MESSAGES))
NOWHERE: frozenset[str] = frozenset()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    what: str
    """In a line, for people."""
    kinds: frozenset[str] = NOWHERE
    """The rows of the provider table that it concerns; empty: all."""
    but: frozenset[str] = NOWHERE
    """Rows that it does not concern."""
    models: str = ""
    """A pattern of the upstream's model ids, in small letters."""
    clients: frozenset[Kind] = ALL
    apis: frozenset[Kind] = ALL
    """The upstream's."""
    members: frozenset[str] = NOWHERE
    """It concerns bodies that have one of these; empty: all."""
    way: Literal["any", "same"] = "any"
    """`same`: only where the client's API is the upstream's; translations see to it by themselves."""
    setting: str = ""
    """The switch of `[adapt]` without which it does not hold; or `identity`, or `strict` or `no_stream_usage`, the
    provider's, or `private`, the organization's."""
    agent: bytes = b""
    """Part of the `User-Agent` of the programs that it concerns, in small letters."""
    header: bytes = b""
    """It concerns calls with this header."""
    counts: bool = False
    """It holds for requests that ask how many tokens they have, too."""
