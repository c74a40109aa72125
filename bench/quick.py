"""Trivium against nginx in under a minute: CPU time per request and per streamed event, in one interleaved run.

    .venv/bin/python bench/quick.py [--seconds S] [--repeat N] [--json FILE]

Both proxies take turns on one CPU, in front of the same upstream, under the same load; medians are compared. Every byte
of every request and answer is checked: one wrong one, and there are no figures. docs/performance.md explains them.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import leaving
import runs
import stage
from gateways import nginx_launch, trivium
from runs import CASES, Bench, Case
from stage import BenchError, Cpus


@contextlib.contextmanager
def set_up(cpus: Cpus) -> Iterator[Bench]:
    """Everything started, in a temporary folder; everything gone afterwards, come what may. Raises BenchError."""
    floor = nginx_launch()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-bench-")))
        os.sched_setaffinity(0, cpus.tools)
        stage.build(folder)
        port = stack.enter_context(stage.upstream(folder, cpus, runs.kinds(folder, CASES)))
        upstreams = stage.Upstreams(exact=port, loose=port)
        gateways = []
        for launch in (launch for launch in (floor, trivium) if launch):
            place = Path(tempfile.mkdtemp(dir=folder))
            starting = stage.started(launch, place, cpus, upstreams, runs.small_body())
            gateways.append(stack.enter_context(starting)[0])
        yield Bench(folder, cpus, upstreams, gateways)


def report(bench: Bench, seen: Sequence[dict[str, Any]], memory: dict[str, list[float]]) -> None:
    """The table, what to doubt, and the closing line."""
    names = [gateway.name for gateway in bench.gateways]
    ratios = [_figure(seen, case, names) if len(names) > 1 else "" for case in CASES]
    print("\n" + _row("CPU us, median (lowest-highest)", names, "ratio" if len(names) > 1 else ""))
    for case, ratio in zip(CASES, ratios, strict=True):
        print(_row(case.label, [_spread(runs.of(seen, case.name, name, "cpu_us_each")) for name in names], ratio))
    print(_row("memory MB, at rest -> after", [" -> ".join(f"{size:.1f}" for size in memory[name]) for name in names]))
    delays = [
        [median(runs.of(seen, CASES[-1].name, name, "delay_us", part)) for part in ("p50", "p99")] for name in names
    ]
    print(_row("delay of a paced event us, p50/p99", [" / ".join(f"{delay:.0f}" for delay in pair) for pair in delays]))
    for doubt in _doubts(bench, seen, names):
        print(f"note: {doubt}")
    figures = " ".join(f"{case.name}={_figure(seen, case, names)}" for case in CASES)
    print(f"{figures} ({'nginx = 1' if len(names) > 1 else 'no nginx, so no ratio: CPU time per request or event'})")


def _doubts(bench: Bench, seen: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[str]:
    if len(names) == 1:
        yield "nginx is missing, and with it the floor: these are absolute figures of this machine at this moment"
    if bench.cpus.note:
        yield bench.cpus.note
    yield from runs.not_saturated(seen, CASES, names)


def _row(label: str, cells: Sequence[str], ratio: str = "") -> str:
    return (f"{label:<36}" + "".join(f"{cell:>26}" for cell in cells) + f"{ratio:>8}").rstrip()


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _figure(seen: Sequence[dict[str, Any]], case: Case, names: Sequence[str]) -> str:
    """The ratio of the last gateway to the first, or the only one's microseconds."""
    first, last = (median(runs.of(seen, case.name, name, "cpu_us_each")) for name in (names[0], names[-1]))
    return f"{last / first:.1f}x" if len(names) > 1 else f"{last:.3g}us"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Trivium against nginx: CPU time per request and streamed event.")
    parser.add_argument("--seconds", type=float, default=0.8, help="of a run (default 0.8); paced runs take 4")
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each kind, of which the median counts (default 3)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run, as JSON")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    leaving.on_signals()
    started = time.monotonic()
    try:
        with set_up(Cpus()) as bench:
            memory = {gateway.name: [gateway.program.memory()] for gateway in bench.gateways}
            seen = bench.measure(CASES, arguments.seconds, arguments.repeat)
            for gateway in bench.gateways:
                memory[gateway.name].append(gateway.program.memory())
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench-quick: {error}", file=sys.stderr)
        return 1
    machine = runs.machine()
    print(f"{' | '.join(machine.values())} | {time.monotonic() - started:.0f} s")
    report(bench, seen, memory)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "memory_mb": memory, "runs": seen}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
