"""What is measured: the cases, and one run of one of them through one gateway, checked on both sides.

A gateway is asked in its own way (`stage.Way`). Whoever passes bytes on is held to every byte; whoever writes requests
or answers anew is held to what they say, by the second upstream and by the words that an answer must end with.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import bodies
import stage
from books import Books, Written
from stage import BenchError, Cpus, Gateway

SETTLE = 0.15
"""Seconds after a run in which a gateway may finish its books (Trivium writes its records every 100 ms)."""
PACED_STREAMS = 300
"""With fewer, the cost of waking an idle CPU is most of an event's, and differs from minute to minute."""

TOKENS = 512 + 140
"""Of a request and its answer, as the upstream says (wire.h)."""

APART = 17
"""Intervals over which these start: a number that does not divide theirs, so that each has a phase of its own."""


class Case(NamedTuple):
    name: str
    label: str
    kind: str
    """What the upstream answers: whole, stream or paced."""
    body: bytes
    connections: int
    cost_nano: int = 0
    """What Trivium must charge for a request."""

    @property
    def unit(self) -> str:
        return "requests" if self.kind == "whole" else "events"

    def options(self, seconds: float, streams: int) -> list[object]:
        """For the load generator. Paced streams start one after the other, no two of them in step: those that a gateway
        takes together would stay together, and several events at once are cheaper than anybody's are."""
        if self.kind == "paced":
            return ["-c", streams, "-e", stage.EVENTS, "-n", streams, "-r", streams / (APART * stage.INTERVAL)]
        if self.kind == "stream":
            return ["-c", streams, "-s", seconds, "-e", stage.EVENTS]
        return ["-c", self.connections, "-s", seconds]

    def booked(self, requests: int) -> Written:
        """What Trivium must have written about so many."""
        cost, held = requests * self.cost_nano, requests if self.cost_nano else 0
        return Written(requests, requests * TOKENS, cost, held, spent_nano=cost)


SMALL = Case("small", "small request", "whole", bodies.small(), 32)
LARGE = Case("64k", "64 KB request", "whole", bodies.large(), 16)
EVENT = Case("event", "streamed event", "stream", bodies.stream(2 * bodies.KIB + 8), 16)
PACED = Case("paced", "event every 20 ms", "paced", bodies.stream(2 * bodies.KIB + 16), PACED_STREAMS)
TRANSLATED = Case("translated", "translated event", "stream", bodies.messages(2 * bodies.KIB + 24), 16)
"""A client of Messages, an upstream of Chat Completions."""
HELD = Case(
    *("held", "small request, durable hold", "whole", bodies.small(2 * bodies.KIB + 32, model="gpt-priced"), 32),
    cost_nano=512 * 2_500 + 140 * 10_000,
)
"""A priced model and a key with a budget."""

CASES = (SMALL, LARGE, EVENT, PACED)
ALL_CASES = (*CASES, TRANSLATED, HELD)


class Bench(NamedTuple):
    """All that runs."""

    folder: Path
    cpus: Cpus
    upstreams: stage.Upstreams
    gateways: Sequence[Gateway]

    def run(
        self, case: Case, gateway: Gateway, seconds: float, options: Sequence[object] | None = None
    ) -> dict[str, Any]:
        """One run: the load generator's figures, and CPU microseconds per request or event. Raises BenchError."""
        way = gateway.ways[case.name]
        upstream = self.upstreams.of(way)
        if options is None:
            options = case.options(seconds, way.streams or case.connections)
        books = Books(gateway.ask) if gateway.ask else None
        served, cpu, wanted = counts(upstream), gateway.program.cpu(), gateway.program.wanted()
        options = ["-b", body_file(self.folder, case, way), *options]
        result = stage.load(self.folder, self.cpus, gateway.port, way, options, seconds=seconds)
        wanted = gateway.program.wanted() - wanted
        time.sleep(SETTLE)
        unlike = books.unlike(case.booked(result["requests"])) if books else {}
        cpu = gateway.program.cpu() - cpu
        served = {name: count - served[name] for name, count in counts(upstream).items()}
        check(case, gateway.name, result, _sent_on(result, served) | unlike)
        return {
            "case": case.name,
            "gateway": gateway.name,
            "cpu_us_each": cpu * 1e6 / result[case.unit],
            "saturation": wanted / result["seconds"],
            **result,
        }

    def measure(self, cases: Sequence[Case], seconds: float, repeat: int) -> list[dict[str, Any]]:
        """All runs of all gateways that know the case, in turns. Raises BenchError."""
        for gateway in self.gateways:
            check_keys(gateway)
            for case in cases:
                if case.kind != "paced" and case.name in gateway.ways:
                    self.run(case, gateway, 0.3)
        turns = [(case, gateway) for _ in range(repeat) for case in cases for gateway in self.gateways]
        return [self.run(case, gateway, seconds) for case, gateway in turns if case.name in gateway.ways]


