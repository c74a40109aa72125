"""The dashboard as the gateway sees it: another process, and the bytes between it and a browser.

The process is started by the first visit and ended once nobody has come for a while, so that a gateway whose dashboard
nobody looks at is no larger for it; rendering never takes time from calls. It listens on a Unix socket in the data
folder and does all that it does through `control.sock` (`trivium/dashboard/child.py`). It ends with us, however we end:
it watches a pipe whose other end is ours.

While it lives it is asked again and again whether it still answers. One that does not within the deadline is killed
and started again; whoever was waiting for it, or comes meanwhile, is told so on a page of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Literal

import msgspec

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
_ASKED = b"GET /alive HTTP/1.1\r\nhost: dashboard\r\nconnection: close\r\n\r\n"
"""A path that no browser gets to."""
_GRACE = 0.5
"""Seconds in which it is seen that a process has ended which nobody can connect to."""
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
_PAGE = b"<!doctype html><html lang=en><meta charset=utf-8><title>Trivium</title><h1>%b</h1><p>%b</p>"
_AWAY = b"The dashboard is not there"
_HEADS = {408: b"The form did not arrive", 413: b"The form is too long"}
_BESIDE = b"<p>Calls are answered all the same. The log of the dashboard is dashboard.log in the data folder.</p>"

_LOG = logging.getLogger("trivium.dashboard")
Lost = Literal["ended", "hung"]
"""How a process was lost that nobody had asked to end."""


class Pulse(msgspec.Struct, frozen=True):
    """How it is seen that the process hangs, in seconds."""

    every: float = 5.0
    within: float = 10.0
    """A page takes milliseconds."""
    start: float = _START
    """Until it serves for the first time."""


USUAL = Pulse()


def wants_page(method: str, path: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request is a person's, for the dashboard. `/` is asked by programs too, to see whether anybody is
    there: they hear that somebody is, as at `/healthz`."""
    if path == "/":
        return method == "GET" and b"text/html" in headers.get(b"accept", b"")
    return path.startswith("/dashboard/") or path == "/dashboard"


class Panel:
    """For one event loop."""

    def __init__(
        self, folder: Path, settings: DashboardSettings, command: Sequence[str] = COMMAND, pulse: Pulse = USUAL
    ) -> None:
        """`command` is the process: tests put another there."""
        self._folder = folder
        self._pulse = pulse
        self.lost: Counter[str] = Counter(ended=0, hung=0)
        """Processes since the start."""
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
        if loop.time() < self._not_before:
            raise UpstreamUnreachable("It was lost, and is started again in a moment.")
        if not self.is_running:
            self._ready = loop.create_future()
            self._life = asyncio.create_task(self._live(), context=Context())  # no visit's: its log is about none
        assert self._ready is not None
        try:
            async with asyncio.timeout(self._pulse.start):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise UpstreamUnreachable(f"It has not started within {self._pulse.start:g} s.") from None

    async def _live(self) -> None:
        """One process, and another as long as each of them hangs. What ends by itself is started by the next visit."""
        loop = asyncio.get_running_loop()
        while True:
            began = self._visited = loop.time()
            assert self._ready is not None
            lost = await self._lived(self._ready)
            if lost is None:
                return
            self.lost[lost] += 1
            if loop.time() - began > _STEADY:
                self._pause = 0.0
            self._not_before = loop.time() + self._pause
            self._pause = min(max(2 * self._pause, _PAUSE), _LONGEST_PAUSE)
            if lost == "ended":
                return
            self._ready = loop.create_future()
            self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # nobody need ask
            await asyncio.sleep(self._not_before - loop.time())

    async def _lived(self, ready: asyncio.Future[None]) -> Lost | None:
        """From its start to its end; None: it has rested."""
        try:
            async with child(self._command, self._log, _FAREWELL) as process:
                lost = await self._watched(process, ready)
                if lost == "hung":
                    process.kill()  # nothing milder reaches a process that was stopped
                    await process.wait()
                return lost
        except OSError as error:
            self._log.path.write_text(f"{error}\n")
            return "ended"
        finally:
            if not ready.done():
                ready.set_exception(UpstreamUnreachable("It could not be started."))
                ready.exception()

    async def _watched(self, process: Process, ready: asyncio.Future[None]) -> Lost | None:
        """Returns when it is lost, or nobody has come for long."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._pulse.start):
                serves = bool(await process.stdout.readline())
        except TimeoutError:
            _LOG.error("the dashboard, process %d, has not started within %g s", process.pid, self._pulse.start)
            return "hung"
        if serves:
            ready.set_result(None)
            if await self._rested(process):
                return None
        if await _has_ended(process, _GRACE if serves else _FAREWELL):
            _LOG.error("the dashboard, process %d, ended by itself with status %d", process.pid, process.returncode)
            return "ended"
        _LOG.error(
            "the dashboard, process %d, does not answer within %g s: it is killed and started again",
            process.pid,
            self._pulse.within,
        )
        return "hung"

    async def _rested(self, process: Process) -> bool:
        """Returns when nobody has come for long: true. False: the process has ended by itself, or does not answer."""
        loop = asyncio.get_running_loop()
        trims = loop.time() + _LOOKS
        while True:
            left = self._visited + self._rest_s - loop.time()
            if left <= 0 and not self._visitors:
                return True
            if await _has_ended(process, min(max(left, 1.0), self._pulse.every, _LOOKS)):
                return False
            if not await self._answers():
                return False
            if loop.time() >= trims:
                self._log.trim()
                trims = loop.time() + _LOOKS

    async def _answers(self) -> bool:
        """Whether its event loop turns."""
        try:
            async with asyncio.timeout(self._pulse.within):
                with reachable(self._folder, self._socket) as path:
                    reader, writer = await asyncio.open_unix_connection(path)
                with contextlib.closing(writer):
                    writer.write(_ASKED)
                    return bool(await reader.readline())
        except (OSError, TimeoutError):
            return False


async def _has_ended(process: Process, patience: float) -> bool:
    """Within so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), patience)
    return process.returncode is not None


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
    content = _PAGE % (_HEADS.get(status, _AWAY), words.encode()) + (b"" if status in _HEADS else _BESIDE)
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(content)),
        (b"content-security-policy", b"default-src 'none'"),
        (b"cache-control", b"no-store"),
        (b"retry-after", b"1"),
    ]
    await reply.start(status, headers)
    await reply.end(content)
