"""The operator's door: a Unix socket in the data folder, mode 0600, over which other programs ask the owner of the
store to act. One JSON object a line each way: `{"operation", "arguments"}` and `{"result"}` or `{"error"}`. Who asks
is the operator or, where the question has a `session` of the dashboard, whoever is signed in with it.

A path of a Unix socket holds about 100 bytes, which data folders outgrow; on Linux it is therefore reached through an
open descriptor of the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from trivium.errors import OperationError, TriviumError

NAME = "control.sock"
_LIMIT = 64 * 1024 * 1024
_WAITING = 100
_STAYS: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From 3.13 on Python removes a server's socket in the end by the path that it was bound at, which is that of a
descriptor: closed by then, or another file's."""

Perform = Callable[..., Awaitable[Any]]
"""Hears the operation, its arguments and, unless it is the operator who asks, who does."""
SignedIn = Callable[[str], Awaitable[Any]]
"""Who is signed in with a session. Raises TriviumError."""


class _Question(msgspec.Struct):
    operation: str
    arguments: dict[str, Any] = {}
    session: str | None = None


def door(folder: Path, name: str = NAME) -> socket.socket:
    """Makes the door. The lock on the folder is ours, so a socket that is still there is a dead one's."""
    with reachable(folder, name) as path:
        path.unlink(missing_ok=True)
        listener, before = socket.socket(socket.AF_UNIX), os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    listener.listen(_WAITING)
    return listener


async def serve(folder: Path, perform: Perform, signed_in: SignedIn | None = None) -> asyncio.Server:
    """Makes the door and answers whoever comes."""
    return await answer(door(folder), perform, signed_in)


async def answer(listener: socket.socket, perform: Perform, signed_in: SignedIn | None = None) -> asyncio.Server:
    """Answers whoever comes to a door; without `signed_in` the operator alone. Several processes may do so."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled it is by the end of the gateway, which asyncio would tell as a failure of this callback.
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(await _perform(perform, signed_in, line) + b"\n")
                await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(converse, sock=listener, limit=_LIMIT, **_STAYS)


def ask(folder: Path, operation: str, arguments: dict[str, Any]) -> Any:
    """The owner's answer. Raises ConnectionError where nobody owns the folder, OperationError for a refusal."""
    question = _question(operation, arguments)
    with reachable(folder, NAME) as path, socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(path))
        except FileNotFoundError as error:
            raise ConnectionRefusedError(str(error)) from error
        door.sendall(question)
        with door.makefile("rb") as lines:
            return _result(lines.readline())


async def ask_at(folder: Path, name: str, operation: str, arguments: dict[str, Any]) -> Any:
    """The same at another door, for an event loop."""
    with reachable(folder, name) as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=_LIMIT)
    try:
        writer.write(_question(operation, arguments))
        return _result(await reader.readline())
    finally:
        writer.close()


def _question(operation: str, arguments: dict[str, Any]) -> bytes:
    """Raises OperationError."""
    try:
        return msgspec.json.encode(_Question(operation, arguments)) + b"\n"
    except UnicodeError as error:
        raise OperationError(f"{operation}: the arguments are not text: {error}") from None


def _result(line: bytes) -> Any:
    """Raises OperationError."""
    told = msgspec.json.decode(line or b'{"error":"The gateway closed the connection."}')
    if "error" in told:
        raise OperationError(told["error"], detail=told.get("detail"))
    return told["result"]


async def _perform(perform: Perform, signed_in: SignedIn | None, line: bytes) -> bytes:
    try:
        question = msgspec.json.decode(line, type=_Question)
        asked: list[Any] = [question.operation, question.arguments]
        if question.session is not None:
            if signed_in is None:
                raise OperationError("Nobody is signed in here.")
            asked.append(await signed_in(question.session))
        return msgspec.json.encode({"result": await perform(*asked)})
    except TriviumError as error:
        told = {"error": error.message, "detail": error.detail, "code": error.code, "status": error.status}
        return msgspec.json.encode({**told, "param": error.param, "retry_after": error.retry_after})
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        # Also numbers and texts that a database does not take: whoever asks them is told so, not cut off.
        return msgspec.json.encode({"error": f"not a question: {error}", "code": "bad_request", "status": 400})


@contextlib.contextmanager
def reachable(folder: Path, name: str) -> Iterator[Path]:
    """A path of a socket in the folder that is short enough. Raises ConnectionRefusedError where there is no folder."""
    if sys.platform != "linux":
        yield folder / name
        return
    try:
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConnectionRefusedError(str(error)) from error
    try:
        yield Path(f"/proc/self/fd/{handle}") / name
    finally:
        os.close(handle)
