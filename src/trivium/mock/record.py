"""What the double was sent, and how each answer ended: kept in memory, asked for over HTTP, appended to a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import IO, Any, Literal

import msgspec

Ending = Literal["completed", "client_closed", "aborted"]
"""`completed`: all that was scripted went out. `client_closed`: the peer left first. `aborted`: the script broke it
off, or the double was stopped."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One request. In JSON the body is base64, since it need not be text."""

    number: int
    """From 1, in the order of arrival."""
    arrived: float
    """When its last byte was read, in seconds since 1970."""
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    """Names in lower case, in the order of arrival."""
    body: bytes
    json: Any
    """The body parsed, None if it is not JSON."""
    rule: int | None = None
    """The position of the rule that answered; None: no rule matched."""
    ending: Ending | None = None
    """None while the answer is under way."""
    ended: float | None = None
    """Seconds since 1970; for `client_closed` when the peer's leaving was noticed."""
    sent_events: int = 0
    sent_bytes: int = 0
    """Of the answer's body, without pings."""

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name.lower()), None)


class Records:
    """The last `keep` requests, in the order of arrival. An ended one is a JSON line in `file`, if there is a file."""

    def __init__(self, keep: int, file: IO[bytes] | None = None) -> None:
        self._keep = keep
        self._file = file
        self._seen = 0
        self._held: dict[int, Recorded] = {}
        self._changed = asyncio.Event()

    @property
    def all(self) -> list[Recorded]:
        return list(self._held.values())

    def next_number(self) -> int:
        self._seen += 1
        return self._seen

    def begin(self, request: Recorded) -> None:
        self._held[request.number] = request
        if len(self._held) > self._keep:
            del self._held[next(iter(self._held))]
        self._changed.set()

    def end(self, request: Recorded) -> None:
        if request.number in self._held:
            self._held[request.number] = request
        if self._file is not None:
            self._file.write(msgspec.json.encode(request) + b"\n")
            self._file.flush()
        self._changed.set()

    def clear(self) -> None:
        self._held.clear()

    async def until(self, reached: Callable[[list[Recorded]], bool], within: float) -> list[Recorded]:
        """Waits until the requests held are as wanted and returns them. Raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while not reached(self.all):
                self._changed.clear()
                await self._changed.wait()
        return self.all
