"""Clients and upstreams that break off at every event and at any byte: is the charge what the rule says?

    .venv/bin/python bench/trust/aborts.py [--scale F] [--seed S]

Each client API, each upstream API, stream and whole; calls that are cut and calls that are read to their end; usage
that comes early, late or never, costs that the provider tells, generation records, errors in the answer. A call is
right where some beginning of the answer that the gateway can have seen explains its charge, flag and source, and where
`content_bytes` is between what the client got and what the upstream sent. Each call has one record, whatever it met.
"""
# ruff: noqa: ASYNC110, S311 # looks at what tells nobody that it changed; chance is not a secret

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import oracle
import stage
import stories
from leaver import QUIET, Got, Leave, call, raise_limits
from stage import Figures
from stories import APIS, Story

from trivium.mock import Generation, Match, Reply, Rule, Script, ScriptedUpstream

OFFSETS = 1_000
"""Random places for each pair of APIs, stream and whole, and each side."""
VARIANTS = 18
"""Kinds of answers, times cut and read to the end: so many calls break at each border of events."""
BATCH = 200
AT_ONCE = 40
DRAIN_LIMIT = 0.6
ENDS = ("close", "end", "reset")
LATE = 2000 * QUIET
"""Milliseconds."""
NOTICED = 0.1
"""Seconds in which a gateway notices that a client has left."""
_COLUMNS = "requested_model, cost_nano, cost_source, flags, content_bytes, upstream_status, outcome"


class Case(NamedTuple):
    client: str
    story: Story
    drains: bool
    leave: Leave
    cut: int | None = None
    """Bytes of its answer after which the upstream does something."""
    abort: str | None = None
    pace: str = "at once"
    """Or `slow`, an event after the other, or `late`, when a client that leaves has left."""

    @property
    def provider(self) -> str:
        kept = "kept" if self.story.plot.keeps_records else "plain"
        return f"{'drain' if self.drains else 'cancel'}-{self.story.api}-{kept}"

    @property
    def sent(self) -> int:
        """Bytes that the upstream sends at the most."""
        return len(self.story.body) if self.cut is None else min(self.cut, len(self.story.body))

    def reply(self) -> Reply:
        body = self.story.body.decode()
        said: dict[str, Any] = {"sse": body} if self.story.stream else {"body": body}
        if self.cut is not None and (self.story.stream or self.cut < len(self.story.body)):
            # Silence behind a whole answer would meet the next call on the connection.
            said |= {"abort": self.abort, "abort_after_bytes": self.cut}
        if self.story.plot.keeps_records:
            said["generation"] = "gen-x" if self.story.plot.recorded else "gen-none"
        if self.story.plot.padded:
            said["chunk_bytes"] = stories.CUT
        slow = self.pace == "slow" or self.story.plot.padded
        return Reply(**said, event_delay_ms=1 if slow else 0, first_event_delay_ms=LATE if self.pace == "late" else 0)

    def asked(self, model: str) -> dict[str, Any]:
        asked = {**stories.ASKED[self.client], "model": f"{self.provider}/{model}", "stream": self.story.stream}
        limit = "max_output_tokens" if self.client == "responses" else "max_tokens"
        options = {"stream_options": {"include_usage": True}} if self.client == "chat" and self.drains else {}
        return asked | {limit: self.max_tokens} | options

    @property
    def max_tokens(self) -> int:
        """A limit that some estimates would exceed."""
        return 25 if len(self.story.plot.name) % 2 else 100

    @property
    def passes_unread(self) -> bool:
        return self.story.plot.padded and self.client == self.story.api

    def seen(self, got: Got, *, reached: bool) -> tuple[int, int]:
        """Between how many events the gateway must, and can, have seen. `reached`: it has the upstream's status."""
        story = self.story
        most = story.events_in(self.sent)
        if self.leave == Leave():
            most = story.told_in(self.sent) if self.abort == "end" else most
            least = 0 if self.abort == "reset" else most
        elif self.drains and (got.status or (reached and self.pace == "late")):
            least = most
        elif self.passes_unread:
            least = 0
        else:
            least = most if got.status and not story.stream else min(self._events_behind(got), most)
        if self.client != story.api:
            # What follows an error in the answer is not read.
            failed = next((n for n, told in enumerate(story.after) if told.failed), least)
            least = min(least, failed)
        return least, most

    def _events_behind(self, got: Got) -> int:
        """How many events of the upstream's there must have been for what the client has."""
        if self.client == self.story.api:
            return got.body.count(b"\n\n")
        content = received(self, got)
        return next(n for n, told in enumerate(self.story.after) if told.content >= content)

    def __str__(self) -> str:
        kind = "stream" if self.story.stream else "whole"
        how = f"the client leaves: {self.leave}" if self.leave != Leave() else f"the upstream: {self.abort}"
        size = f"{self.cut} of {len(self.story.body)} bytes"
        return f"{self.client} to {self.provider}, {kind}, {self.story.plot.name}, {how}, {size}"


