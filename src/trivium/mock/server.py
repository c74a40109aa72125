"""The scripted upstream as a server: in a test beside the code under test, or alone from the command line."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from trivium.errors import OperationError
from trivium.mock.connection import Connection, Stage
from trivium.mock.record import Recorded, Records
from trivium.mock.script import Script

_BACKLOG = 2048
_log = logging.getLogger(__name__)


class ScriptedUpstream:
    """An async context manager: listens inside it, has cut every connection and freed the port behind it.

    Port 0 takes a free one. Every ended request is appended to `record` as a JSON line. Raises OperationError if it
    cannot listen or cannot write there.
    """

    def __init__(
        self, script: Script | None = None, *, host: str = "127.0.0.1", port: int = 0, record: Path | None = None
    ) -> None:
        self._script = script or Script()
        self._host = host
        self._port = port
        self._record = record
        self._file: IO[bytes] | None = None

    async def __aenter__(self) -> Self:
        try:
            self._file = self._record.open("ab") if self._record else None
            self._records = Records(self._script.keep, self._file)
            self._stage = Stage(self._script, self._records)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Connection(self._stage), self._host, self._port, backlog=_BACKLOG
            )
        except OSError as failure:
            self._close_file()
            raise OperationError(f"the scripted upstream cannot start: {failure}") from failure
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._stage.close()
        await self._server.wait_closed()
        self._close_file()

    @property
    def url(self) -> str:
        """Without a path: `http://127.0.0.1:40123`. Every endpoint is there under any prefix."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @property
    def requests(self) -> list[Recorded]:
        """What arrived, in that order. The values are frozen: ask again to see how a request ended."""
        return self._records.all

    def forget(self) -> None:
        """Forgets the recorded requests; the script goes on from where it is."""
        self._records.clear()

    async def wait_for_requests(self, count: int, *, within: float = 10.0) -> list[Recorded]:
        """Waits until so many requests have arrived. Raises TimeoutError after `within` seconds."""
        return await self._records.until(lambda held: len(held) >= count, within)

    async def wait_for_endings(self, count: int, *, within: float = 10.0) -> list[Recorded]:
        """Waits until so many requests have ended; returns those alone. Raises TimeoutError after `within` seconds."""
        return _ended(await self._records.until(lambda held: len(_ended(held)) >= count, within))

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()


async def serve(script: Script, host: str, port: int, record: Path | None) -> None:
    """Plays the script until it is cancelled. Raises OperationError if it cannot start."""
    async with ScriptedUpstream(script, host=host, port=port, record=record) as upstream:
        _log.info("scripted upstream listening on %s", upstream.url)
        await asyncio.get_running_loop().create_future()


def _ended(held: list[Recorded]) -> list[Recorded]:
    return [request for request in held if request.ending is not None]
