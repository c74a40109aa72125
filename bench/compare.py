"""Trivium beside other gateways, in one interleaved run: `make bench`, about 15 minutes.

    .venv/bin/python bench/compare.py [--smoke] [--only NAME]... [--no-docs] [--json FILE]

Each gateway alone: seconds from its start to its first answer, memory at rest and after many requests. Then all of
them in turns: CPU time per request and per event, requests a second, latency at a low rate. The tables go to the
terminal and, with a plot, into docs/performance.md. Every request and answer is checked (`runs.py`); a gateway that
fails is left out of a figure, with a note that says why. docs/performance.md explains the figures.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import goals
import leaving
import pages
import runs
import stage
from gateways import nginx_launch, trivium
from peers import PEERS, Peer, installed
from plot import bars
from runs import ALL_CASES, HELD, SMALL, Bench, Case
from stage import BenchError, Cpus, Gateway, Launch, Upstreams
from tables import Spread, shown, spread, table

RATE = 20
"""Requests a second at which latencies are measured: a few people at work."""
ROUNDS = 100_000
"""Requests between memory at rest and after."""


class Extent(NamedTuple):
    """How much is measured."""

    seconds: float = 0.8
    """Of a run at saturation; paced runs take 4."""
    repeat: int = 3
    latency: float = 10
    """Seconds of a run at a low rate."""
    starts: int = 3
    share: float = 1
    """Of the requests before memory is read again."""


SMOKE = Extent(seconds=0.2, repeat=1, latency=1, starts=1, share=0.01)


class Entry(NamedTuple):
    """A gateway in the comparison."""

    name: str
    label: str
    does: str
    launch: Launch
    requests: int


class Figures:
    """What was measured of each gateway, and what to doubt."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.notes: list[str] = []

    def add(self, gateway: str, figure: str, value: float) -> None:
        self.values[gateway][figure].append(value)

    def spread(self, gateway: str, figure: str) -> Spread | None:
        values = self.values[gateway][figure]
        return spread(values) if values else None

    def medians(self) -> dict[str, dict[str, float]]:
        return {
            gateway: {figure: spread(values).middle for figure, values in figures.items() if values}
            for gateway, figures in self.values.items()
        }


def entries(only: Sequence[str], notes: list[str]) -> list[Entry]:
    """nginx, Trivium and the others that can be had."""
    found = []
    floor = nginx_launch()
    if floor is None:
        notes.append("nginx cannot be had, and with it there is no floor")
    else:
        found.append(Entry("nginx", "nginx (reverse proxy: the floor)", "no keys", floor, ROUNDS))
    found.append(Entry("trivium", "**Trivium**", "keys, policy, metering, records", trivium, ROUNDS))
    for peer in PEERS:
        if only and peer.name not in only:
            continue
        if place := installed(peer):
            found.append(_entry(peer, place))
        else:
            notes.append(f"{peer.label} {peer.version} could not be installed here")
    return found


def _entry(peer: Peer, place: Path) -> Entry:
    return Entry(peer.name, f"{peer.label} {peer.version}", peer.does, peer.launch(place), peer.requests)


@contextlib.contextmanager
def upstreams(folder: Path, cpus: Cpus) -> Iterator[Upstreams]:
    """Both. Raises BenchError."""
    kinds = runs.kinds(folder, ALL_CASES)
    loosely = stage.upstream(folder, cpus, kinds, loosely=True, name="upstream-loose")
    with stage.upstream(folder, cpus, kinds) as exact, loosely as loose:
        yield Upstreams(exact, loose)


def alone(bench: Bench, entry: Entry, extent: Extent, figures: Figures) -> None:
    """Cold starts, and memory. Raises BenchError."""
    place = bench.folder / entry.name
    place.mkdir()
    for number in range(extent.starts + 1):
        with stage.started(entry.launch, place, bench.cpus, bench.upstreams, runs.small_body()) as (gateway, seconds):
            if number == 0:  # the first reads programs from the disk, and makes folders and databases
                runs.check_keys(gateway)
                continue
            figures.add(entry.name, "cold", seconds)
            if number == extent.starts:
                _fill(bench, gateway, round(entry.requests * extent.share), figures)


