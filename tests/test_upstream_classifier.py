"""The classifier's client: what waits and what is under way is bounded, silence and failures end in None, and whatever
is not heard is counted."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from support_wait import until
from trivium.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from trivium.policy.abuse import Judgement, Verdict
from trivium.upstream import classifier as module
from trivium.upstream.classifier import Classifier, Question, Report
from trivium.upstream.client import UpstreamRequest, UpstreamResponse
from trivium.upstream.http1 import Http1Client

QUESTION = Question(
    id="req_1",
    time_ms=1,
    mode="log",
    api="messages",
    stream=False,
    identity="user:anna",
    born_ms=None,
    user_id="anna",
    key_id="key_1",
    organization_id=None,
    project_id=None,
    ip=None,
    country=None,
    tls_fingerprint=None,
    agent="",
    requested_model="m",
    provider="up",
    model="m",
    max_tokens=None,
    tools=(),
    byok=False,
    free=False,
    prompts="whole",
    system_prompt=None,
    user_text="hi",
    rules_verdict="allow",
    rules_reason="",
)
REPORT = Report(
    id="req_1",
    time_ms=1,
    identity="user:anna",
    outcome="success",
    status=200,
    error_code=None,
    verdict="allow",
    market_cost_nano=375_000,
    cost_nano=0,
    payer="byok",
    input_tokens=25,
    output_tokens=20,
)


class Answer:
    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status = status
        self.headers: list[tuple[bytes, bytes]] = []
        self._pieces = [body[:7], body[7:]]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        pass


class Service:
    """A client whose server answers the same each time, once it is let."""

    def __init__(self) -> None:
        self.says: Any = {"verdict": "allow"}
        self.error: UpstreamError | ValueError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[UpstreamRequest] = []
        self.now = 100.0

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return Answer(json.dumps(self.says).encode())

    async def close(self) -> None:
        pass

    def now_ms(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def judge(service: Service) -> AsyncIterator[Classifier]:
    judge = Classifier(service, "http://judge/x/", "secret", 2, service)
    yield judge
    service.open.set()
    await judge.close(1)


async def settled(judge: Classifier, count: int) -> dict[str, int]:
    await until(lambda: judge.counts.total() >= count)
    return dict(judge.counts)


async def test_a_question_and_its_answer(judge: Classifier, service: Service) -> None:
    service.says = {"verdict": "SOFT_BLOCK", "reason": "bot", "message": "Ask us.", "more": 1}
    assert await judge.ask(QUESTION) == Judgement(Verdict.SOFT_BLOCK, "classifier: bot", "Ask us.")
    (sent,) = service.asked
    assert (sent.method, sent.url) == ("POST", "http://judge/x/check")
    assert dict(sent.headers)[b"authorization"] == b"Bearer secret"
    assert json.loads(sent.body) == json.loads(msgspec.json.encode(QUESTION))


async def test_words_of_any_length_are_cut(judge: Classifier, service: Service) -> None:
    service.says = {"verdict": "challenge", "reason": "x" * 5000, "message": "y" * 5000}
    said = await judge.ask(QUESTION)
    assert said is not None
    assert (len(said.reason), len(said.advice or "")) == (len("classifier: ") + 200, 500)


async def test_a_report_is_answered_by_anything(judge: Classifier, service: Service) -> None:
    service.says = "thanks"
    judge.report(REPORT)
    assert await settled(judge, 1) == {"reports_answered": 1}
    assert service.asked[0].url == "http://judge/x/report"
    assert json.loads(service.asked[0].body)["market_cost_nano"] == 375_000


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (UpstreamUnreachable("no"), "failed"),
        (UpstreamTimeout("no"), "late"),
        (ValueError("no URL"), "failed"),
    ],
)
async def test_whatever_goes_wrong_is_no_answer(
    judge: Classifier, service: Service, error: UpstreamError | ValueError, how: str
) -> None:
    service.error = error
    assert await judge.ask(QUESTION) is None
    assert dict(judge.counts) == {f"checks_{how}": 1}


async def test_the_wait_for_its_turn_is_part_of_the_time(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked too long ago is not sent any more."""
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    judge = Classifier(service, "http://judge", None, 2, service)
    service.open.clear()
    first, second = (asyncio.create_task(judge.ask(QUESTION)) for _ in range(2))
    await asyncio.sleep(0.01)
    assert len(service.asked) == 1
    service.now += 3
    service.open.set()
    assert (await first, await second) == (Judgement(), None)
    assert await settled(judge, 2) == {"checks_answered": 1, "checks_late": 1}


async def test_what_waits_is_bounded(judge: Classifier, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 100)
    service.open.clear()
    heard: list[Judgement | None] = []
    for _ in range(1000):
        judge.ask_later(QUESTION, heard.append)
        judge.report(REPORT)
    assert heard == [None] * 900
    await asyncio.sleep(0)
    assert len(service.asked) == 128
    service.open.set()
    told = await settled(judge, 2000)
    assert told == {
        "checks_dropped": 900,
        "checks_answered": 100,
        "reports_dropped": 900,
        "reports_answered": 100,
    }
    assert heard[900:] == [Judgement()] * 100


async def test_and_so_are_its_bytes(judge: Classifier, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING_BYTES", 100_000)
    long = msgspec.structs.replace(QUESTION, user_text="x" * 60_000)
    heard: list[Judgement | None] = []
    for _ in range(3):
        judge.ask_later(long, heard.append)
    judge.ask_later(QUESTION, heard.append)
    assert heard == [None] * 2
    assert await settled(judge, 4) == {"checks_dropped": 2, "checks_answered": 2}
    judge.ask_later(long, heard.append)
    assert await settled(judge, 5) == {"checks_dropped": 2, "checks_answered": 3}


async def test_after_failures_in_a_row_it_rests(
    judge: Classifier, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.error = UpstreamUnreachable("gone", detail="connection refused")
    with caplog.at_level(logging.WARNING, logger="trivium.classifier"):
        for _ in range(20):
            assert await judge.ask(QUESTION) is None
    assert dict(judge.counts) == {"checks_failed": 5, "checks_resting": 15}
    assert [line.getMessage() for line in caplog.records] == [
        "the classifier fails: connection refused; `trivium abuse` has the figures"
    ]
    service.error = None
    service.now += 6
    assert await judge.ask(QUESTION) == Judgement()


async def test_failures_with_answers_between_them_are_not_in_a_row(judge: Classifier, service: Service) -> None:
    for number in range(20):
        service.error = UpstreamUnreachable("gone") if number % 2 else None
        await judge.ask(QUESTION)
    assert dict(judge.counts) == {"checks_answered": 10, "checks_failed": 10}


async def test_at_the_end_everything_is_accounted_for(judge: Classifier, service: Service) -> None:
    service.open.clear()
    heard: list[Judgement | None] = []
    for _ in range(200):
        judge.ask_later(QUESTION, heard.append)
    await asyncio.sleep(0)
    await judge.close(0.01)
    assert heard == [None] * 200
    assert judge.counts.total() == 200


async def test_an_address_that_is_none_fails_and_nothing_else() -> None:
    client = Http1Client()
    judge = Classifier(client, "http://[nowhere", None, 2, Service())
    assert await judge.ask(QUESTION) is None
    assert dict(judge.counts) == {"checks_failed": 1}
    await client.close()
