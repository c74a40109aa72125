"""One life of the embedded model's process, as its supervisor sees it: start, reports, health, end."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress

import msgspec

from trivium.upstream.local_log import LocalLog

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All of our environment that the child sees: the rest may hold providers' keys."""
HEALTH = b"GET /metrics HTTP/1.0\r\n\r\n"
"""Passes through the engine's own queue, so that it proves more than `/health`, which any free HTTP thread answers."""


class _Report(msgspec.Struct):
    stage: str = ""
    port: int = 0


_report = msgspec.json.Decoder(_Report)


@asynccontextmanager
async def child(command: Sequence[str], log: LocalLog, farewell: float) -> AsyncIterator[Process]:
    """The running process. On leaving it is asked to end, and killed after `farewell` seconds.

    Its standard input is a pipe of which we hold the other end: the kernel closes that when we die. It has a session of
    its own, so that a Ctrl-C meant for us does not take the model away before we have drained. Raises OSError.
    """
    theirs, ours = os.pipe()
    try:
        try:
            with log.opened() as errors:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=theirs, stdout=PIPE, stderr=errors, start_new_session=True, env=_environment()
                )
        finally:
            os.close(theirs)
        try:
            yield process
        finally:
            await _end(process, farewell)
    finally:
        os.close(ours)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


async def _end(process: Process, farewell: float) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), farewell)
            return
        process.kill()
        await process.wait()


async def port_reported(process: Process, on_stage: Callable[[str], None]) -> int:
    """The port on which it serves, or 0 if it ended before it did."""
    assert process.stdout is not None
    async for line in process.stdout:
        try:
            report = _report.decode(line)
        except ValueError:
            continue  # a library's word that was meant for the log
        if report.port:
            return report.port
        on_stage(report.stage)
    return 0


async def answers(port: int, timeout: float) -> bool:  # noqa: ASYNC109
    """Whether the model's engine turns."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(HEALTH)
                return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False
