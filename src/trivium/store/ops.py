"""What the writer is handed: ops of calls, and acts of everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

from trivium.errors import OperationError, StoreUnavailable
from trivium.store.sql import Row, Writing

_T = TypeVar("_T")


class Op(Protocol):
    """Something to be written. `done` (behind `lost`, if it was) or `failed` is called on the event loop after the
    transaction."""

    @property
    def urgent(self) -> bool: ...

    @property
    def leans(self) -> bool:
        """It must not be written without everything that was added before it."""
        ...

    @property
    def alone(self) -> bool:
        """Where other processes write too, it has a transaction of its own: it takes rows in another order than calls
        do, and waiting for each other would not end."""
        ...

    @property
    def row(self) -> Row | None:
        """Of an urgent one: all that has to be durable at once, where a log may have it before the database; None where
        there is more to it."""
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

    def lessened(self, why: object, /) -> bool:
        """Of one that the database does not take: whether less of it can be kept, which it is from now on. What is lost
        of it is said."""
        ...


AROUND: ContextVar[Callable[[Callable[[Writing], Any]], Callable[[Writing], Any]] | None] = ContextVar(
    "around", default=None
)
"""What else belongs into the transactions of the acts that a task has run (`store/answers.py`)."""


class Act(Generic[_T]):
    """A function to be run inside a transaction, and its result."""

    row = None

    def __init__(
        self,
        act: Callable[[Writing], _T],
        *,
        urgent: bool,
        alone: bool = False,
        leans: bool = False,
        rank: bytes = b"",
    ) -> None:
        """`rank` is the act's place among others in its transaction. Of one rank those come first that are not urgent,
        as they have waited; else they keep their order."""
        self.act = act
        self.urgent = urgent
        self.alone = alone
        self.rank = rank
        self.leans = leans
        self.result: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._value: _T | None = None
        self._refusal: OperationError | None = None

    def perform(self, tx: Writing) -> None:
        """A refusal must come before anything is written: the transaction has other people's ops in it. That it was
        refused in one that was undone means nothing."""
        self._refusal = None
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

    def lessened(self, _: object) -> bool:
        return False


def taking_turns(act: Callable[[Writing], _T]) -> Callable[[Writing], _T]:
    """The turn comes before any row, so that nobody who waits for it holds what another act needs."""

    def acting(tx: Writing) -> _T:
        tx.take_turn()
        return act(tx)

    return acting
