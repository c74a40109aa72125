"""Log lines on standard error: time, level, where from, what. Requests are not logged: each leaves a record."""

from __future__ import annotations

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up(level: str, worker: int | None = None) -> None:
    """`level` is a name of the `logging` module in lower case. `worker` is who writes, where there are several."""
    handler = logging.StreamHandler(sys.stderr)
    who = f"worker {worker}: " if worker is not None else ""
    handler.setFormatter(logging.Formatter(_FORMAT.replace("%(message)s", f"{who}%(message)s")))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """As `set_up`, of the level alone."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    # uvicorn warns of each malformed request, with which a stranger could fill a disk.
    logging.getLogger("uvicorn.error").setLevel(max(logging.ERROR, root.level))
