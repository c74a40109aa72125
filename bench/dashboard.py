"""What a busy dashboard costs the calls: `make bench-dashboard`.

    .venv/bin/python bench/dashboard.py [--seconds S] [--turns N] [--no-docs]

One gateway takes small requests at saturation, as in `quick.py`, in turns: with nobody before its dashboard, with
somebody who goes from page to page ten times a second, and with somebody who does so as fast as pages come. The gateway
has the first CPU to itself. The dashboard's process, which the gateway starts on its own CPU, is moved to where the
upstream, the load and the visitors are: with two CPUs they share the second, and latency is that of a crowded one in
all turns. CPU time is that of the gateway's process alone, in which the dashboard's questions are answered.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import leaving
import pages
import runs
import stage
from gateways import trivium, trivium_env
from page_times import link
from runs import SMALL, Bench
from stage import BenchError, Cpus, Program, Upstreams
from tables import shown, spread, table

_VISITOR = Path(__file__).parent / "browsing.py"


PAUSES = {"ten pages a second": 0.09, "pages all the time": 0.0}
"""Seconds between two pages; a page takes about a hundredth."""
NOBODY = "nobody looks"


class Turn(NamedTuple):
    who: str
    cpu_us: float
    """Of the gateway's process, for each request."""
    p50_ms: float
    p99_ms: float
    pages: float
    """A second."""


class Stage(NamedTuple):
    bench: Bench
    visitors: Mapping[str, Program]

    def turn(self, who: str, seconds: float) -> Turn:
        """Raises BenchError."""
        gateway, visitor = self.bench.gateways[0], self.visitors.get(who)
        for name, other in self.visitors.items():
            other.signal(signal.SIGCONT if name == who else signal.SIGSTOP)
        time.sleep(runs.SETTLE)
        before, cpu, began = _read(visitor), gateway.program.cpu_alone(), time.monotonic()
        ran = self.bench.run(SMALL, gateway, seconds)
        cpu, took = gateway.program.cpu_alone() - cpu, time.monotonic() - began
        times = (ran["latency_us"][name] / 1000 for name in ("p50", "p99"))
        return Turn(who, cpu * 1e6 / ran["requests"], *times, (_read(visitor) - before) / took)


def _read(visitor: Program | None) -> int:
    """Pages so far. Raises BenchError where the visitor is gone."""
    if visitor is None:
        return 0
    if not visitor.lives():
        raise BenchError(f"the visitor is gone:\n{visitor.said()[-2000:]}")
    return int(visitor.said().split()[-1])


@contextlib.contextmanager
def set_up(cpus: Cpus) -> Iterator[Stage]:
    """Everything started and in its place. Raises BenchError."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-bench-")))
        os.sched_setaffinity(0, cpus.tools)
        stage.build(folder)
        port = stack.enter_context(stage.upstream(folder, cpus, runs.kinds(folder, [SMALL])))
        upstreams, place = Upstreams(exact=port, loose=port), folder / "trivium"
        place.mkdir()
        gateway, _ = stack.enter_context(stage.started(trivium, place, cpus, upstreams, runs.small_body()))
        bench = Bench(folder, cpus, upstreams, [gateway])
        bench.run(SMALL, gateway, 0.5)  # there is something to see, and everything is warm
        env = trivium_env(place) | {"TRIVIUM_PORT": str(gateway.port)}
        visitors = {}
        for number, (who, pause) in enumerate(PAUSES.items()):
            asked = [sys.executable, _VISITOR, link(env, None), str(pause)]
            program = Program(f"visitor-{number}", asked, folder, cpus.tools, env)
            visitors[who] = stack.enter_context(stage.running(program))
            visitors[who].wait_for("ready")
            stack.callback(program.signal, signal.SIGCONT)  # who is stopped does not hear that it is over
        gateway.program.move_children(cpus.tools)
        yield Stage(bench, visitors)


def report(turns: Sequence[Turn], cpus: Cpus) -> str:
    found = {who: [turn for turn in turns if turn.who == who] for who in (NOBODY, *PAUSES)}
    figures = (("gateway's CPU us per request", "cpu_us"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"))
    rows = [[label, *(str(spread(_of(some, name))) for some in found.values())] for label, name in figures]
    rows.append(["pages a second", *(shown(median(_of(some, "pages"))) for some in found.values())])
    beside = [_difference(found[NOBODY], found[who]) for who in PAUSES]
    rows.append(["CPU beside the turn without", "", *beside])
    return table(["median (lowest-highest)", *found], rows) + (f"\n* {cpus.note}\n" if cpus.note else "")


def _of(turns: Sequence[Turn], name: str) -> list[float]:
    return [getattr(turn, name) for turn in turns]


def _difference(alone: Sequence[Turn], visited: Sequence[Turn]) -> str:
    """By pairs of turns."""
    ratios = spread([two.cpu_us / one.cpu_us * 100 - 100 for one, two in zip(alone, visited, strict=True)])
    return f"{ratios.middle:+.1f} % ({ratios.lowest:+.1f} to {ratios.highest:+.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="of a turn (default 3)")
    parser.add_argument("--turns", type=int, default=12, help="of each kind (default 12)")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md alone")
    said: Any = parser.parse_args()
    leaving.on_signals()
    began, cpus = time.monotonic(), Cpus()
    try:
        with set_up(cpus) as ready:
            turns = [ready.turn(who, said.seconds) for _ in range(said.turns) for who in (NOBODY, *PAUSES)]
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench-dashboard: {error}", file=sys.stderr)
        return 1
    text = report(turns, cpus)
    head = f"{pages.where_and_when()}. It took {time.monotonic() - began:.0f} s."
    print(f"{head}\n\n{text}")
    if not said.no_docs:
        pages.write("dashboard", f"{head}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
