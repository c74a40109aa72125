"""Callers that leave: a request over a raw connection, and an answer of which only so much is read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import struct
from typing import Any, NamedTuple

QUIET = 0.12
"""Seconds of silence after which a stalled upstream has nothing more to say."""
PATIENCE = 20.0


class Leave(NamedTuple):
    """When a caller goes, if it goes."""

    after_bytes: int | None = None
    """Of the answer's body."""
    when_quiet: bool = False
    """Once nothing comes any more."""
    reset: bool = False
    """With a TCP reset."""


STAY = Leave()


class Got(NamedTuple):
    status: int
    """0: it left before there was one."""
    body: bytes
    whole: bool
    """The body came to its end in good order."""


async def call(
    port: int, key: str, path: str, asked: dict[str, Any], leave: Leave = STAY, *, name: str = "leaver"
) -> Got:
    """Asks, and reads until the answer's end or until it is time to leave. `name` is the client app of the record."""
    content = json.dumps(asked).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nuser-agent: {name}\r\nx-api-key: {key}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        return await _answer(reader, leave)
    finally:
        if leave.reset:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


async def _answer(reader: asyncio.StreamReader, leave: Leave) -> Got:
    raw, got = b"", Got(0, b"", whole=False)
    while not got.whole:
        if leave.after_bytes is not None and len(got.body) >= leave.after_bytes:
            return got._replace(body=got.body[: leave.after_bytes])
        try:
            async with asyncio.timeout(QUIET if leave.when_quiet else PATIENCE):
                piece = await reader.read(65536)
        except TimeoutError:
            if leave.when_quiet:
                return got
            raise
        except ConnectionError:
            return got
        if not piece:
            return got
        raw += piece
        got = unframed(raw)
    return got


def unframed(raw: bytes) -> Got:
    """What of an HTTP answer is there so far."""
    head, found, rest = raw.partition(b"\r\n\r\n")
    if not found:
        return Got(0, b"", whole=False)
    status = int(head.split(b" ", 2)[1])
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in headers:
        length = int(headers[b"content-length"])
        return Got(status, rest[:length], whole=len(rest) >= length)
    body = bytearray()
    while rest:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            break
        length = int(size, 16)
        if length == 0:
            return Got(status, bytes(body), whole=rest == b"\r\n")
        body += rest[:length]
        rest = rest[length + 2 :]
    return Got(status, bytes(body), whole=False)


def raise_limits() -> None:
    """Many connections at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
