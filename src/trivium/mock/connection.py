"""One client connection: h11 reads requests, players write the answers; a peer that leaves is noticed at once.

Reading goes on while an answer is under way, so that the end of the connection reaches us even in the middle of a rest:
it cancels the player. A peer that closes only its sending half counts as gone, as with most servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import cast

import h11
import msgspec

from trivium.mock.asked import Asked, read
from trivium.mock.book import Book
from trivium.mock.player import Player
from trivium.mock.record import Ending, Recorded, Records
from trivium.mock.render import JSON, VOICES, Rendered, render
from trivium.mock.script import Error, Reply, Script

RECORDS_PATH = "/_mock/requests"
_HEADER_LIMIT = 256 * 1024
"""Bytes. h11's own limit is 16 KiB, and what a gateway forwards may be larger."""
_LINGER_NOT = struct.pack("ii", 1, 0)


class Stage:
    """What the connections of one double share."""

    def __init__(self, script: Script, records: Records) -> None:
        self.script = script
        self.records = records
        self.book = Book(script)
        self.connections: set[Connection] = set()
        self.open = True
        """False once the double is being stopped."""

    async def close(self) -> None:
        """Cuts every connection; the answers under way are recorded as aborted."""
        self.open = False
        tasks = [task for task in (connection.abort() for connection in list(self.connections)) if task]
        await asyncio.gather(*tasks, return_exceptions=True)

    def render(self, reply: Reply, asked: Asked) -> Rendered:
        """A file that has gone since the script was read is told to the client: tests then fail with the reason."""
        try:
            return render(reply, asked, self.script.models)
        except OSError as failure:
            lost = Reply(status=500, error=Error(message=f"The scripted upstream cannot read its file: {failure}"))
            return render(lost, asked, self.script.models)

    def manage(self, method: str) -> Rendered:
        """The requests recorded so far, or with DELETE none of them any more."""
        if method == "DELETE":
            self.records.clear()
            return Rendered(status=204, pieces=[])
        listed = msgspec.json.encode({"requests": self.records.all})
        return Rendered(headers={"content-type": JSON}, pieces=[listed])


class Connection(asyncio.Protocol):
    """Also the `Wire` of its players."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._parser = _parser()
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._stage.connections.add(self)
        if not self._stage.open:  # Accepted in the moment of stopping, when all others had been cut.
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._parser.receive_data(data)
        if self._task is None:
            self._advance()

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._stage.connections.discard(self)
        self._leave()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What players call.

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        sock = cast(socket.socket, self._transport.get_extra_info("socket"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    def abort(self) -> asyncio.Task[None] | None:
        """Cuts the connection; returns the answer under way, which is about to end."""
        self._transport.abort()
        return self._task

    # From bytes to requests to answers.

    def _advance(self) -> None:
        while (event := self._next_event()) is not None:
            if isinstance(event, h11.Request):
                self._request, self._body = event, []
                if self._parser.they_are_waiting_for_100_continue:
                    self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            elif isinstance(event, h11.Data):
                self._body.append(bytes(event.data))
            elif self._request is not None:
                self._task = asyncio.create_task(self._run(self._request, b"".join(self._body)))
                return

    def _next_event(self) -> h11.Request | h11.Data | h11.EndOfMessage | None:
        with contextlib.suppress(h11.RemoteProtocolError):
            event = self._parser.next_event()
            return event if isinstance(event, h11.Request | h11.Data | h11.EndOfMessage) else None
        self.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.close()
        return None

    async def _run(self, request: h11.Request, body: bytes) -> None:
        try:
            reusable = await self._answer(request, body)
        except BaseException:
            self._transport.abort()
            raise
        self._task = None
        if reusable and _wants_more(request):
            self._parser = _parser(self._parser.trailing_data[0])
            self._advance()
        else:
            self.close()

    async def _answer(self, request: h11.Request, body: bytes) -> bool:
        """Whether the connection can carry another request."""
        method = request.method.decode()
        path, _, query = request.target.decode("latin-1").partition("?")
        http11 = request.http_version == b"1.1"
        if path == RECORDS_PATH:
            player = Player(self, Reply(), self._stage.manage(method), ping=b"", http11=http11)
            await player.play()
            return player.reusable
        recorded = Recorded(
            number=self._stage.records.next_number(),
            arrived=time.time(),
            method=method,
            path=path,
            query=query,
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers],
            body=body,
            json=_parsed(body),
        )
        return await self._perform(recorded, http11=http11)

    async def _perform(self, request: Recorded, *, http11: bool) -> bool:
        asked = read(request)
        rule, reply = self._stage.book.choose(asked)
        request = msgspec.structs.replace(request, rule=rule)
        rendered = self._stage.render(reply, asked)
        player = Player(self, reply, rendered, ping=VOICES[asked.dialect].ping, http11=http11)
        self._stage.records.begin(request)
        ending: Ending = "aborted"
        try:
            ending = await player.play(head_only=request.method == "HEAD")
        except asyncio.CancelledError:
            ending = "client_closed" if self._stage.open else "aborted"
            raise
        finally:
            how = {"ending": ending, "ended": time.time(), "sent_events": player.events, "sent_bytes": player.sent}
            self._stage.records.end(msgspec.structs.replace(request, **how))
        return player.reusable

    def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _parser(received: bytes = b"") -> h11.Connection:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADER_LIMIT)
    if received:
        parser.receive_data(received)
    return parser


def _wants_more(request: h11.Request) -> bool:
    closing = any(name == b"connection" and b"close" in value.lower() for name, value in request.headers)
    return request.http_version == b"1.1" and not closing


def _parsed(body: bytes) -> object:
    """None for what is not JSON, or nested too deep to be read."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(body)
    return None
