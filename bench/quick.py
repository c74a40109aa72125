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
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, NoReturn

import bodies
import stage
from stage import BenchError, Cpus, Gateway

SETTLE = 0.15
"""Seconds after a run in which a gateway may finish its books (Trivium writes its records every 100 ms)."""
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PACED_STREAMS = 300
"""With fewer, the cost of waking an idle CPU is most of an event's, and differs from minute to minute."""


class Case(NamedTuple):
    name: str
    label: str
    kind: str
    """What the upstream answers: whole, stream or paced."""
    body: bytes
    connections: int

    @property
    def unit(self) -> str:
        return "requests" if self.kind == "whole" else "events"

    def options(self, folder: Path, seconds: float) -> list[object]:
        """For the load generator. Paced streams start one after the other over an interval, as nobody's are in step."""
        common: list[object] = ["-b", folder / f"{self.name}.json", "-c", self.connections]
        if self.kind == "paced":
            return [*common, "-e", stage.EVENTS, "-n", self.connections, "-r", self.connections / stage.INTERVAL]
        return [*common, "-s", seconds, *(["-e", stage.EVENTS] if self.kind == "stream" else [])]


CASES = (
    Case("small", "small request", "whole", bodies.small(), 32),
    Case("64k", "64 KB request", "whole", bodies.large(), 16),
    Case("event", "streamed event", "stream", bodies.stream(2 * bodies.KIB + 8), 16),
    Case("paced", "event every 20 ms", "paced", bodies.stream(2 * bodies.KIB + 16), PACED_STREAMS),
)


class Bench(NamedTuple):
    """All that runs."""

    folder: Path
    cpus: Cpus
    upstream_port: int
    gateways: Sequence[Gateway]

    def run(self, case: Case, gateway: Gateway, seconds: float) -> dict[str, Any]:
        """One run: the load generator's figures, and CPU microseconds per request or event. Raises BenchError."""
        served, cpu, wanted = self._counts(), gateway.program.cpu(), gateway.program.wanted()
        result = stage.load(self.folder, self.cpus, gateway, case.options(self.folder, seconds), seconds)
        wanted = gateway.program.wanted() - wanted
        time.sleep(SETTLE)
        cpu = gateway.program.cpu() - cpu
        _check(case, gateway, result, {name: count - served[name] for name, count in self._counts().items()})
        return {
            "case": case.name,
            "gateway": gateway.name,
            "cpu_us_each": cpu * 1e6 / result[case.unit],
            "saturation": wanted / result["seconds"],
            **result,
        }

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = json.loads(stage.ask(self.upstream_port, "GET", "/counts")[1])
        return counts


def _check(case: Case, gateway: Gateway, result: dict[str, Any], served: dict[str, int]) -> None:
    bad = {name: result[name] for name in ("errors", "wrong_status", "wrong_body") if result[name]}
    bad |= {f"upstream's {name}": served[name] for name in ("wrong", "cut") if served[name]}
    if served["requests"] != result["requests"]:
        bad["requests sent on"] = served["requests"]
    if bad or not result[case.unit]:
        words = "\n".join(result["complaints"])
        raise BenchError(f"{gateway.name}, {case.label}: {result['requests']} good requests, but {bad}\n{words}")


@contextlib.contextmanager
def set_up(cpus: Cpus) -> Iterator[Bench]:
    """Everything started, in a temporary folder; everything gone afterwards, come what may. Raises BenchError."""
    binary = stage.find_nginx()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-bench-")))
        os.sched_setaffinity(0, cpus.tools)
        stage.build(folder)
        for case in CASES:
            (folder / f"{case.name}.json").write_bytes(case.body)
        kinds = [f"{case.kind}={folder / case.name}.json" for case in CASES]
        port = stack.enter_context(stage.upstream(folder, cpus, kinds))
        gateways = [stack.enter_context(stage.nginx(binary, folder, cpus, port))] if binary else []
        gateways.append(stack.enter_context(stage.trivium(folder, cpus, port)))
        yield Bench(folder, cpus, port, gateways)


def measure(bench: Bench, seconds: float, repeat: int) -> list[dict[str, Any]]:
    """All runs, in turns. Raises BenchError."""
    _check_keys(bench)
    for gateway in bench.gateways:
        for case in CASES:
            if case.kind != "paced":
                bench.run(case, gateway, 0.3)
    turns = [(case, gateway) for _ in range(repeat) for case in CASES for gateway in bench.gateways]
    return [bench.run(case, gateway, seconds) for case, gateway in turns]


