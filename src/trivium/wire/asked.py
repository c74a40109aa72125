"""What an answer needs to know of its request."""

from __future__ import annotations

from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """The call's: a source of ids where the upstream gives none."""
    created: int
    """Seconds since the epoch."""
    origin: str | None = None
    """The upstream's name for envelopes; None where both sides speak one API, and seals stay as they are."""
    kin: str = ""
    """That of its family, for reasoning that nobody has sealed (`Destination.kin`)."""
    wants_usage: bool = True
    model: str = ""
    """What the answer is called where the upstream does not say."""
    veiled: bool = False
    """Seals are legible to nobody but us: they tell whose they are."""
    unread: bool = False
    """The client does not want to read the reasoning: its text goes in the envelope, for whoever made it."""
    reasoning: bytes = b"reasoning_content"
    """Chat's member for it."""
    legacy: bool = False
    """A Chat client knows `function_call` and no `tool_calls`."""
    thoughtful: bool = False
    """A Messages client may go on with a model that wants a thought before calls."""
    echo: dict[str, Any] = {}
    """Members of a Responses request that the response repeats."""

    @property
    def native(self) -> bool:
        return self.origin is None
