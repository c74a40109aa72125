"""A classifier of calls: an HTTP service of the operator's that judges them, and hears what they cost.

`POST URL/check` with a `Question` is answered by a `verdict` (ALLOW, SOFT_BLOCK, CHALLENGE, HARD_BLOCK), and a `reason`
for the operator and a `message` for the caller where there are any; `POST URL/report` with a `Report` by anything
(docs/abuse.md). Nothing that the service does or fails to do is an error: what is not answered in time is unanswered.

What waits and what is under way is bounded; beyond that, and while the service rests after failures in a row, it is
not asked. All of this is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from trivium.clock import Clock
from trivium.errors import UpstreamError, UpstreamTimeout
from trivium.policy.abuse import Judgement, Verdict
from trivium.upstream.body import whole
from trivium.upstream.client import Headers, Timeouts, UpstreamClient, UpstreamRequest

VERSION = 1
_AT_ONCE = 64
"""Checks; as many reports."""
_MOST_WAITING = 1000
_MOST_WAITING_BYTES = 32 * 1024 * 1024
_LONGEST_ANSWER = 64 * 1024
_LONGEST_REASON = 200
_LONGEST_MESSAGE = 500
_REPORT_PATIENCE = 10.0
_FAILURES = 5
"""In a row, after which the service is left alone."""
_REST = 5.0
_BETWEEN_LINES = 60.0
"""Seconds between two lines of the log that say that it fails."""
_NANOSECONDS = 1e9

_LOG = logging.getLogger("trivium.classifier")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is about to be sent."""

    version: int = VERSION
    id: str
    """The request's."""
    time_ms: int
    mode: str
    """`log` or `enforce`: whether the answer counts."""
    api: str
    stream: bool
    identity: str
    """`user:...`, else `key:...`, else `address:...`."""
    born_ms: int | None
    """When the identity was made."""
    user_id: str | None
    key_id: str | None
    organization_id: str | None
    project_id: str | None
    ip: str | None
    country: str | None
    """This and the next as a trusted proxy tells them."""
    tls_fingerprint: str | None
    agent: str
    requested_model: str
    provider: str
    model: str
    """The upstream's own id."""
    max_tokens: int | None
    tools: tuple[str, ...]
    byok: bool
    """The caller's side pays the provider."""
    free: bool
    prompts: str
    """`whole`, `cut` (to a length), `withheld` (an organization's), `unread` (too many objects)."""
    system_prompt: str | None
    user_text: str | None
    """What the user said last."""
    rules_verdict: str
    rules_reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call that was sent. Amounts are nanodollars."""

    version: int = VERSION
    id: str
    time_ms: int
    identity: str
    outcome: str
    status: int
    error_code: str | None
    verdict: str | None
    market_cost_nano: int | None
    """What it was worth, whoever paid; null where nobody knows."""
    cost_nano: int
    """What was charged: nothing where the call was free or paid by the caller's own key."""
    payer: str | None
    input_tokens: int
    output_tokens: int


class _Answer(msgspec.Struct):
    verdict: str
    reason: str | None = None
    message: str | None = None


_answer = msgspec.json.Decoder(_Answer)
_encode = msgspec.json.Encoder().encode

Then = Callable[[Judgement | None], None]


class _Job(msgspec.Struct, frozen=True, gc=False):
    content: bytes
    until: float
    then: Then | None


