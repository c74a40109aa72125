"""Several workers: the process that starts them, sees when one ends, and ends them all. docs/operations.md.

Each worker is a whole gateway in a process of its own, forked from this one, which has no threads and no event loop and
answers nobody. The first one leads: it starts alone, so that what is made once is made by it, and the others follow
when it is ready. A worker that ends, whatever the reason, is started anew, after a pause that grows while it goes on
ending. What keeps one from getting ready the first time ends the start.

A worker and this process are joined by a pair of sockets. Its end is how a worker knows that this process is gone, in
which case it ends as by SIGTERM, and by force where that takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec

from trivium.errors import OperationError, TriviumError

_LOG = logging.getLogger("trivium.workers")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_RETREAT, _LONGEST_RETREAT = 0.5, 30.0
"""Seconds before a worker is started again: the first time, and at most."""
_STEADY = 60.0
"""After a life this long a worker is started again as if it were the first time."""
_REMEMBERED = 20
"""Lives of a worker whose calls its next one ends; older ones are found as those of any gateway that is gone."""
_DEAF = 20.0
"""Seconds beyond the grace of the calls in progress after which a worker is ended by force."""


class Word(msgspec.Struct, omit_defaults=True):
    """What a worker says."""

    ready: bool = False
    """Calls may come."""
    run: str | None = None
    """The name under which its calls stand in the ledger."""
    taken: str | None = None
    """The configuration file's text, which it follows from now on."""
    failed: str | None = None
    """Why it cannot start."""
    detail: str | None = None


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One life of a worker, as it is told about it."""

    number: int
    """From 1 on."""
    count: int
    """Which of its lives it is, from 1 on."""
    ended: tuple[str, ...]
    """The names in the ledger of the lives before, whose calls are over."""
    config: str | None
    """The text of the configuration file that the others follow; None: the one that was read at the start."""

    @property
    def leads(self) -> bool:
        return self.number == 1

    @property
    def first(self) -> bool:
        return self.count == 1


class Line:
    """The worker's end."""

    def __init__(self, end: socket.socket, patience: float) -> None:
        """`patience`: seconds that it may take to end once the other process is gone."""
        self._end = end
        self._patience = patience
        self._ready: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        threading.Thread(target=self._listen, name="trivium-line", daemon=True).start()

    def say(self, word: Word) -> None:
        with contextlib.suppress(OSError):  # nobody is there: we are about to end
            self._end.sendall(msgspec.json.encode(word) + b"\n")

    async def ready(self, run: str) -> None:
        """Says that calls may come; returns when that is so for all workers."""
        everybody = asyncio.Event()
        self._ready = asyncio.get_running_loop(), everybody
        self.say(Word(ready=True, run=run))
        await everybody.wait()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # of an end that had not been read out
            while self._end.recv(1):
                if self._ready is not None:
                    loop, everybody = self._ready
                    loop.call_soon_threadsafe(everybody.set)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._patience)
        os._exit(1)


Work = Callable[[Life, Line], None]
"""All that a worker does. Raises TriviumError where it cannot start."""


