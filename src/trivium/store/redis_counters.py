"""The counters of limits in Redis, for several gateways together.

What waits while one batch of steps is under way becomes the next batch: one round trip for each request, in the order
in which they came, over one connection. Where Redis does not answer within the deadline, which runs from when it was
asked, the counters of this process take over at once, which have counted along; Redis is asked again each second, and
has its say again when it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from trivium.clock import Clock
from trivium.errors import ConfigError
from trivium.policy.counters import Claim, Denial, Taken, Use
from trivium.store.counters import LocalCounters, Place, State
from trivium.store.redis_script import SCRIPT

LEASE_S = 30.0
"""How long what goes on stays counted of a gateway that says nothing more."""
_RENEWED = 1 / 3
"""Of a lease: when it is renewed."""
_AGAIN_S = 1.0
_CONNECT_S = 1.0
_ASK_S = 1.0
"""In a crowd of calls this gateway itself may be long about asking, which is not Redis's silence."""
_BATCH = 200
"""Steps: Redis does nothing else for as long as a script runs."""
_TURNS = 5
"""Of the event loop after a deadline: where it was busy for longer, the answer may be there and unread."""

_PASSWORD_AHEAD = re.compile(r"rediss?://[^/?#]*[/?#].*@", re.DOTALL)
"""What would be read as a host is the beginning of a password."""
_NO_URL = (
    "limits.redis_url: this is no URL of a Redis server; expected redis://:PASSWORD@HOST:6379/0, rediss://... or "
    "unix:///PATH, with no options that Redis clients do not know, and characters such as / ? # @ in a password "
    "percent-encoded (%2F %3F %23 %40)"
)

_LOG = logging.getLogger("trivium.limits")
_Step = tuple[Any, ...]
_Answers = list[list[Any]]
_FAILURES = (RedisError, OSError, TimeoutError, msgspec.MsgspecError)


