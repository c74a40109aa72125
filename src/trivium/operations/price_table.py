"""The price data of the package `genai-prices` as a file of the data folder, made once for each of its versions.

A child process makes it, so that the package never enters ours. Without the package, or where no child can run, the
book has no price data: that is said, and everything else works.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import msgspec

from trivium.metering.dataset import Dataset

PACKAGE = "genai-prices"
_MAKE = (sys.executable, "-P", "-m", "trivium.metering.extract")
_PATIENCE = 60
"""Seconds; it takes a fraction of one."""


class PriceTable(msgspec.Struct, frozen=True):
    """The data, or why there is none."""

    dataset: Dataset | None
    absent: str | None = None


def price_table(folder: Path, make: tuple[str, ...] = _MAKE) -> PriceTable:
    """The data of the installed package's version. Takes a moment where its file has to be made; never raises for a
    package that is missing, a damaged file or a full disk."""
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return PriceTable(None, f"no price data: the package {PACKAGE} is not installed")
    path = folder / f"prices-{version}.json"
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return PriceTable(Dataset(path.read_bytes()))
    try:
        content = subprocess.run(make, capture_output=True, check=True, timeout=_PATIENCE).stdout  # noqa: S603 # ours
        dataset = Dataset(content)
    except (OSError, subprocess.SubprocessError, ValueError, RecursionError) as error:
        return PriceTable(None, f"no price data: {PACKAGE} {version} cannot be read ({_reason(error)})")
    _keep(path, content)
    return PriceTable(dataset)


def _keep(path: Path, content: bytes) -> None:
    """Whole or not at all; the files of other versions go. Where it cannot be written, the next start makes it anew."""
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
        for other in path.parent.glob("prices-*.json"):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError:
        fresh.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said: str = error.stderr.decode(errors="replace").strip()
        return said.splitlines()[-1] if said else str(error)
    return str(error)
