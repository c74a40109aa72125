"""The one writer of whatever lasts: off the request path, many requests in one transaction.

What is handed over is an `Op`. Urgent ones (holds, which a request waits for) are committed at once where nothing has
been for `window` seconds, else together when the window is over. The others ride along every `linger` seconds, or at
once where other processes decide by what the database says. A transaction is written by a thread of its own, so that
a commit, which waits for the disk, never holds up the event loop.

An op that cannot be written is kept and tried again, save an urgent one: whoever waits for it hears of it at once.
While the backlog is full, `accepts` is false and the gateway refuses new calls rather than lose what they did.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from trivium.errors import OperationError, StoreUnavailable
from trivium.store.sql import Database, Writing

_LOG = logging.getLogger("trivium.store")
_MOST = 5_000
"""Ops in one transaction."""
_T = TypeVar("_T")


class Op(Protocol):
    """Something to be written. `done` or `failed` is called on the event loop after the transaction."""

    @property
    def urgent(self) -> bool: ...

    @property
    def leans(self) -> bool:
        """It must not be written without everything that was added before it."""
        ...

    def done(self) -> None:
        """It is durable."""
        ...

    def failed(self, error: StoreUnavailable) -> None:
        """Only of an urgent one: it was given up."""
        ...

    def lost(self, why: object) -> None:
        """It can be kept no longer: says what it was, in the log or to whoever waits."""
        ...

    def lessened(self) -> bool:
        """Of one that was lost: whether less of it can be kept, which it is from now on."""
        ...


Apply = Callable[[Sequence[Op], Writing, bool], None]
"""Writes ops. The last argument is true where some may have been written by a transaction whose end nobody saw."""


AROUND: ContextVar[Callable[[Callable[[Writing], Any]], Callable[[Writing], Any]] | None] = ContextVar(
    "around", default=None
)
"""What else belongs into the transactions of the acts that a task has run (`store/answers.py`)."""


class Act(Generic[_T]):
    """A function to be run inside a transaction, and its result."""

    def __init__(self, act: Callable[[Writing], _T], *, urgent: bool) -> None:
        self.act = act
        self.urgent = urgent
        self.leans = False
        self.result: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._value: _T | None = None
        self._refusal: OperationError | None = None

    def perform(self, tx: Writing) -> None:
        """A refusal must come before anything is written: the transaction has other people's ops in it."""
        try:
            self._value = self.act(tx)
        except OperationError as error:
            self._refusal = error

    def done(self) -> None:
        if self._refusal is not None:
            self.lost(self._refusal)
        elif not self.result.done():
            self.result.set_result(self._value)  # type: ignore[arg-type] # performed by now

    def failed(self, error: StoreUnavailable) -> None:
        self.lost(error)

    def lost(self, why: object) -> None:
        if not self.result.done():
            self.result.set_exception(why if isinstance(why, Exception) else StoreUnavailable(str(why)))

    def lessened(self) -> bool:
        return False


