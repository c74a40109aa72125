"""Plays one rendered answer on one connection: framing, pace, and the ways in which it can break.

The body is a list of pieces (events, or cuts of `chunk_bytes`), each written and flushed on its own. A limit in bytes
may fall inside a piece: its HTTP chunk then promises more than comes, as when a server dies.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from http import HTTPStatus
from itertools import accumulate
from typing import Literal, Protocol

from trivium.mock.frames import recut
from trivium.mock.render import Rendered
from trivium.mock.script import Abort, Reply

Framing = Literal["chunked", "length", "close"]
"""What tells the peer where the body ends; `close`: the end of the connection."""

_FRAMED_BY = {"content-length", "transfer-encoding"}
_INSTEAD = -1
"""A limit: not even the status line goes out."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Wire(Protocol):
    """What a player needs of a connection."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Waits while the peer does not read."""
        ...

    def close(self) -> None:
        """Ends the connection once everything written is out."""
        ...

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        ...


class Player:
    """`play` once. It is cancelled when the peer leaves; `sent` and `events` then say how far it came."""

    def __init__(self, wire: Wire, reply: Reply, rendered: Rendered, *, ping: bytes, http11: bool) -> None:
        self._wire = wire
        self._reply = reply
        self._rendered = rendered
        self._ping = ping if rendered.stream else b""
        self._ends = list(accumulate(map(len, rendered.pieces))) if rendered.stream else []
        self._abort, self._limit = _break(reply, self._ends)
        self._framing = _framing(reply, stream=rendered.stream, http11=http11)
        self.sent = 0
        """Bytes of the body, pings left out."""

    @property
    def events(self) -> int:
        """Events that went out whole."""
        return bisect_right(self._ends, self.sent)

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request once this has been played."""
        kept = self._rendered.headers.get("connection", "").lower() != "close"
        return kept and self._framing != "close" and self._abort in (None, "end")

    async def play(self, *, head_only: bool = False) -> Literal["completed", "aborted"]:
        """Returns when all that is to go out is written; never, if the script stalls."""
        await asyncio.sleep(self._reply.delay_ms / 1000)
        if self._limit != _INSTEAD:
            self._wire.write(self._head())
            if not head_only:
                await self._body()
        await self._finish(chunked=self._framing == "chunked" and not head_only)
        return "aborted" if self._abort else "completed"

    def _head(self) -> bytes:
        if self._reply.raw is not None:
            return b""
        status = self._rendered.status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in {**self._rendered.headers, **self._framing_headers()}.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def _framing_headers(self) -> dict[str, str]:
        if self._framing == "chunked":
            return {"transfer-encoding": "chunked"}
        if self._framing == "close":
            return {"connection": "close"}
        whole = sum(map(len, self._rendered.pieces))
        sent = whole if self._limit is None or self._abort != "end" else min(whole, self._limit)
        return {"content-length": str(sent)}

    async def _body(self) -> None:
        rest = self._reply.first_event_delay_ms
        for piece in recut(self._rendered.pieces, self._reply.chunk_bytes):
            left = len(piece) if self._limit is None else self._limit - self.sent
            if left <= 0:
                return
            await self._rest(rest)
            await self._send(piece[:left], promised=len(piece))
            rest = self._reply.event_delay_ms

    async def _send(self, part: bytes, promised: int) -> None:
        self._wire.write(self._framed(part, len(part) if self._abort == "end" else promised))
        self.sent += len(part)
        await self._wire.drain()

    async def _rest(self, milliseconds: float) -> None:
        every = self._reply.ping_every_ms
        while 0 < every < milliseconds:
            await asyncio.sleep(every / 1000)
            milliseconds -= every
            self._wire.write(self._framed(self._ping, len(self._ping)))
            await self._wire.drain()
        await asyncio.sleep(milliseconds / 1000)

    def _framed(self, part: bytes, promised: int) -> bytes:
        if self._framing != "chunked":
            return part
        return b"%x\r\n%b%b" % (promised, part, b"\r\n" if len(part) == promised else b"")

    async def _finish(self, *, chunked: bool) -> None:
        if self._abort == "reset":
            self._wire.reset()
        elif self._abort == "stall":
            await asyncio.get_running_loop().create_future()
        elif self._abort != "close" and chunked:
            self._wire.write(b"0\r\n\r\n")
        if not self.reusable:
            self._wire.close()


def _break(reply: Reply, ends: list[int]) -> tuple[Abort | None, int | None]:
    """How the answer is broken off and after how many bytes of its body (None: at its end)."""
    if reply.abort_after_bytes is not None:
        return reply.abort or "close", reply.abort_after_bytes
    if reply.abort_after_events is not None:
        kept = ends[: reply.abort_after_events]
        return reply.abort or "close", kept[-1] if kept else 0
    return reply.abort, _INSTEAD if reply.abort and reply.raw is None else None


def _framing(reply: Reply, *, stream: bool, http11: bool) -> Framing:
    if reply.raw is not None or _FRAMED_BY & {name.lower() for name in reply.headers}:
        return "close"
    if not stream:
        return "length"
    return "chunked" if http11 else "close"
