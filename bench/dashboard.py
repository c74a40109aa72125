"""What a busy dashboard costs the calls: `make bench-dashboard`.

    .venv/bin/python bench/dashboard.py [--seconds S] [--turns N] [--pause S] [--no-docs]

One gateway takes small requests at saturation, as in `quick.py`, in turns with and without somebody beside it who goes
from page to page of its dashboard all the time, or with `--pause` seconds between two pages. The gateway has the
first CPU to itself. The dashboard's process, which the gateway starts on its own CPU, is moved to where the upstream,
the load and the visitor are: with two CPUs they share the second, and the latency of both kinds of turns is that of a
crowded one. CPU time is that of the gateway's process alone, in which the dashboard's questions are answered.
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
from collections.abc import Iterator, Sequence
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


class Turn(NamedTuple):
    is_visited: bool
    cpu_us: float
    """Of the gateway's process, for each request."""
    p50_ms: float
    p99_ms: float
    pages: float
    """A second."""


class Stage(NamedTuple):
    bench: Bench
    visitor: Program

    def turn(self, seconds: float, *, is_visited: bool) -> Turn:
        """Raises BenchError."""
        gateway = self.bench.gateways[0]
        self.visitor.signal(signal.SIGCONT if is_visited else signal.SIGSTOP)
        time.sleep(runs.SETTLE)
        before, cpu, began = self._read(), gateway.program.cpu_alone(), time.monotonic()
        ran = self.bench.run(SMALL, gateway, seconds)
        cpu, took = gateway.program.cpu_alone() - cpu, time.monotonic() - began
        times = (ran["latency_us"][name] / 1000 for name in ("p50", "p99"))
        return Turn(is_visited, cpu * 1e6 / ran["requests"], *times, (self._read() - before) / took)

    def _read(self) -> int:
        """Pages so far. Raises BenchError where the visitor is gone."""
        if not self.visitor.lives():
            raise BenchError(f"the visitor is gone:\n{self.visitor.said()[-2000:]}")
        return int(self.visitor.said().split()[-1])


@contextlib.contextmanager
def set_up(cpus: Cpus, pause: float) -> Iterator[Stage]:
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
        asked = [sys.executable, _VISITOR, link(env, None), str(pause)]
        visitor = stack.enter_context(stage.running(Program("visitor", asked, folder, cpus.tools, env)))
        visitor.wait_for("ready")
        gateway.program.move_children(cpus.tools)
        yield Stage(bench, visitor)


def report(turns: Sequence[Turn], cpus: Cpus) -> str:
    alone, visited = ([turn for turn in turns if turn.is_visited == wanted] for wanted in (False, True))
    rows = [
        [
            label,
            *(str(spread([getattr(turn, name) for turn in some])) for some in (alone, visited)),
            _difference(turns, name),
        ]
        for label, name in (("gateway's CPU us per request", "cpu_us"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"))
    ]
    rate = median(turn.pages for turn in visited)
    rows.append(["pages a second", "0", shown(rate), ""])
    heads = ["median (lowest-highest)", "nobody looks", "somebody does", "of pairs"]
    return table(heads, rows) + (f"\n* {cpus.note}\n" if cpus.note else "")


def _difference(turns: Sequence[Turn], name: str) -> str:
    """Of each turn with a visitor to the one before without."""
    pairs = zip(turns[::2], turns[1::2], strict=True)
    ratios = spread([getattr(visited, name) / getattr(alone, name) * 100 - 100 for alone, visited in pairs])
    return f"{ratios.middle:+.1f} % ({ratios.lowest:+.1f} to {ratios.highest:+.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="of a turn (default 4)")
    parser.add_argument("--turns", type=int, default=12, help="pairs of turns (default 12)")
    parser.add_argument("--pause", type=float, default=0, help="seconds between two pages (default 0)")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md alone")
    said: Any = parser.parse_args()
    leaving.on_signals()
    began, cpus = time.monotonic(), Cpus()
    try:
        with set_up(cpus, said.pause) as ready:
            turns = [
                ready.turn(said.seconds, is_visited=visited) for _ in range(said.turns) for visited in (False, True)
            ]
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