def _check_keys(bench: Bench) -> None:
    """A gateway that lets everybody in would be measured without what it is for."""
    for gateway in (gateway for gateway in bench.gateways if gateway.headers):
        asked = (gateway.port, "POST", "/v1/chat/completions", CASES[0].body.replace(b"serial=0", b"serial=1"))
        status, refused = stage.ask(*asked, gateway.headers)[0], stage.ask(*asked, ["Authorization: Bearer wrong"])[0]
        if (status, refused) != (200, 401):
            raise BenchError(f"{gateway.name}: {status} with its key, {refused} with a wrong one; expected 200 and 401")


def report(bench: Bench, runs: Sequence[dict[str, Any]], memory: dict[str, list[float]]) -> None:
    """The table, what to doubt, and the closing line."""
    names = [gateway.name for gateway in bench.gateways]
    ratios = [_figure(runs, case, names) if len(names) > 1 else "" for case in CASES]
    print("\n" + _row("CPU us, median (lowest-highest)", names, "ratio" if len(names) > 1 else ""))
    for case, ratio in zip(CASES, ratios, strict=True):
        print(_row(case.label, [_spread(_of(runs, case, name, "cpu_us_each")) for name in names], ratio))
    print(_row("memory MB, at rest -> after", [" -> ".join(f"{size:.1f}" for size in memory[name]) for name in names]))
    delays = [[median(_of(runs, CASES[-1], name, "delay_us", part)) for part in ("p50", "p99")] for name in names]
    print(_row("delay of a paced event us, p50/p99", [" / ".join(f"{delay:.0f}" for delay in pair) for pair in delays]))
    for doubt in _doubts(bench, runs, names):
        print(f"note: {doubt}")
    figures = " ".join(f"{case.name}={_figure(runs, case, names)}" for case in CASES)
    print(f"{figures} ({'nginx = 1' if len(names) > 1 else 'no nginx, so no ratio: CPU time per request or event'})")


def _doubts(bench: Bench, runs: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[str]:
    if len(names) == 1:
        yield "nginx is missing, and with it the floor: these are absolute figures of this machine at this moment"
    if bench.cpus.note:
        yield bench.cpus.note
    for case in CASES[:-1]:
        for name in names:
            if (saturation := median(_of(runs, case, name, "saturation"))) < 0.8:
                yield f"{case.label}: {name} was not at saturation: it wanted its CPU {saturation:.0%} of the time"


def _of(runs: Sequence[dict[str, Any]], case: Case, gateway: str, *path: str) -> list[float]:
    found: list[Any] = [run for run in runs if (run["case"], run["gateway"]) == (case.name, gateway)]
    for key in path:
        found = [value[key] for value in found]
    return found


def _row(label: str, cells: Sequence[str], ratio: str = "") -> str:
    return (f"{label:<36}" + "".join(f"{cell:>26}" for cell in cells) + f"{ratio:>8}").rstrip()


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _figure(runs: Sequence[dict[str, Any]], case: Case, names: Sequence[str]) -> str:
    """The ratio of the last gateway to the first, or the only one's microseconds."""
    first, last = (median(_of(runs, case, name, "cpu_us_each")) for name in (names[0], names[-1]))
    return f"{last / first:.1f}x" if len(names) > 1 else f"{last:.3g}us"


def _machine() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": model, "kernel": platform.release(), "python": platform.python_version()}


def _leave(number: int, _frame: object) -> NoReturn:
    """Once: what tidies up is not to be interrupted."""
    for other in _INTERRUPTS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


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
    if sys.platform != "linux":
        print(
            "bench-quick measures with Linux's CPU clocks, epoll and affinity: it runs on Linux only", file=sys.stderr
        )
        return 1
    for number in _INTERRUPTS:
        signal.signal(number, _leave)
    started = time.monotonic()
    try:
        with set_up(Cpus()) as bench:
            memory = {gateway.name: [gateway.program.memory()] for gateway in bench.gateways}
            runs = measure(bench, arguments.seconds, arguments.repeat)
            for gateway in bench.gateways:
                memory[gateway.name].append(gateway.program.memory())
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench-quick: {error}", file=sys.stderr)
        return 1
    machine = _machine()
    print(f"{' | '.join(machine.values())} | {time.monotonic() - started:.0f} s")
    report(bench, runs, memory)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "memory_mb": memory, "runs": runs}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
