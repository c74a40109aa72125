"""`trivium up --workers 2`: two processes on one port, over PostgreSQL and Redis, and every way in which one ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from support_cli import CommandLine
from support_redis import RedisServer
from support_store import PostgresServer
from support_wait import until
from test_server_run import CHAT, STREAM, House, Up
from trivium import config
from trivium.errors import ConfigError
from trivium.mock import Model, Reply, Rule, Script, ScriptedUpstream
from trivium.server.parts import check_workers

MANY = 60
"""Connections: one in 2^60 that all of them reach the same worker."""
PRICED = '[models."up/m"]\nprice = { input = "0", output = "0", request = "1000" }'
"""A dollar a call, whatever is said."""


class Team(House):
    """Two workers on a database of their own."""

    def __init__(self, folder: Path, upstream: ScriptedUpstream, database: str, redis: str) -> None:
        self.database, self.redis = database, redis
        super().__init__(folder, upstream)

    def configure(self, server: str = "port = 0", provider: str = "", url: str | None = None, more: str = "") -> None:
        super().configure(f"workers = 2\n{server}", provider, url)
        lines = [self.file.read_text(), f'[storage]\nurl = "{self.database}"']
        lines += [f'[limits]\nredis_url = "{self.redis}"', more]
        self.file.write_text("\n".join(lines))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement).fetchall()

    async def command(self, *words: str) -> Any:
        return await asyncio.to_thread(self.trivium.json, *words)

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[Up]:
        async with super().up() as gateway:
            self.said: list[str] = []
            assert gateway.process.stderr is not None
            listening = asyncio.create_task(self._listen(gateway.process.stderr))
            try:
                yield gateway
            finally:
                # Whatever the test was about: no process may be left.
                with contextlib.suppress(ProcessLookupError):
                    gateway.process.kill()
                try:
                    await until(lambda: not self.processes())
                finally:
                    for pid in self.processes():
                        os.kill(pid, signal.SIGKILL)
                await listening

    def processes(self) -> list[int]:
        """All that were started with this configuration and live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.file).encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found

    async def _listen(self, errors: asyncio.StreamReader) -> None:
        async for line in errors:
            self.said.append(line.decode())


@contextlib.asynccontextmanager
async def team(
    folder: Path, postgres: PostgresServer, redis_server: RedisServer, *replies: Reply, more: str = ""
) -> AsyncIterator[Team]:
    database = postgres.create("newest")
    script = Script(rules=[Rule(reply) for reply in replies], models=[Model("m")])
    async with ScriptedUpstream(script) as upstream:
        made = Team(folder, upstream, postgres.url(database), redis_server.url)
        made.configure(more=more)
        yield made
    postgres.drop(database)


def children(gateway: Up) -> list[int]:
    """The workers' processes, the leader's first."""
    with contextlib.suppress(FileNotFoundError):
        tasks = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]
    return []


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def stopped(gateway: Up, number: int = signal.SIGTERM) -> tuple[int, list[int]]:
    """Exit status, and the workers that still live."""
    workers = children(gateway)
    gateway.process.send_signal(number)
    async with asyncio.timeout(60):
        return await gateway.process.wait(), [worker for worker in workers if lives(worker)]


