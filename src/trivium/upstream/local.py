"""The embedded model: a supervised child process that runs llama.cpp's server on 127.0.0.1.

It needs the extra `local`; `available()` says what is missing. The child is started once, checked, restarted with
back-off when it dies or stops answering, and ended with us - however we end: it watches a pipe whose other end is ours
(see `local_child`). Its memory is its own, and so is its log, which is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

from trivium.errors import ConfigError, UpstreamUnreachable
from trivium.upstream.extras import installing
from trivium.upstream.local_log import LocalLog
from trivium.upstream.local_model import CONTEXT, SERVER, WEIGHTS
from trivium.upstream.local_process import answers, child, port_reported

COMMAND = (sys.executable, "-P", "-m", "trivium.upstream.local_child")
MOST_THREADS = 8
"""More of them make a model this small slower, not faster."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, but for `strikes`."""

    load: float = 120.0
    """A child that does not serve by then is ended and started again."""
    check: float = 5.0
    """Between two health checks, and the longest that one may take."""
    strikes: int = 3
    """So many failed checks in a row end the child."""
    retreat: float = 0.5
    """Before the second start; doubled with each further one."""
    longest_retreat: float = 30.0
    steady: float = 60.0
    """After a life this long the child is restarted as if it were the first time."""
    farewell: float = 3.0
    """Between asking the child to end and killing it."""


class State(msgspec.Struct, frozen=True):
    phase: Literal["stopped", "starting", "serving", "failed"]
    words: str = ""
    """What a starting child is doing, or why a start failed. A failed start is followed by another one."""


STOPPED, SERVING = State("stopped", "is not started"), State("serving")


class LocalModel:
    """`data` is the folder for the weights (`cache/`, 250 MB) and the log (`local-model.log`)."""

    def __init__(
        self,
        data: Path,
        *,
        slots: int = 4,
        context: int = CONTEXT,
        pace: Pace | None = None,
        command: Sequence[str] = COMMAND,
        packages: Sequence[str] = (SERVER, WEIGHTS),
    ) -> None:
        """`slots` answers are written at a time, each in `context` tokens; more requests wait their turn in the child.
        `command` is the child and `packages` what it needs: tests put a scripted child there."""
        options = {"cache": data / "cache", "slots": slots, "context": context, "threads": _threads()}
        self._command = (*command, *(f"--{name}={value}" for name, value in options.items()))
        self._packages = packages
        self._pace = pace or Pace()
        self._log = LocalLog(data / "local-model.log")
        self._supervisor: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.state = STOPPED
        self.port = 0
        """0 before a start has succeeded. A restart keeps it unless somebody took it: ask again for each request."""
        self.restarts = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def available(self) -> str | None:
        """Why the model cannot run here, or None. Imports nothing of it."""
        if sys.platform == "win32":
            return "the embedded model needs Linux or macOS"
        missing = [name for name in self._packages if find_spec(name) is None]
        if missing:
            return f"the embedded model needs {installing('local')} (missing: {', '.join(missing)})"
        return None

    async def start(self) -> None:
        """Has the child started, once; does not wait for it. Raises ConfigError when the model is not available."""
        if self._supervisor is not None:
            return
        if reason := self.available():
            raise ConfigError(reason)
        self._enter(State("starting", "starting"))
        self._supervisor = asyncio.create_task(self._supervise())

    async def wait_ready(self, timeout: float, progress: Callable[[str], None] | None = None) -> None:  # noqa: ASYNC109
        """Returns as soon as the model answers; `progress` hears what it is doing until then.

        Raises UpstreamUnreachable, with the child's last words in its detail, when a start fails or after `timeout`
        seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while self.state.phase == "starting":
                    if progress is not None:
                        progress(self.state.words)
                    await self._changed.wait()
        except TimeoutError:
            words = f"is not ready after {timeout:g} s ({self.state.words})"
        else:
            if self.state is SERVING:
                return
            words = self.state.words
        raise UpstreamUnreachable(f"The embedded model {words}.", detail=self._log.last_words())

    async def stop(self) -> None:
        """Ends the child and waits for that. May be called twice; the model may be started again afterwards."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])
            self._enter(STOPPED)

    def _enter(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _supervise(self) -> None:
        clock, retreat = asyncio.get_running_loop().time, self._pace.retreat
        while True:
            began = clock()
            failure = await self._life()
            # Who asks while a model that served is being restarted waits for it; who waits for a first start is told.
            self._enter(State("starting" if self.state is SERVING else "failed", failure))
            if clock() - began > self._pace.steady:
                retreat = self._pace.retreat
            await asyncio.sleep(retreat)
            retreat = min(2 * retreat, self._pace.longest_retreat)
            self.restarts += 1
            self._enter(State("starting", "starting"))

    async def _life(self) -> str:
        """One child from its start to its end, and what ended it."""
        wanted, self.port = self.port, 0
        try:
            async with child((*self._command, f"--port={wanted}"), self._log, self._pace.farewell) as process:
                async with asyncio.timeout(self._pace.load):
                    self.port = await port_reported(process, lambda stage: self._enter(State("starting", stage)))
                if not self.port:
                    return f"ended with code {await process.wait()} before it was ready"
                self._enter(SERVING)
                return await self._served(process)
        except TimeoutError:
            return f"was not ready after {self._pace.load:g} s ({self.state.words})"
        except OSError as error:
            return f"could not be started: {error}"

    async def _served(self, process: Process) -> str:
        strikes = 0
        while strikes < self._pace.strikes:
            with contextlib.suppress(TimeoutError):
                return f"ended with code {await asyncio.wait_for(process.wait(), self._pace.check)}"
            self._log.trim()
            strikes = 0 if await answers(self.port, self._pace.check) else strikes + 1
        return f"did not answer {strikes} health checks"


def _threads() -> int:
    """One core is left to the gateway. llama.cpp's threads wait for one another by spinning, so that two of them beside
    anything else on two cores write 5 to 15 times slower than one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores - 1, 1), MOST_THREADS)