def _fill(bench: Bench, gateway: Gateway, requests: int, figures: Figures) -> None:
    time.sleep(1)
    figures.add(gateway.name, "rest", gateway.program.memory())
    bench.run(SMALL, gateway, 240, ["-c", SMALL.connections, "-n", requests])
    time.sleep(1)
    figures.add(gateway.name, "after", gateway.program.memory())


def together(bench: Bench, extent: Extent, figures: Figures) -> None:
    """All in turns. Raises BenchError where nginx or Trivium fail; others are left out of the case."""
    broken: set[tuple[str, str]] = set()
    seen = []
    for turn in range(extent.repeat + 1):
        for case in ALL_CASES:
            for gateway in bench.gateways:
                if case.name not in gateway.ways or (case.name, gateway.name) in broken:
                    continue
                if turn == 0 and case.kind == "paced":
                    continue
                try:
                    run = bench.run(case, gateway, extent.seconds if turn else 0.3)
                except BenchError as error:
                    _leave_out(gateway, case, error, figures)
                    broken.add((case.name, gateway.name))
                    continue
                if turn:
                    seen.append(run)
                    _note(run, figures)
    names = [gateway.name for gateway in bench.gateways]
    figures.notes += runs.not_saturated(seen, ALL_CASES, names)


def _leave_out(gateway: Gateway, case: Case, error: BenchError, figures: Figures) -> None:
    if gateway.name in ("nginx", "trivium"):
        raise error
    figures.values[gateway.name].pop(case.name, None)
    figures.notes.append(f"{case.label}: {gateway.name} is left out: {str(error).splitlines()[0]}")


def _note(run: Mapping[str, Any], figures: Figures) -> None:
    figures.add(run["gateway"], run["case"], run["cpu_us_each"])
    if run["case"] == SMALL.name:
        figures.add(run["gateway"], "throughput", run["requests"] / run["seconds"])


def latencies(bench: Bench, extent: Extent, figures: Figures) -> None:
    """What each adds to the upstream's own time, in ms, at a low rate. Raises BenchError."""
    options = ["-c", 4, "-s", extent.latency, "-r", RATE]
    direct: dict[str, list[float]] = {"p50": [], "p99": []}
    seen: list[tuple[str, Case, dict[str, float]]] = []
    for _ in range(extent.repeat):
        body = ["-b", runs.body_file(bench.folder, SMALL, stage.Way()), *options]
        port = bench.upstreams.exact
        straight = stage.load(bench.folder, bench.cpus, port, stage.DIRECT, body, seconds=extent.latency)
        runs.check(SMALL, "the upstream alone", straight, {})
        for part, values in direct.items():
            values.append(straight["latency_us"][part] / 1000)
        for gateway in bench.gateways:
            for case in (SMALL, HELD):
                if case.name in gateway.ways:
                    run = bench.run(case, gateway, extent.latency, options)
                    seen.append((gateway.name, case, run["latency_us"]))
    for name, case, latency in seen:
        for part, values in direct.items():
            figure = part if case is SMALL else f"{case.name} {part}"
            figures.add(name, figure, latency[part] / 1000 - spread(values).middle)
    figures.notes.append(
        "straight to the upstream, what is taken off: "
        + ", ".join(f"{part} {shown(spread(values).middle)} ms" for part, values in direct.items())
    )


def measure(extent: Extent, only: Sequence[str]) -> tuple[list[Entry], Figures]:
    """Everything. Raises BenchError."""
    figures, cpus = Figures(), Cpus()
    there = entries(only, figures.notes)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-bench-")))
        os.sched_setaffinity(0, cpus.tools)
        stage.build(folder)
        bench = Bench(folder, cpus, stack.enter_context(upstreams(folder, cpus)), [])
        for entry in list(there):
            print(f"{entry.name}: starts, and memory", flush=True)
            try:
                alone(bench, entry, extent, figures)
            except BenchError as error:
                if entry.name in ("nginx", "trivium"):
                    raise
                there.remove(entry)
                figures.notes.append(f"{entry.name} is left out: {' '.join(str(error).split())[:200]}")
        gateways = [_start(stack, bench, entry) for entry in there]
        bench = bench._replace(gateways=gateways)
        print(f"CPU time, {extent.repeat} turns", flush=True)
        together(bench, extent, figures)
        print(f"latency, {extent.repeat} turns", flush=True)
        latencies(bench, extent, figures)
    if cpus.note:
        figures.notes.append(cpus.note)
    return there, figures