class _Seat:
    """A worker's place, through all of its lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        """0: it does not live."""
        self.line: socket.socket | None = None
        self.lives = 0
        self.began = 0.0
        self.due: float | None = None
        """When it is started again."""
        self.retreat = _RETREAT
        self.ready = False
        self.run: str | None = None
        self.ended: deque[str] = deque(maxlen=_REMEMBERED)
        self.heard = b""
        self.failure: TriviumError | None = None


def work_together(count: int, work: Work, grace: float) -> None:
    """Runs until SIGTERM or SIGINT. `grace`: seconds that calls in progress may take at the end. Raises OperationError
    where a worker does not get ready the first time."""
    with _wakened() as (bell, selector):
        _Parent(count, work, grace + _DEAF, bell, selector).run()


class _Parent:
    def __init__(
        self, count: int, work: Work, patience: float, bell: socket.socket, selector: selectors.BaseSelector
    ) -> None:
        self._seats = [_Seat(number) for number in range(1, count + 1)]
        self._work = work
        self._patience = patience
        self._bell = bell
        self._selector = selector
        self._complete = False
        """All workers have been ready once."""
        self._config: str | None = None
        self._ending_at: float | None = None
        """When those that still live are killed."""

    def run(self) -> None:
        """Raises OperationError."""
        self._start(self._seats[0])
        while self._ending_at is None or any(seat.pid for seat in self._seats):
            for key, _ in self._selector.select(self._wait()):
                self._heard(key.data) if key.data is not None else self._signalled()
            self._reap()
            self._look_at_the_clock()
        for seat in self._seats:
            if seat.failure is not None:
                raise seat.failure

    def _wait(self) -> float | None:
        """Seconds until something is due."""
        moments = [seat.due for seat in self._seats if seat.due is not None]
        moments += [self._ending_at] if self._ending_at is not None else []
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self._ending_at is not None:
            if now >= self._ending_at:
                self._tell_all(signal.SIGKILL)
            return
        for seat in self._seats:
            if seat.due is not None and now >= seat.due:
                self._start(seat)

    def _signalled(self) -> None:
        for number in self._bell.recv(100):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._end(signal.Signals(number))
            elif number == signal.SIGHUP:
                self._tell_all(signal.SIGHUP)

    def _end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """A second SIGINT is handed on as well: it cuts the calls in progress."""
        if self._ending_at is None:
            self._ending_at = time.monotonic() + self._patience
        for seat in self._seats:
            seat.due = None
        self._tell_all(number)

    def _tell_all(self, number: signal.Signals) -> None:
        for seat in self._seats:
            if seat.pid:
                os.kill(seat.pid, number)

    def _heard(self, seat: _Seat) -> None:
        assert seat.line is not None
        said = b""
        with contextlib.suppress(ConnectionError):  # it ended before it had read what we said
            said = seat.line.recv(65_536)
        if not said:
            self._selector.unregister(seat.line)
        *lines, seat.heard = (seat.heard + said).split(b"\n")
        for line in lines:
            self._understand(seat, msgspec.json.decode(line, type=Word))

    def _understand(self, seat: _Seat, word: Word) -> None:
        if word.taken is not None:
            self._config = word.taken
        if word.failed is not None:
            seat.failure = OperationError(word.failed, detail=word.detail)
        if word.ready:
            seat.ready, seat.run = True, word.run
            self._all_ready(seat)

    def _all_ready(self, seat: _Seat) -> None:
        """The leader brings the others; when the last one is there the first time, all are told."""
        if self._complete:
            _LOG.warning("worker %d is there again, as process %d", seat.number, seat.pid)
            self._answer(seat)
        elif all(one.ready for one in self._seats):
            self._complete = True
            for one in self._seats:
                self._answer(one)
        elif seat.number == 1:
            for other in self._seats[1:]:
                self._start(other)

    def _answer(self, seat: _Seat) -> None:
        with contextlib.suppress(OSError):  # it has just ended
            if seat.line is not None:
                seat.line.send(b".")

    def _reap(self) -> None:
        for seat in self._seats:
            if seat.pid:
                pid, status = os.waitpid(seat.pid, os.WNOHANG)
                if pid:
                    self._ended(seat, os.waitstatus_to_exitcode(status))

    def _ended(self, seat: _Seat, code: int) -> None:
        """`code` is below zero where a signal ended it."""
        assert seat.line is not None
        while seat.line in self._selector.get_map():
            self._heard(seat)  # its last words
        seat.line.close()
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        if seat.failure is not None:
            how += f": {seat.failure.message} {seat.failure.detail or ''}".rstrip()
        pid, seat.pid, seat.ready = seat.pid, 0, False
        if seat.run is not None:
            seat.ended.append(seat.run)
            seat.run = None
        self._lost(seat, f"ended {how}", pid)

    def _lost(self, seat: _Seat, how: str, pid: int = 0) -> None:
        """It is started again, unless that would be the first time, or the end."""
        if self._ending_at is not None:
            return
        if not self._complete:
            seat.failure = seat.failure or OperationError(f"Worker {seat.number} {how} before all were ready.")
            self._end()
            return
        seat.failure = None
        if time.monotonic() - seat.began > _STEADY:
            seat.retreat = _RETREAT
        seat.due = time.monotonic() + seat.retreat
        _LOG.error("worker %d, process %d, %s; it is started again in %g s", seat.number, pid, how, seat.retreat)
        seat.retreat = min(2 * seat.retreat, _LONGEST_RETREAT)

    def _start(self, seat: _Seat) -> None:
        ours, theirs = socket.socketpair()
        seat.due, seat.began, seat.heard = None, time.monotonic(), b""
        seat.lives += 1
        life = Life(number=seat.number, count=seat.lives, ended=tuple(seat.ended), config=self._config)
        # A signal that came to the child before it has its own handlers would ring our bell.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            self._lost(seat, f"cannot be started: {error.strerror}")
        else:
            if not pid:
                try:
                    self._let_go(ours)
                finally:
                    _become(self._work, life, theirs, self._patience)
            seat.pid, seat.line = pid, ours
            self._selector.register(ours, selectors.EVENT_READ, seat)
        theirs.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _let_go(self, ours: socket.socket) -> None:
        """In the child, of what is its parent's: others would not see that end."""
        for mine in (ours, self._bell, *(seat.line for seat in self._seats if seat.line is not None)):
            mine.close()
        self._selector.close()


def _become(work: Work, life: Life, end: socket.socket, patience: float) -> NoReturn:
    """In the child. Whatever happens, it never returns into what its parent was doing."""
    status = 1
    try:
        os.setsid()  # a Ctrl-C is its parent's, which tells it
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a configuration to be read again
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        line = Line(end, patience)
        try:
            work(life, line)
            status = 0
        except TriviumError as error:
            line.say(Word(failed=error.message, detail=error.detail))
        except BaseException:
            _LOG.exception("worker %d ends after an error", life.number)
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


@contextlib.contextmanager
def _wakened() -> Iterator[tuple[socket.socket, selectors.BaseSelector]]:
    """Signals as bytes in a socket, and a selector that looks at it."""
    bell, rope = socket.socketpair()
    bell.setblocking(False)
    rope.setblocking(False)
    with bell, rope, selectors.DefaultSelector() as selector:
        selector.register(bell, selectors.EVENT_READ)
        before = [signal.signal(number, lambda *_: None) for number in _SIGNALS]
        signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
        try:
            yield bell, selector
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)