async def statuses(
    gateway: Up, key: str, count: int = MANY, once: dict[str, str] | None = None, **body: Any
) -> Counter[int]:
    """How calls end, each on a connection of its own, all at once; 0: the connection was cut. `once` are headers."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:

        async def one() -> int:
            url, headers = f"{gateway.url}/v1/chat/completions", {"x-api-key": key, **(once or {})}
            try:
                async with session.post(url, json={**CHAT, **body}, headers=headers) as response:
                    await response.read()
                    return response.status
            except aiohttp.ClientError:
                return 0

        return Counter(await asyncio.gather(*(one() for _ in range(count))))


async def test_both_answer_on_one_port_and_count_keys_limits_and_money_together(
    tmp_path: Path, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    async with team(tmp_path, postgres, redis_server, more=PRICED) as home, home.up() as gateway:
        assert gateway.banner.count("API key") == gateway.banner.count("\nready\n") == 1
        assert len(children(gateway)) == 2
        # The model is one that the provider lists: the leader has asked, and the other one reads its copy.
        assert await statuses(gateway, gateway.key) == {200: MANY}
        assert len(await home.command("requests", "--limit", "200")) == MANY  # also what was not yet written
        shares = dict(home.query("SELECT owner, count(*) FROM starts GROUP BY owner"))
        assert len(shares) == 2
        assert min(shares.values()) > MANY / 6
        assert (await home.command("limits", "show"))["counters"] == "redis"
        (source,) = await home.command("models", "sources")
        assert (source["origin"], source["models"]) == ("provider", 1)

        again = await statuses(gateway, gateway.key, once={"idempotency-key": "k"})
        assert (again[200] > 0, again[200] + again[409]) == (True, MANY)
        assert await home.command("usage")  # which has both write what they have
        assert home.query("SELECT count(*) FROM starts") == [(MANY + 1,)]  # one was made, by whichever had it first

        limited = await home.command("keys", "create", "--name", "limited", "--requests-per-minute", "25")
        spender = await home.command("keys", "create", "--name", "spender", "--budget", "17", "--period", "day")
        assert await statuses(gateway, limited["key"]) == {200: 25, 429: MANY - 25}
        await home.command("keys", "revoke", "limited")
        await asyncio.sleep(1)  # by then both know of the new budget
        async with asyncio.timeout(60):
            while await statuses(gateway, limited["key"], 25) != {401: 25}:  # noqa: ASYNC110 # of other processes
                await asyncio.sleep(0.1)
        assert await statuses(gateway, spender["key"]) == {200: 17, 402: MANY - 17}
        assert await home.command("usage")
        assert home.query("SELECT sum(cost_nano) FROM records") == [((MANY + 1 + 25 + 17) * 10**9,)]
        assert (await home.command("ledger", "verify"))["findings"] == 0
        assert await stopped(gateway, signal.SIGINT) == (0, [])
        assert list(home.data.glob("worker-*")) == []


async def test_who_is_killed_is_started_again_and_whoever_has_lost_its_parent_ends(
    tmp_path: Path, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    slow = Reply(text=["w "] * 2000, event_delay_ms=20)
    async with team(tmp_path, postgres, redis_server, slow, more=PRICED) as home, home.up() as gateway:
        before = children(gateway)
        async with gateway.asked(STREAM) as response:
            await response.content.readany()
            await until(lambda: home.query("SELECT count(*) FROM starts") == [(1,)])
            # From here on the file is one that cannot be read, and the others follow what it said before.
            home.configure(provider='models = ["other"]', more=PRICED)
            await until(lambda: sum("changed: providers" in line for line in home.said) == 2)
            home.file.write_text("[nonsense]")
            for times, worker in enumerate(before, 1):  # whichever has the call
                os.kill(worker, signal.SIGKILL)
                await until(lambda dead=worker: not lives(dead))  # type: ignore[misc]
                assert (await statuses(gateway, gateway.key, model="other"))[200] > 0
                await until(lambda dead=worker: dead not in children(gateway) and len(children(gateway)) == 2)  # type: ignore[misc]
                await until(lambda times=times: sum("is there again" in line for line in home.said) == times)  # type: ignore[misc]
        assert sum("ended by signal 9; it is started again in 0.5 s" in line for line in home.said) == 2
        assert await statuses(gateway, gateway.key, model="other") == {200: MANY}
        # The dead one's call is ended before it has been silent for a minute, after which anybody would do it.
        await until(lambda: home.query("SELECT count(*) FROM records WHERE error_code = 'gateway_ended'") == [(1,)])
        home.configure(f"port = {gateway.port}")
        assert (await home.command("ledger", "verify"))["findings"] == 0
        told = await home.command("workers")
        assert [(one["number"], one["lives"]) for one in told] == [(1, 2), (2, 2)]
        assert {one["process"] for one in told} == set(children(gateway))

        assert len(home.processes()) == 3
        gateway.process.kill()
        await until(lambda: not home.processes())


async def test_signals_reach_both_and_their_streams_finish(
    tmp_path: Path, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    slow = Reply(text=["w "] * 15, event_delay_ms=60)
    async with team(tmp_path, postgres, redis_server, slow) as home, home.up() as gateway:
        async with contextlib.AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(gateway.asked(STREAM)) for _ in range(8)]
            home.configure(provider='models = ["other"]')
            gateway.process.send_signal(signal.SIGHUP)
            await until(lambda: sum("was read (SIGHUP)" in line for line in home.said) == 2)
            ending = asyncio.create_task(stopped(gateway))
            for stream in streams:
                assert (await stream.content.read()).endswith(b"data: [DONE]\n\n")
        assert await ending == (0, [])
        assert home.query("SELECT outcome, count(*) FROM records GROUP BY outcome") == [("success", 8)]


async def test_what_keeps_a_worker_from_getting_ready_ends_the_start_in_one_line(
    tmp_path: Path, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    async with team(tmp_path, postgres, redis_server) as home:
        home.configure(provider="key = 'env:NOPE'")
        assert (await home.refusal()).endswith("providers.up.key: the environment variable NOPE is not set")


def test_without_a_database_in_common_it_does_not_start(tmp_path: Path) -> None:
    refused = CommandLine(tmp_path)("up", "--workers", "2")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "trivium: server.workers: 2 workers cannot share an SQLite file, which one process owns: "
        "set `[storage] url` to a PostgreSQL database, or `[server] workers` to 1\n"
    )


def test_counting_limits_apart_is_refused() -> None:
    text = "[server]\nworkers = 4\n[storage]\nurl = 'postgresql://h/d'"
    expected = r"server\.workers: 4 workers would count limits each for itself: set `\[limits\] redis_url`, or"
    with pytest.raises(ConfigError, match=expected):
        check_workers(config.parse(text))
    check_workers(config.parse(f"{text}\n[limits]\nredis_url = 'redis://h'"))
    check_workers(config.parse("[server]\nworkers = 1"))
    small = f"[server]\nmax_in_flight_bytes = 128_000_000\n{text[9:]}\n[limits]\nredis_url = 'redis://h'"
    expected = r"max_in_flight_bytes: the part of each of 4 workers is less than one request may have"
    with pytest.raises(ConfigError, match=expected):
        check_workers(config.parse(small))


def test_what_calls_may_hold_is_divided() -> None:
    server = config.parse("[server]\nworkers = 4\nmax_calls = 1000\nmax_in_flight_bytes = 400_000_000").server
    assert server.room == (100_000_000, 250)
    assert config.load(None, {"TRIVIUM_WORKERS": "3"}).server.workers == 3
    with pytest.raises(ConfigError, match="TRIVIUM_WORKERS: expected a number from 1 to 256, got '0'"):
        config.load(None, {"TRIVIUM_WORKERS": "0"})


CREW = """
import asyncio, logging, os, signal, sys, time
from trivium.errors import OperationError
from trivium.server import workers

