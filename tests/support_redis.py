"""A Redis server for tests: Debian's `redis-server` (`apt-get install redis-server`), on a Unix socket in a folder of
its own. One serves the whole run, and ends with it; a test that wants it to fail has its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support_store import die_with_us


class RedisServer:
    """A server, running."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Returns when it answers. It has forgotten everything."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir", "/tmp"],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_us,  # noqa: PLW1509 # no more than a system call
            )
        deadline = time.monotonic() + 60
        while b"PONG" not in self.say(b"PING"):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(self._log.read_text())
            time.sleep(0.01)

    def stop(self) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """It keeps its connections, takes new ones and says nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def say(self, command: bytes) -> bytes:
        """The first bytes of its answer; nothing where it does not answer."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(65_536)
        return b""


@contextlib.contextmanager
def redis_serving() -> Iterator[RedisServer]:
    """A server of one's own; skips the test where there is no program for it."""
    if shutil.which("redis-server") is None:
        pytest.skip("no Redis: Debian's package redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="trivium-redis-") as folder:
        server = RedisServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with redis_serving() as server:
        yield server
