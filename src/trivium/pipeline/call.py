"""A call as the edge hands it over, and the reply as the edge takes it back: HTTP without a server in sight."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from trivium.canon.api import Kind
from trivium.errors import FieldInvalid
from trivium.policy.edge import UNTOLD, Edge

Headers = list[tuple[bytes, bytes]]
FALLBACKS = b"x-trivium-fallbacks"
"""Other models that may answer (docs/routing.md)."""
AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"
CREDENTIALS = (AUTHORIZATION, API_KEY)
"""Headers that say who calls."""
_STRICT = b"x-trivium-strict"
_SAID = {b"1": True, b"true": True, b"0": False, b"false": False, b"": False}
_LISTS = (b"cache-control", b"anthropic-beta", b"openai-beta", FALLBACKS)
"""Headers whose lines are parts of one list (RFC 9110, section 5.3), of which we read more than the last.
anthropic-sdk-go sends a line for each beta (`betamessage.go`)."""


class Operation(enum.StrEnum):
    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"


GENERATE, COUNT_TOKENS = Operation
"""As in `canon/api.py`."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request on an API path. `headers` are as `by_name` gives them."""

    id: str
    api: Kind
    operation: Operation = GENERATE
    query: bytes = b""
    headers: Mapping[bytes, bytes]
    client_ip: str | None
    time_ms: int
    started_ns: int
    """Arrival on the monotonic clock."""
    edge: Edge = UNTOLD
    """What a trusted proxy tells of the client beside its address."""
    kilo: bool = False
    """It came by a path of Kilo's gateway, under `/api/`: errors are told in its clients' words, too."""


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by their names in lower case. Of repeated ones the last counts; but of credentials all do, one a line,
    and of lists, as one: none may hide behind another."""
    found = dict(headers)
    if len(found) != len(headers):
        for name in CREDENTIALS:
            values = [value for key, value in headers if key == name and value.strip()]
            if values:
                found[name] = b"\n".join(dict.fromkeys(values))
        for name in _LISTS:
            if name in found:
                found[name] = b", ".join(value for key, value in headers if key == name and value)
    return found


def client_app(headers: Mapping[bytes, bytes]) -> str | None:
    """The first product of the User-Agent."""
    agent = headers.get(b"user-agent")
    return agent.split(b" ", 1)[0][:100].decode("latin-1") if agent else None


def is_strict(call: Call) -> bool:
    """Whether the client would rather have an error than a loss. Raises FieldInvalid for a word that could mean
    either."""
    strict = _SAID.get(call.headers.get(_STRICT, b"").lower())
    if strict is None:
        raise FieldInvalid(f"The header `{_STRICT.decode()}` must be 1, 0, true or false.", param=_STRICT.decode())
    return strict


class Body(Protocol):
    """The request's body, not yet read."""

    async def read(self) -> tuple[bytes, bool]:
        """The next bytes, and whether more may follow. Raises BodyTimeout."""
        ...


class Reply(Protocol):
    """Where the answer goes. `write` waits while the client is slow (backpressure)."""

    @property
    def provisional(self) -> bool:
        """What is written does not go out yet, because somebody else can still answer: of a failure that is known by
        then the client need not hear."""
        ...

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


@runtime_checkable
class Direct(Protocol):
    """A `Reply` to which can be written without an await."""

    def is_ready(self) -> bool:
        """Nobody need wait for the client, who is there."""
        ...

    def push(self, data: bytes) -> None:
        """As `write`, while it is ready."""
        ...
