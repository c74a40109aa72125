"""Answers to calls that carried an idempotency key, so that the same call again gets the same bytes.

They lie where the answers of the admin API do, sealed in the same way (`answers.py`), and go with them after a day at
the latest. A call claims its place before its upstream hears of it, so that of two at once, at whichever gateway of the
database, one is made. A call that goes on claims its place anew every five minutes; a claim without an end, as a crash
leaves it, counts for a quarter of an hour. What became of a call is kept until it can be written, as its record is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from trivium.clock import HOUR_MS, Believed, Clock
from trivium.errors import CallInProgress, IdempotencyConflict
from trivium.settings_idempotency import IdempotencySettings
from trivium.store.answers import TOKEN, Slot
from trivium.store.ops import Act
from trivium.store.sql import Row, Writing
from trivium.store.unbroken import shielded
from trivium.store.writer import Writer

CLAIM_MS = 15 * 60_000
_RENEWED = 300.0
"""Seconds after which a call that goes on says so."""
_COUNT_MS = 60_000
"""How long a count of all answers is believed: 256 MB of them take 0.1 s to count."""
_MARK = "call\0"
"""Before the credential: a place of a call is none of an admin's write, whatever their credentials and keys are."""
_T = TypeVar("_T")


def call_answers(writer: Writer, clock: Clock, settings: IdempotencySettings) -> CallAnswers | None:
    """None where nothing is kept."""
    return CallAnswers(writer, clock, settings) if settings.hours else None


class CallAnswers:
    """All places of this process."""

    def __init__(self, writer: Writer, clock: Clock, settings: IdempotencySettings) -> None:
        self.settings = settings
        self._writer = writer
        self._clock, self._believed = clock, Believed(clock)
        self.going: set[bytes] = set()
        """Ids of the calls that go on in this process, whose places are theirs."""
        self._total, self._counted_ms = 0, -_COUNT_MS

    def place(self, credential: str, key: str, question: bytes) -> CallPlace:
        """`credential` is of the caller, whoever pays, and `question` all of the call."""
        now, believed = self._clock.now_ms(), self._believed.now_ms()
        return CallPlace(
            self, credential=_MARK + credential, key=key, question=question, now_ms=now, believed_ms=believed
        )

    def has_room(self, size: int, tx: Writing) -> bool:
        """Whether one more answer of this size may be kept. All are counted now and then: of many that takes a while in
        which nothing else is written. In between our own are added. For the writer's thread."""
        now = self._clock.now_ms()
        if not 0 <= now - self._counted_ms < _COUNT_MS:
            ((self._total,),) = tx.execute("SELECT COALESCE(SUM(LENGTH(sealed)), 0) FROM answers")
            self._counted_ms = now
        if self._total + size > self.settings.max_total_bytes:
            return False
        self._total += size
        return True

    def write(self, id: bytes, act: Callable[[Writing], _T], *, urgent: bool) -> asyncio.Future[_T]:
        """Hands an act about a key's row to the writer, behind all that were before; one that is not `urgent` is kept
        until it can be written. In one transaction they go by the rows, so that two gateways wait for each other rather
        than for ever."""
        op: Act[_T] = Act(act, urgent=urgent, leans=urgent, rank=id)
        self._writer.add(op)
        return op.result

    def now_ms(self) -> int:
        return self._clock.now_ms()


class CallPlace(Slot):
    """Where the answer to one call lies. `claim` first; then `keep` or `free`, once."""

    def __init__(self, answers: CallAnswers, **slot: Any) -> None:
        super().__init__(**slot)
        self._answers = answers
        self._renewing: asyncio.TimerHandle | None = None

    async def claim(self) -> bytes | None:
        """The answer that is there; None: the place is this call's now. Raises IdempotencyConflict, CallInProgress,
        StoreUnavailable."""
        if self.id in self._answers.going:
            raise _in_progress()
        writing = self._answers.write(self.id, self._claimed, urgent=True)
        try:
            found = await shielded(writing)
        except BaseException:
            # The caller left, or nothing came back from the database, and nobody knows whether the place is ours: it is
            # let go of behind the claim.
            writing.add_done_callback(lambda _: self.free())
            raise
        if found:
            return self._found(found[0])
        self._answers.going.add(self.id)
        self._renew_later()
        return None

    def keep(self, answer: bytes) -> None:
        """Ends the claim with an answer, where there is room for it."""
        sealed = self._sealed(answer)

        def write(tx: Writing) -> None:
            if self._answers.has_room(len(sealed), tx):
                tx.execute(
                    "UPDATE answers SET sealed = ?, time_ms = ? WHERE id = ? AND sealed = ?",
                    (sealed, self._now_ms, self.id, self._token),
                )
            else:
                self._freed(tx)

        self._end(write)

    def free(self) -> None:
        """Ends the claim without an answer."""
        self._end(self._freed)

    def _claimed(self, tx: Writing) -> list[Row]:
        """Nothing, where the place is ours; else what is there."""
        if self._take(tx):
            return []
        rows = tx.execute("SELECT question, sealed, time_ms FROM answers WHERE id = ?", (self.id,))
        for _, sealed, time_ms in rows:
            kept_ms = CLAIM_MS if len(sealed) == TOKEN else self._answers.settings.hours * HOUR_MS
            if time_ms <= self._believed_ms - kept_ms:
                tx.execute(
                    "UPDATE answers SET question = ?, sealed = ?, time_ms = ? WHERE id = ?",
                    (self._question, self._token, self._now_ms, self.id),
                )
                return []
        return rows

    def _found(self, row: Row) -> bytes:
        question, sealed, _ = row
        if not self._asks(question):
            raise IdempotencyConflict(
                "This idempotency key came with another call before. Use a new one for each new call."
            )
        if len(sealed) == TOKEN:
            raise _in_progress()
        answer = self._unsealed(bytes(sealed))
        if answer is None:
            raise IdempotencyConflict("The answer that was kept under this idempotency key is damaged. Use a new one.")
        return answer

    def _freed(self, tx: Writing) -> None:
        tx.execute("DELETE FROM answers WHERE id = ? AND sealed = ?", (self.id, self._token))

    def _renew_later(self) -> None:
        self._renewing = asyncio.get_running_loop().call_later(_RENEWED, self._renew)

    def _renew(self) -> None:
        values = (self._answers.now_ms(), self.id, self._token)
        self._write(lambda tx: tx.execute("UPDATE answers SET time_ms = ? WHERE id = ? AND sealed = ?", values))
        self._renew_later()

    def _end(self, act: Callable[[Writing], None]) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            self._answers.going.discard(self.id)
        self._write(act)

    def _write(self, act: Callable[[Writing], object]) -> None:
        """What the database does not take is given up: the claim then ends by itself."""
        writing = self._answers.write(self.id, act, urgent=False)
        writing.add_done_callback(lambda written: written.cancelled() or written.exception())


def _in_progress() -> CallInProgress:
    return CallInProgress(
        "The call that came first with this idempotency key is still being answered. Send it again in a moment.",
        retry_after=1,
    )
