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

Perform = Callable[[str, dict[str, Any]], Awaitable[Any]]


class _Question(msgspec.Struct):
    operation: str
    arguments: dict[str, Any] = {}


async def serve(folder: Path, perform: Perform) -> asyncio.Server:
    """Opens the door. The lock on the folder is ours, so a socket that is still there is a dead one's."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(await _perform(perform, line) + b"\n")
                await writer.drain()
        writer.close()

    with _reachable(folder) as path:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(answer, path, limit=_LIMIT)
        finally:
            os.umask(before)


def ask(folder: Path, operation: str, arguments: dict[str, Any]) -> Any:
    """The owner's answer. Raises ConnectionError where nobody owns the folder, OperationError for a refusal."""
    try:
        question = msgspec.json.encode(_Question(operation, arguments)) + b"\n"
    except UnicodeError as error:
        raise OperationError(f"{operation}: the arguments are not text: {error}") from None
    with _reachable(folder) as path, socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(path))
        except FileNotFoundError as error:
            raise ConnectionRefusedError(str(error)) from error
        door.sendall(question)
        with door.makefile("rb") as lines:
            answer = msgspec.json.decode(lines.readline() or b'{"error":"The gateway closed the connection."}')
    if "error" in answer:
        raise OperationError(answer["error"], detail=answer.get("detail"))
    return answer["result"]


async def _perform(perform: Perform, line: bytes) -> bytes:
    try:
        question = msgspec.json.decode(line, type=_Question)
        return msgspec.json.encode({"result": await perform(question.operation, question.arguments)})
    except TriviumError as error:
        return msgspec.json.encode({"error": error.message, "detail": error.detail})
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return msgspec.json.encode({"error": f"not a question: {error}"})


@contextlib.contextmanager
def _reachable(folder: Path) -> Iterator[Path]:
    if sys.platform != "linux":
        yield folder / NAME
        return
    try:
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConnectionRefusedError(str(error)) from error
    try:
        yield Path(f"/proc/self/fd/{handle}") / NAME
    finally:
        os.close(handle)
