"""`kill -9` at every system call with which the gateway writes anything in the life of one request.

    .venv/bin/python bench/trust/syscalls.py [--scale S]      below scale 1 only one in three of the frequent calls

strace counts the calls of each thread for a whole answer and for a stream, the first request of a life; then every
one of them in turn is the last thing that thread begins (strace kills on entry: the call is not carried out). The next
life ends what was left, and the request is compared with what client and upstream know of it. Threads that the request
itself starts only wake the event loop; they are not waited upon.
"""
# ruff: noqa: ASYNC110, S603, S607 # starts strace, and looks at what tells nobody that it changed

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from stage import Figures, Gateway, added, books, figures, main
from traffic import Call, Clients, Judge, config, make, script

from trivium.mock import ScriptedUpstream

WRITES = "write,pwrite64,fsync,fdatasync,sendto,sendmsg,writev,ftruncate"
ABSENT = "not played: strace is not installed (Debian's package strace)"
_FORBIDDEN = "not played: strace may not look at other processes here"
_OFTEN = 10
"""Calls of one kind by one thread of which small scales leave some out."""
_SETTLED = 2.0
"""Seconds that a record may take under strace."""

Counts = Mapping[tuple[int, str], int]
"""How often each thread (0 is the first) makes each system call."""


class Lives:
    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.kills: list[float] = []
        self.judge = Judge(upstream, self.kills)
        self.found: list[Figures] = []
        self.points: Counter[str] = Counter()
        self.serial = 0

    async def begin(self) -> None:
        """The first life to be looked at; it comes after a kill, as all others do."""
        await self._end([])

    async def count(self, *, stream: bool, trace: Path) -> Counts:
        """What a request writes; a life without a kill."""
        threads = _threads(self.gateway.pid)
        with _strace(["-f", "-p", str(self.gateway.pid), "-e", f"trace={WRITES}", "-o", str(trace)]):
            call = await self._request(stream=stream)
        await self._end([call])
        return _counted(trace, threads)

    async def die(self, thread: int, name: str, number: int, *, stream: bool) -> bool:
        """Dies as a thread begins its so manieth call of that name; False where the request is over without it."""
        threads = _threads(self.gateway.pid)
        inject = f"inject={name}:signal=KILL:when={number}"
        with _strace(["-p", str(threads[thread]), "-e", f"trace={name}", "-e", inject, "-o", "/dev/null"]):
            call = await self._request(stream=stream)
            died = not self.gateway.alive
        await self._end([call])
        self.points[name] += died
        return died

    async def verify(self) -> None:
        verified = await asyncio.to_thread(self.gateway.verify)
        self.found.append(figures({"charge_differences": len(verified)}, verified))

    async def _end(self, calls: list[Call]) -> None:
        """Kills what lives, and judges in the next life, which then has a first request of its own."""
        self.kills.append(time.monotonic())
        self.gateway.kill()
        self.gateway.configure(config(self.upstream, edition=len(self.kills)))
        await asyncio.to_thread(self.gateway.start)
        await asyncio.to_thread(self.gateway.wait_for_recovery)
        self.found += [self.judge.judge(calls, self.gateway.rows, allowed=(200,)), books(self.gateway.rows)]

    async def _request(self, *, stream: bool) -> Call:
        """Makes one, and waits until its record is durable or the gateway dead."""
        self.serial += 1
        call = Call(f"slow-{self.serial}", "up", "chat", stream=stream, leaves=False, account="default")
        await make(call, self.gateway.port, self.gateway.key)
        until = time.monotonic() + _SETTLED
        while self.gateway.alive and time.monotonic() < until and not self._is_settled(call):
            await asyncio.sleep(0.02)
        # The writer's last words, and the news of a death, take a moment.
        await asyncio.sleep(0.02)
        return call

    def _is_settled(self, call: Call) -> bool:
        name = f"{call.provider}/{call.name}"
        return bool(self.gateway.rows("SELECT 1 FROM records WHERE requested_model = ?", name))


async def play(scale: float, folder: Path) -> Figures:
    async with ScriptedUpstream(script()) as upstream:
        gateway = Gateway(folder / "syscalls", config(upstream))
        lives = Lives(gateway, upstream)
        gateway.start()
        Clients(gateway, 1).open_accounts()
        await lives.begin()
        lines = []
        for stream in (False, True):
            counts = await lives.count(stream=stream, trace=folder / f"trace-{stream}")
            killed = await _kill_everywhere(lives, counts, scale, stream=stream)
            shape = "streamed" if stream else "whole"
            lines.append(f"{shape}: {sum(counts.values())} write calls in the life of the request, killed at {killed}")
        await lives.verify()
        gateway.kill()
    lines.append(", ".join(f"{count} at {name}" for name, count in lives.points.most_common()))
    judge = lives.judge
    lines.append(
        f"the upstream saw {judge.seen} of the requests, {judge.answered} answers were received whole, of which"
        f" {len(judge.unsettled)} were charged 0 as their settlement was not durable"
    )
    return added([figures({}, lines), *lives.found])


async def _kill_everywhere(lives: Lives, counts: Counts, scale: float, *, stream: bool) -> int:
    killed = 0
    for (thread, name), count in sorted(counts.items()):
        number, step = 1, 3 if scale < 1 and count > _OFTEN else 1
        while await lives.die(thread, name, number, stream=stream):
            killed += 1
            number += step
    return killed


def run(scale: float, folder: Path) -> Figures:
    if shutil.which("strace") is None:
        return Figures(lines=(ABSENT,))
    if not _is_allowed():
        return Figures(lines=(_FORBIDDEN,))
    return asyncio.run(play(scale, folder))


def _is_allowed() -> bool:
    with subprocess.Popen(["sleep", "5"]) as sleeper:
        try:
            with _strace(["-p", str(sleeper.pid), "-o", "/dev/null"]):
                return True
        except OSError:
            return False
        finally:
            sleeper.kill()


@contextlib.contextmanager
def _strace(options: list[str]) -> Iterator[None]:
    """Attached when this returns. Raises OSError where it may not."""
    with subprocess.Popen(["strace", *options], stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        said = strace.stderr.readline()
        if "attached" not in said:
            raise PermissionError(said)
        try:
            yield
        finally:
            strace.terminate()
            strace.stderr.read()


def _counted(trace: Path, threads: list[int]) -> Counts:
    lines = re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE)
    return Counter((threads.index(int(thread)), name) for thread, name in lines if int(thread) in threads)


def _threads(pid: int) -> list[int]:
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


if __name__ == "__main__":
    sys.exit(main("syscalls", run))
