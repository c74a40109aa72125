"""Asking a provider what a past call was, by the id that it gave its generation.

The record of a call that has just ended comes late: the first question waits a moment, and a 404 is asked again, with
growing and jittered pauses, until the patience is over. So are 429, 5xx and broken connections, after `retry-after`
where it is told; any other refusal is final. The id is a stranger's text and is escaped; the answer is a stranger's
too, and is read up to a limit. Nothing is raised but a cancellation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec

from trivium.clock import Clock
from trivium.errors import DestinationRefused, UpstreamError
from trivium.providers.provider import Provider
from trivium.upstream.body import whole
from trivium.upstream.client import Headers, Timeouts, UpstreamClient, UpstreamRequest, UpstreamResponse
from trivium.upstream.pause import pause_s
from trivium.wire.generation import Generation, parse

_AT_ONCE = 32
_LIMIT = 256 * 1024
"""Bytes of a record."""
_LONGEST_ID = 200
"""Ids have about 30 characters; what is longer is none, or has been cut."""
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_LONGEST_TOLD = 86_400
_TIMEOUTS = Timeouts(connect=5, first_byte=10, idle=5)
_ABSENT = 404
_TOO_MANY = 429
_NANOSECONDS = 1e9


class Search(msgspec.Struct, frozen=True):
    """How a search ended: with the record, or with what the last question met (`status 404`, `upstream_timeout`)."""

    generation: Generation | None = None
    problem: str | None = None


class _Miss(msgspec.Struct, frozen=True):
    """One question in vain."""

    problem: str
    again: bool = False
    after: float = 0.0
    """Seconds that the provider wants to be left alone."""


class Generations:
    """The search for generation records, at most 32 questions at a time. Belongs to one event loop."""

    def __init__(
        self,
        client: UpstreamClient,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` gives numbers from 0 to 1, of which the middle one changes no pause."""
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def find(self, provider: Provider, generation_id: str, *, patience: float = 20.0) -> Generation | None:
        """The record of a call that has just ended; None if there is none within `patience` seconds."""
        return (await self.search(provider, generation_id, patience=patience)).generation

    async def search(
        self, provider: Provider, generation_id: str, *, patience: float = 20.0, settled: bool = False
    ) -> Search:
        """Like `find`, and says why not. `settled`: the call ended long ago, so that the first question does not wait
        and a 404 is final."""
        if provider.generations is None or not 0 < len(generation_id) <= _LONGEST_ID:
            return Search(problem="no id of a record")
        url = provider.base_url + provider.generations.replace("{id}", quote(generation_id, safe="", errors="replace"))
        until = self._now() + patience
        pause, problem = _FIRST_PAUSE, "no patience"
        wait = 0.0 if settled else pause
        while self._now() + wait < until:
            await self._sleep(wait)
            found = await self._ask(provider, url, until, settled=settled)
            if isinstance(found, Generation):
                return Search(found)
            problem = found.problem
            if not found.again:
                break
            pause = min(2 * pause, _LONGEST_PAUSE)
            wait = max(self._jittered(pause), found.after)
        return Search(problem=problem)

    def _now(self) -> float:
        return self._clock.monotonic_ns() / _NANOSECONDS

    def _told_pause(self, headers: Headers) -> float:
        """Seconds; 0 where none are told."""
        return float(min(pause_s(headers, self._clock.now_ms()) or 0, _LONGEST_TOLD))

    def _jittered(self, pause: float) -> float:
        """From three quarters to five quarters of it."""
        return pause * (0.75 + 0.5 * self._jitter())

    async def _ask(self, provider: Provider, url: str, until: float, *, settled: bool) -> Generation | _Miss:
        try:
            async with asyncio.timeout(max(until - self._now(), 0)), self._places:
                response = await self._get(provider, url)
                try:
                    body = bytes(await whole(response, _LIMIT))
                finally:
                    response.close()
        except TimeoutError:
            return _Miss("no answer in time")
        except UpstreamError as error:
            return _Miss(error.code, again=True)
        except DestinationRefused as error:
            return _Miss(error.code)
        except ValueError as error:
            return _Miss(str(error))
        status = response.status
        if status != 200:
            again = status == _TOO_MANY or status >= 500 or (status == _ABSENT and not settled)
            return _Miss(f"status {status}", again, self._told_pause(response.headers))
        return parse(body, provider.conventions) or _Miss("no record in the answer", again=not settled)

    async def _get(self, provider: Provider, url: str) -> UpstreamResponse:
        headers = [(b"accept", b"application/json"), *provider.headers]
        request = UpstreamRequest(
            method="GET",
            url=url,
            headers=headers,
            timeouts=_TIMEOUTS,
            guarded=provider.guarded,
            network=provider.network,
        )
        return await self._client.send(request)
