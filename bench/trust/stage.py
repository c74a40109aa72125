"""What the trust scenarios share: a real gateway that can be killed, its books read by statements of our own, figures.

A scenario is a module with `run(scale, folder) -> Figures`; scale 1 is its full size. What it finds is counted under
five names, all of which must be 0, and told in lines. The statements here share no code with Trivium, so that neither
its writer nor its auditor can hide a mistake; `Gateway.verify` asks that auditor as well.
"""
# ruff: noqa: ASYNC110, S603, T201 # starts programs, reads files that tell nobody that they grew, talks to a terminal

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trivium.server import control

Rows = list[tuple[Any, ...]]
Ask = Callable[[str], Rows]
"""Answers a statement that SQLite and PostgreSQL both know."""


_LONGEST = 120.0
"""Seconds that a command may take."""
_PARENT_DIED = 1  # PR_SET_PDEATHSIG


class TrustError(Exception):
    """The scenario cannot be played; says why."""


class Figures(NamedTuple):
    """What a scenario found. The lines are for people."""

    lost: int = 0
    """Calls, answers or records of which the database does not know what it must."""
    double: int = 0
    """Requests that were charged more than once."""
    open: int = 0
    """Starts without an end, and balances or budgets with a hold, after recovery."""
    overspend: int = 0
    """Balances below 0, and budgets that were spent beyond their limit."""
    charge_differences: int = 0
    """Charges that are not what the call cost, and sums that do not add up."""
    lines: tuple[str, ...] = ()


COUNTED = Figures._fields[:5]


def figures(counted: Mapping[str, int], lines: Iterable[str] = ()) -> Figures:
    """From counts by name; what is not counted is 0."""
    lost, double, still_open, overspend, differences = (counted.get(name, 0) for name in COUNTED)
    return Figures(lost, double, still_open, overspend, differences, tuple(lines))


def added(found: Iterable[Figures]) -> Figures:
    """One for all: sums, and the lines of each in turn."""
    found = list(found)
    sums = {name: sum(getattr(one, name) for one in found) for name in COUNTED}
    return figures(sums, [line for one in found for line in one.lines])


def closing_line(found: Figures) -> str:
    """`lost=0 double=0 open=0 overspend=0 charge_differences=0`."""
    return " ".join(f"{name}={getattr(found, name)}" for name in COUNTED)


_BOOKS = {
    "lost": (
        "SELECT count(*) FROM starts WHERE ended = 1 AND id NOT IN (SELECT id FROM records)",
        "SELECT count(*) FROM entries WHERE kind = 'charge' AND request_id NOT IN (SELECT id FROM records)",
    ),
    "double": (
        "SELECT count(*) FROM (SELECT request_id FROM entries WHERE kind = 'charge' GROUP BY request_id"
        " HAVING count(*) > 1) AS twice",
    ),
    "open": (
        "SELECT count(*) FROM starts WHERE ended = 0",
        "SELECT count(*) FROM accounts WHERE held_nano <> 0",
        "SELECT count(*) FROM spends WHERE held_nano <> 0",
    ),
    "overspend": (
        "SELECT count(*) FROM accounts WHERE balance_nano < 0",
        "SELECT count(*) FROM spends JOIN budgets ON budgets.id = spends.budget_id"
        " WHERE budgets.ended_ms IS NULL AND spends.spent_nano > budgets.limit_nano",
    ),
    "charge_differences": (
        "SELECT count(*) FROM accounts WHERE balance_nano <>"
        " (SELECT coalesce(sum(amount_nano), 0) FROM entries WHERE account_id = accounts.id)",
        "SELECT count(*) FROM records WHERE account_id IS NOT NULL AND cost_nano <>"
        " (SELECT coalesce(-sum(amount_nano), 0) FROM entries WHERE kind = 'charge' AND request_id = records.id)",
    ),
}


def books(ask: Ask) -> Figures:
    """What is wrong with a database in which nothing is in progress."""
    return figures({name: sum(int(ask(one)[0][0]) for one in asked) for name, asked in _BOOKS.items()})


