"""Bodies of calls on their way to the store: masked, compressed and written by a thread that no call waits for.

What waits is bounded by the house's room (`[capture] max_memory_bytes`). Where there is none, or the store is slow,
full or away, bodies are lost: counted, and said in the log once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections import Counter
from queue import Empty, SimpleQueue
from time import monotonic

from trivium.errors import StoreUnavailable
from trivium.pipeline.capture import Captured, Kept
from trivium.settings import Settings, wrong_setting
from trivium.settings_capture import CaptureSettings
from trivium.store.captures import Bodies, BodyAbout, CaptureAbout, CaptureStore, packed
from trivium.telemetry.bodies import Masks

_LOG = logging.getLogger("trivium.capture")
KEPT, LOST = RESULTS = ("kept", "lost")
_RAW = 8
"""So many times what is kept of a body is looked at: media goes before it is cut."""
_TOGETHER = 16
_EVERY = 60
"""Seconds between two lines of the log."""
_LAST_WORD = 5.0
_EVENTS = "text/event-stream"


def masks(settings: Settings) -> Masks:
    """Raises ConfigError."""
    wanted = settings.capture
    for place, pattern in enumerate(wanted.hide):
        try:
            re.compile(pattern)
        except re.error as error:
            raise wrong_setting(settings.source, ("capture", "hide", str(place)), f"no pattern: {error}") from None
    return Masks(wanted.hide, media=wanted.media)


class _Flush:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()

    def tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended
            self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Capturing:
    """Of one process. `take` and `keep` are for the event loop."""

    def __init__(self, store: CaptureStore, settings: Settings) -> None:
        """Raises ConfigError."""
        self._store = store
        self._room = threading.Lock()
        self._held = 0
        self._queue: SimpleQueue[Captured | _Flush | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._told_at = -float(_EVERY)
        self._untold = 0
        self.counts = Counter(dict.fromkeys(RESULTS, 0))
        self.allow(settings.capture, masks(settings))
        store.flush = self.flush

    def allow(self, settings: CaptureSettings, made: Masks) -> None:
        """What holds from now on."""
        self._settings, self._masks = settings, made
        self._store.allowed = settings.enabled

    @property
    def most(self) -> int:
        return _RAW * self._settings.max_body_bytes

    @property
    def waiting(self) -> int:
        """Bytes in memory."""
        return self._held

    def take(self, size: int) -> bool:
        with self._room:
            if size > 0 and self._held + size > self._settings.max_memory_bytes:
                return False
            self._held += size
            return True

    def keep(self, bodies: Captured) -> None:
        if not bodies.request.chunks and bodies.request.bytes:  # there was no room from the beginning
            self.take(-bodies.held)
            self._lost(1, "there is no room for more in memory")
            return
        try:
            self._begin()
        except RuntimeError as error:  # the machine has no more threads
            self.take(-bodies.held)
            self._lost(1, str(error))
            return
        self._queue.put(bodies)

    def _begin(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="trivium-capture", daemon=True)
            thread.start()
            self._thread = thread

    async def flush(self) -> None:
        if self._thread is not None:
            waiting = _Flush()
            self._queue.put(waiting)
            await waiting.done

    async def close(self) -> None:
        """Waits a while for what is not written yet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD):
                await self.flush()
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, _LAST_WORD)

    def _work(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            if isinstance(first, _Flush):
                first.tell()
            else:
                self._write(first)

    def _write(self, first: Captured) -> None:
        """That one and what came with it, in one transaction."""
        batch: list[Captured] = [first]
        last: _Flush | None = None
        with contextlib.suppress(Empty):
            while len(batch) < _TOGETHER and last is None:
                one = self._queue.get_nowait()
                if one is None:
                    self._queue.put(None)
                    break
                if isinstance(one, _Flush):
                    last = one
                else:
                    batch.append(one)
        self._put(batch)
        if last is not None:
            last.tell()

    def _put(self, batch: list[Captured]) -> None:
        rows = []
        for one in batch:
            try:
                rows.append(self._row(one))
            except Exception:
                _LOG.exception("bodies of request %s", one.id)
                self._lost(1, "they could not be read")
        try:
            self.counts[KEPT] += self._store.put(rows, self._settings.max_total_bytes)
        except StoreUnavailable as error:
            self._lost(len(rows), error.detail or error.message)
        except Exception as error:
            self._lost(len(rows), repr(error))
        self.take(-sum(one.held for one in batch))

    def _row(self, one: Captured) -> Bodies:
        request, asked = self._text(one.request)
        same = one.sent is not None and _alike(one.sent, one.request)
        sent, went = (None, None) if one.sent is None or same else self._text(one.sent)
        answer, told = self._text(one.answer, stream=one.content_type.startswith(_EVENTS))
        about = CaptureAbout(
            status=one.status,
            content_type=one.content_type,
            ended=one.ended,
            request=asked,
            sent=went,
            sent_as_it_came=same,
            answer=told,
        )
        return Bodies(
            id=one.id,
            time_ms=one.time_ms,
            key_id=one.key_id,
            user_id=one.user_id,
            organization_id=one.organization_id,
            about=about,
            request=packed(request),
            sent=None if sent is None else packed(sent),
            answer=packed(answer),
        )

    def _text(self, body: Kept, *, stream: bool = False) -> tuple[str, BodyAbout]:
        torn = body.kept < body.bytes
        text = self._masks.masked(b"".join(body.chunks), torn=torn, stream=stream)
        content = text.encode()
        short = content[: self._settings.max_body_bytes].decode("utf-8", "ignore")
        cut = torn or len(content) > self._settings.max_body_bytes
        return short, BodyAbout(bytes=body.bytes, kept=len(short.encode()), cut=cut)

    def _lost(self, count: int, why: str) -> None:
        self.counts[LOST] += count
        self._untold += count
        now = monotonic()
        if count and now - self._told_at >= _EVERY:
            _LOG.warning("bodies of %d calls were not kept: %s", self._untold, why)
            self._told_at, self._untold = now, 0


def _alike(one: Kept, other: Kept) -> bool:
    return one is other or (one.bytes == other.bytes and one.chunks == other.chunks)
