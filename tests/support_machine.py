"""What the suite spares itself: disks, the authorities that vouch for servers on the internet, compiling tests twice.

Where the machine has a file system in memory that has room and runs programs, temporary files lie there: nothing that a
test writes must outlive the machine. Nobody on the internet is asked, so one authority will do, who has signed for
nobody: reading the system's takes 15 ms for each client and each gateway.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ENOUGH = 3 * 1024**3
"""Bytes: a run leaves a tenth of it at a time, and several may run."""
NOBODY = Path(__file__).parent / "fixtures" / "tls" / "nobody.pem"


def spare() -> None:
    """For this process, and for those that it starts."""
    os.environ |= {"SSL_CERT_FILE": str(NOBODY), "SSL_CERT_DIR": str(NOBODY.parent)}
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def read_ahead(tests: Path) -> None:
    """Where several workers are about to read all tests, each begins with another part: what it compiles there, which
    takes most of the time, the others find."""
    workers, mine = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    names = sorted(path.stem for path in tests.glob("test_*.py"))
    first = len(names) * int(mine.removeprefix("gw")) // workers
    for name in (names[first:] + names[:first]) if workers > 1 else ():
        with contextlib.suppress(Exception, pytest.skip.Exception):  # to be told when it is collected
            importlib.import_module(name)


def open_to_all() -> Path:
    """For temporary files into which any user may look; the folder that is set may be closed to all but one."""
    return MEMORY if tempfile.gettempdir() == str(MEMORY) else Path("/tmp")


def _has_room(folder: Path) -> bool:
    if not (hasattr(os, "statvfs") and os.access(folder, os.W_OK | os.X_OK)):
        return False
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize >= ENOUGH and not told.f_flag & os.ST_NOEXEC