logging.basicConfig(format="%(message)s", stream=sys.stdout)
workers._RETREAT, workers._LONGEST_RETREAT, workers._DEAF = 0.02, 0.05, 0.2

def work(life, line):
{body}

workers.work_together(2, work, 0)
print("ended")
"""


async def crew(body: str, last_word: str) -> tuple[list[str], str]:
    """What is said by workers that do no more than that, asked to end when somebody has said the last word; and how it
    ended."""
    script = CREW.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said: list[str] = []
    async with asyncio.timeout(60):
        async for line in process.stdout:
            said.append(line.decode().rstrip("\n"))
            if last_word in said[-1]:
                process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    return [re.sub(r"process \d+", "process N", line) for line in said], errors.decode()


async def test_one_that_goes_on_ending_is_started_less_and_less_often() -> None:
    body = """
if life.number == 2 and life.count > 1:
    assert life.ended == ("run_2",)
    raise OperationError("It is broken.", detail="Really.")
asyncio.run(line.ready(f"run_{life.number}"))
if life.number == 1:
    time.sleep(60)
"""
    said, errors = await crew(body, "again in 0.05 s")
    assert said == [
        "worker 2, process N, ended with status 0; it is started again in 0.02 s",
        "worker 2, process N, ended with status 1: It is broken. Really.; it is started again in 0.04 s",
        "worker 2, process N, ended with status 1: It is broken. Really.; it is started again in 0.05 s",
        "ended",
    ]
    assert errors == ""


async def test_one_that_does_not_end_is_ended() -> None:
    body = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
asyncio.run(line.ready(""))
logging.warning("all ready") if life.number == 1 else None
time.sleep(60)
"""
    assert await crew(body, "all ready") == (["all ready", "ended"], "")


ORPHAN = """
import signal, socket, time
from trivium.server.workers import Line, Word
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
theirs, end = socket.socketpair()
Line(end, 0.1).say(Word(taken="a configuration"))
theirs.close()
time.sleep(0.05)
time.sleep(10)
print("still here")
"""


def test_one_whose_parent_is_gone_ends_though_its_last_word_was_not_read() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("asked to end\n", 1), done.stderr


async def test_one_that_is_killed_before_all_are_ready_ends_the_start() -> None:
    body = """
asyncio.run(line.ready("")) if life.number == 1 else os.kill(os.getpid(), signal.SIGKILL)
"""
    said, errors = await crew(body, "never")
    assert said == []
    assert "OperationError: Worker 2 ended by signal 9 before all were ready." in errors
