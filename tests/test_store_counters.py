"""Counters with a limit, in memory and in Redis: the same tests on both."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_clock import Standing
from support_redis import RedisServer
from trivium.errors import ConfigError
from trivium.policy.counters import Claim, Denial, Taken
from trivium.store.counters import LocalCounters, counters
from trivium.store.redis_counters import RedisCounters

PATIENT = 10.0
"""Seconds: a machine that is busy with other tests is no Redis that is gone."""
MINUTE = 60
LENGTHS = (60, 3_600, 86_400)


class Bench:
    """Counters and their time. Keys are a test's own, as Redis remembers those of all."""

    def __init__(self, counted: LocalCounters, time: Standing) -> None:
        self.counters = counted
        self.time = time
        self._own = uuid.uuid4().hex

    def key(self, name: str = "k") -> str:
        return f"{name}:{self._own}"

    def claim(self, limit: int, amount: int = 1, window_s: int = MINUTE, name: str = "k") -> Claim:
        return Claim(self.key(name), limit, amount, window_s)

    async def take(self, *claims: Claim, holder: str = "") -> Denial | None:
        return await self.counters.take(claims, holder)

    async def used(self, *claims: Claim) -> list[int]:
        told = await self.counters.enter([Claim(one.key, 10**9, 0, one.window_s) for one in claims])
        return [use.used for use in told.uses]


@pytest.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    time = Standing(7 * 86_400_000)
    if request.param == "memory":
        yield Bench(LocalCounters(time), time)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    counted = RedisCounters(server.url, time, deadline=PATIENT, time_ms=time.now_ms)
    await counted.start()
    try:
        assert counted.state.counters == "redis", counted.state.problem
        yield Bench(counted, time)
        assert counted.state.counters == "redis", counted.state.problem
    finally:
        await counted.close()


class TestTakes:
    async def test_as_many_pass_as_the_limit_says_and_the_next_hears_when_to_come_back(self, bench: Bench) -> None:
        claim = bench.claim(3)
        assert [await bench.take(claim) for _ in range(3)] == [None, None, None]
        assert await bench.take(claim) == Denial(claim, used=3, retry_after=65)
        bench.time.ms += 64_999
        assert await bench.take(claim) == Denial(claim, used=3, retry_after=1)
        bench.time.ms += 1
        assert await bench.take(claim) is None
        assert await bench.used(claim) == [1]

    async def test_after_the_time_that_was_told_there_is_room_and_not_before(self, bench: Bench) -> None:
        for amount in (4, 3, 3):
            assert await bench.take(bench.claim(10, amount)) is None
            bench.time.ms += 11_000
        denied = await bench.take(bench.claim(10, 5))
        assert denied and denied.retry_after == 42, "the 4 and the first 3 must have gone"
        bench.time.ms += 41_000
        assert await bench.take(bench.claim(10, 5))
        bench.time.ms += 1_000
        assert await bench.take(bench.claim(10, 5)) is None

    @pytest.mark.parametrize("window_s", LENGTHS)
    async def test_windows_may_be_a_minute_an_hour_or_a_day(self, bench: Bench, window_s: int) -> None:
        claim = bench.claim(1, window_s=window_s)
        assert await bench.take(claim) is None
        bench.time.ms += window_s * 1000
        assert await bench.take(claim), "a whole window later to the millisecond"
        bench.time.ms += window_s * 1000 // 12
        assert await bench.take(claim) is None

    async def test_all_or_nothing(self, bench: Bench) -> None:
        wide, narrow, gauge = bench.claim(10, name="wide"), bench.claim(1, name="narrow"), bench.claim(5, window_s=0)
        assert await bench.take(wide, narrow, gauge, holder="a") is None
        denied = await bench.take(wide, narrow, gauge, holder="b")
        assert denied and denied.claim == narrow
        assert await bench.used(wide, narrow, gauge) == [1, 1, 1]

    async def test_asking_for_room_says_what_a_take_would_and_takes_nothing(self, bench: Bench) -> None:
        window, gauge = bench.claim(10, 4), bench.claim(1, window_s=0, name="gauge")
        for used in (0, 4, 8):
            assert await bench.used(window) == [used]
            asked, taken = await bench.take(window.asked()), await bench.take(window)
            assert (asked is None) is (taken is None)
        assert (asked and asked.retry_after) == (taken and taken.retry_after) == 65
        for _ in range(2):
            assert await bench.take(gauge.asked(), holder="a") is None
            assert await bench.used(gauge) == [0]
        assert await bench.take(gauge, holder="b") is None
        assert await bench.take(gauge.asked(), holder="a")

    async def test_of_several_without_room_the_one_is_told_that_takes_longest(self, bench: Bench) -> None:
        minute, hour = bench.claim(1), bench.claim(1, window_s=3_600, name="hour")
        assert await bench.take(minute, hour) is None
        for claims in ((minute, hour), (hour, minute)):
            denied = await bench.take(*claims)
            assert denied and (denied.claim, denied.retry_after) == (hour, 3_900)

    async def test_amount_0_asks_whether_there_is_room_and_counts_nothing(self, bench: Bench) -> None:
        asked = bench.claim(2, amount=0)
        assert [await bench.take(asked) for _ in range(5)] == [None] * 5
        bench.counters.add(asked.key, 2)
        denied = await bench.take(asked)
        assert denied and denied.used == 2

    async def test_0_allows_nothing_and_more_than_the_limit_never_fits(self, bench: Bench) -> None:
        assert await bench.take(bench.claim(0))
        assert await bench.take(bench.claim(0, window_s=0), holder="a")
        assert await bench.take(bench.claim(5, amount=6))
        assert await bench.used(bench.claim(0)) == [0]

    async def test_it_is_told_how_the_counters_stand(self, bench: Bench) -> None:
        bench.time.ms += 2_000
        told = await bench.counters.enter([bench.claim(5, 2), bench.claim(5, 0, name="other")])
        assert isinstance(told, Taken)
        assert [(use.used, use.resets_ms) for use in told.uses] == [(2, 63_000), (0, 0)]

    async def test_of_1000_parallel_takes_at_a_limit_of_200_exactly_200_pass(self, bench: Bench) -> None:
        claims = [bench.claim(200), bench.claim(10_000, 7, name="tokens")]
        denials = await asyncio.gather(*(bench.counters.take(claims, str(number)) for number in range(1_000)))
        assert denials.count(None) == 200
        assert await bench.used(*claims) == [200, 1_400]


