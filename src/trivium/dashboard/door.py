"""The gateway's own door, as the dashboard's process uses it: one JSON object a line each way (`server/control.py`).

With the session of who is signed in the gateway performs an operation as that person, and checks what that person may;
without one as the operator, which is done for signing in alone.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from trivium.dashboard.words import plainly
from trivium.errors import OperationError, Unavailable

_LIMIT = 64 * 1024 * 1024
_IDLE = 8
"""Connections that are kept."""
_AWAY = "The gateway does not answer. It may be starting again."


class Refusal(OperationError):
    """What the gateway answered instead of a result, with the status and code that it gave it."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(plainly(str(told["error"])), param=told.get("param"), retry_after=told.get("retry_after"))
        self.status = int(told.get("status") or 500)
        self.code = str(told.get("code") or "internal_error")


class Door:
    """For one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, operation: str, arguments: dict[str, Any], session: str | None = None) -> Any:
        """Raises Refusal, and Unavailable where nobody answers."""
        question = {"operation": operation, "arguments": arguments, "session": session}
        line = await self._said(msgspec.json.encode(question) + b"\n")
        told = msgspec.json.decode(line)
        if "error" in told:
            raise Refusal(told)
        return told["result"]

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _said(self, question: bytes) -> bytes:
        try:
            reader, writer = self._kept() or await asyncio.open_unix_connection(self._path, limit=_LIMIT)
        except OSError as error:
            raise Unavailable(_AWAY, detail=str(error)) from None
        try:
            writer.write(question)
            await writer.drain()
            answer = await reader.readline()
        except BaseException as error:
            writer.close()
            if isinstance(error, OSError | ValueError):
                raise Unavailable(_AWAY, detail=str(error)) from None
            raise
        if not answer.endswith(b"\n"):
            writer.close()
            raise Unavailable(_AWAY)
        if len(self._idle) < _IDLE:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return answer

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """An idle connection that the gateway has not closed."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return None
