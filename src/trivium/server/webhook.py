"""Where the processor of payments tells what happened: `POST /webhooks/NAME`, outside of keys and credentials.

What counts is the signature over the body as it was sent. A body is read up to a limit, and only so many at once, since
anybody may send one: where there is no more room the one that has taken longest has to go, so that whoever sends slowly
keeps nobody out. What was taken in is answered with 200, also for the second time and where it is of no concern; where
the ledger cannot write, 503 has the processor tell it again later.
"""

from __future__ import annotations

import asyncio
import logging

from trivium.admin.face import Asked
from trivium.clock import Clock
from trivium.errors import (
    BodyTimeout,
    BodyTooLarge,
    MethodNotAllowed,
    RequestError,
    StoreUnavailable,
    TriviumError,
)
from trivium.pipeline.call import Body, Reply
from trivium.policy.payments import Event
from trivium.store.payments import Payments, Taken
from trivium.upstream.payments import Processor, SignatureInvalid

_LOG = logging.getLogger("trivium.payments")
PREFIX = "/webhooks/"
MOST_BYTES = 512 * 1024
"""Of a body: many times what an event has."""
_AT_ONCE = 32
_ARRIVES = 20.0
"""Seconds that a body may take."""
_SAID_EVERY = 60.0
"""Seconds between two lines in the log about what nobody has signed."""


class WebhookDoor:
    """For one event loop."""

    def __init__(self, processor: Processor, payments: Payments, clock: Clock) -> None:
        self.path = PREFIX + processor.name
        self._processor, self._payments, self._clock = processor, payments, clock
        self._arriving: dict[asyncio.Timeout, None] = {}
        """Bodies, the one that has taken longest first."""
        self._forged, self._said = 0, float("-inf")

    async def serve(self, asked: Asked, body: Body, reply: Reply) -> None:
        """Raises nothing but what ends the task: cancellation, where whoever sends left."""
        try:
            await self._take(asked, body)
            status, content = 200, b'{"received":true}'
        except TriviumError as error:
            status, content = error.status, b'{"error":"%b"}' % error.code.encode()
        except Exception:
            _LOG.exception("webhook %s", asked.id)
            status, content = 500, b'{"error":"internal_error"}'
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"cache-control", b"no-store"),
            (b"x-trivium-request-id", asked.id.encode()),
        ]
        if status == 405:
            headers.append((b"allow", b"POST"))
        await reply.start(status, headers)
        await reply.end(content)

    async def _take(self, asked: Asked, body: Body) -> None:
        if asked.method != "POST":
            raise MethodNotAllowed("Use POST.")
        content = await self._read(asked, body)
        event = self._told(asked, content)
        if event is None:
            return
        try:
            _log(event, await self._payments.take(event))
        except StoreUnavailable as error:
            _LOG.error("event %s waits for the store, and comes again: %s", event.id, error.detail or error.message)
            raise

    def _told(self, asked: Asked, content: bytes) -> Event | None:
        """Raises SignatureInvalid, FieldInvalid."""
        try:
            return self._processor.read(content, asked.headers, self._clock.now_ms())
        except SignatureInvalid as error:
            self._forged += 1
            now = asyncio.get_running_loop().time()
            if now - self._said >= _SAID_EVERY:
                _LOG.warning("%d webhooks were refused, the last from %s: %s", self._forged, asked.client_ip, error)
                self._forged, self._said = 0, now
            raise
        except RequestError as error:
            _LOG.error("a webhook that is signed is not understood: %s", error.message)
            raise

    async def _read(self, asked: Asked, body: Body) -> bytes:
        """Raises BodyTooLarge, BodyTimeout."""
        announced = asked.headers.get(b"content-length", b"0")
        if announced.isdigit() and (len(announced) > 9 or int(announced) > MOST_BYTES):
            raise BodyTooLarge("No event is so long.")
        content, more = bytearray(), True
        patience = asyncio.timeout(_ARRIVES)
        try:
            async with patience:
                self._make_room()
                self._arriving[patience] = None
                while more:
                    chunk, more = await body.read()
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise BodyTooLarge("No event is so long.")
        except TimeoutError:
            raise BodyTimeout("The event took too long to arrive.") from None
        finally:
            self._arriving.pop(patience, None)
        return bytes(content)

    def _make_room(self) -> None:
        if len(self._arriving) >= _AT_ONCE:
            longest = next(iter(self._arriving))
            del self._arriving[longest]
            if not longest.expired():
                longest.reschedule(asyncio.get_running_loop().time())


def _log(event: Event, taken: Taken) -> None:
    """What nobody's balance has is an error until somebody has seen to it."""
    if taken == "parked":
        _LOG.error(
            "event %s (%s of %s) has no account here: `trivium payments strays`", event.id, event.told, event.payment
        )
    elif taken == "taken":
        _LOG.info("payment %s: %s", event.payment or event.intent, event.told)
