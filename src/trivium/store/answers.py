"""Answers to writes that carried an idempotency key, so that the same request again gets the same answer.

The answer is kept in the transaction of the change that it tells of: either both are there after a crash or neither,
and of two at once one finds what the other left. A row can be read by nobody but who asked: it is sealed with a key
made of the caller's credential and the idempotency key, and neither is kept. So is its id, so that a row does not tell
whose it is. Refusals are not kept, since they changed nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trivium.clock import AHEAD_MS
from trivium.errors import Conflict, KeyReused, OperationError
from trivium.store.ops import AROUND
from trivium.store.sql import Database, Row, Writing
from trivium.store.writer import Writer

KEPT_MS = 24 * 3_600_000
_NONCE = 12
TOKEN = 8
"""Bytes that stand in a row for an answer that is not known yet: fewer than any sealed one has."""
_T = TypeVar("_T")
_R = TypeVar("_R")


class Answered(OperationError):
    """It has been done already, and this is what was answered. To the writer it is a refusal like others."""

    def __init__(self, content: bytes) -> None:
        super().__init__("This request has been answered already.")
        self.content = content


class Slot:
    """Where the answer to one request lies. `question` is all of the request, and `believed_ms` by which answers are
    old: what a clock says that is ahead for a moment takes none away."""

    def __init__(self, *, credential: str, key: str, question: bytes, now_ms: int, believed_ms: int) -> None:
        secret = hmac.digest(credential.encode("utf-8", "surrogateescape"), key.encode(), hashlib.sha256)
        self.id = hmac.digest(secret, b"id", hashlib.sha256)
        self._question = hmac.digest(secret, b"question" + question, hashlib.sha256)
        self._cipher = AESGCM(hmac.digest(secret, b"seal", hashlib.sha256))
        self._now_ms = now_ms
        self._believed_ms = believed_ms
        self._token = os.urandom(TOKEN)

    def _forget_old(self, tx: Writing) -> None:
        """Of an answer that lies ahead nobody knows how old it is: once it is asked for it counts from now. Else it
        would be given again, and a call that a crash has cut off believed to go on, for as long as the clock was ahead.
        Not of others: it may be this clock that is behind."""
        now = self._now_ms
        tx.execute("DELETE FROM answers WHERE time_ms <= ?", (self._believed_ms - KEPT_MS,))
        tx.execute("UPDATE answers SET time_ms = ? WHERE id = ? AND time_ms > ?", (now, self.id, now + AHEAD_MS))

    def _take(self, tx: Writing) -> bool:
        """Whether the place is free, which is ours then. A row that another process is about to commit is waited
        for."""
        self._forget_old(tx)
        return bool(
            tx.execute(
                "INSERT INTO answers (id, question, sealed, time_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
                " RETURNING id",
                (self.id, self._question, self._token, self._now_ms),
            )
        )

    def _asks(self, question: bytes) -> bool:
        """Whether a row is of the same request."""
        return hmac.compare_digest(bytes(question), self._question)

    def _sealed(self, content: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, self._question)

    def _unsealed(self, sealed: bytes) -> bytes | None:
        """None where it is damaged."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._question)
        except InvalidTag:
            return None


class Keeping(Slot):
    """One write with an idempotency key. `encode` makes the answer of what a change returned, or None where that is not
    what is answered with."""

    def __init__(
        self,
        *,
        credential: str,
        key: str,
        question: bytes,
        now_ms: int,
        believed_ms: int,
        encode: Callable[[Any], bytes | None],
    ) -> None:
        super().__init__(credential=credential, key=key, question=question, now_ms=now_ms, believed_ms=believed_ms)
        self._encode = encode
        self._written: bytes | None = None
        """What we have put into the row last."""
        self.shown: Callable[[Any], Any] = _same
        self.content: bytes | None = None
        """The answer, as far as a change knew it."""

    async def find(self, database: Database) -> bytes | None:
        """The answer that is kept; None: this is a new request. Raises KeyReused, Conflict, StoreUnavailable."""
        return self._found(
            await database.ask(
                "SELECT question, sealed FROM answers WHERE id = ? AND time_ms > ?",
                (self.id, self._believed_ms - KEPT_MS),
            )
        )

    async def complete(self, writer: Writer, content: bytes) -> None:
        """Keeps the answer, where no change has. Raises Answered, Conflict, StoreUnavailable."""
        if self.content != content:
            self._encode, self.shown = lambda _: content, _same
            await writer.run(lambda _: None)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """What is changed in here keeps the answer, and raises Answered, KeyReused or Conflict where there is one."""
        token, around = _KEEPING.set(self), AROUND.set(self._around)
        try:
            yield
        finally:
            AROUND.reset(around)
            _KEEPING.reset(token)

    def _around(self, act: Callable[[Writing], _T]) -> Callable[[Writing], _T]:
        """The same act, with its answer in the same transaction."""

        def acting(tx: Writing) -> _T:
            fresh = self._claim(tx)
            try:
                value = act(tx)
            except OperationError:
                if fresh:
                    tx.execute("DELETE FROM answers WHERE id = ?", (self.id,))
                raise
            content = self._encode(self.shown(value))
            if content is not None:
                self.content, self._written = content, self._sealed(content)
                tx.execute("UPDATE answers SET sealed = ? WHERE id = ?", (self._written, self.id))
            return value

        return acting

    def _claim(self, tx: Writing) -> bool:
        """Before anything is written. False where the row is ours, by an earlier change of the same operation."""
        if self._take(tx):
            return True
        rows = tx.execute("SELECT question, sealed FROM answers WHERE id = ?", (self.id,))
        if [bytes(sealed) for _, sealed in rows] not in ([self._token], [self._written]):
            raise Answered(self._found(rows) or b"")
        return False

    def _found(self, rows: list[Row]) -> bytes | None:
        for question, sealed in rows:
            if not self._asks(question):
                raise KeyReused(
                    "This Idempotency-Key came with another request before. Use a new one for each new request.",
                    param="Idempotency-Key",
                )
            return self._opened(bytes(sealed))
        return None

    def _opened(self, sealed: bytes) -> bytes:
        if len(sealed) == TOKEN:
            raise Conflict(
                "This request was carried out, and its answer is not there: send it again in a moment. If it is not"
                " there then, it was lost in a crash; look at what the request has changed."
            )
        if (content := self._unsealed(sealed)) is None:
            raise Conflict("The answer that was kept under this Idempotency-Key is damaged. Use a new one.")
        return content


_KEEPING: ContextVar[Keeping | None] = ContextVar("keeping", default=None)


async def told(shown: Callable[[_T], _R], changing: Awaitable[_T]) -> _R:
    """What an operation answers with of what a change returned, where that is something else: the transaction of the
    change must know it already."""
    keeping = _KEEPING.get()
    if keeping is not None:
        keeping.shown = shown
    return shown(await changing)


def _same(value: Any) -> Any:
    return value
