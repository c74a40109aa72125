"""The dashboard as the gateway sees it: another process, and the bytes between it and a browser.

The process is started by the first visit and ended once nobody has come for a while, so that a gateway whose dashboard
nobody looks at is no larger for it; rendering never takes time from calls. It listens on a Unix socket in the data
folder and does all that it does through `control.sock` (`trivium/dashboard/child.py`). It ends with us, however we end:
it watches a pipe whose other end is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path

from trivium.admin.face import Asked
from trivium.errors import BodyTimeout, Overloaded, TriviumError, UpstreamUnreachable
from trivium.pipeline.call import Body, Headers, Reply
from trivium.server.control import reachable
from trivium.settings_dashboard import DashboardSettings
from trivium.upstream.client import Timeouts, UpstreamRequest, UpstreamResponse
from trivium.upstream.local_log import LocalLog
from trivium.upstream.local_process import child
from trivium.upstream.pool import PoolLimits
from trivium.upstream.unix import UnixClient

COMMAND = (sys.executable, "-P", "-m", "trivium.dashboard.child")
MOST_BYTES = 1024 * 1024
"""Of a request's body."""
_HELD = 64 * MOST_BYTES
"""Of all bodies that are on their way: whoever comes may send one, signed in or not."""
_ARRIVES = 30.0
"""Seconds that a body may take."""
_LOOKS = 60.0
"""How often it is seen to it that the log does not grow without end."""
_START = 30.0
"""Seconds that a visitor waits for the process."""
_FAREWELL = 3.0
_STEADY = 60.0
"""A process that lived so many seconds is started again at once; others after a pause, doubled each time."""
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_TIMEOUTS = Timeouts(connect=5, first_byte=60, idle=60)
_LIMITS = PoolLimits(connections=64, idle=4, idle_seconds=30)
_PASSED_ON = frozenset(
    {
        *(b"accept", b"content-type", b"cookie", b"hx-request", b"if-none-match", b"origin", b"sec-fetch-site"),
        *(b"user-agent", b"x-csrf-token"),
    }
)
_KEPT_BACK = frozenset((b"connection", b"date", b"keep-alive", b"server", b"transfer-encoding"))
_AWAY = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Trivium</title><h1>The dashboard is not there</h1>"
    b"<p>%b</p><p>Calls are answered all the same. The log of the dashboard is dashboard.log in the data folder.</p>"
)


