"""Programs of other vendors: installed once into a cache outside the project, run with a clean environment and a limit.

The cache is `$XDG_CACHE_HOME/trivium-clients` (`~/.cache/...`), a folder per set of pins.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trivium-clients"
_INSTALLATION = 300
"""Seconds."""
LIMIT = 60.0
"""Seconds that a program may run."""


class Ended(NamedTuple):
    status: int | None
    """None: it ran into the limit."""
    out: str
    err: str


def installed(name: str) -> Path:
    """The folder of the pinned packages `name`, with `node_modules`. Skips the test where npm cannot install them."""
    pins = b"".join(path.read_bytes() for path in sorted((HERE / name).iterdir()) if path.is_file())
    folder = _CACHE / f"{name}-{hashlib.sha256(pins).hexdigest()[:12]}"
    if not folder.exists():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed")
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as made:
            _install(Path(shutil.copytree(HERE / name, Path(made) / name)), name)
            (Path(made) / name).rename(folder)
    return folder


def _install(folder: Path, name: str) -> None:
    try:
        subprocess.run(
            ["npm", "install"], cwd=folder, check=True, capture_output=True, text=True, timeout=_INSTALLATION
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {name} within {_INSTALLATION} seconds")
    except subprocess.CalledProcessError as error:
        reasons = [line for line in error.stderr.splitlines() if line.startswith("npm error")]
        pytest.skip(f"npm cannot install {name}: {' '.join(reasons[:2])}")


async def run(
    command: list[str], *, home: Path, cwd: Path | None = None, env: Mapping[str, str], limit: float = LIMIT
) -> Ended:
    """Runs to the end or the limit. Of our environment it sees PATH alone: no key of ours, no configuration."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd or home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    reading = asyncio.create_task(process.communicate())
    done, _ = await asyncio.wait([reading], timeout=limit)
    if not done:
        os.killpg(process.pid, 9)
    out, err = await reading
    return Ended(process.returncode if done else None, out.decode(), err.decode())
