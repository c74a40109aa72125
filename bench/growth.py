"""What a request costs does not grow with keys, models, records, open streams, requests served: `make bench-growth`.

    .venv/bin/python bench/growth.py [--only CURVE]... [--share S] [--repeat N] [--no-docs] [--json FILE]

For each point of a curve a gateway of its own is started, and all gateways of a curve take turns under the same load
as in `compare.py`: CPU time per small request at saturation, medians compared. The last curve is one gateway's, which
serves a million requests: CPU time and memory on the way. `--share 0.001` shrinks everything, to see that it works.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import bodies
import gateways
import leaving
import pages
import runs
import seeding
import stage
from plot import Chart, Curve, curves
from runs import EVENT, HELD, SMALL, Bench, Case
from stage import BenchError, Cpus, Gateway, Upstreams, Way
from tables import shown, spread, table

KEYS = (100, 10_000, 100_000, 1_000_000)
MODELS = (10, 100, 1_000, 10_000)
RECORDS = (0, 100_000, 1_000_000, 10_000_000)
STREAMS = (0, 500, 2_000, 5_000)
SERVED = (10_000, 100_000, 200_000, 400_000, 600_000, 800_000, 1_000_000)
FLAT = 1.10
"""The last point of a curve beside its first, at most: what runs of the same thing differ by."""
MEMORY_FLAT = 1.05
SECONDS = 0.8
HOT, NEW = 100, 3_000
"""Keys that are used all the time; keys of each turn that were never used before."""
SPREAD = SMALL._replace(name="spread", label="100 keys in turn")
FIRST = SMALL._replace(name="first", label="each key for the first time")
_CONFIG = """\
[local]
enabled = false

[providers.bench]
base_url = "http://127.0.0.1:{exact}/v1"
key = "{key}"
apis = ["chat"]
models = [{models}"gpt-mock", "gpt-priced"]

[providers.idle]
base_url = "http://127.0.0.1:{idle}/v1"
key = "{key}"
apis = ["chat"]
models = ["gpt-idle"]
timeouts = {{ first_byte = 3600, idle = 3600 }}

[models."bench/gpt-priced".price]
input = "2.50"
output = "10"
"""
IDLE = EVENT._replace(name="idle", kind="paced", body=bodies.stream(2 * bodies.KIB + 8, model="gpt-idle"))


class Extent(NamedTuple):
    share: float
    repeat: int

    def of(self, points: Sequence[int]) -> list[int]:
        """The points, smaller; none twice."""
        return sorted({math.ceil(point * self.share) for point in points})


class Result(NamedTuple):
    """A curve: what it is over, what was measured, and whether it is flat."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    charts: Sequence[Chart]
    verdicts: Sequence[tuple[str, float, float]]
    """What, the ratio, and the most that it may be."""


class Place(NamedTuple):
    """Where gateways are started."""

    bench: Bench
    idle: int
    """Port of an upstream whose streams say nothing for an hour."""

    def start(self, stack: contextlib.ExitStack, name: str, models: int = 0) -> tuple[Gateway, float]:
        """A gateway in the folder of that name, and the seconds that it took to its first answer."""
        bench = self.bench
        listed = "".join(f'"model-{number}", ' for number in range(models))

        def launch(folder: Path, cpus: Cpus, upstreams: Upstreams) -> Gateway:
            config = _CONFIG.format(exact=upstreams.exact, idle=self.idle, models=listed, key=stage.UPSTREAM_KEY)
            gateway = gateways.launch_trivium(folder, cpus, config, name)
            more = {"spread": Way(), "first": Way(), "idle": gateway.ways["small"]}
            return gateway._replace(ways={**gateway.ways, **more})

        folder = bench.folder / name
        folder.mkdir(exist_ok=True)
        starting = stage.started(launch, folder, bench.cpus, bench.upstreams, runs.small_body())
        return stack.enter_context(starting)

    def make(self, name: str) -> Path:
        """A data folder in which a gateway has already served a call of each kind. Its path."""
        with contextlib.ExitStack() as stack:
            gateway, _ = self.start(stack, name)
            self.bench.run(HELD, gateway, 0.1, ["-n", 2])
        return self.bench.folder / name / "data"


