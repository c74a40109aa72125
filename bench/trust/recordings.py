"""Recorded answers of many providers, served byte for byte: is the charge what the provider said that it charged?

    .venv/bin/python bench/trust/recordings.py [--scale F] [--seed S]

Every recording of ../shared/wire/recordings that is an answer of one of the three APIs goes through a gateway, at scale
1 asked for in each API, so that two of three are translated on their way. Those with a cost in them must be charged
that and nothing else, rounded half-even to a nanodollar once; under BYOK `cost` is the gateway's fee, and the fee alone
is charged. Of the others usage and computed cost are listed; `tests/test_metering_examples.py` has some of them worked
out by hand. Amazon's binary streams are left out: no provider here speaks them.
"""
# ruff: noqa: ASYNC110 # looks at what tells nobody that it changed

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import oracle
import stage
import stories
from leaver import call
from stage import Figures

from trivium.mock import Match, Reply, Rule, Script, ScriptedUpstream

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "wire" / "recordings"
SUFFIXES = (".json", ".sse")
AT_ONCE = 16
TICKS_PER_USD = 10**10
NAMES = {"google-compat": "google", "xai-openai-compatible": "xai"}
"""What the folders call otherwise than a configuration would."""
KINDS = ("openrouter", "vercel", "openai", "anthropic")
"""Providers that have a row of their own; the others are compatible with somebody."""
_COLUMNS = (
    "client_app, cost_nano, cost_source, flags, error_code, input_uncached_tokens, cache_read_tokens,"
    " cache_write_5m_tokens + cache_write_1h_tokens + cache_write_other_tokens, output_tokens, reasoning_tokens,"
    " server_tools, service_tier"
)


class Recording(NamedTuple):
    api: str
    provider: str
    case: str
    body: Path
    stream: bool
    model: str
    generation: str | None
    told: Fraction | None
    """USD that the provider said it charged."""

    @property
    def place(self) -> str:
        return f"{self.api}/{self.provider}/{self.case}"


def recordings(folder: Path = RECORDINGS) -> Iterator[Recording]:
    for meta_file in sorted(folder.glob("*/*/*/meta.json")):
        api, provider, case = meta_file.parts[-4:-1]
        meta = json.loads(meta_file.read_text())
        body = next((path for path in meta_file.parent.glob("response.*") if path.suffix in SUFFIXES), None)
        if api in stories.APIS and meta["status"] == 200 and body is not None:
            said = list(_objects(body.read_bytes()))
            generation = meta["headers"].get("x-generation-id")
            yield Recording(
                api,
                NAMES.get(provider, provider),
                case,
                body,
                body.suffix == ".sse",
                _model(said),
                generation,
                reported(said),
            )


