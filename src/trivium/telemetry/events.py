"""Records as events for an HTTP service of the operator's, in batches, best effort.

What waits is bounded: beyond it the oldest events are dropped. A batch that the service does not take (no answer, 408,
429, 5xx) is sent again a few times with growing pauses, any other answer but a success gives it up at once. All of this
is counted, none of it is waited for by a call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from trivium.errors import TriviumError
from trivium.metering.record import COLUMNS, Record
from trivium.settings_telemetry import EventSettings
from trivium.telemetry.hub import Ended
from trivium.telemetry.instruments import EVENTS, Family
from trivium.telemetry.redaction import REDACTION

VERSION = 1
SENT, DROPPED, FAILED = RESULTS = ("sent", "dropped", "failed")
_TRIES = 4
_FIRST_PAUSE = 0.5
"""Seconds; each further one is twice as long."""
_JSON = frozenset({"server_tools", "losses", "routing"})
"""Columns whose text is JSON."""
_PASSING = (408, 429)
_LOG = logging.getLogger("trivium.telemetry")

Post = Callable[[bytes, str], Awaitable[int]]
"""Sends content of a type; returns the status of the answer. Raises TriviumError where there is none."""


class Events:
    """A sink. `run` sends until it is cancelled; `close`, which comes before that, sends what is left."""

    def __init__(self, settings: EventSettings, post: Post) -> None:
        self._settings = settings
        self._post = post
        self._columns = tuple(name for name in COLUMNS if name not in settings.omit)
        self._encode, self._kind = _FORMATS[settings.format]
        self._queue: deque[Record] = deque()
        self._due = asyncio.Event()
        """There is a whole batch."""
        self._sending = asyncio.Lock()
        self._under_way = 0
        """Events of the batch that is being sent."""
        self.counts = Counter(dict.fromkeys(RESULTS, 0))
        self._failing = False

    def take(self, batch: Sequence[Ended]) -> None:
        self._queue.extend(record for record, _ in batch)
        while len(self._queue) > self._settings.queue:
            self._queue.popleft()
            self.counts[DROPPED] += 1
        if len(self._queue) >= self._settings.batch:
            self._due.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.interval):
                    await self._due.wait()
            except TimeoutError:
                pass
            await self.flush()

    async def flush(self) -> None:
        """Sends all that waits. Whole batches first come, first sent; nobody sends beside it."""
        async with self._sending:
            self._due.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(self._settings.batch, len(self._queue)))]
                self._under_way = len(batch)
                sent = await self._send(batch)
                self.counts[SENT if sent else FAILED] += len(batch)
                self._under_way = 0

    async def close(self, seconds: float) -> None:
        """What is under way may arrive first. What cannot be sent in so many seconds is lost, and counted."""
        try:
            async with asyncio.timeout(seconds):
                await self.flush()
        except TimeoutError:
            lost = self._under_way + len(self._queue)
            _LOG.warning("%d events were not sent", lost)
            self.counts[DROPPED] += lost
            self._queue.clear()

    def family(self) -> Family:
        return Family(EVENTS, [((result,), self.counts[result]) for result in RESULTS])

    async def _send(self, batch: list[Record]) -> bool:
        content = await asyncio.to_thread(self._encode, [self._event(record) for record in batch])
        pause = _FIRST_PAUSE
        for left in reversed(range(_TRIES)):
            try:
                status = await self._post(content, self._kind)
            except TriviumError as error:
                problem, passing = error.detail or error.message, True
            else:
                if status < 300:
                    self._failing = False
                    return True
                problem, passing = f"status {status}", status >= 500 or status in _PASSING
            if not (passing and left):
                break
            await asyncio.sleep(pause)
            pause *= 2
        if not self._failing:  # once, until it takes some again
            self._failing = True
            _LOG.warning("the service for events takes none: %s", problem)
        return False

    def _event(self, record: Record) -> dict[str, Any]:
        """What is known of the request; what is null says nothing."""
        said = ((name, getattr(record, name)) for name in self._columns)
        return {
            name: msgspec.Raw(value.encode()) if name in _JSON else value for name, value in said if value is not None
        }


# Encoded one by one: the search for secrets keeps everybody else waiting while it goes through a text.


def _as_json(events: list[dict[str, Any]]) -> bytes:
    return f'{{"version":{VERSION},"events":[{",".join(map(REDACTION.json, events))}]}}'.encode()


def _as_lines(events: list[dict[str, Any]]) -> bytes:
    return "".join(f"{REDACTION.json(event)}\n" for event in events).encode()


_FORMATS: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], str]] = {
    "json": (_as_json, "application/json"),
    "ndjson": (_as_lines, "application/x-ndjson"),
}