Curves = Callable[[Place, Extent], Result]


def over_keys(place: Place, extent: Extent) -> Result:
    points, seeded = extent.of(KEYS), {}
    for count in points:
        texts = seeding.keys(place.make(f"keys-{count}"), count, HOT + NEW * extent.repeat)
        seeded[count] = [f"Authorization: Bearer {text}" for text in texts]
    measured: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        started = {count: place.start(stack, f"keys-{count}")[0] for count in points}
        files = {count: _key_file(place, f"hot-{count}", seeded[count][:HOT]) for count in points}
        for turn in range(-1, extent.repeat):
            for count, gateway in started.items():
                one = place.bench.run(SPREAD, gateway, SECONDS, [*_full(SPREAD), "-K", files[count]])
                if turn < 0:
                    continue
                measured.setdefault((SPREAD.name, count), []).append(one["cpu_us_each"])
                fresh = seeded[count][HOT + turn * NEW : HOT + (turn + 1) * NEW]
                if len(fresh) == NEW:
                    options = ["-c", 32, "-n", NEW, "-K", _key_file(place, f"new-{count}", fresh)]
                    new = place.bench.run(FIRST, gateway, 60, options)
                    measured.setdefault((FIRST.name, count), []).append(new["cpu_us_each"])
        memory = {count: gateway.program.memory() for count, gateway in started.items()}
    return _result("Keys in the store", points, [SPREAD, FIRST], measured, {"MB after": _words(memory)})


def over_models(place: Place, extent: Extent) -> Result:
    points = extent.of(MODELS)
    with contextlib.ExitStack() as stack:
        started = {}
        for count in points:
            place.make(f"models-{count}")
            started[count] = place.start(stack, f"models-{count}", count)
        measured = _turns(place, extent, [SMALL], {count: gateway for count, (gateway, _) in started.items()})
        memory = {count: gateway.program.memory() for count, (gateway, _) in started.items()}
    cold = {count: seconds for count, (_, seconds) in started.items()}
    more = {"cold start s": _words(cold), "MB after": _words(memory)}
    return _result("Models of a provider", points, [SMALL], measured, more)


def over_records(place: Place, extent: Extent) -> Result:
    points, seconds = extent.of(RECORDS), {}
    for count in points:
        began = time.monotonic()
        seeding.records(place.make(f"records-{count}"), count)
        seconds[count] = time.monotonic() - began
        print(f"  {count:,} records written in {seconds[count]:.0f} s", flush=True)
    with contextlib.ExitStack() as stack:
        started = {count: place.start(stack, f"records-{count}") for count in points}
        gateways_by_count = {count: gateway for count, (gateway, _) in started.items()}
        measured = _turns(place, extent, [SMALL, HELD], gateways_by_count)
        memory = {count: gateway.program.memory() for count, gateway in gateways_by_count.items()}
    cold = {count: seconds for count, (_, seconds) in started.items()}
    size = {count: _size_mb(place.bench.folder / f"records-{count}" / "data") for count in points}
    more = {"cold start s": _words(cold), "MB after": _words(memory), "database MB": _words(size)}
    return _result("Rows in the table of records, and as many starts", points, [SMALL, HELD], measured, more)


def over_streams(place: Place, extent: Extent) -> Result:
    points = extent.of(STREAMS)
    with contextlib.ExitStack() as stack:
        started = {}
        for count in points:
            place.make(f"streams-{count}")
            started[count] = place.start(stack, f"streams-{count}")[0]
        rest = {count: gateway.program.memory() for count, gateway in started.items()}
        for count, gateway in started.items():
            if count:
                _open_streams(stack, place, gateway, count)
        memory = {count: started[count].program.memory() for count in points}
        measured = _turns(place, extent, [SMALL], started)
    each = {count: (memory[count] - rest[count]) * 1024 / count for count in points if count}
    more = {"MB": _words(memory), "KB of a stream": _words(each)}
    return _result("Open streams that say nothing", points, [SMALL], measured, more)