class Gateway:
    """`trivium up` on a data folder of its own, on one port through all its lives. Nothing is inherited from our
    environment: a provider's key in it would make Trivium ask that provider for its models."""

    def __init__(self, folder: Path, config: str, *, port: int | None = None) -> None:
        """`config` is the text of trivium.toml. Several gateways need a folder each."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.data, self.log = folder, folder / "data", folder / "gateway.log"
        self.port = port or free_port()
        self.configure(config)
        self._env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TRIVIUM_PORT": str(self.port)}
        self._env |= {"TRIVIUM_DATA": str(self.data), "TRIVIUM_CONFIG": str(folder / "trivium.toml")}
        self._process: subprocess.Popen[bytes] | None = None
        self._said = 0

    def configure(self, config: str) -> None:
        """From the next life on."""
        (self.folder / "trivium.toml").write_text(config)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def key(self) -> str:
        """The bootstrap key, whose calls are charged to the account `default`."""
        return (self.data / "bootstrap.key").read_text().strip()

    def spawn(self) -> None:
        """Starts it and waits for nothing. Our death is its death."""
        with self.log.open("ab") as log:
            self._said = log.tell()
            command = [sys.executable, "-m", "trivium", "up"]
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._env,
                cwd=self.folder,
                preexec_fn=_die_with_us,  # noqa: PLW1509 # no more than a system call
            )

    def start(self, patience: float = 20.0) -> float:
        """Starts it and waits until it is ready: after how many seconds. Raises TrustError."""
        began = time.monotonic()
        self.spawn()
        while not self._has_said("ready", began + patience):
            time.sleep(0.005)
        return time.monotonic() - began

    async def heard(self, word: str, patience: float = 20.0) -> None:
        """Until it has begun a line with this word. Raises TrustError."""
        until = time.monotonic() + patience
        while not self._has_said(word, until):
            await asyncio.sleep(0.002)

    def _has_said(self, word: str, until: float) -> bool:
        said = self.said()
        if f"\n{word}" in said:
            return True
        if not self.alive or time.monotonic() > until:
            raise TrustError(f"the gateway did not start:\n{said[-2000:]}")
        return False

    def complaints(self) -> list[str]:
        """Errors in the logs of all its lives."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if " ERROR " in line or " CRITICAL " in line or line.startswith("Traceback")]

    def said(self) -> str:
        """What it wrote in this life."""
        with self.log.open("rb") as log:
            log.seek(self._said)
            return log.read().decode(errors="replace")

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and its clean end."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(40)
            finally:
                self._process.kill()
                self._process.wait()
                self._process = None

    def ask(self, operation: str, **arguments: Any) -> Any:
        """An operator's operation, over the running gateway's control socket. Raises OperationError."""
        return control.ask(self.data, operation, arguments)

    def command(self, *words: str) -> tuple[int, str]:
        """`trivium WORDS`: exit status and output. Raises TrustError where it comes to no end."""
        command = [sys.executable, "-m", "trivium", *words]
        try:
            done = subprocess.run(
                command, env=self._env, cwd=self.folder, capture_output=True, text=True, check=False, timeout=_LONGEST
            )
        except subprocess.TimeoutExpired:
            raise TrustError(f"trivium {' '.join(words)} took longer than {_LONGEST} s") from None
        return done.returncode, done.stdout + done.stderr

    def verify(self) -> list[str]:
        """What `trivium ledger verify` finds; nothing where all is well. Raises TrustError."""
        _, said = self.command("ledger", "verify", "--json")
        try:
            checks = json.loads(said)["checks"]
        except ValueError:
            raise TrustError(f"trivium ledger verify: {said[-2000:]}") from None
        return [json.dumps(finding) for check in checks for finding in check["findings"]]

    def rows(self, statement: str, *values: object) -> Rows:
        """Reads the SQLite file beside the running gateway."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data / 'trivium.db'}?mode=ro", uri=True)) as database:
            return database.execute(statement, values).fetchall()

    def wait_for_recovery(self, ask: Ask | None = None, patience: float = 10.0) -> float:
        """Until no start is open: after how many seconds, or after all of the patience. Calls must not come in."""
        began = time.monotonic()
        while (ask or self.rows)("SELECT count(*) FROM starts WHERE ended = 0")[0][0]:
            if time.monotonic() > began + patience:
                break
            time.sleep(0.01)
        return time.monotonic() - began


@contextlib.contextmanager
def running(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway that is ready, and is gone afterwards whatever happened."""
    try:
        gateway.start()
        yield gateway
    finally:
        with contextlib.suppress(ProcessLookupError):
            gateway.kill()


def _die_with_us() -> None:
    """In the child: the kernel ends it when we are gone, whatever became of us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def main(name: str, run: Callable[[float, Path], Figures]) -> int:
    """The command line of a scenario: `--scale` and `--seed`. The exit status is 1 where anything is not 0."""
    parser = argparse.ArgumentParser(description=(sys.modules[run.__module__].__doc__ or name).split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    began = time.monotonic()
    with scratch(name) as folder:
        found = run(options.scale, folder)
        show(name, found, time.monotonic() - began)
        print(closing_line(found))
        return int(is_wrong(found))


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder in the temporary one; it stays there, to be looked at, where the scenario cannot be played."""
    folder = Path(tempfile.mkdtemp(prefix=f"trivium-{name}-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def is_wrong(found: Figures) -> bool:
    return any(getattr(found, name) for name in COUNTED)


def show(name: str, found: Figures, seconds: float) -> None:
    print(f"{name} ({seconds:.0f} s): {closing_line(found)}")
    for line in found.lines:
        print(f"  {line}")
    sys.stdout.flush()
