"""The generated parts of docs/performance.md, its pictures, and the line that says where and when."""
# ruff: noqa: S603 # asks git which commit this is

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import runs
from tables import put_between

from trivium import __version__

_DOCS = Path(__file__).parent.parent / "docs"


def where_and_when() -> str:
    """Date, version, commit, machine."""
    machine = runs.machine()
    cpus = os.cpu_count()
    asked = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, cwd=_DOCS, capture_output=True, text=True, check=False).stdout.strip()
    version = f"Trivium {__version__}" + (f" ({commit})" if commit else "")
    place = f"{machine['cpu']}, Linux {machine['kernel'].split('-')[0]}, Python {machine['python']}"
    return f"{time.strftime('%Y-%m-%d')}, {version}, {cpus} CPUs of {place}"


def write(name: str, part: str) -> None:
    """A part of the page, between its marks. Raises ValueError where these are missing."""
    page = _DOCS / "performance.md"
    page.write_text(put_between(page.read_text(), name, part))


def picture(name: str, svg: str) -> None:
    (_DOCS / name).write_text(svg)