class TestAfterwards:
    async def test_what_is_added_counts_whatever_the_limit(self, bench: Bench) -> None:
        bench.counters.add(bench.key(), 500)
        denied = await bench.take(bench.claim(100))
        assert denied and (denied.used, denied.retry_after) == (500, 65)

    async def test_a_correction_goes_to_the_moment_that_it_corrects(self, bench: Bench) -> None:
        claim = bench.claim(1_000, 900)
        assert await bench.take(claim) is None
        bench.time.ms += 30_000
        bench.counters.add(claim.key, -800, ago_ms=30_000)
        assert await bench.used(claim) == [100]
        assert await bench.take(claim) is None
        bench.time.ms += 35_000
        assert await bench.used(claim) == [900], "what was corrected is gone together with its correction"

    @pytest.mark.parametrize(("counted_ms", "ago_ms"), [(4_999, 2_000 - 1), (5_000, 2_000 + 1)])
    async def test_a_correction_finds_what_was_counted_a_moment_before_or_after(
        self, bench: Bench, counted_ms: int, ago_ms: int
    ) -> None:
        """Who counts reads the clock beside the counting: the one in this slice, and the other in the next."""
        claim = bench.claim(1)
        bench.time.ms += counted_ms
        assert await bench.take(claim) is None
        bench.time.ms += 2_000
        bench.counters.add(claim.key, -1, ago_ms=ago_ms)
        assert await bench.used(claim) == [0]
        assert await bench.take(claim) is None

    async def test_a_correction_that_comes_too_late_or_is_too_large_gives_nothing_away(self, bench: Bench) -> None:
        claim = bench.claim(1_000, 100)
        assert await bench.take(claim) is None
        bench.counters.add(claim.key, -500)
        assert await bench.used(claim) == [0]
        assert await bench.take(claim) is None
        bench.time.ms += 70_000
        assert await bench.take(claim) is None
        bench.counters.add(claim.key, -100, ago_ms=70_000)
        assert await bench.used(claim) == [100]


