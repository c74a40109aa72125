"""Answers to writes that carried an idempotency key, so that the same request again gets the same answer.

The answer is kept in the transaction of the change that it tells of: either both are there after a crash or neither,
and of two at once one waits for the other. A row can be read by nobody but who asked: it is sealed with a key made of
the caller's credential and the idempotency key, and neither is kept. So is its id, so that a row does not tell whose it
is. Refusals are not kept, since they changed nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trivium.errors import Conflict, KeyReused, OperationError
from trivium.store.sql import Database, Row, Writing
from trivium.store.writer import Writer

KEPT_MS = 24 * 3_600_000
_NONCE = 12
_T = TypeVar("_T")
_R = TypeVar("_R")


class Answered(OperationError):
    """It has been done already, and this is what was answered. To the writer it is a refusal like others."""

    def __init__(self, content: bytes) -> None:
        super().__init__("This request has been answered already.")
        self.content = content


class Keeping:
    """One write with an idempotency key. `question` is all of the request; `encode` makes the answer of what the change
    returned."""

    def __init__(
        self, *, credential: str, key: str, question: bytes, now_ms: int, encode: Callable[[Any], bytes]
    ) -> None:
        secret = hmac.digest(credential.encode("utf-8", "surrogateescape"), key.encode(), hashlib.sha256)
        self.id = hmac.digest(secret, b"id", hashlib.sha256)
        self._question = hmac.digest(secret, b"question" + question, hashlib.sha256)
        self._cipher = AESGCM(hmac.digest(secret, b"seal", hashlib.sha256))
        self._now_ms = now_ms
        self.oldest_ms = now_ms - KEPT_MS
        self._encode = encode
        self.kept: bytes | None = None
        """The answer that is durable."""
        self.content = b""
        self.shown: Callable[[Any], Any] = _same
        """What is answered with, of what the change returns."""

    def around(self, act: Callable[[Writing], _T]) -> Callable[[Writing], _T]:
        """The same act, with its answer in the same transaction. It raises Answered or KeyReused where there is one."""

        def acting(tx: Writing) -> _T:
            again = self.kept is not None
            if not again:
                self._claim(tx)
            try:
                value = act(tx)
            except OperationError:
                if not again:
                    tx.execute("DELETE FROM answers WHERE id = ?", (self.id,))
                raise
            self.content = self._encode(self.shown(value))
            tx.execute("UPDATE answers SET sealed = ? WHERE id = ?", (self._sealed(self.content), self.id))
            return value

        return acting

    def recode(self, content: bytes) -> None:
        """From here on the answer is this."""
        self._encode = lambda _: content

    def found(self, rows: list[Row]) -> bytes | None:
        """The answer in the rows that were found. Raises KeyReused."""
        for question, sealed in rows:
            if not hmac.compare_digest(bytes(question), self._question):
                raise KeyReused(
                    "This Idempotency-Key came with another request before. Use a new one for each new request.",
                    param="Idempotency-Key",
                )
            return self._opened(bytes(sealed))
        return None

    def _claim(self, tx: Writing) -> None:
        """Before anything is written. A row that another process is about to commit is waited for."""
        tx.execute("DELETE FROM answers WHERE time_ms <= ?", (self.oldest_ms,))
        mine = tx.execute(
            "INSERT INTO answers (id, question, time_ms) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING id",
            (self.id, self._question, self._now_ms),
        )
        if not mine:
            content = self.found(tx.execute("SELECT question, sealed FROM answers WHERE id = ?", (self.id,)))
            if content is None:
                raise Conflict("The same request is being carried out. Send it again in a moment.")
            raise Answered(content)

    def _sealed(self, content: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, self._question)

    def _opened(self, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._question)
        except InvalidTag as error:
            raise Conflict("The answer that was kept under this Idempotency-Key is damaged. Use a new one.") from error


KEEPING: ContextVar[Keeping | None] = ContextVar("keeping", default=None)
"""What the change that is made now keeps, if it came with an idempotency key."""


async def change(writer: Writer, act: Callable[[Writing], _T]) -> _T:
    """Runs an act as `Writer.run` does, with its answer beside it where one is to be kept. Raises Answered too, and
    KeyReused."""
    keeping = KEEPING.get()
    if keeping is None:
        return await writer.run(act)
    value = await writer.run(keeping.around(act))
    keeping.kept = keeping.content
    return value


async def told(shown: Callable[[_T], _R], changing: Awaitable[_T]) -> _R:
    """What an operation answers with of what a change returned, where that is something else: the transaction of the
    change must know it already."""
    keeping = KEEPING.get()
    if keeping is not None:
        keeping.shown = shown
    return shown(await changing)


async def complete(writer: Writer, keeping: Keeping, content: bytes) -> None:
    """Keeps an answer that no change kept, or kept otherwise. Raises Answered, StoreUnavailable."""
    if keeping.kept != content:
        keeping.recode(content)
        await change(writer, lambda _: None)


async def find(database: Database, keeping: Keeping) -> bytes | None:
    """The answer that is kept, if there is one. Raises KeyReused, StoreUnavailable."""
    return keeping.found(
        await database.ask(
            "SELECT question, sealed FROM answers WHERE id = ? AND time_ms > ?", (keeping.id, keeping.oldest_ms)
        )
    )


def _same(value: Any) -> Any:
    return value
