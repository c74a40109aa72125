"""A call as the edge hands it over, and the reply as the edge takes it back: HTTP without a server in sight."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol

import msgspec

from trivium.canon.api import Api

Headers = list[tuple[bytes, bytes]]


class Operation(enum.StrEnum):
    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request on an API path. Header names are in lower case; of repeated headers the last counts."""

    id: str
    api: Api
    operation: Operation = Operation.GENERATE
    query: bytes = b""
    headers: Mapping[bytes, bytes]
    client_ip: str | None
    time_ms: int
    started_ns: int
    """Arrival on the monotonic clock."""
    kilo: bool = False
    """It came by a path of Kilo's gateway, under `/api/`: errors are told in its clients' words, too."""


class Body(Protocol):
    """The request's body, not yet read."""

    async def read(self) -> tuple[bytes, bool]:
        """The next bytes, and whether more may follow. Raises BodyTimeout."""
        ...


class Reply(Protocol):
    """Where the answer goes. `write` waits while the client is slow (backpressure)."""

    @property
    def started(self) -> bool:
        """The status line has gone out: an error can no longer have a status."""
        ...

    async def start(self, status: int, headers: Headers) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes = b"") -> None: ...

    def cut(self) -> None:
        """Breaks the connection: an answer that cannot be finished must not look finished."""
        ...
