"""Counters in Redis that is slow, gone, or comes back, and several gateways at one Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import UnixDomainSocketConnection

from gateway import CHAT, running
from support_limits import PATH, key, passed
from support_redis import RedisServer, redis_serving
from support_wait import until
from trivium.clock import SystemClock
from trivium.mock import Reply
from trivium.policy.counters import Claim
from trivium.store.redis_counters import RedisCounters

PATIENT = 5.0
"""Seconds: a machine that is busy with other tests is no Redis that is gone."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """That a test may stop."""
    with redis_serving() as started:
        yield started


@contextlib.asynccontextmanager
async def counting(url: str, deadline: float = PATIENT, lease: float = 30) -> AsyncIterator[RedisCounters]:
    counted = RedisCounters(url, SystemClock(), deadline=deadline, lease=lease)
    await counted.start()
    try:
        yield counted
    finally:
        await counted.close()


async def _admits(counters: RedisCounters, claims: list[Claim], holder: str = "") -> bool:
    return await counters.take(claims, holder) is None


class TestSeveral:
    async def test_gateways_at_one_redis_count_together(self, server: RedisServer) -> None:
        async with counting(server.url) as one, counting(server.url) as other:
            claims = [Claim("k", 200), Claim("at once", 150, 1, 0)]
            denials = await asyncio.gather(
                *(
                    gateway.take(claims, f"{number} of {id(gateway)}")
                    for number in range(250)
                    for gateway in (one, other)
                )
            )
            assert denials.count(None) == 150
            assert await one.take([Claim("k", 200, 50)]) is None
            assert await other.take([Claim("k", 200)]) is not None

    async def test_who_leaves_while_redis_is_asked_has_counted_nothing_and_gives_back_nothing(
        self, server: RedisServer
    ) -> None:
        claims = [Claim("tokens", 100, 60), Claim("at once", 1, 1, 0)]
        async with counting(server.url) as one:

            async def ask_and_leave() -> None:
                asking = asyncio.create_task(one.enter(claims, "leaving"))
                await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

            await ask_and_leave()
            await until(lambda: _admits(one, [Claim("tokens", 100, 60), Claim("at once", 1, 1, 0)], "staying"))
            for _ in range(3):
                await ask_and_leave()
            assert not await _admits(one, [Claim("tokens", 100, 41)])
            assert not await _admits(one, [Claim("at once", 1, 1, 0)])
            assert await _admits(one, [Claim("tokens", 100, 40)])

    async def test_what_a_killed_gateway_held_is_free_when_its_lease_is_over(self, server: RedisServer) -> None:
        claim = Claim("at once", 2, 1, 0)
        async with counting(server.url) as other:
            assert await other.take([claim], "goes on") is None
            async with counting(server.url, lease=1) as killed:
                assert await killed.take([claim], "a") is None
                assert await other.take([claim], "b") is not None
            # It said nothing of an end.
            await until(lambda: _passes(other, claim, "b"))
            assert await other.take([claim], "c") is not None

    async def test_what_goes_on_longer_than_a_lease_stays_counted(self, server: RedisServer) -> None:
        claim = Claim("at once", 1, 1, 0)
        async with counting(server.url) as other, counting(server.url, lease=1.5) as busy:
            assert await busy.take([claim], "a") is None
            for _ in range(15):
                await asyncio.sleep(0.15)
                assert await other.take([claim], "b") is not None
            busy.leave([claim.key], "a")
            await until(lambda: _passes(other, claim, "b"))

    async def test_a_client_that_leaves_while_redis_is_asked_holds_nothing(self, server: RedisServer) -> None:
        claim = Claim("at once", 1, 1, 0)
        async with counting(server.url) as counted:
            asking = asyncio.create_task(counted.enter([claim], "a"))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            counted.leave([claim.key], "a")
            assert await counted.take([claim], "b") is None


async def _passes(counted: RedisCounters, claim: Claim, holder: str) -> bool:
    return await counted.take([claim], holder) is None


class TestGone:
    async def test_it_goes_on_with_what_this_process_counted_and_back_to_redis(
        self, server: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="trivium.limits")
        async with counting(server.url) as counted:
            claims = [Claim("k", 10), Claim("at once", 100, 1, 0)]
            assert [await counted.take(claims, str(number)) for number in range(7)] == [None] * 7
            server.stop()
            later = [await counted.take(claims, str(number)) for number in range(7, 14)]
            assert later[:3] == [None] * 3, "3 of 10 were left"
            assert None not in later[3:]
            assert (counted.state.counters, counted.state.redis) == (
                "memory",
                server.url.removeprefix("unix://") + "/0",
            )
            server.start()
            await until(lambda: counted.state.counters == "redis")
            told = await counted.enter([Claim("k", 10, 0), Claim("at once", 100, 1, 0)], "more")
            assert [use.used for use in told.uses] == [0, 11], "windows are new, what goes on is known again"
        said = [record.getMessage() for record in caplog.records if record.name == "trivium.limits"]
        assert [line.partition(" at ")[0] for line in said] == [
            "limits: counted in Redis",
            "limits: counted by this process alone, Redis",
            "limits: counted in Redis",
        ]

    async def test_one_that_stands_still_holds_nobody_up(self, server: RedisServer) -> None:
        async with counting(server.url, deadline=0.2) as counted:
            assert await counted.take([Claim("k", 3)]) is None
            with server.standing_still():
                async with asyncio.timeout(PATIENT):
                    denials = await asyncio.gather(*(counted.take([Claim("k", 3)]) for _ in range(50)))
                assert denials.count(None) == 2
                assert counted.state.counters == "memory"
                assert counted.state.problem == "no answer within 200 ms"
            await until(lambda: counted.state.counters == "redis")
            assert await counted.take([Claim("other", 1)]) is None
            assert await counted.take([Claim("other", 1)]) is not None, "answers belong to their questions again"

    async def test_a_gateway_that_is_long_about_asking_does_not_take_that_for_its_silence(
        self, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with counting(server.url, deadline=0.5) as counted:
            send = UnixDomainSocketConnection.send_command

            async def send_late(connection: UnixDomainSocketConnection, *words: Any) -> None:
                await asyncio.sleep(0.6)  # the event loop has a crowd of calls to see to
                await send(connection, *words)

            monkeypatch.setattr(UnixDomainSocketConnection, "send_command", send_late)
            assert await counted.take([Claim("k", 1)]) is None
            assert await counted.take([Claim("k", 1)]) is not None
            assert (counted.state.counters, counted.state.problem) == ("redis", None)

    async def test_one_that_takes_nothing_holds_nobody_up_for_long(self, server: RedisServer) -> None:
        # From Python 3.12 on asyncio's own loop holds back nobody who writes much: then it is an answer that is late.
        async with counting(server.url, deadline=0.2) as counted:
            long = Claim("k" * 20_000_000, 1)
            with server.standing_still():
                async with asyncio.timeout(PATIENT):
                    assert await counted.take([long]) is None
                assert counted.state.counters == "memory"

    async def test_it_hears_afterwards_of_what_has_ended_meanwhile(self, server: RedisServer) -> None:
        claim = Claim("at once", 1, 1, 0)
        async with counting(server.url) as other, counting(server.url, deadline=0.2) as counted:
            assert await counted.take([claim], "a") is None
            with server.standing_still():
                # Asked for while it stands still: the answer is no, though Redis reads the question later.
                assert await counted.take([claim], "b") is not None
                counted.leave([claim.key], "a")
                assert counted.state.counters == "memory"
            await until(lambda: counted.state.counters == "redis")
            await until(lambda: _passes(other, claim, "c"))

    async def test_one_that_is_not_there_at_the_start_is_found_later(self, server: RedisServer) -> None:
        server.stop()
        async with counting(server.url) as counted:
            assert counted.state.counters == "memory"
            assert await counted.take([Claim("k", 1)]) is None
            assert await counted.take([Claim("k", 1)]) is not None
            server.start()
            await until(lambda: counted.state.counters == "redis")

    @pytest.mark.parametrize("fault", [b"SCRIPT FLUSH", b"CLIENT KILL TYPE normal"])
    async def test_what_an_operator_does_there_is_got_over(self, server: RedisServer, fault: bytes) -> None:
        async with counting(server.url) as counted:
            assert b"ERR" not in server.say(fault)
            assert await counted.take([Claim("k", 1)]) is None
            await until(lambda: counted.state.counters == "redis")
            assert await counted.take([Claim("other", 1)]) is None

    async def test_one_that_cannot_write_is_not_believed(self, server: RedisServer) -> None:
        async with counting(server.url) as counted:
            server.say(b"REPLICAOF 127.0.0.1 1")
            assert await counted.take([Claim("k", 1)]) is None
            assert counted.state.counters == "memory"
            assert "read only" in (counted.state.problem or "")
            server.say(b"REPLICAOF NO ONE")
            await until(lambda: counted.state.counters == "redis")

    @pytest.mark.parametrize("window_s", [0, 60], ids=["calls at once", "calls a minute"])
    async def test_one_that_is_full_is_not_believed(self, server: RedisServer, window_s: int) -> None:
        async with counting(server.url) as counted:
            assert await counted.take([Claim("k", 2, window_s=window_s)], "first") is None
            server.say(b"CONFIG SET maxmemory 1")
            assert await counted.take([Claim("k", 2, window_s=window_s)], "second") is None
            assert await counted.take([Claim("k", 2, window_s=window_s)], "third") is not None
            assert counted.state.counters == "memory"
            assert "maxmemory" in (counted.state.problem or "")
            server.say(b"CONFIG SET maxmemory 0")
            await until(lambda: counted.state.counters == "redis")

    async def test_a_password_is_in_no_message(self, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
        server.say(b"CONFIG SET requirepass right-canary")
        async with counting(server.url.replace("unix://", "unix://:wrong-canary@")) as counted:
            assert counted.state.counters == "memory"
            assert "canary" not in f"{counted.state} {caplog.text}"


class TestGateway:
    async def test_of_1000_parallel_requests_at_a_limit_of_200_exactly_200_pass(self, server: RedisServer) -> None:
        settings = f'[limits]\nredis_url = "{server.url}"\nredis_timeout = {PATIENT}\n'
        async with running(Reply(text="Hi"), settings=settings) as gateway:
            assert await passed(gateway, key(gateway, requests_per_minute=200), 1_000) == 200
            shown = await gateway.gateway.operations.perform("limits.show", {})
            assert (shown["counters"], shown["problem"]) == ("redis", None)

    async def test_requests_go_on_and_limits_hold_when_redis_is_killed(self, server: RedisServer) -> None:
        settings = f'[limits]\nredis_url = "{server.url}"\nredis_timeout = {PATIENT}\n'
        async with running(Reply(text="Hi"), settings=settings) as gateway:
            limited = key(gateway, requests_per_minute=4, concurrent_requests=1)
            statuses = [(await gateway.post(PATH, CHAT, key=limited))[0] for _ in range(2)]
            server.stop()
            statuses += [(await gateway.post(PATH, CHAT, key=limited))[0] for _ in range(3)]
            assert statuses == [200, 200, 200, 200, 429]
            shown = await gateway.gateway.operations.perform("limits.show", {})
            assert shown["counters"] == "memory"
            assert shown["problem"]

    async def test_the_url_may_be_a_secret_kept_elsewhere(self, server: RedisServer, tmp_path: Path) -> None:
        file = tmp_path / "url"
        file.write_text(server.url + "\n")
        async with running(Reply(text="Hi"), settings=f'[limits]\nredis_url = "file:{file}"\n') as gateway:
            assert gateway.gateway.counters.state.redis == server.url.removeprefix("unix://") + "/0"
