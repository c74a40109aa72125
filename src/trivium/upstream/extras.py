"""How what is not installed can be: by the interpreter that runs here, in a checkout and elsewhere alike."""

from __future__ import annotations

import shlex
import sys


def installing(extra: str) -> str:
    """A line for a shell. What of us is installed already, a checkout perhaps, stays: only the packages of the extra
    come to it."""
    return f"{shlex.quote(sys.executable)} -m pip install 'trivium[{extra}]'"