class Played(NamedTuple):
    """A case, and what the client knows of it."""

    case: Case
    model: str
    """As the record names it."""
    got: Got
    size: int
    """Bytes of the request."""
    left_at: float
    """Seconds since the epoch."""


class Tally:
    """What was found."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.ambiguous = 0
        self.lost = 0
        self.wrong: list[str] = []

    def judge(self, played: Played, row: tuple[Any, ...] | None, arrived: float | None) -> None:
        """One call against its record. `arrived` is when the upstream heard of it."""
        case, got = played.case, played.got
        self.calls["client" if case.leave != Leave() else "upstream"] += 1
        if row is None:
            self.lost += 1
            return
        _, nano, source, flags, content, upstream_status, outcome = row
        reached = upstream_status == 200
        least, most = case.seen(got, reached=reached)
        asked = oracle.Asked(played.size, case.max_tokens)
        told = case.story.after[least : most + 1]
        dues = {oracle.due(one, case.story.plot, content, asked, reached=reached) for one in told}
        found = oracle.Due(nano, source, "estimated" in flags.split())
        self.ambiguous += len(dues) > 1
        self.sources[str(source)] += 1
        fewest, largest = received(case, got), case.story.after[most].content
        if case.pace == "late" and arrived is not None and played.left_at + NOTICED < arrived + LATE / 1000:
            largest = 0  # it had left before anything was said
        elif case.passes_unread:
            # Of what broke off, its length counts.
            fewest, largest = min(fewest, largest), max(largest, case.sent - len(stories.PADDING))
        if found not in dues or not fewest <= content <= largest:
            bounds = f"content {fewest} <= {content} <= {largest}"
            self.wrong.append(f"{case}: {outcome}, {found}, expected {sorted(dues)}, {bounds}, seen {least} to {most}")

    def figures(self, books: Figures) -> Figures:
        calls = ", ".join(f"{count} broken by the {side}" for side, count in sorted(self.calls.items()))
        sources = ", ".join(f"{name} {count}" for name, count in sorted(self.sources.items()))
        lines = (f"{calls}; charges: {sources}", f"{self.ambiguous} with more than one charge that would be right")
        mine = Figures(lost=self.lost, charge_differences=len(self.wrong), lines=(*lines, *self.wrong[:20]))
        return stage.added([mine, books])


def received(case: Case, got: Got) -> int:
    """Bytes of content in the whole events, or in the whole answer, that the client read."""
    if got.status != 200:
        return 0
    reader = stories.Reader(case.client)
    if case.story.stream:
        return max(reader.read(event).content for event in got.body.split(b"\n\n")[:-1] or [b""])
    if got.whole:
        return reader.read(got.body).content
    return len(got.body.lstrip()) if case.passes_unread else 0


def settings(port: int) -> str:
    """A provider for each API, cut or read on, with and without records of its generations."""
    price = ", ".join(f'{name} = "{usd}"' for name, usd in oracle.RATES.items())
    tables = [
        f'[providers.{how}-{api}-{kept}]\ntype = "{kind}"\nkey = "k"\nreports_cost = true\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        f'apis = ["{api}"]\nmodels = ["*"]\non_abort = "{how}"\ndrain_limit = {DRAIN_LIMIT}\n'
        for how, api, (kept, kind) in itertools.product(
            ("cancel", "drain"), APIS, (("plain", "openai-compatible"), ("kept", "openrouter"))
        )
    ]
    priced = f'[models."*/*"]\nprice = {{ {price} }}\n'
    return "".join(['[local]\nenabled = false\n[billing]\nmode = "credits"\n', priced, *tables])


def borders(told: dict[tuple[str, bool, str], Story], variants: int) -> Iterator[Case]:
    """Each border of events, both sides. A part of the variants takes turns."""
    turn = itertools.count()
    for client, api, stream in itertools.product(APIS, APIS, (True, False)):
        kinds = [(one, drains) for key, one in told.items() if key[:2] == (api, stream) for drains in (False, True)]
        longest = max(len(story.events) for story, _ in kinds)
        for place in range(longest + 1):
            fitting = [kind for kind in kinds if place <= len(kind[0].events)]
            for _ in range(min(variants, len(fitting))):
                at = next(turn)
                story, drains = fitting[at % len(fitting)]
                cut = story.ends[place]
                yield Case(client, story, drains, Leave(), cut, ENDS[at % 3])
                yield Case(client, story, drains, Leave(when_quiet=True, reset=at % 2 == 0), cut, "stall")


def offsets(told: dict[tuple[str, bool, str], Story], count: int, dice: random.Random) -> Iterator[Case]:
    """Random bytes, both sides."""
    for client, api, stream in itertools.product(APIS, APIS, (True, False)):
        kinds = [one for key, one in told.items() if key[:2] == (api, stream)]
        for _ in range(count):
            story = dice.choice(kinds)
            yield Case(client, story, dice.random() < 0.5, Leave(), dice.randrange(len(story.body)), dice.choice(ENDS))
            story, drains, reset = dice.choice(kinds), dice.random() < 0.5, dice.random() < 0.5
            place = dice.randrange(len(story.body))
            kind = dice.random()
            if kind < 0.3:
                yield Case(client, story, drains, Leave(when_quiet=True, reset=reset), place, "stall")
            elif kind < 0.4 and not story.plot.padded:
                yield Case(client, story, drains, Leave(when_quiet=True, reset=reset), pace="late")
            else:
                yield Case(
                    client, story, drains, Leave(place, reset=reset), pace=dice.choice(("at once", "slow", "slow"))
                )


class Theatre:
    """Plays cases against one gateway, whose upstream is put up anew for each batch."""

    def __init__(self, gateway: stage.Gateway, port: int) -> None:
        self._gateway = gateway
        self._port = port
        self._numbers = itertools.count()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.tally = Tally()

    async def play(self, cases: list[Case]) -> None:
        """The calls of a batch, judged once each has its record."""
        named = {f"c{next(self._numbers)}": case for case in cases}
        async with self._upstream(named) as upstream:
            played = await asyncio.gather(*(self._call(name, case) for name, case in named.items()))
            deadline = time.monotonic() + 30
            names = [one.model for one in played]
            while len(rows := self.records(names)) < len(names) and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            self._judge(played, rows, upstream)

    async def play_last(self, cases: list[Case]) -> None:
        """Calls whose records come when the gateway ends."""
        named = {f"c{next(self._numbers)}": case for case in cases}
        async with self._upstream(named) as upstream:
            played = await asyncio.gather(*(self._call(name, case) for name, case in named.items()))
            await asyncio.to_thread(self._gateway.stop)
            self._judge(played, self.records([one.model for one in played]), upstream)

    def _upstream(self, named: dict[str, Case]) -> ScriptedUpstream:
        """Says to each case what is its own."""
        rules = [Rule(case.reply(), Match(model=name)) for name, case in named.items()]
        script = Script(rules, generations=[Generation(id="gen-x", record=stories.RECORD)])
        return ScriptedUpstream(script, port=self._port)

    async def _call(self, name: str, case: Case) -> Played:
        async with self._places:
            asked = case.asked(name)
            try:
                got = await call(self._gateway.port, self._gateway.key, stories.PATHS[case.client], asked, case.leave)
            except TimeoutError:
                raise stage.TrustError(f"no answer: {case}") from None
            return Played(case, f"{case.provider}/{name}", got, len(json.dumps(asked)), time.time())

    def _judge(self, played: list[Played], rows: dict[str, tuple[Any, ...]], upstream: ScriptedUpstream) -> None:
        asked = [request for request in upstream.requests if isinstance(request.json, dict)]
        arrived = {request.json["model"]: request.arrived for request in asked}
        for one in played:
            self.tally.judge(one, rows.get(one.model), arrived.get(one.model.rpartition("/")[2]))

    def records(self, names: list[str]) -> dict[str, tuple[Any, ...]]:
        marks = ", ".join("?" * len(names))
        found = self._gateway.rows(f"SELECT {_COLUMNS} FROM records WHERE requested_model IN ({marks})", *names)  # noqa: S608
        return {row[0]: row for row in found}


async def perform(gateway: stage.Gateway, port: int, scale: float) -> Tally:
    told = await stories.stories(stories.PLOTS)
    unrecorded = await stories.stories([stories.UNRECORDED])
    theatre = Theatre(gateway, port)
    cases = [
        *borders(told, max(1, round(VARIANTS * scale))),
        *offsets(told, max(1, round(OFFSETS * scale)), random.Random(random.getrandbits(32))),
    ]
    for at in range(0, len(cases), BATCH):
        await theatre.play(cases[at : at + BATCH])
    # The search for a record that is not there goes on until the gateway ends.
    last = [*borders(unrecorded, 1)][:: max(1, round(2 / scale))]
    await theatre.play_last(last)
    return theatre.tally


def run(scale: float, folder: Path) -> Figures:
    raise_limits()
    port = stage.free_port()
    gateway = stage.Gateway(folder / "gateway", settings(port))
    try:
        gateway.start()
        gateway.ask("credits.grant", account="default", usd="1000000")
        tally = asyncio.run(perform(gateway, port, scale))
        return tally.figures(stage.books(gateway.rows))
    finally:
        gateway.kill()


if __name__ == "__main__":
    sys.exit(stage.main("aborts", run))