class RedisCounters(LocalCounters):
    """`pipeline/deps.Counters` in Redis; what it inherits is what this process counts along. Raises ConfigError for a
    URL that is none."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        deadline: float = 0.05,
        lease: float = LEASE_S,
        time_ms: Callable[[], int] | None = None,
    ) -> None:
        """`deadline` and `lease` in seconds. `time_ms` is the time that windows go by: by default Redis's own, which
        all gateways share."""
        super().__init__(clock)
        self._deadline = deadline
        self._lease_ms = round(lease * 1000)
        self._time_ms = time_ms
        if _PASSWORD_AHEAD.match(url):
            raise ConfigError(_NO_URL)
        try:
            pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0))
            self._connection = pool.make_connection()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, RedisError):
            raise ConfigError(_NO_URL) from None  # the error's words may be a piece of the password
        self._waiting: deque[tuple[_Step, asyncio.Future[list[Any] | None] | None]] = deque()
        self._unsaid: deque[tuple[_Step, int]] = deque()
        """Ends that Redis has not heard of, and until when that matters, in nanoseconds."""
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._up = False
        self._renew_ns = 0
        self._due_s = 0.0
        """Until when an answer is waited for, on the event loop's clock."""
        self._sha = ""
        told = pool.connection_kwargs
        place = told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}"
        self.state = State(redis=f"{place}/{told.get('db', 0)}", since_ms=clock.now_ms())

    async def enter(self, claims: Sequence[Claim], holder: str = "") -> Taken:
        if self._up:
            step = ("take", holder, self._lease_ms, [msgspec.structs.astuple(claim) for claim in claims])
            answer: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
            self._send(step, answer)
            try:
                told = await asyncio.shield(answer)
            except asyncio.CancelledError:
                answer.add_done_callback(partial(self._undo, claims, holder))
                raise
            if told is not None:
                return self._taken(claims, holder, told)
            taken = await super().enter(claims, holder)
            if taken.denial is not None:  # Redis may have heard, and let it in
                self._send(("leave", holder, [claim.key for claim in claims if not claim.window_s]))
            return taken
        return await super().enter(claims, holder)

    def add_to(self, keys: Sequence[str], amount: int, window_s: int, ago_ms: int) -> None:
        super().add_to(keys, amount, window_s, ago_ms)
        self._send(("add", list(keys), amount, window_s, ago_ms))

    def leave(self, keys: Sequence[str], holder: str) -> None:
        super().leave(keys, holder)
        self._send(("leave", holder, list(keys)))

    async def start(self) -> None:
        """Returns when Redis has its say, or does not answer for now."""
        self._running = asyncio.create_task(self._run())
        await self._tried.wait()

    async def close(self) -> None:
        """Says what is still to be said, so that nothing stays held that is over."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._connect()
                    await self._serve()
                except Exception as error:  # whatever it is, limits go on
                    self._lost(str(error) or type(error).__name__)
                await self._disconnect()
                await asyncio.sleep(_AGAIN_S)
        finally:
            with contextlib.suppress(*_FAILURES):
                while self._waiting:
                    await self._send_batch()
            self._give_up()
            await self._disconnect()

    async def _connect(self) -> None:
        """Redis has its say again once it has carried out a batch, and knows what goes on here."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connection.connect()
                self._sha = await self._ask("SCRIPT LOAD", SCRIPT)
                await self._carry_out(self._renewals())
        except TimeoutError:
            raise TimeoutError(f"no connection within {_CONNECT_S:.0f} s") from None
        self._up = True
        now_ns = self._clock.monotonic_ns()
        self._waiting.extend((step, None) for step, until_ns in self._unsaid if now_ns < until_ns)
        self._unsaid.clear()
        self._tell("redis", None)

    async def _serve(self) -> None:
        while True:
            if not self._waiting:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._lease_ms / 1000 * _RENEWED):
                        await self._wake.wait()
            if self._clock.monotonic_ns() >= self._renew_ns:
                self._waiting.extendleft((step, None) for step in self._renewals())
            await self._send_batch()

    async def _send_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        if not batch:
            return
        try:
            answers = await self._in_time(self._carry_out([step for step, _ in batch]))
        except BaseException:
            self._waiting.extendleft(reversed(batch))  # whoever waits is told with all the others
            raise
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    async def _carry_out(self, steps: list[_Step]) -> _Answers:
        time_ms = self._time_ms() if self._time_ms else -1
        told = await self._ask("EVALSHA", self._sha, 0, msgspec.msgpack.encode(steps), time_ms)
        return msgspec.msgpack.decode(told, type=_Answers)

    async def _ask(self, *words: Any) -> Any:
        await self._connection.send_command(*words)
        self._due_s = asyncio.get_running_loop().time() + self._deadline
        return await self._connection.read_response()

    async def _in_time(self, asking: Coroutine[Any, Any, _Answers]) -> _Answers:
        """Raises TimeoutError."""
        clock = asyncio.get_running_loop().time
        self._due_s = clock() + _ASK_S
        task = asyncio.create_task(asking)
        try:
            while not task.done() and (left := self._due_s - clock()) > 0:
                await asyncio.wait((task,), timeout=min(left, self._deadline))
            for _ in range(_TURNS):
                if task.done():
                    break
                await asyncio.sleep(0)
            else:
                raise TimeoutError(f"no answer within {self._deadline * 1000:.0f} ms")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))

    def _renewals(self) -> list[_Step]:
        """All that goes on here, in steps that are not too long. Where nothing does, one that changes nothing, so that
        it is found out whether Redis can write."""
        self._renew_ns = self._clock.monotonic_ns() + round(self._lease_ms * _RENEWED) * 1_000_000
        return [("leave", "", [])] + [
            ("renew", key, self._lease_ms, holders[first : first + _BATCH])
            for key, holders in self._windows.holders()
            for first in range(0, len(holders), _BATCH)
        ]

    def _send(self, step: _Step, answer: asyncio.Future[list[Any] | None] | None = None) -> None:
        if self._up:
            self._waiting.append((step, answer))
            self._wake.set()
        else:
            self._put_off(step)

    def _put_off(self, step: _Step) -> None:
        """Ends are said when Redis is back, if it may still count what has ended: until a lease has passed. A take or a
        figure that it has not heard it never hears."""
        now_ns = self._clock.monotonic_ns()
        while self._unsaid and self._unsaid[0][1] <= now_ns:
            self._unsaid.popleft()
        if step[0] == "leave" and step[2]:
            self._unsaid.append((step, now_ns + self._lease_ms * 1_000_000))

    def _taken(self, claims: Sequence[Claim], holder: str, told: list[Any]) -> Taken:
        denied, wait_ms, *uses = told
        taken = tuple(Use(int(used), int(resets_ms)) for used, resets_ms in uses)
        if denied:
            retry_after = max(1, -(-int(wait_ms) // 1000))
            return Taken(Denial(claims[denied - 1], taken[denied - 1].used, retry_after), taken)
        now_ms = self._now_ms()
        for claim in claims:
            if not claim.amount:
                continue
            if not claim.window_s:
                self._windows.hold(claim.key, holder)
            else:
                self._windows.add(claim.key, claim.amount, claim.window_s, now_ms)
        return Taken(None, taken)

    def _undo(self, claims: Sequence[Claim], holder: str, answer: asyncio.Future[list[Any] | None]) -> None:
        """Nobody waits for the answer any more: what Redis took is given back. Nothing was counted here."""
        told = None if answer.cancelled() else answer.result()
        if told is None or not told[0]:
            self._send(("leave", holder, [claim.key for claim in claims if not claim.window_s]))
        if told is not None and not told[0]:
            for claim in claims:
                if claim.window_s and claim.amount:
                    self._send(("add", [claim.key], -claim.amount, claim.window_s, 0))

    def _lost(self, problem: str) -> None:
        self._give_up()
        self._tell("memory", problem)

    def _give_up(self) -> None:
        """Whoever waits goes on with what this process has counted."""
        self._up = False
        while self._waiting:
            step, waiting = self._waiting.popleft()
            self._put_off(step)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def _tell(self, counters: Place, problem: str | None) -> None:
        """A line in the log for each change, not for each attempt."""
        if counters == self.state.counters and self._tried.is_set():
            self.state = msgspec.structs.replace(self.state, problem=problem)
            return
        self._tried.set()
        self.state = State(counters=counters, redis=self.state.redis, since_ms=self._clock.now_ms(), problem=problem)
        if problem is None:
            _LOG.info("limits: counted in Redis at %s", self.state.redis)
        else:
            _LOG.warning(
                "limits: counted by this process alone, Redis at %s does not serve: %s", self.state.redis, problem
            )

    async def _disconnect(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)
