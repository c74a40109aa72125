"""Looking for a generation record that comes late, or never."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from trivium.canon.api import Api
from trivium.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from trivium.mock import Generation as Remembered
from trivium.mock import Script, ScriptedUpstream
from trivium.providers.provider import Provider
from trivium.upstream.client import Headers, UpstreamRequest, UpstreamResponse
from trivium.upstream.generation import Generations
from trivium.upstream.http1 import Http1Client

KEY = (b"authorization", b"Bearer sk-1")
RECORD = json.dumps({"data": {"total_cost": 0.25, "native_tokens_prompt": 4}}).encode()
PROVIDER = Provider(
    name="up", base_url="http://h/api/v1", apis=frozenset(Api), headers=(KEY,), generations="/generation?id={id}"
)


class Answer:
    def __init__(self, status: int, body: bytes = b"{}", headers: Headers | None = None) -> None:
        self.status = status
        self.headers = headers or []
        self.closed = False
        self._pieces: Iterator[bytes] = iter((body[:5], body[5:]))

    def __str__(self) -> str:
        return f"{self.status}"

    async def read(self) -> bytes:
        return next(filter(None, self._pieces), b"")

    def close(self) -> None:
        self.closed = True


FOUND = Answer(200, RECORD)


class Time:
    """Stands still, unless somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


class Vendor:
    """A client that answers with these in turn, the last again and again."""

    def __init__(self, *answers: Answer | UpstreamError | ValueError) -> None:
        self._answers = [*answers]
        self.asked: list[UpstreamRequest] = []
        self.given: list[Answer] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        self.given.append(answer)
        return answer

    async def close(self) -> None:
        pass


class Search:
    """One search in a time of its own."""

    def __init__(self, *answers: Answer | UpstreamError | ValueError, jitter: float = 0.5) -> None:
        self.vendor = Vendor(*answers)
        self.time = Time()
        self.generations = Generations(self.vendor, self.time, sleep=self.time.sleep, jitter=lambda: jitter)

    async def cost(self, id: str = "gen-1", patience: float = 20.0) -> str | None:
        found = await self.generations.find(PROVIDER, id, patience=patience)
        return None if found is None else str(found.cost)


async def test_the_first_question_comes_after_a_fifth_of_a_second_with_the_credential() -> None:
    search = Search(Answer(200, RECORD))
    assert await search.cost() == "0.25"
    assert search.time.slept == [0.2]
    (asked,) = search.vendor.asked
    assert (asked.method, asked.url, asked.body) == ("GET", "http://h/api/v1/generation?id=gen-1", b"")
    assert KEY in asked.headers
    assert search.vendor.given[0].closed


@pytest.mark.parametrize(
    "miss",
    [
        Answer(404),
        Answer(429),
        Answer(500),
        Answer(529),
        Answer(200, b'{"data": {"id": "gen-1", "total_cost": null}}'),
        UpstreamUnreachable("gone"),
        UpstreamTimeout("slow"),
    ],
    ids=str,
)
async def test_a_record_that_is_late_is_asked_for_again_with_growing_pauses(miss: Answer | UpstreamError) -> None:
    search = Search(miss, miss, miss, Answer(200, RECORD))
    assert await search.cost() == "0.25"
    assert search.time.slept == [0.2, 0.4, 0.8, 1.6]


async def test_patience_ends_and_no_question_comes_after_it() -> None:
    search = Search(Answer(404))
    assert await search.cost() is None
    assert search.time.slept == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert search.time.now - 1000 <= 20
    assert await Search(Answer(200, RECORD)).cost(patience=0.1) is None


@pytest.mark.parametrize(("jitter", "slept"), [(0.0, [0.2, 0.3, 0.6]), (1.0, [0.2, 0.5, 1.0])])
async def test_pauses_are_jittered(jitter: float, slept: list[float]) -> None:
    search = Search(Answer(404), Answer(404), Answer(200, RECORD), jitter=jitter)
    await search.cost()
    assert search.time.slept == slept


@pytest.mark.parametrize(
    ("told", "slept"),
    [
        (b"3", [0.2, 3.0]),
        (b"1.5", [0.2, 2.0]),
        (b"0", [0.2, 0.4]),
        (b"-5", [0.2, 0.4]),
        (b"soon", [0.2, 0.4]),
        (b"9" * 9999, [0.2, 0.4]),
    ],
)
async def test_what_the_provider_says_of_when_to_come_back_is_honoured(told: bytes, slept: list[float]) -> None:
    search = Search(Answer(429, headers=[(b"retry-after", told)]), Answer(200, RECORD))
    assert await search.cost() == "0.25"
    assert search.time.slept == slept


