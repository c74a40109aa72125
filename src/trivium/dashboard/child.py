"""The dashboard's process (`server/panel.py` starts it):

    python -m trivium.dashboard.child --folder DATA --socket NAME

It listens on a Unix socket of that name in the data folder, which it removes at its end, says so by a line on standard
output, and ends when its standard input does, whose other end the gateway holds. Standard error is its log.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from trivium.dashboard.app import application
from trivium.dashboard.door import Door
from trivium.telemetry import logs

DOOR = Path("control.sock")
LOG_LIMIT = 4 << 20
"""Bytes."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="trivium.dashboard.child")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--socket", required=True)
    options = parser.parse_args(argv)
    os.chdir(options.folder)  # paths of sockets are short
    logs.set_up("warning")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # each request that is none, by whomever
    # The gateway cuts the log back once a minute; what fails all the time must not fill a disk meanwhile.
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_LIMIT, LOG_LIMIT))
    path = Path(options.socket)
    try:
        asyncio.run(serve(path))
    finally:
        path.unlink(missing_ok=True)


async def serve(path: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin.fileno(), ended.set)  # nobody writes to it: this is its end
    door = Door(DOOR)
    runner = web.AppRunner(await application(door), access_log=None, handle_signals=False)
    await runner.setup()
    before = os.umask(0o177)
    try:
        await web.UnixSite(runner, str(path)).start()
    finally:
        os.umask(before)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()
    await runner.cleanup()
    await door.close()


if __name__ == "__main__":
    main()
