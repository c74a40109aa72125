"""A bound on work that must grow no faster than what it is about."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

MOST_S = 5.0
"""Of this process's own time on a processor: a hundred times what tests need of it, and far less than the square."""


@contextmanager
def little_work() -> Iterator[None]:
    """What is done inside must not take long, however busy the machine is. Raises AssertionError."""

    def give_up(*_: object) -> None:
        raise AssertionError("This takes far longer than its length is a reason for.")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