async def test_to_be_told_to_come_back_too_late_is_the_end() -> None:
    search = Search(Answer(503, headers=[(b"retry-after", b"3600")]))
    assert await search.cost() is None
    assert search.time.slept == [0.2]


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(400),
        Answer(401),
        Answer(403),
        Answer(410),
        Answer(302),
        Answer(204),
        Answer(200, b'{"data": {"total_cost": 1}, "x": "' + b"x" * 300_000 + b'"}'),
        ValueError("no HTTP"),
    ],
    ids=str,
)
async def test_any_other_refusal_is_final(refusal: Answer | ValueError) -> None:
    search = Search(refusal)
    assert await search.cost() is None
    assert len(search.vendor.asked) == 1
    assert all(answer.closed for answer in search.vendor.given)


@pytest.mark.parametrize(
    ("id", "sent"),
    [
        ("gen-1&id=gen-2#x", "gen-1%26id%3Dgen-2%23x"),
        ("a b\r\nx: y", "a%20b%0D%0Ax%3A%20y"),
        ("../é", "..%2F%C3%A9"),
        ("\ud800", "%3F"),
    ],
)
async def test_an_id_is_a_strangers_text(id: str, sent: str) -> None:
    search = Search(Answer(200, RECORD))
    await search.cost(id)
    assert search.vendor.asked[0].url == f"http://h/api/v1/generation?id={sent}"


async def test_without_an_id_or_such_records_nobody_is_asked() -> None:
    search = Search(Answer(200, RECORD))
    assert await search.cost("") is None
    assert await search.cost("x" * 201) is None
    plain = Provider(name="plain", base_url="http://h", apis=frozenset(Api))
    assert await search.generations.find(plain, "gen-1") is None
    assert (search.vendor.asked, search.time.slept) == ([], [])


async def test_of_a_call_that_ended_long_ago_a_404_is_final_and_trouble_is_not() -> None:
    search = Search(Answer(503), Answer(404))
    ended = await search.generations.search(PROVIDER, "gen-1", settled=True)
    assert (ended.generation, ended.problem) == (None, "status 404")
    assert search.time.slept == [0.0, 0.4]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(Answer(401), "status 401"), (UpstreamUnreachable("x"), "upstream_unreachable"), (ValueError("odd"), "odd")],
    ids=str,
)
async def test_why_there_is_none_can_be_heard(answer: Answer | UpstreamError | ValueError, problem: str) -> None:
    assert (await Search(answer).generations.search(PROVIDER, "gen-1")).problem == problem


class Crowded(Vendor):
    """Lets nobody go before the gate opens."""

    def __init__(self) -> None:
        super().__init__(FOUND)
        self.gate = asyncio.Event()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        await self.gate.wait()
        return Answer(200, RECORD)


async def test_at_most_32_questions_are_open_at_once_and_all_are_answered() -> None:
    vendor, time = Crowded(), Time()
    generations = Generations(vendor, time, sleep=time.sleep)
    searches = [asyncio.create_task(generations.find(PROVIDER, f"gen-{n}", patience=1000)) for n in range(100)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(vendor.asked) == 32
    vendor.gate.set()
    assert all(await asyncio.gather(*searches))
    assert len(vendor.asked) == 100


async def test_an_upstream_that_says_nothing_costs_no_more_than_the_patience() -> None:
    generations = Generations(Crowded(), Time(), sleep=Time().sleep)
    ended = await generations.search(PROVIDER, "gen-1", patience=0.02, settled=True)
    assert (ended.generation, ended.problem) == (None, "no answer in time")


async def test_a_search_that_is_cancelled_ends_and_leaves_its_place() -> None:
    vendor, time = Crowded(), Time()
    generations = Generations(vendor, time, sleep=time.sleep)
    searches = [asyncio.create_task(generations.find(PROVIDER, f"gen-{n}")) for n in range(32)]
    for _ in range(20):
        await asyncio.sleep(0)
    for search in searches:
        search.cancel()
    await asyncio.wait(searches, timeout=10)
    assert all(search.cancelled() for search in searches)
    vendor.gate.set()
    assert await generations.find(PROVIDER, "gen-x")


async def test_over_a_real_connection_the_record_is_found_once_it_has_appeared() -> None:
    remembered = Remembered(id="gen/1", record={"total_cost": 0.5}, after_asks=2)
    async with ScriptedUpstream(Script(generations=[remembered])) as upstream:
        provider = Provider(
            name="up", base_url=upstream.url + "/v1", apis=frozenset(Api), generations="/generation?id={id}"
        )
        client, time = Http1Client(), Time()
        found = await Generations(client, time, sleep=time.sleep).find(provider, "gen/1")
        await client.close()
        assert found is not None
        assert str(found.cost) == "0.5"
        assert [(seen.path, seen.query) for seen in upstream.requests] == [("/v1/generation", "id=gen%2F1")] * 3
