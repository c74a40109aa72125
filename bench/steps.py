"""Where the time of a small request goes, step by step, into docs/performance.md.

    .venv/bin/python bench/steps.py [--seconds S] [--no-docs]

The same load twice: on a gateway as it is, which tells the CPU time of a request and the part of it that threads beside
the event loop's take, and on one under Python's profiler, which tells the steps' shares of the rest. A profiler makes
short calls look dearer than they are: the table is a map, not a bill.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import os
import pstats
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pages
import runs
import stage
import tables
from gateways import trivium
from runs import SMALL, Bench
from stage import BenchError, Cpus, Upstreams

_ONCE = ("pipeline/handle.py", "_one")
"""Called once for a request that goes upstream."""


class Step(NamedTuple):
    said: str
    functions: Sequence[tuple[str, str]]
    """(end of the file's name, function), with all that they call; none of them calls another."""


STEPS = (
    Step("the client's bytes: HTTP read, headers guarded, a task begun", [("server/protocol.py", "data_received")]),
    Step(
        "the body, within its cap and the budget of bytes",
        [("pipeline/read.py", "check_head"), ("pipeline/read.py", "read_body")],
    ),
    Step("the key: hashed, looked up, its rights", [("pipeline/authenticate.py", "authenticate")]),
    Step(
        "JSON: members told apart, the few that count read",
        [("wire/request.py", "parse"), ("wire/request.py", "check_stateless")],
    ),
    Step(
        "where it goes: name, own keys, policy, routes, limits",
        [
            ("pipeline/free.py", "find"),
            ("pipeline/authorize.py", "check_call"),
            ("pipeline/legs.py", "legs_of"),
            ("pipeline/limits.py", "admit"),
        ],
    ),
    Step("the body for the upstream: rules, models behind tools, patch", [("pipeline/forward.py", "prepare")]),
    Step("price and payer, a start in the ledger", [("pipeline/hold.py", "begin")]),
    Step("headers, a connection, one write upstream", [("pipeline/forward.py", "forward")]),
    Step("the upstream's bytes: HTTP read", [("upstream/connection.py", "data_received")]),
    Step("the answer: metered, headers chosen, one write to the client", [("pipeline/relay.py", "relay")]),
    Step("the record: outcome, charge, handed to the writing thread", [("pipeline/settle.py", "__exit__")]),
)
_REST = "what lies between: the call's own coroutines, the event loop"
_BESIDE = "beside the loop, the writing thread: start, end, record, sums in SQLite"


class Measured(NamedTuple):
    request_us: float
    beside_us: float
    """Of it, in other threads than the event loop's."""


def shares(profile: Path) -> dict[str, float]:
    """Each step's part of what the event loop's thread does for calls. Raises BenchError."""
    stats: Any = pstats.Stats(str(profile))

    def seconds(file: str, function: str) -> float:
        """With all that it calls; of a coroutine, not while it waits."""
        return sum(row[3] for key, row in stats.stats.items() if key[0].endswith(file) and key[2] == function)

    if not seconds(*_ONCE):
        raise BenchError("the profile has no call in it")
    ends = (("server/protocol.py", "data_received"), ("upstream/connection.py", "data_received"))
    whole = seconds("server/protocol.py", "_answer") + sum(seconds(*one) for one in ends)
    if missing := [function for step in STEPS for file, function in step.functions if not seconds(file, function)]:
        raise BenchError(f"the profile has no {', '.join(missing)} in it: the steps are others by now")
    return {step.said: sum(seconds(*one) for one in step.functions) / whole for step in STEPS}


def rows(measured: Measured, parts: dict[str, float]) -> list[list[str]]:
    """What each step takes of a request, in microseconds."""
    loop = measured.request_us - measured.beside_us
    told = {said: part * loop for said, part in parts.items()}
    told |= {_REST: loop - sum(told.values()), _BESIDE: measured.beside_us}
    return [*([said, f"{us:.0f}"] for said, us in told.items()), ["a small request", f"{measured.request_us:.0f}"]]


@contextmanager
def gateway(folder: Path, cpus: Cpus, upstreams: Upstreams, command: Sequence[str] = ()) -> Iterator[Bench]:
    """A gateway that has answered, and its bench. `command` stands between Python and `-m trivium`."""
    place = folder / ("profiled" if command else "plain")
    place.mkdir()
    launch = partial(trivium, command=command)
    with stage.started(launch, place, cpus, upstreams, runs.small_body()) as started:
        yield Bench(folder, cpus, upstreams, [started[0]])


def measured(bench: Bench, seconds: float) -> Measured:
    one = bench.gateways[0]
    bench.run(SMALL, one, 1)
    beside = one.program.cpu_beside()
    ran = bench.run(SMALL, one, seconds)
    beside = one.program.cpu_beside() - beside
    return Measured(ran["cpu_us_each"], beside * 1e6 / ran["requests"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each of the two loads")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md alone")
    arguments, cpus = parser.parse_args(), Cpus()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-profile-")))
        os.sched_setaffinity(0, cpus.tools)
        stage.build(folder)
        port = stack.enter_context(stage.upstream(folder, cpus, runs.kinds(folder, [SMALL])))
        upstreams = Upstreams(exact=port, loose=port)
        with gateway(folder, cpus, upstreams) as bench:
            cost = measured(bench, arguments.seconds)
        with gateway(folder, cpus, upstreams, ("-m", "cProfile", "-o", str(folder / "profile"))) as bench:
            bench.run(SMALL, bench.gateways[0], arguments.seconds)
        table = tables.table(["step", "us"], rows(cost, shares(folder / "profile")))
    print(table)
    if not arguments.no_docs:
        pages.write("profile", f"{pages.where_and_when()}.\n\n{table}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(str(error))
