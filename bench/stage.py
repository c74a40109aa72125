"""What a run needs beside the figures: the two C programs, the gateways, their CPUs, and an end that leaves nothing.

A gateway's CPU time is read from its processes' CPU clocks (`clock_getcpuclockid(3)`): user plus system time of all
threads, which /proc/PID/stat shows in ticks of 10 ms, to the nanosecond. Every program runs in a process group of its
own, so that Ctrl-C reaches only us and `stop` reaches whatever the program started.
"""
# ruff: noqa: S603, T201 # starts programs and talks to a terminal: that is what it is for

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
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EVENTS = 200
"""Content events of a stream."""
BURST = 1
"""Events to a write of a stream at full speed: as providers send them. With more of them nginx costs less an event."""
INTERVAL = 0.02
"""Seconds between two events of a paced stream."""

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 32m;
    client_body_buffer_size 128k;
    keepalive_requests 1000000000;
    upstream provider {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
_TRIVIUM = """\
[local]
enabled = false

[providers.bench]
base_url = "http://127.0.0.1:{upstream}/v1"
key = "an upstream's key"
apis = ["chat"]
models = ["gpt-mock"]
"""


class BenchError(Exception):
    """The figures cannot be had, or not believed; says why."""


class Cpus:
    """The gateway's CPU, and those of everything else. `note` says what cannot be kept apart."""

    def __init__(self) -> None:
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


class Gateway:
    """A program with a port that takes requests."""

    def __init__(self, program: Program, port: int, headers: Sequence[str] = ()) -> None:
        self.program = program
        self.name = program.name
        self.port = port
        self.headers = headers


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


def find_nginx() -> str | None:
    """nginx, installed on the way where we are root on a Debian; None where there is none to be had."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found, installer = shutil.which("nginx", path=places), shutil.which("apt-get")
    if found or installer is None or os.geteuid() != 0:
        return found
    print("nginx is missing: installing it with apt-get (once; not part of the minute)", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "nginx"]):
        done = subprocess.run(
            [installer, "-q", *command], env=env, capture_output=True, text=True, timeout=300, check=False
        )
    if done.returncode:
        print(f"apt-get could not install it: {done.stderr.strip()[-300:]}")
    return shutil.which("nginx", path=places)


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    try:
        yield program
    finally:
        program.stop()


@contextlib.contextmanager
def upstream(folder: Path, cpus: Cpus, kinds: Sequence[str]) -> Iterator[int]:
    """The upstream's port; `kinds` as upstream.c wants them. Raises BenchError."""
    argv: list[str | Path] = [folder / "upstream", *map(str, (EVENTS, BURST, round(INTERVAL * 1e6))), *kinds]
    with running(Program("upstream", argv, folder, cpus.tools, {})) as program:
        yield int(program.wait_for("port ").split()[1])


@contextlib.contextmanager
def nginx(binary: str, folder: Path, cpus: Cpus, upstream_port: int) -> Iterator[Gateway]:
    """The floor: a reverse proxy that looks at nothing, one worker. Raises BenchError."""
    port = _free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream_port))
    with running(Program("nginx", [binary, "-c", config], folder, cpus.gateway, {})) as program:
        _wait_for_port(program, port)
        yield Gateway(program, port)


@contextlib.contextmanager
def trivium(folder: Path, cpus: Cpus, upstream_port: int, name: str = "trivium", more: str = "") -> Iterator[Gateway]:
    """`trivium up` on a data folder of its own, keys checked; `more` goes into its configuration. Raises BenchError."""
    data, config, port = folder / f"data of {name}", folder / f"{name}.toml", _free_port()
    config.write_text(_TRIVIUM.format(upstream=upstream_port) + more)
    # Nothing else of our environment: a provider's key in it would make Trivium ask that provider for its models.
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TRIVIUM_PORT": str(port)}
    env |= {"TRIVIUM_DATA": str(data), "TRIVIUM_CONFIG": str(config)}
    env |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    with running(Program(name, [sys.executable, "-m", "trivium", "up"], folder, cpus.gateway, env)) as program:
        program.wait_for("ready")
        key = (data / "bootstrap.key").read_text().strip()
        yield Gateway(program, port, [f"Authorization: Bearer {key}"])


def load(folder: Path, cpus: Cpus, gateway: Gateway, options: Sequence[object], seconds: float) -> dict[str, Any]:
    """One run of the load generator, `seconds` long and some grace: what it prints. Raises BenchError."""
    headers = [word for header in gateway.headers for word in ("-H", header)]
    argv: list[str | Path] = [folder / "load", "-p", str(gateway.port), *map(str, options), *headers]
    with running(Program("load", argv, folder, cpus.tools, {})) as program:
        *complaints, line = program.wait_for_end(seconds + 12).splitlines()
    return {**json.loads(line), "complaints": complaints}


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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(program: Program, port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise BenchError(f"{program.name} did not start:\n{program.said()[-2000:]}")
