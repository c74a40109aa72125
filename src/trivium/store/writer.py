"""The one writer of whatever lasts: off the request path, many requests in one transaction.

What is handed over is an `Op`. Urgent ones (holds, which a request waits for) are made durable at once where nothing
has been for `window` seconds, else together when the window is over: in the log beside the database where there is one,
and in the database with the next transaction. The others ride along every `linger` seconds, or at once where other
processes decide by what the database says. A thread of its own keeps these times and writes, so that a commit, which
waits for the disk, never holds up the event loop, and the loop hears of each only once: when it ended.

An op that cannot be written is kept and tried again, save an urgent one: whoever waits for it hears of it at once.
While the backlog is full, `accepts` is false and the gateway refuses new calls rather than lose what they did.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TypeVar

from trivium.errors import StoreUnavailable
from trivium.store.ops import AROUND, Act, Op, taking_turns
from trivium.store.sql import Database, Undone, Unseen, Writing

_LOG = logging.getLogger("trivium.store")
_BUSY = 4
"""Urgent ops in one transaction, from which on the next ones are sure to come within its pause."""
_MOST = 5_000
"""Ops in one transaction."""
_LOGGED = 1.0
"""Seconds after which the database takes in what lies in the log alone, though there is nothing else to be written."""
_NOTHING, _FLUSH, _URGENT, _ANYTHING = range(4)
"""What the writing thread listens for: the first, the first two, ..."""
_NOT_WRITTEN = "The store cannot be written."
_UNSEEN = (
    "The store was lost at the end of this, which may have been done all the same: look before you do it again, or send"
    " it with the same idempotency key, if it had one."
)
_T = TypeVar("_T")

Apply = Callable[[Sequence[Op], Writing, bool], None]
"""Writes ops. The last argument is true where some may have been written by a transaction whose end nobody saw."""


class Writer:
    """Runs on the loop that first calls `add`; `close` drains it.

    What is handed over lies in queues that both threads use. `_listens` says what the writing thread is waiting for, so
    that it is woken for nothing else: several thousand ops a second need some two hundred wake-ups.
    """

    def __init__(
        self,
        database: Database,
        apply: Apply,
        *,
        window: float = 0.0055,
        linger: float = 0.1,
        backlog: int = 100_000,
        retry: float = 1.0,
    ) -> None:
        """Times are seconds; `retry` is the pause after a failure, `backlog` the most ops that may wait."""
        self._database = database
        self._apply = apply
        self._window = window
        self._linger = linger
        self._backlog = backlog
        self._retry = retry
        self._urgent: deque[Op] = deque()
        self._others: deque[Op] = deque()
        self._others_due = 0.0
        self._logged: list[Op] = []
        """What the log has and the database has not."""
        self._taken_out: tuple[list[Op], list[Op]] = [], []
        """Urgent ones and others that are in no queue any more, and of which nobody has heard yet how they went."""
        self._logged_due = 0.0
        self._since: float | None = None
        """When the oldest of the others was added, or a moment later; None: none waits."""
        self._lost: dict[int, Exception] = {}
        """Why ops of the transaction of the moment were not written, by the ops' `id()`."""
        self._under_way = 0
        """Ops in the transaction of the moment."""
        self._busy = False
        """Much was urgent in the last one: nobody has to ring while the thread pauses, which looks by itself then."""
        self._flushing: deque[asyncio.Future[None]] = deque()
        """Who waits until everything is durable that was added before."""
        self._flushed: list[asyncio.Future[None]] = []
        """Those of them whom the writing thread has seen."""
        self._doubtful = 0
        """How many of the first of `_others` were in a transaction of which nobody knows what it did."""
        self._undone = False
        """The last transaction was such a one: what memory took for written then may not be there."""
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._listens = _NOTHING
        self._ends = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="trivium-writer", daemon=True)
        self.failing: str | None = None
        """Why the last transaction could not be made; None while all is well."""
        self._down = False
        """The log says that the store cannot be written, and not yet that something was."""

    def accepts(self) -> bool:
        return len(self._others) < self._backlog

    @property
    def backlog(self) -> int:
        """Ops that are not written yet."""
        return len(self._urgent) + len(self._logged) + len(self._others) + self._under_way

    @property
    def lag(self) -> float:
        """Age in seconds of the oldest op that is not urgent and not written yet."""
        since = self._since
        return 0.0 if since is None else max(0.0, monotonic() - since)

    def add(self, op: Op) -> None:
        """Hands over an op; it is in the database with the next transaction or, if it is not urgent, soon after."""
        if op.urgent:
            self._urgent.append(op)
            self._ring(_URGENT)
            return
        if not self._others:
            now = monotonic()
            self._others_due = now + self._linger
            self._since = self._since or now
            # Not at once: a thread that wakes up in the midst of a call takes time from it.
            self._begun().call_later(self._linger, self._ring, _ANYTHING)
        self._others.append(op)

    async def run(self, act: Callable[[Writing], _T], *, kept: bool = False, in_turn: bool = False) -> _T:
        """Runs a function inside a transaction, behind everything added so far; `in_turn` where it reads what it then
        writes, so that no other process's act comes between. Raises OperationError where the function does, which it
        must before it writes, and StoreUnavailable; not where it is to be `kept` until it can be written, however long
        that takes."""
        await self.flush()
        around = AROUND.get()
        whole = act if around is None else around(act)
        op: Act[_T] = Act(taking_turns(whole) if in_turn else whole, urgent=not kept, alone=True)
        self.add(op)
        try:
            return await op.result
        except Unseen as error:
            raise StoreUnavailable(_UNSEEN, detail=error.detail) from error

    async def flush(self) -> None:
        """Returns when everything added so far is durable. Raises StoreUnavailable if it cannot be made so now."""
        waiter = asyncio.get_running_loop().create_future()
        self._flushing.append(waiter)
        self._ring(_FLUSH)
        await waiter

    async def close(self, patience: float = 4.0) -> bool:
        """The last flush, tried for so many seconds; whether all was stored. What was not is said in the log, op by
        op."""
        if self._ends:
            return True
        give_up = monotonic() + patience
        while True:
            try:
                await self.flush()
                if not (self._urgent or self._logged or self._others):
                    break
            except StoreUnavailable:
                if monotonic() + self._retry > give_up:
                    break
                await asyncio.sleep(self._retry)
        self.stop()
        await asyncio.sleep(0)
        left = (*self._urgent, *self._others)
        for op in left:
            op.lost(self.failing)
        return not left

    def stop(self) -> None:
        """Ends the thread behind the transaction that it is at; what waits stays unwritten."""
        self._ends = True
        self._bell.put(None)
        if self._loop is not None:
            self._thread.join()

    def _begun(self) -> asyncio.AbstractEventLoop:
        """The loop; the thread is running."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()
        return self._loop

    def _ring(self, why: int) -> None:
        self._begun()
        if self._listens >= why:
            self._listens = _NOTHING
            self._bell.put(None)

    def _work(self) -> None:
        """The writing thread: a transaction, then as long a pause as is allowed."""
        next_at = 0.0
        while self._wait(next_at):
            next_at = monotonic() + self._window
            try:
                self._write_some()
            except Exception as error:  # nobody else would write: whatever it is, the next ones are tried
                _LOG.exception("the store was not written")
                sleep(self._retry)
                with contextlib.suppress(Exception):  # where there is no memory for that either, the thread lives on
                    self._failed(StoreUnavailable(_NOT_WRITTEN, detail=repr(error)), waited=True)

    def _wait(self, next_at: float) -> bool:
        """Returns when something is to be written: at once for a flush, else not before `next_at`, and what is not
        urgent when it is due. False at the end of the thread."""
        while not self._ends:
            self._listens = _ANYTHING  # before looking: what comes from here on rings
            everything = self._everything_due()
            if not everything:
                due, listens = 0.0, _NOTHING
            elif self._urgent or (self._busy and monotonic() < next_at):
                due, listens = next_at, _FLUSH
            else:
                due, listens = max(next_at, everything), _URGENT if self._others else _ANYTHING
            if (pause := due - monotonic()) <= 0:
                self._listens = _NOTHING
                return True
            self._listens = listens
            with contextlib.suppress(Empty):
                self._bell.get(timeout=pause if pause < math.inf else None)
        return False

    def _everything_due(self) -> float:
        """When the database takes what is not urgent, and what the log has; 0: now, somebody waits for it."""
        if self._flushing or self._flushed:
            return 0.0
        others = self._others_due if self._others else math.inf
        return min(others, self._logged_due) if self._logged else others

    def _write_some(self) -> None:
        """What is urgent, into the log where that will do; else one transaction, with everything where that is due or
        waited for."""
        everything = monotonic() >= self._everything_due()
        self._flushed += _taken(self._flushing, _MOST)
        waiting = len(self._urgent) + len(self._others)
        urgent, others = self._taken_out = self._cut(everything=everything)
        passed = self._database.shared and any(queue and queue[0].alone for queue in (self._urgent, self._others))
        if everything or others or (urgent and not self._log(urgent)):
            self._transact(urgent, others, all_of_it=not passed and len(urgent) + len(others) >= waiting)

    def _transact(self, urgent: list[Op], others: list[Op], *, all_of_it: bool) -> None:
        """What the log has goes first. `all_of_it`: nothing else was waiting."""
        batch = self._logged + urgent + others
        began, left, self._under_way = monotonic(), bool(self._others), len(urgent) + len(others)
        try:
            if batch:
                again, self._undone = self._doubtful > 0 or self._undone, False
                self._commit(batch, again)
        except StoreUnavailable as failure:
            self._since = self._since or began
            self._failed(failure, waited=monotonic() - began >= self._retry)
            return
        if not left:  # what waits now has come since
            self._since = began if self._others else None
        if batch:
            self._logged = []
            self._doubtful = max(0, self._doubtful - len(others))
            if self._database.log is not None:
                self._database.log.clear()
        if batch and self._down:
            _LOG.warning("the store is written again")
            self._down = False
        self._under_way, self.failing = 0, None
        self._tell(batch, self._flushed if all_of_it else [], None)
        if all_of_it:
            self._flushed = []

    def _failed(self, error: StoreUnavailable, *, waited: bool) -> None:
        """What was taken out is for the next transaction, save what is urgent. Who has `waited` through this one has
        waited enough: the next may take as long."""
        (urgent, others), self._taken_out = self._taken_out, ([], [])
        if waited:
            urgent += _taken(self._urgent, len(self._urgent))
        self._others.extendleft(reversed(others))
        self._others_due = self._logged_due = monotonic() + self._retry
        self._doubtful, self._undone = max(self._doubtful, len(others)), True
        if not self._down:
            _LOG.error("the store cannot be written, %d wait: %s", len(self._others), error.detail)
        self._down = True
        self._under_way, self.failing = 0, error.detail or error.message
        self._tell(urgent, self._flushed, error)
        self._flushed = []

    def _log(self, urgent: list[Op]) -> bool:
        """Whether they are durable without the database. That is not tried while it cannot be written: what cannot be
        recorded shall not begin."""
        log, rows = self._database.log, [op.row for op in urgent if op.row is not None and not op.leans]
        if log is None or self.failing is not None or len(rows) < len(urgent) or not log.keep(rows):
            return False
        if not self._logged:
            self._logged_due = monotonic() + _LOGGED
        self._logged += urgent
        self._tell(urgent, [], None)
        return True

    def _tell(self, batch: list[Op], flushed: list[asyncio.Future[None]], error: StoreUnavailable | None) -> None:
        """Lets the loop hear how it went."""
        lost, self._lost = self._lost, {}

        def told() -> None:
            for op in batch:
                try:
                    if error is None:
                        if (why := lost.get(id(op))) is not None:
                            op.lost(why)
                        op.done()
                    else:
                        op.failed(error)
                except Exception:  # the others wait to be told
                    _LOG.exception("an op was not told how it went")
            _resolve(flushed, error)

        if (batch or flushed) and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the transaction did
                self._loop.call_soon_threadsafe(told)
        self._taken_out = [], []

    def _cut(self, *, everything: bool) -> tuple[list[Op], list[Op]]:
        """What is written next: what is urgent, and others. What an urgent one leans on was handed over before it, and
        is there by now; so is the start of each end."""
        if self._database.shared:
            return self._cut_apart(everything=everything)
        urgent, others = _taken(self._urgent, _MOST), list[Op]()
        self._busy = len(urgent) >= _BUSY
        while everything or any(op.leans for op in urgent):
            others += _taken(self._others, _MOST - len(urgent) - len(others))
            if not self._urgent:
                break
            urgent += _taken(self._urgent, len(self._urgent))  # came meanwhile, and may have ended among the others
        return urgent, others

    def _cut_apart(self, *, everything: bool) -> tuple[list[Op], list[Op]]:
        """The same, with what is to be alone by itself. Of the others it goes before what is urgent once it is due, for
        something urgent may always be there. Until then calls go past it, so that what is urgent has the ends before
        it, whose balance it may need, and each end its start."""
        if everything and self._others and self._others[0].alone:
            return [], [self._others.popleft()]
        if self._urgent and self._urgent[0].alone:
            return [self._urgent.popleft()], []
        urgent = _taken_beside(self._urgent, _MOST)
        self._busy = len(urgent) >= _BUSY
        if others := _taken_beside(self._others, _MOST - len(urgent)):
            urgent += _taken_beside(self._urgent, len(self._urgent))  # as above
        return urgent, others

    def _commit(self, batch: list[Op], again: bool, attempts: int = 3) -> None:
        """In the thread. What the database takes issue with is written op by op, so that a bad op harms only itself.
        `again`: something of it, or of what memory believes to be written, may have been undone."""
        ends = False
        try:
            with self._database.transaction() as tx:
                self._apply(batch, tx, again)
                ends = self._database.shared
        except Undone as error:
            if attempts == 1:
                raise
            _LOG.warning("a transaction that was undone is made again: %s", error.detail)
            self._commit(batch, True, attempts - 1)
        except StoreUnavailable as error:
            if not ends:
                raise
            raise Unseen(error.message, detail=error.detail) from error
        except MemoryError as error:  # says nothing about what was to be written
            raise StoreUnavailable(_NOT_WRITTEN, detail="there is no memory left for it") from error
        except Exception as error:
            self._undone = True
            if len(batch) > 1:
                for op in batch:
                    self._commit([op], True)
                return
            _LOG.exception("an op was not written")
            if batch[0].lessened(error):
                self._commit(batch, True)
            else:
                self._lost[id(batch[0])] = error


_E = TypeVar("_E")


def _taken(queue: deque[_E], most: int) -> list[_E]:
    """Takes from a queue that another thread adds to."""
    return [queue.popleft() for _ in range(min(len(queue), most))]


def _taken_beside(queue: deque[Op], most: int) -> list[Op]:
    """The same, save what is to be alone, which is first now."""
    taken = _taken(queue, most)
    queue.extendleft([op for op in reversed(taken) if op.alone])
    return [op for op in taken if not op.alone]


def _resolve(waiters: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