def wants_page(method: str, path: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request is a person's, for the dashboard. `/` is asked by programs too, to see whether anybody is
    there: they hear that somebody is, as at `/healthz`."""
    if path == "/":
        return method == "GET" and b"text/html" in headers.get(b"accept", b"")
    return path.startswith("/dashboard/") or path == "/dashboard"


class Panel:
    """For one event loop."""

    def __init__(self, folder: Path, settings: DashboardSettings, command: Sequence[str] = COMMAND) -> None:
        """`command` is the process: tests put another there."""
        self._socket = f"dashboard-{os.getpid()}.sock"
        """Each gateway's own, where several have the folder as workers of one."""
        self._command = (*command, f"--folder={folder.absolute()}", f"--socket={self._socket}")
        self._log = LocalLog(folder / "dashboard.log")
        self._rest_s = settings.rest_minutes * 60
        self._client = UnixClient(lambda: reachable(folder, self._socket), _LIMITS)
        self._life: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._visited = 0.0
        self._visitors = 0
        self._held = 0
        self._pause, self._not_before = 0.0, 0.0

    @property
    def is_running(self) -> bool:
        return self._life is not None and not self._life.done()

    async def serve(self, asked: Asked, secure: bool, body: Body, reply: Reply) -> None:
        """Answers a request. Raises nothing but what ends the task: cancellation, where the client left."""
        self._visitors += 1
        content = bytearray()
        try:
            fits = await self._read(body, content)
            response = await self._ask(asked, secure, bytes(content)) if fits else None
        except TriviumError as error:
            await _refuse(reply, error.status if error.status in (408, 503) else 503, error.message)
            return
        finally:
            self._visitors -= 1
            self._held -= len(content)
            self._visited = asyncio.get_running_loop().time()
        if response is None:
            await _refuse(reply, 413, f"No form has more than {MOST_BYTES} bytes.")
            return
        await _pass(response, reply)

    async def stop(self) -> None:
        """Ends the process, and waits for that."""
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.wait([life])
        await self._client.close()

    async def _read(self, body: Body, content: bytearray) -> bool:
        """Into `content`, which counts as held; false: it is too large. Raises BodyTimeout, Overloaded."""
        more = True
        try:
            async with asyncio.timeout(_ARRIVES):
                while more and len(content) <= MOST_BYTES:
                    chunk, more = await body.read()
                    content += chunk
                    self._held += len(chunk)
                    if self._held > _HELD:
                        raise Overloaded("Too many forms are being sent at once. Try again in a moment.")
        except TimeoutError:
            raise BodyTimeout("The form took too long to arrive.") from None
        return len(content) <= MOST_BYTES

    async def _ask(self, asked: Asked, secure: bool, content: bytes) -> UpstreamResponse:
        """Raises UpstreamError."""
        await self._start()
        headers = [(name, _plain(value)) for name, value in asked.headers.items() if name in _PASSED_ON]
        headers += [
            (b"x-trivium-host", _plain(asked.headers.get(b"host", b""))),
            (b"x-trivium-scheme", b"https" if secure else b"http"),
            (b"x-trivium-address", (asked.client_ip or "").encode()),
        ]
        query = f"?{asked.query.decode('latin-1')}" if asked.query else ""
        url = f"http://dashboard{asked.path.decode('latin-1')}{query}"
        try:
            return await self._client.send(
                UpstreamRequest(method=asked.method, url=url, headers=headers, body=content, timeouts=_TIMEOUTS)
            )
        except ValueError as error:
            raise UpstreamUnreachable("The request cannot be passed on as it is.", detail=str(error)) from None

    async def _start(self) -> None:
        """Returns when the process serves. Raises UpstreamUnreachable."""
        loop = asyncio.get_running_loop()
        if not self.is_running:
            if loop.time() < self._not_before:
                raise UpstreamUnreachable("It has ended by itself, and is started again in a moment.")
            self._ready = loop.create_future()
            self._life = asyncio.create_task(self._live(self._ready))
        assert self._ready is not None
        try:
            async with asyncio.timeout(_START):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise UpstreamUnreachable(f"It has not started within {_START:g} s.") from None

    async def _live(self, ready: asyncio.Future[None]) -> None:
        """One process from its start to its end."""
        loop = asyncio.get_running_loop()
        began = self._visited = loop.time()
        try:
            async with child(self._command, self._log, _FAREWELL) as process:
                assert process.stdout is not None
                if await process.stdout.readline():
                    ready.set_result(None)
                    if await self._rested(process):
                        return
        except OSError as error:
            self._log.path.write_text(f"{error}\n")
        finally:
            if not ready.done():
                ready.set_exception(UpstreamUnreachable("It could not be started."))
                ready.exception()  # nobody need ask
        if loop.time() - began > _STEADY:
            self._pause = 0.0
        self._not_before = loop.time() + self._pause
        self._pause = min(max(2 * self._pause, _PAUSE), _LONGEST_PAUSE)

    async def _rested(self, process: Process) -> bool:
        """Returns when nobody has come for long: true. False: the process ended by itself."""
        loop = asyncio.get_running_loop()
        while True:
            left = self._visited + self._rest_s - loop.time()
            if left <= 0 and not self._visitors:
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), min(max(left, 1.0), _LOOKS))
                return False
            self._log.trim()


def _plain(value: bytes) -> bytes:
    """A header in ASCII: what the pages read is ASCII, and half a character could be written nowhere."""
    return value if value.isascii() else value.decode("utf-8", "replace").encode("ascii", "replace")


async def _pass(response: UpstreamResponse, reply: Reply) -> None:
    """The answer as it comes; where it breaks off, so does ours."""
    try:
        headers: Headers = [(name, value) for name, value in response.headers if name not in _KEPT_BACK]
        await reply.start(response.status, headers)
        try:
            while data := await response.read():
                await reply.write(data)
        except TriviumError:
            reply.cut()
            return
        await reply.end()
    finally:
        response.close()


async def _refuse(reply: Reply, status: int, words: str) -> None:
    content = _AWAY % words.encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(content)),
        (b"content-security-policy", b"default-src 'none'"),
        (b"cache-control", b"no-store"),
        (b"retry-after", b"1"),
    ]
    await reply.start(status, headers)
    await reply.end(content)