class TestAtOnce:
    async def test_what_goes_on_is_counted_until_it_ends_and_ending_twice_does_no_harm(self, bench: Bench) -> None:
        claim = bench.claim(2, window_s=0)
        assert [await bench.take(claim, holder=holder) for holder in ("a", "b")] == [None, None]
        denied = await bench.take(claim, holder="c")
        assert denied and (denied.used, denied.retry_after) == (2, 1)
        for _ in range(2):
            bench.counters.leave([claim.key], "a")
        bench.counters.leave([claim.key], "never came")
        assert await bench.take(claim, holder="c") is None
        assert await bench.take(claim, holder="d")

    async def test_exactly_the_limit_is_at_once_however_many_come_and_go(self, bench: Bench) -> None:
        claim = bench.claim(20, window_s=0)
        at_once = most = 0

        async def one(number: int) -> bool:
            nonlocal at_once, most
            if await bench.take(claim, holder=str(number)):
                return False
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
            bench.counters.leave([claim.key], str(number))
            return True

        for _ in range(3):
            passed = await asyncio.gather(*(one(number) for number in range(200)))
            assert sum(passed) >= 20
        assert most == 20
        assert await bench.used(claim) == [0]


Steps = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(0, 7), st.integers(0, 1)),
    min_size=1,
    max_size=60,
)


@pytest.mark.parametrize("bench", ["memory", "redis"], indirect=True)
async def test_never_more_than_the_limit_within_any_window(bench: Bench) -> None:
    loop = asyncio.get_running_loop()

    async def holds(steps: list[tuple[int, int, int]], number: int) -> None:
        passed: list[tuple[int, int]] = []
        for wait_ms, amount, which in steps:
            bench.time.ms += wait_ms
            claims = [bench.claim(10, amount, name=f"all{number}"), bench.claim(8, amount, name=f"{which} of {number}")]
            denied = await bench.take(*claims)
            within = sum(took for when, took in passed if when > bench.time.ms - 60_000)
            if denied is None:
                passed.append((bench.time.ms, amount))
                assert within + amount <= 10
            else:
                assert denied.retry_after >= 1
                assert denied.used + max(1, amount) > denied.claim.limit

    examples: list[list[tuple[int, int, int]]] = []

    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(Steps)
    def collect(steps: list[tuple[int, int, int]]) -> None:
        examples.append(steps)

    await loop.run_in_executor(None, collect)
    for number, steps in enumerate(examples):
        await holds(steps, number)
    assert len(examples) >= 50


async def test_memory_and_redis_say_the_same_to_the_same(redis_server: RedisServer) -> None:
    time = Standing(7 * 86_400_000)
    there = RedisCounters(redis_server.url, time, deadline=PATIENT, time_ms=time.now_ms)
    await there.start()
    here = LocalCounters(time)
    own = Bench(here, time)
    chance = random.Random(5)
    for number in range(2_000):
        time.ms += chance.choice((0, 0, 1, 700, 5_000, 61_000))
        claims = [
            own.claim(chance.randint(0, 12), chance.randint(0, 3), 60, name="a"),
            own.claim(chance.randint(0, 30), chance.randint(0, 3), 3_600, name="b"),
            own.claim(chance.randint(0, 6), 1, 0, name="c"),
        ]
        assert await here.enter(claims, str(number)) == await there.enter(claims, str(number))
        leaving, corrected, ago_ms = chance.randint(0, number), chance.randint(-4, 4), chance.randint(0, 80_000)
        for both in (here, there):
            both.leave([own.key("c")], str(leaving))
            both.add(own.key("a"), corrected, 60, ago_ms)
            await both.take([])
    await there.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.test",
        "redis://:pa/ss-SECRET@127.0.0.1:6379/0",
        "redis://:12/ss-SECRET@127.0.0.1:6379/0",
        "rediss://user:12?SECRET@127.0.0.1",
        "redis://:12#SECRET@127.0.0.1",
        "redis://:SECRET@127.0.0.1:port",
        "redis://:SECRET@127.0.0.1?foo=SECRET",
        "redis://:SECRET@127.0.0.1?socket_timeout=SECRET",
        "rediss://:SECRET@127.0.0.1?ssl_cert_reqs=SECRET",
        "redis://[::1:SECRET",
    ],
)
def test_a_url_that_is_none_is_told_at_the_start_and_nothing_of_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url: this is no URL") as raised:
        counters(Standing(7 * 86_400_000), url, 0.05)
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("url", ["redis://:p%2Fa%40b@h:1/2", "rediss://u:p@h?db=2", "unix:///tmp/a@b.sock", "redis://"])
def test_a_url_that_is_one_is_taken(url: str) -> None:
    assert counters(Standing(7 * 86_400_000), url, 0.05).state.redis is not None