class Classifier:
    """`ask`, `ask_later` and `report`. Belongs to one event loop."""

    def __init__(self, client: UpstreamClient, url: str, key: str | None, timeout: float, clock: Clock) -> None:
        """`timeout` is the seconds in which a question must be answered, the wait for its turn included."""
        self.made_of = (url, key, timeout)
        """For whoever wants one more of the same."""
        self._client = client
        self._headers: Headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        if key is not None:
            self._headers.append((b"authorization", b"Bearer " + key.encode()))
        self._timeout = timeout
        self._clock = clock
        self.counts: Counter[str] = Counter()
        base = url.rstrip("/")
        self._checks = _Lane(f"{base}/check", "checks", self)
        self._reports = _Lane(f"{base}/report", "reports", self)
        self._in_a_row = 0
        self._rests_until = self._spoke = 0.0

    async def ask(self, question: Question) -> Judgement | None:
        """What the service says; None where it says nothing in time."""
        answer: asyncio.Future[Judgement | None] = asyncio.get_running_loop().create_future()
        self.ask_later(question, lambda said: None if answer.done() else answer.set_result(said))
        return await answer

    def ask_later(self, question: Question, then: Then) -> None:
        """Waits for nothing; `then` hears what the service says, or None, within the timeout."""
        self._checks.add(_Job(_encode(question), self.now() + self._timeout, then))

    def report(self, report: Report) -> None:
        """Waits for nothing."""
        self._reports.add(_Job(_encode(report), self.now() + _REPORT_PATIENCE, None))

    async def close(self, patience: float) -> None:
        """Waits so many seconds for what is under way."""
        if tasks := self._checks.tasks | self._reports.tasks:
            _, late = await asyncio.wait(tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for lane in (self._checks, self._reports):
            lane.give_up()

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return self._clock.monotonic_ns() / _NANOSECONDS

    @property
    def rests(self) -> bool:
        return self.now() < self._rests_until

    async def send(self, url: str, job: _Job) -> tuple[Judgement | None, str]:
        """The judgement, and how it went in a word: `answered`, `late` or `failed`."""
        if job.until <= self.now():
            return None, "late"  # it has waited for its turn, which says nothing of the service
        try:
            async with asyncio.timeout(max(job.until - self.now(), 0)):
                judgement = await self._exchange(url, job)
        except (TimeoutError, UpstreamTimeout):
            how, problem = "late", "no answer in time"
        except UpstreamError as error:
            how, problem = "failed", error.detail or error.message
        except ValueError as error:  # what msgspec raises too
            how, problem = "failed", str(error)
        else:
            self._in_a_row = 0
            return judgement, "answered"
        self._failed(problem)
        return None, how

    async def _exchange(self, url: str, job: _Job) -> Judgement | None:
        left = max(job.until - self.now(), 0.001)
        timeouts = Timeouts(connect=left, first_byte=left, idle=left)
        request = UpstreamRequest(url=url, headers=self._headers, body=job.content, timeouts=timeouts)
        response = await self._client.send(request)
        try:
            body = await whole(response, _LONGEST_ANSWER)
            if not 200 <= response.status < 300:
                raise ValueError(f"status {response.status}")
        finally:
            response.close()
        return None if job.then is None else _judgement(bytes(body))

    def _failed(self, problem: str) -> None:
        self._in_a_row += 1
        now = self.now()
        if self._in_a_row >= _FAILURES:
            self._rests_until, self._in_a_row = now + _REST, 0
        if not self._spoke or now - self._spoke > _BETWEEN_LINES:
            self._spoke = now
            _LOG.warning("the classifier fails: %s; `trivium abuse` has the figures", problem)


class _Lane:
    """Jobs of one kind, in their order, some at once."""

    def __init__(self, url: str, name: str, classifier: Classifier) -> None:
        self._url = url
        self._name = name
        self._classifier = classifier
        self._waiting: deque[_Job] = deque()
        self._bytes = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def add(self, job: _Job) -> None:
        if self._classifier.rests:
            self._end(job, None, "resting")
        elif len(self._waiting) >= _MOST_WAITING or self._bytes + len(job.content) > _MOST_WAITING_BYTES:
            self._end(job, None, "dropped")
        else:
            self._waiting.append(job)
            self._bytes += len(job.content)
            if len(self.tasks) < _AT_ONCE:
                task = asyncio.get_running_loop().create_task(self._work())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    def give_up(self) -> None:
        while self._waiting:
            self._end(self._waiting.popleft(), None, "dropped")
        self._bytes = 0

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            self._bytes -= len(job.content)
            judgement, how = None, "failed"
            try:
                if self._classifier.rests:
                    how = "resting"
                else:
                    judgement, how = await self._classifier.send(self._url, job)
            finally:
                self._end(job, judgement, how)

    def _end(self, job: _Job, judgement: Judgement | None, how: str) -> None:
        self._classifier.counts[f"{self._name}_{how}"] += 1
        if job.then is not None:
            job.then(judgement)


def _judgement(body: bytes) -> Judgement:
    """Raises ValueError."""
    try:
        said = _answer.decode(body)
    except RecursionError:
        raise ValueError("its answer is nested too deeply") from None
    verdict, reason = Verdict(said.verdict.lower()), (said.reason or "")[:_LONGEST_REASON]
    told = f"classifier: {reason}" if reason else "" if verdict is Verdict.ALLOW else "classifier"
    return Judgement(verdict, told, (said.message or "").strip()[:_LONGEST_MESSAGE] or None)