def body_file(folder: Path, case: Case, way: stage.Way) -> Path:
    """The case's body, with the model's name as the gateway knows it."""
    path = folder / (f"{case.name}.json" if way.model is None else f"{case.name}-{way.model.replace(':', '-')}.json")
    if not path.exists():
        body = case.body if way.model is None else case.body.replace(b'"gpt-mock"', f'"{way.model}"'.encode())
        path.write_bytes(body)
    return path


def kinds(folder: Path, cases: Iterable[Case]) -> list[str]:
    """The cases as upstream.c wants them."""
    return [f"{case.kind}={body_file(folder, case, stage.Way())}" for case in cases]


def small_body() -> bytes:
    """A small request by itself."""
    return SMALL.body.replace(b"serial=0", b"serial=1")


def check_keys(gateway: Gateway) -> None:
    """A gateway that lets everybody in would be measured without what it is for. Raises BenchError."""
    if not gateway.has_keys:
        return
    status, refused = stage.ask_small(gateway, small_body()), stage.ask_small(gateway, small_body(), "wrong")
    if status != 200 or refused not in (400, 401, 403):
        raise BenchError(f"{gateway.name}: {status} with its key, {refused} with a wrong one; expected 200 and 401")


def of(runs: Sequence[Mapping[str, Any]], case: str, gateway: str, *path: str) -> list[float]:
    """A figure of every run of a case through a gateway."""
    found: list[Any] = [run for run in runs if (run["case"], run["gateway"]) == (case, gateway)]
    for key in path:
        found = [value[key] for value in found]
    return found


def not_saturated(runs: Sequence[dict[str, Any]], cases: Sequence[Case], gateways: Sequence[str]) -> Iterable[str]:
    """What to doubt: a gateway that nobody waited for."""
    for case in cases:
        for name in gateways:
            shares = of(runs, case.name, name, "saturation")
            if case.kind != "paced" and shares and (share := median(shares)) < 0.8:
                yield f"{case.label}: {name} was not at saturation: it wanted its CPU {share:.0%} of the time"


def machine() -> dict[str, str]:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": model, "kernel": platform.release(), "python": platform.python_version()}


def counts(port: int) -> dict[str, int]:
    """What an upstream has counted."""
    said: dict[str, int] = json.loads(stage.ask(port, "GET", "/counts")[1])
    return said


def _sent_on(result: Mapping[str, Any], served: Mapping[str, int]) -> dict[str, object]:
    """What the upstream has to say against a run."""
    bad: dict[str, object] = {
        f"upstream's {name}": count for name, count in served.items() if name != "requests" and count
    }
    return bad if served["requests"] == result["requests"] else {**bad, "requests sent on": served["requests"]}


def check(case: Case, name: str, result: Mapping[str, Any], more: Mapping[str, object]) -> None:
    """Nothing may be wrong by the load generator, and there must not be `more` that is. Raises BenchError."""
    bad = {said: result[said] for said in ("errors", "wrong_status", "wrong_type", "wrong_body") if result[said]}
    bad |= more
    if bad or not result[case.unit]:
        words = "\n".join(result["complaints"])
        raise BenchError(f"{name}, {case.label}: {result['requests']} good requests, but {bad}\n{words}")