def _start(stack: contextlib.ExitStack, bench: Bench, entry: Entry) -> Gateway:
    place = bench.folder / entry.name
    starting = stage.started(entry.launch, place, bench.cpus, bench.upstreams, runs.small_body())
    return stack.enter_context(starting)[0]


COSTS = (
    ("small", "small request"),
    ("64k", "64 KB"),
    ("event", "event"),
    ("paced", "event, paced"),
    ("translated", "event, translated"),
    ("held", "small, durable hold"),
)
OTHERS = (
    ("p50", "added p50 ms"),
    ("p99", "added p99 ms"),
    ("held p50", "with hold, p50 ms"),
    ("throughput", "requests/s"),
    ("rest", "MB at rest"),
    ("after", "MB after"),
    ("cold", "cold start s"),
)


_PICTURE = "![CPU time by gateway](performance-gateways.svg)\n\nThe bars are logarithmic."


def report(there: Sequence[Entry], figures: Figures, extent: Extent) -> str:
    """The tables, the goals and what to doubt, as Markdown."""
    costs = table(
        ("CPU us, median (lowest-highest)", "does", *(label for _, label in COSTS)),
        [(entry.label, entry.does, *_cells(figures, entry, COSTS)) for entry in there],
    )
    others = table(
        ("", *(label for _, label in OTHERS), "after requests"),
        [
            (entry.label, *_cells(figures, entry, OTHERS, plain=True), f"{round(entry.requests * extent.share):,}")
            for entry in there
        ],
    )
    found = goals.verdicts(figures.medians())
    judged = table(goals.HEADER, goals.rows(found))
    notes = "".join(f"* {note}\n" for note in figures.notes)
    return f"{costs}\n{others}\n{judged}\n{notes}"


def _cells(figures: Figures, entry: Entry, columns: Sequence[tuple[str, str]], *, plain: bool = False) -> Iterator[str]:
    for figure, _ in columns:
        found = figures.spread(entry.name, figure)
        yield "-" if found is None else shown(found.middle) if plain else str(found)


def picture(there: Sequence[Entry], figures: Figures) -> str:
    """Bars of the costs that all have."""
    medians = figures.medians()
    labels = {entry.name: entry.label.strip("*") for entry in there}
    panels = {
        f"{label}, CPU us": {labels[name]: medians[name][figure] for name in labels if figure in medians.get(name, {})}
        for figure, label in COSTS[:4]
    }
    return bars(panels, "Trivium")


def closing_line(figures: Figures) -> str:
    found = goals.verdicts(figures.medians())
    missed = sum(not verdict.met for verdict in found)
    return f"goals met: {len(found) - missed} of {len(found)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny counts, to see that all works; writes no page")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="of the peers; may be repeated")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md as it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure, as JSON")
    return parser.parse_args()


def main() -> int:
    said = _arguments()
    extent = SMOKE if said.smoke else Extent()
    leaving.on_signals()
    began = time.monotonic()
    try:
        there, figures = measure(extent, said.only)
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    head = f"{pages.where_and_when()}. It took {time.monotonic() - began:.0f} s."
    text = report(there, figures, extent)
    print(f"\n{head}\n\n{text}\n{closing_line(figures)}")
    if said.json:
        said.json.write_text(json.dumps({"notes": figures.notes, "figures": figures.values}, indent=1))
    if not (said.smoke or said.no_docs):
        pages.write("gateways", f"{head}\n\n{text}\n{_PICTURE}")
        pages.picture("performance-gateways.svg", picture(there, figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