def _objects(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream, or the one of a body, with the digits of their numbers."""
    lines = [line[5:] for line in body.replace(b"\r", b"\n").split(b"\n") if line.startswith(b"data:")]
    for text in lines or [body]:
        try:
            said = json.loads(text, parse_float=Decimal)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield said


def _all(said: Any, name: str) -> Iterator[Any]:
    """The values of a member, wherever it lies."""
    if isinstance(said, dict):
        for key, value in said.items():
            if key == name and value is not None:
                yield value
            yield from _all(value, name)
    elif isinstance(said, list):
        for one in said:
            yield from _all(one, name)


def _model(said: list[dict[str, Any]]) -> str:
    return next((str(model) for one in said for model in _all(one, "model") if model), "unknown")


def reported(said: list[dict[str, Any]]) -> Fraction | None:
    """What the provider charged, by its own words: the last that it said."""
    usages = [usage for one in said for usage in _all(one, "usage") if isinstance(usage, dict)]
    gateways = [gateway for one in said for gateway in _all(one, "gateway") if isinstance(gateway, dict)]
    costs = [usage["cost"] for usage in usages if usage.get("cost") is not None]
    costs = costs or [gateway["cost"] for gateway in gateways if gateway.get("cost") is not None]
    if costs:
        return Fraction(str(costs[-1]))
    ticks = [usage["cost_in_usd_ticks"] for usage in usages if usage.get("cost_in_usd_ticks") is not None]
    return Fraction(ticks[-1], TICKS_PER_USD) if ticks else None


def settings(port: int, found: list[Recording]) -> str:
    """The recorded providers, under the names by which Trivium knows how they count and what they cost."""
    tables = ["[local]\nenabled = false\n"]
    for provider, api in sorted({(one.provider, one.api) for one in found}):
        kind = provider if provider in KINDS else "openai-compatible"
        tables.append(
            f'[providers.{provider}]\ntype = "{kind}"\nkey = "k"\nreports_cost = true\nbase_url = "http://127.0.0.1:{port}/v1"\n'
            f'apis = ["{api}"]\nmodels = ["*"]\n'
        )
    return "".join(tables)


class Call(NamedTuple):
    """One recording, asked for in one API."""

    name: str
    client: str
    recording: Recording

    def rule(self) -> Rule:
        recording = self.recording
        return Rule(Reply(file=str(recording.body), generation=recording.generation), Match(contains=self.question))

    @property
    def question(self) -> str:
        return f"This is {self.name}."

    @property
    def asked(self) -> dict[str, Any]:
        said = json.dumps(stories.ASKED[self.client]).replace(stories.QUESTION, self.question)
        model = f"{self.recording.provider}/{self.recording.model}"
        return {**json.loads(said), "model": model, "stream": self.recording.stream}


async def serve(gateway: stage.Gateway, port: int, calls: list[Call]) -> None:
    """Asks for each recording. A look-up of a record, which nobody recorded, is refused for good."""
    refused = Rule(Reply(status=400), Match(path="*/generation"))
    places = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Call) -> None:
        async with places:
            await call(gateway.port, gateway.key, stories.PATHS[asked.client], asked.asked, name=asked.name)

    async with ScriptedUpstream(Script([refused, *(asked.rule() for asked in calls)]), port=port):
        await asyncio.gather(*map(one, calls))
        deadline = time.monotonic() + 30
        while gateway.rows("SELECT count(*) FROM records")[0][0] < len(calls) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)


def run(scale: float, folder: Path) -> Figures:
    found = list(recordings())
    if not found:
        return Figures(lines=(f"no recordings at {RECORDINGS}",))
    numbers = itertools.count()
    calls: list[Call] = []
    rows: dict[str, tuple[Any, ...]] = {}
    for api in stories.APIS:
        clients = stories.APIS if scale >= 1 else (api,)
        mine = [Call(f"c{next(numbers)}", client, one) for one in found if one.api == api for client in clients]
        port = stage.free_port()
        gateway = stage.Gateway(folder / api, settings(port, [asked.recording for asked in mine]))
        with stage.running(gateway):
            asyncio.run(serve(gateway, port, mine))
            rows |= {row[0]: row for row in gateway.rows(f"SELECT {_COLUMNS} FROM records")}  # noqa: S608
        calls += mine
    return judged(calls, rows)


def judged(calls: list[Call], rows: dict[str, tuple[Any, ...]]) -> Figures:
    lost = [asked for asked in calls if asked.name not in rows]
    kept = [(asked, rows[asked.name]) for asked in calls if asked.name in rows]
    differences, listed = [], []
    sources: Counter[str] = Counter()
    for asked, (_, nano, source, flags, error, *tokens) in kept:
        told, place = asked.recording.told, asked.recording.place
        if told is not None:
            sources[asked.recording.provider] += 1
            due = oracle.Due(oracle.rounded(told), "reported")
            if (nano, source) != (due.nano, due.source):
                differences.append(f"{place} asked in {asked.client}: {nano} {source} {flags} {error}, expected {due}")
        elif asked.client == asked.recording.api:
            names = ("input", "read", "written", "output", "reasoning", "tools", "tier")
            usage = " ".join(f"{name}={count}" for name, count in zip(names, tokens, strict=True) if count)
            listed.append(f"{place} {asked.recording.model}: {usage or 'no usage'}: {nano} n$ {source} {flags}")
    counted = ", ".join(f"{provider} {count}" for provider, count in sorted(sources.items()))
    lines = [
        f"{len(calls)} answers, {sum(sources.values())} with a cost ({counted}): {len(differences)} differences",
        *differences,
        *(f"no record: {asked.recording.place} asked in {asked.client}" for asked in lost),
        *listed,
    ]
    return Figures(lost=len(lost), charge_differences=len(differences), lines=tuple(lines))


if __name__ == "__main__":
    sys.exit(stage.main("recordings", run))