class Writer:
    """Runs on the loop that first calls `add`; `close` drains it."""

    def __init__(
        self,
        database: Database,
        apply: Apply,
        *,
        window: float = 0.005,
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
        self._urgent: list[Op] = []
        self._others: list[Op] = []
        self._others_due = 0.0
        self._flushed: list[asyncio.Future[None]] = []
        """Who waits until everything is durable that was added before."""
        self._again = False
        self._thread = _Thread("trivium-writer")
        self._writing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self.failing: str | None = None
        """Why the last transaction could not be made; None while all is well."""

    @property
    def accepts(self) -> bool:
        return len(self._others) < self._backlog

    def add(self, op: Op) -> None:
        """Hands over an op; it is in the database with the next transaction or, if it is not urgent, soon after."""
        if op.urgent:
            self._urgent.append(op)
            self._hurry.set()
        else:
            if not self._others:
                self._others_due = asyncio.get_running_loop().time() + self._linger
            self._others.append(op)
        self._begin()

    async def run(self, act: Callable[[Writing], _T], *, urgent: bool = True) -> _T:
        """Runs a function inside a transaction, behind everything added so far. Raises OperationError where the
        function does, which it must before it writes, and StoreUnavailable."""
        await self.flush()
        around = AROUND.get()
        op: Act[_T] = Act(act if around is None else around(act), urgent=urgent)
        self.add(op)
        return await op.result

    async def flush(self) -> None:
        """Returns when everything added so far is durable. Raises StoreUnavailable if it cannot be made so now."""
        waiter = asyncio.get_running_loop().create_future()
        self._flushed.append(waiter)
        self._hurry.set()
        self._begin()
        await waiter

    async def close(self, attempts: int = 5) -> None:
        """The last flush, tried a few times; what still cannot be written is said in the log, op by op."""
        for attempt in range(attempts):
            try:
                await self.flush()
                if not (self._urgent or self._others):
                    break
            except StoreUnavailable:
                await asyncio.sleep(self._retry if attempt < attempts - 1 else 0)
        if self._writing is not None:
            self._writing.cancel()
        for op in self._urgent + self._others:
            op.lost(self.failing)
        self._thread.shutdown()

    def _begin(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """One task while anything waits: a transaction, then as long a pause as is allowed."""
        time = asyncio.get_running_loop().time
        next_at = 0.0
        while self._urgent or self._others or self._flushed:
            self._hurry.clear()
            if not (self._urgent or self._flushed):
                await self._rest(self._others_due - time())
            if not self._flushed and (pause := next_at - time()) > 0:
                await asyncio.sleep(pause)
            next_at = time() + self._window
            try:
                await self._write_some()
            except StoreUnavailable as error:
                if self.failing is None:
                    _LOG.error("the store cannot be written, %d wait: %s", len(self._others), error.detail)
                self.failing = error.detail or error.message
                self._others_due = time() + self._retry
        self._writing = None

    async def _rest(self, seconds: float) -> None:
        """A pause that ends as soon as something urgent comes."""
        if seconds > 0 and not self._hurry.is_set():
            timer = asyncio.get_running_loop().call_later(seconds, self._hurry.set)
            await self._hurry.wait()
            timer.cancel()

    async def _write_some(self) -> None:
        """One transaction: with what is urgent, and with everything where that is due or waited for."""
        loop = asyncio.get_running_loop()
        batch = self._cut(everything=bool(self._flushed) or loop.time() >= self._others_due)
        flushed: list[asyncio.Future[None]] = []
        if not (self._urgent or self._others):
            flushed, self._flushed = self._flushed, []
        try:
            if batch:
                await self._thread.run(lambda: self._commit(batch, self._again))
        except StoreUnavailable as error:
            self._again = True
            self._others[:0] = [op for op in batch if not op.urgent]
            for op in batch:
                if op.urgent:
                    op.failed(error)
            _tell([*flushed, *self._flushed], error)
            self._flushed = []
            raise
        self._again = False
        self.failing = None
        for op in batch:
            op.done()
        _tell(flushed)

    def _cut(self, *, everything: bool) -> list[Op]:
        """What is written next."""
        batch, self._urgent = self._urgent[:_MOST], self._urgent[_MOST:]
        if everything or self._database.shared or any(op.leans for op in batch):
            room = _MOST - len(batch)
            batch += self._others[:room]
            del self._others[:room]
        return batch

    def _commit(self, batch: list[Op], again: bool) -> None:
        """In the thread. What the database takes issue with is written op by op, so that a bad op harms only itself."""
        try:
            with self._database.transaction() as tx:
                self._apply(batch, tx, again)
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(batch) > 1:
                for op in batch:
                    self._commit([op], again)
                return
            _LOG.exception("an op was not written")
            batch[0].lost(error)
            if batch[0].lessened():
                self._commit(batch, again)


class _Thread:
    """Runs one function after the other. An executor's futures take 25 us more for each, several hundred times a
    second."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], None], asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], None]) -> asyncio.Future[None]:
        """Done when the job is; raises what it raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, done))
        return done

    def shutdown(self) -> None:
        """Returns when the last job has ended."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (work := self._jobs.get()) is not None:
            job, done = work
            error: Exception | None = None
            try:
                job()
            except Exception as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended before the job did
                done.get_loop().call_soon_threadsafe(_tell, [done], error)


def _tell(waiters: Sequence[asyncio.Future[None]], error: Exception | None = None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
