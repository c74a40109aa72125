"""The operator's door: a Unix socket in the data folder, mode 0600, over which other programs ask the owner of the
store to act. One JSON object a line each way: `{"operation", "arguments"}` and `{"result"}` or `{"error"}`.

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

Perform = Callable[[str, dict[str, Any]], Awaitable[Any]]


class _Question(msgspec.Struct):
    operation: str
    arguments: dict[str, Any] = {}


def door(folder: Path, name: str = NAME) -> socket.socket:
    """Makes the door. The lock on the folder is ours, so a socket that is still there is a dead one's."""
    with _reachable(folder, name) as path:
        path.unlink(missing_ok=True)
        listener, before = socket.socket(socket.AF_UNIX), os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    listener.listen(_WAITING)
    return listener


async def serve(folder: Path, perform: Perform) -> asyncio.Server:
    """Makes the door and answers whoever comes."""
    return await answer(door(folder), perform)


async def answer(listener: socket.socket, perform: Perform) -> asyncio.Server:
    """Answers whoever comes to a door. Several processes may do so."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(await _perform(perform, line) + b"\n")
                await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(converse, sock=listener, limit=_LIMIT)


def ask(folder: Path, operation: str, arguments: dict[str, Any]) -> Any:
    """The owner's answer. Raises ConnectionError where nobody owns the folder, OperationError for a refusal."""
    question = _question(operation, arguments)
    with _reachable(folder, NAME) as path, socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(path))
        except FileNotFoundError as error:
            raise ConnectionRefusedError(str(error)) from error
        door.sendall(question)
        with door.makefile("rb") as lines:
            return _result(lines.readline())


async def ask_at(folder: Path, name: str, operation: str, arguments: dict[str, Any]) -> Any:
    """The same at another door, for an event loop."""
    with _reachable(folder, name) as path:
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


async def _perform(perform: Perform, line: bytes) -> bytes:
    try:
        question = msgspec.json.decode(line, type=_Question)
        return msgspec.json.encode({"result": await perform(question.operation, question.arguments)})
    except TriviumError as error:
        return msgspec.json.encode({"error": error.message, "detail": error.detail})
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return msgspec.json.encode({"error": f"not a question: {error}"})


@contextlib.contextmanager
def _reachable(folder: Path, name: str) -> Iterator[Path]:
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