def over_time(place: Place, extent: Extent) -> Result:
    """One gateway: the CPU time of the requests before each point, and the memory there. In the end it takes turns with
    one that has only served as many as the first point, since a machine is not as fast in one minute as in the next."""
    points, cpu, memory, served = extent.of(SERVED), {}, {}, 0
    first, last = points[0], points[-1]

    def serve(gateway: Gateway, count: int) -> float:
        run = place.bench.run(SMALL, gateway, 600, ["-c", SMALL.connections, "-n", count])
        return float(run["cpu_us_each"])

    place.make("served")
    with contextlib.ExitStack() as stack:
        gateway, _ = place.start(stack, "served")
        for point in points:
            cpu[point] = serve(gateway, point - served)
            served = point
            time.sleep(1)
            memory[point] = gateway.program.memory()
            print(f"  {point:,} requests: {cpu[point]:.0f} us, {memory[point]:.1f} MB", flush=True)
        place.make("beside")
        young, _ = place.start(stack, "beside")
        serve(young, first)
        measured = _turns(place, extent, [SMALL], {first: young, last: gateway})
    header = ("requests served", "CPU us of a request", "MB")
    rows = [(f"{point:,}", shown(cpu[point]), shown(memory[point])) for point in points]
    charts = [
        Chart("Requests served", [Curve("small request", list(cpu.items()))], "CPU us"),
        Chart("Requests served", [Curve("memory", list(memory.items()))], "MB"),
    ]
    old, new = (measured[SMALL.name, count] for count in (last, first))
    said = f"CPU of a request, in turns: {spread(old)} us after {last:,}, beside {spread(new)} us after {first:,}"
    verdicts = [
        (said, median(one / other for one, other in zip(old, new, strict=True)), FLAT),
        (f"memory after {last:,} requests beside that after {first:,}", memory[last] / memory[first], MEMORY_FLAT),
    ]
    return Result("Requests served", header, rows, charts, verdicts)


CURVES: dict[str, Curves] = {
    "keys": over_keys,
    "models": over_models,
    "records": over_records,
    "streams": over_streams,
    "served": over_time,
}


def _full(case: Case) -> list[object]:
    return ["-c", case.connections, "-s", SECONDS]


def _turns(
    place: Place, extent: Extent, cases: Sequence[Case], started: dict[int, Gateway]
) -> dict[tuple[str, int], list[float]]:
    """CPU microseconds by case and point; all gateways of a curve in turns, after one that does not count."""
    measured: dict[tuple[str, int], list[float]] = {}
    for turn in range(extent.repeat + 1):
        for case in cases:
            for count, gateway in started.items():
                run = place.bench.run(case, gateway, SECONDS)
                if turn:
                    measured.setdefault((case.name, count), []).append(run["cpu_us_each"])
    return measured


def _open_streams(stack: contextlib.ExitStack, place: Place, gateway: Gateway, count: int) -> None:
    """Opens them, and waits until all have reached the upstream. Raises BenchError."""
    bench, way = place.bench, gateway.ways["idle"]
    before = runs.counts(place.idle)["requests"]
    options = ["-c", count, "-n", count, "-r", 1000, "-e", stage.EVENTS, "-b", runs.body_file(bench.folder, IDLE, way)]
    stack.enter_context(stage.running(stage.loading(bench.folder, bench.cpus, gateway.port, way, options)))
    deadline = time.monotonic() + 60
    while (there := runs.counts(place.idle)["requests"] - before) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"of {count:,} streams {there:,} reached the upstream")
        time.sleep(0.1)
    time.sleep(1)


