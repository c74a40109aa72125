"""An end on a signal that still tidies up: programs stopped, folders removed."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_signals() -> None:
    """From here on a signal raises SystemExit, once: what tidies up is not to be interrupted."""
    for number in _INTERRUPTS:
        signal.signal(number, _leave)


def _leave(number: int, _frame: object) -> NoReturn:
    for other in _INTERRUPTS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)
