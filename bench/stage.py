"""What a run needs beside the figures: the two C programs, the gateways, their CPUs, and an end that leaves nothing.

A gateway's CPU time is read from its processes' CPU clocks (`clock_getcpuclockid(3)`): user plus system time of all
threads, which /proc/PID/stat shows in ticks of 10 ms, to the nanosecond. Every program runs in a process group of its
own, so that Ctrl-C reaches only us and `stop` reaches whatever the program started.
"""
# ruff: noqa: S603 # starts programs: that is what it is for

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from books import Ask

HERE = Path(__file__).parent
EVENTS = 200
"""Content events of a stream."""
BURST = 1
"""Events to a write of a stream at full speed: as providers send them. With more of them nginx costs less an event."""
INTERVAL = 0.02
"""Seconds between two events of a paced stream."""
UPSTREAM_KEY = "sk-upstream"
"""Must arrive there with every request: from the gateway, or from the client of a gateway that passes it on."""
CLIENT_KEYS = ("tv-", "sk-bench")
"""How the keys begin that gateways give their clients: none may arrive at the upstream."""
LONGEST_START = 120.0
"""Seconds that a gateway may take to its first answer."""


class BenchError(Exception):
    """The figures cannot be had, or not believed; says why."""


class Cpus:
    """The gateway's CPU, and those of everything else. `note` says what cannot be kept apart. Raises BenchError."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise BenchError(
                "Linux's CPU clocks, epoll and affinity are what this measures with: it runs on Linux only"
            )
        allowed = sorted(os.sched_getaffinity(0))
        self.gateway = {allowed[0]}
        self.tools = set(allowed[1:]) or self.gateway
        self.note = "" if len(allowed) > 1 else "only one CPU: gateway, upstream and load share it, figures are crude"


class Program:
    """A running program, and what it costs."""

    def __init__(
        self, name: str, argv: Sequence[str | Path], folder: Path, cpus: set[int], env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)  # inherited from the first instruction on, threads and children included
        self.began = time.monotonic()
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env, cwd=folder, start_new_session=True
                )
        finally:
            os.sched_setaffinity(0, ours)

    def cpu(self) -> float:
        """Seconds of CPU time since the start, its children's included."""
        return sum(self.cpu_of_each().values())

    def cpu_of_each(self) -> dict[int, float]:
        """The same, of each process by its id."""
        return {pid: time.clock_gettime((~pid << 3) | 2) for pid in self._pids()}

    def cpu_alone(self) -> float:
        """The same of the process itself, without its children."""
        return self.cpu_of_each()[self._process.pid]

    def move_children(self, cpus: set[int]) -> None:
        """Gives the processes that it has started other CPUs, with all their threads."""
        for pid in self._pids()[1:]:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cpus)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def cpu_beside(self) -> float:
        """Seconds of CPU time that its threads beside the first have taken."""
        tasks = list(Path(f"/proc/{self._process.pid}/task").iterdir())
        return sum(int(_words(task / "schedstat")[0]) for task in tasks if task.name != str(self._process.pid)) / 1e9

    def wanted(self) -> float:
        """Seconds in which it ran or stood in line for its CPU. What saturates a CPU wants it all the time, even where
        others take their share of it."""
        tasks = [task for pid in self._pids() for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(span) for task in tasks for span in _words(task / "schedstat")[:2]) / 1e9

    def memory(self) -> float:
        """MB of resident memory, its children's included."""
        return sum(_kib(pid, "status", "VmRSS:") for pid in self._pids()) / 1024

    def proportional_memory(self) -> float:
        """The same, but a page that several processes share counts once."""
        return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in self._pids()) / 1024

    def wait_for(self, start: str, seconds: float = 20) -> str:
        """The first line of its output that begins so. Raises BenchError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self.said().splitlines():
                if line.startswith(start):
                    return line
            time.sleep(0.02)
        raise BenchError(f"{self.name} did not start:\n{self.said()[-2000:]}")

    def wait_for_end(self, seconds: float) -> str:
        """All that it said. Raises BenchError where it fails or takes longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process.wait(seconds) == 0:
                return self.said()
        raise BenchError(f"{self.name} failed or took longer than {seconds:.0f} s:\n{self.said()[-2000:]}")

    def lives(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Asks, waits, and then does not ask; neither does it when it is interrupted."""
        try:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _pids(self) -> list[int]:
        return _family(self._process.pid)


class Way(NamedTuple):
    """How a gateway is asked."""

    path: str = "/v1/chat/completions"
    headers: Sequence[str] = ()
    model: str | None = None
    """Its name for the model, where that is another."""
    words: Sequence[str] = ()
    """What an answer must end with, where it is written anew. Without them every byte must be the upstream's."""
    streams: int | None = None
    """At once, where it does not manage what others do."""


DIRECT = Way(headers=[f"Authorization: Bearer {UPSTREAM_KEY}"])
"""The upstream itself, and gateways that pass the client's key on to it."""


class Upstreams(NamedTuple):
    """Ports of the upstream that knows requests to the byte, and of the one that knows what they say."""

    exact: int
    loose: int

    def of(self, way: Way) -> int:
        return self.loose if way.words else self.exact


class Gateway(NamedTuple):
    """A program with a port that takes requests."""

    program: Program
    port: int
    ways: Mapping[str, Way]
    """By the names of the cases that it knows."""
    has_keys: bool = False
    ask: Ask | None = None
    """Of a gateway that writes records: its store."""

    @property
    def name(self) -> str:
        return self.program.name


Launch = Callable[[Path, Cpus, Upstreams], Gateway]
"""Starts a gateway in a folder of its own, which may have been used before, and does not wait for it."""


def build(folder: Path) -> None:
    """Compiles `load` and `upstream` into the folder. Raises BenchError."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("no C compiler: `cc` is not in the PATH")
    for name in ("load", "upstream"):
        command: list[str | Path] = [compiler, "-O2", "-Wall", "-o", folder / name, HERE / f"{name}.c"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise BenchError(f"{name}.c does not compile:\n{done.stderr}")


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    try:
        yield program
    finally:
        program.stop()


@contextlib.contextmanager
def upstream(
    folder: Path,
    cpus: Cpus,
    kinds: Sequence[str],
    *,
    loosely: bool = False,
    name: str = "upstream",
    interval: float = INTERVAL,
) -> Iterator[int]:
    """The upstream's port; `kinds` as upstream.c wants them. Raises BenchError."""
    numbers = map(str, (EVENTS, BURST, round(interval * 1e6)))
    keys = ["-k", UPSTREAM_KEY, *(word for key in CLIENT_KEYS for word in ("-x", key))]
    argv: list[str | Path] = [folder / "upstream", *(["-l"] if loosely else []), *keys, *numbers, *kinds]
    with running(Program(name, argv, folder, cpus.tools, {})) as program:
        yield int(program.wait_for("port ").split()[1])


@contextlib.contextmanager
def started(
    launch: Launch, folder: Path, cpus: Cpus, upstreams: Upstreams, body: bytes
) -> Iterator[tuple[Gateway, float]]:
    """A gateway that answers, and the seconds from its start to its first answer. Raises BenchError."""
    gateway = launch(folder, cpus, upstreams)
    with running(gateway.program):
        yield gateway, _first_answer(gateway, body)


def _first_answer(gateway: Gateway, body: bytes) -> float:
    program, answer = gateway.program, 0
    while (seconds := time.monotonic() - program.began) < LONGEST_START and program.lives():
        with contextlib.suppress(OSError, HTTPException):
            answer = ask_small(gateway, body)
            if answer == 200:
                return time.monotonic() - program.began
        time.sleep(0.005)
    raise BenchError(
        f"{gateway.name}: no answer for {seconds:.0f} s, the last status {answer}:\n{program.said()[-2000:]}"
    )


def wait_until_ready(program: Program, port: int, path: str = "/readyz") -> None:
    """Until a program answers with 200 there. Raises BenchError."""
    while time.monotonic() - program.began < LONGEST_START and program.lives():
        with contextlib.suppress(OSError, HTTPException):
            if ask(port, "GET", path)[0] == 200:
                return
        time.sleep(0.02)
    raise BenchError(f"{program.name} is not ready:\n{program.said()[-2000:]}")


def load(folder: Path, cpus: Cpus, port: int, way: Way, options: Sequence[object], *, seconds: float) -> dict[str, Any]:
    """One run of the load generator, `seconds` long and some grace: what it prints. Raises BenchError."""
    with running(loading(folder, cpus, port, way, options)) as program:
        *complaints, line = program.wait_for_end(seconds + 12).splitlines()
    return {**json.loads(line), "complaints": complaints}


def loading(folder: Path, cpus: Cpus, port: int, way: Way, options: Sequence[object]) -> Program:
    """The load generator at work."""
    more = [word for header in way.headers for word in ("-H", header)]
    more += [word for words in way.words for word in ("-w", words)]
    argv: list[str | Path] = [folder / "load", "-p", str(port), "-P", way.path, *map(str, options), *more]
    return Program("load", argv, folder, cpus.tools, {})


def ask_small(gateway: Gateway, body: bytes, key: str | None = None) -> int:
    """The status of one small request, with another key if one is given."""
    way = gateway.ways["small"]
    if way.model is not None:
        body = body.replace(b'"gpt-mock"', f'"{way.model}"'.encode())
    headers = way.headers if key is None else [f"Authorization: Bearer {key}"]
    return ask(gateway.port, "POST", way.path, body, headers)[0]


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: Sequence[str] = ()) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        pairs = dict(header.split(": ", 1) for header in headers)
        connection.request(method, path, body, {"Content-Type": "application/json", **pairs})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    """A process, its children, theirs, and so on."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    return [pid, *(member for child in children for member in _family(child))]


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _kib(pid: int, file: str, name: str) -> int:
    said = Path(f"/proc/{pid}/{file}").read_text()
    return next(int(line.split()[1]) for line in said.splitlines() if line.startswith(name))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