def _key_file(place: Place, name: str, lines: Sequence[str]) -> Path:
    path = place.bench.folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def _size_mb(data: Path) -> float:
    return sum(path.stat().st_size for path in data.glob("trivium.db*")) / 1e6


def _words(figures: dict[int, float]) -> dict[int, str]:
    return {point: shown(figure) for point, figure in figures.items()}


def _result(
    title: str,
    points: Sequence[int],
    cases: Sequence[Case],
    measured: dict[tuple[str, int], list[float]],
    more: dict[str, dict[int, str]],
) -> Result:
    """The table, the curve and the verdict of each case."""
    header = (title, *(f"{case.label}, CPU us" for case in cases), *more)
    rows = []
    for point in points:
        cells = [str(spread(values)) if (values := measured.get((case.name, point))) else "-" for case in cases]
        rows.append((f"{point:,}", *cells, *(column.get(point, "-") for column in more.values())))
    lines, verdicts = [], []
    for case in cases:
        there = [(point, spread(values).middle) for point in points if (values := measured.get((case.name, point)))]
        if there:
            lines.append(Curve(case.label, there))
            verdicts.append((f"{case.label}: the last beside the first", there[-1][1] / there[0][1], FLAT))
    return Result(title, header, rows, [Chart(title, lines, "CPU us")], verdicts)


@contextlib.contextmanager
def set_up() -> Iterator[Place]:
    """The upstreams, in a temporary folder that is removed at the end. Raises BenchError."""
    cpus = Cpus()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-growth-")))
        os.sched_setaffinity(0, cpus.tools)
        stage.build(folder)
        exact = stack.enter_context(stage.upstream(folder, cpus, runs.kinds(folder, [SMALL, HELD])))
        idle = stack.enter_context(
            stage.upstream(folder, cpus, runs.kinds(folder, [IDLE]), name="upstream-idle", interval=3600)
        )
        yield Place(Bench(folder, cpus, Upstreams(exact, exact), []), idle)


def report(results: Sequence[Result]) -> str:
    parts = []
    for result in results:
        verdicts = "".join(
            f"* {what}: {shown(ratio)} x, {'flat' if ratio <= most else '**not flat**'} (at most {most:.2f})\n"
            for what, ratio, most in result.verdicts
        )
        parts.append(f"{table(result.header, result.rows)}\n{verdicts}")
    return "\n".join(parts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", default=[], choices=CURVES, help="may be repeated")
    parser.add_argument("--share", type=float, default=1.0, help="of all counts (default 1)")
    parser.add_argument("--repeat", type=int, default=5, help="turns, of which the median counts (default 5)")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md as it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows and verdicts, as JSON")
    return parser.parse_args()


def measure(names: Sequence[str], extent: Extent) -> list[Result]:
    """Raises BenchError."""
    results = []
    for name in names:
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        with set_up() as place:
            results.append(CURVES[name](place, extent))
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return results


def main() -> int:
    said = _arguments()
    leaving.on_signals()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began = time.monotonic()
    try:
        results = measure(said.only or list(CURVES), Extent(said.share, said.repeat))
    except (BenchError, OSError) as error:
        print(f"bench-growth: {error}", file=sys.stderr)
        return 1
    head = f"{pages.where_and_when()}. It took {time.monotonic() - began:.0f} s."
    text = report(results)
    print(f"\n{head}\n\n{text}")
    if said.json:
        said.json.write_text(json.dumps([result._asdict() for result in results], indent=1))
    if not said.no_docs and not said.only and said.share == 1:
        pages.write("growth", f"{head}\n\n{text}\n![Growth](performance-growth.svg)")
        pages.picture("performance-growth.svg", curves([chart for result in results for chart in result.charts]))
    return int(any(ratio > most for result in results for _, ratio, most in result.verdicts))


if __name__ == "__main__":
    sys.exit(main())
