"""How long each page of the dashboard takes over a store with many records, and how heavy it is: `make bench-pages`.

    .venv/bin/python bench/page_times.py [--folder F] [--records N] [--repeat N] [--no-docs] [--json FILE]

A folder without a store is filled first (`trivium dev seed`: 10,000,000 records take 10 GB); one that has a store is
taken as it is, so that another run takes a minute. A gateway is started on it; the house, an owner and a member of an
organization sign in, and each goes through every page that links lead to, and besides through usage by every group in
every period, narrowed usage, searches, the tail, a story, and files. Every page is asked for several times, in turns.
Status 1 where one takes longer than 200 ms (median) or has more than 300 KB. Today and this week have calls in them on
the day on which the store was made.
"""
# ruff: noqa: S603, T201 # starts a gateway and prints its report

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import leaving
import pages
import stage
from browsing import Browser
from gateways import trivium_env
from stage import BenchError, Program
from tables import shown, table

FOLDER = Path(__file__).parent.parent / "build" / "bench-pages"
MOST_MS, MOST_KB = 200, 300
GROUPS = ("model", "provider", "key", "user", "project", "app", "api", "organization", "outcome")
DAYS = 90
"""Of the longest period, which is all that `trivium dev seed` fills."""
PEOPLE = {"house": None, "owner": "acme-1", "member": "acme-3"}
"""Who looks, by the ids that `trivium dev seed` gives."""
_CONFIG = "[local]\nenabled = false\n"
_SPACES = re.compile(r"/dashboard/(house|me|[ou]/[^/?]+)(?=[/?]|$)")


class Fetch(NamedTuple):
    who: str
    what: str
    path: str


class Measured(NamedTuple):
    """Of a path, or of several that the report tells as one: the slowest median, the slowest of all, the heaviest."""

    median_ms: float
    highest_ms: float
    kb: float

    def is_wrong(self) -> bool:
        return self.median_ms > MOST_MS or self.kb > MOST_KB


@contextlib.contextmanager
def gateway(data: Path, records: int) -> Iterator[Mapping[str, Browser]]:
    """A gateway over a store, which is made if there is none, and everybody signed in. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="trivium-bench-") as name:
        folder, port = Path(name), stage.free_port()
        (folder / "trivium.toml").write_text(_CONFIG)
        env = trivium_env(folder) | {"TRIVIUM_DATA": str(data), "TRIVIUM_PORT": str(port)}
        if not (data / "trivium.db").exists():
            _trivium(env, "dev", "seed", "--records", str(records))
        program = Program("trivium", [sys.executable, "-m", "trivium", "up"], folder, os.sched_getaffinity(0), env)
        with stage.running(program):
            stage.wait_until_ready(program, port)
            yield {who: Browser(link(env, user)) for who, user in PEOPLE.items()}


def link(env: Mapping[str, str], user: str | None) -> str:
    """A link to sign in with. Raises BenchError."""
    asked = ["login-link", "--json", *(["--user", user] if user else [])]
    url: str = json.loads(_trivium(env, *asked, quiet=True))["url"]
    return url


def _trivium(env: Mapping[str, str], *words: str, quiet: bool = False) -> str:
    command = [sys.executable, "-m", "trivium", *words]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE if quiet else None, text=True, check=False)
    if done.returncode:
        raise BenchError(f"trivium {words[0]} failed")
    return done.stdout or ""


def fetches(who: str, browser: Browser) -> list[Fetch]:
    """Everything that somebody looks at."""
    walked = list(browser.walk())
    spaces = {found[0]: found[1] for path in walked if (found := _SPACES.match(path))}
    found = [Fetch(who, _named(path), path) for path in walked]
    for space, kind in spaces.items():
        found += [
            Fetch(who, what, space + path)
            for what, path in _more(browser, space)
            if kind == "house" or "=organization" not in path
        ]
    return list({one.path: one for one in found}.values())


def _more(browser: Browser, space: str) -> Iterator[tuple[str, str]]:
    """(what, path) of pages that no link leads to, in a space."""
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAYS * 86_400))
    month = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 29 * 86_400))
    periods = {"today": "day", "week": "week", "month": "month"}
    periods |= {"30 days": f"custom&since={month}", f"{DAYS} days": f"custom&since={since}"}
    only = "only=model:anthropic/claude-sonnet-4-5"
    for name, period in periods.items():
        for group in GROUPS:
            yield f"usage by {group}, all periods", f"/usage?period={period}&by={group}"
        yield f"usage by key of a model, {name}", f"/usage?period={period}&by=key&{only}"
        yield f"usage by model, without a program, {name}", f"/usage?period={period}&by=model&without=app:claude-cli"
        for form in ("csv", "json"):
            yield f"usage as {form.upper()}, all periods", f"/usage.{form}?period={period}&by=key"
    for name, query in _SEARCHES.items():
        yield f"requests: {name}", f"/requests?{query}"
    yield "requests: what has come in since", "/requests/tail"
    yield "home: its figures alone", "/live"
    if story := re.search(r"/requests/(req_\w+)", browser.get(f"{space}/requests").text):
        yield "a request as a story", f"/requests/{story[1]}"
        yield "requests: by an id", f"/requests?text={story[1]}"


_SEARCHES = {
    "the newest": "",
    "those of a model": "model=groq/llama-3.3-70b-versatile",
    "those of a program that failed": "app=codex_cli_rs&outcome=failed",
    "by a status": "status=504",
    "the dearest": "min_cost=1.5",
    "of a model that nobody asked for": "model=nobody/none",
    "by a part of an id": "text=ffff",
}


def _named(path: str) -> str:
    """A page that a link leads to, wherever it is and whatever it is about."""
    plain = _SPACES.sub("", path).partition("?")[0].strip("/")
    return "a request as a story" if plain.startswith("requests/") else f"/{plain}"


def measure(browsers: Mapping[str, Browser], repeat: int) -> dict[Fetch, Measured]:
    """Every page, in turns. Raises BenchError for one that is not there."""
    asked = [one for who, browser in browsers.items() for one in fetches(who, browser)]
    times: dict[Fetch, list[float]] = {one: [] for one in asked}
    weights: dict[Fetch, int] = {}
    for turn in range(repeat):
        for one in asked:
            page = browsers[one.who].get(one.path)
            if page.status != 200:
                raise BenchError(f"{one.who}: {one.path}: {page.status}")
            times[one].append(page.seconds * 1000)
            if not turn:
                weights[one] = browsers[one.who].weight(page)
    return {one: Measured(median(some), max(some), weights[one] / 1024) for one, some in times.items()}


def report(found: Mapping[Fetch, Measured]) -> str:
    """A line for each kind of page: of those that it stands for, the slowest and the heaviest."""
    rows = [[what, *_cells(found, what)] for what in dict.fromkeys(one.what for one in found)]
    heads = ["page: ms, median (highest)", *PEOPLE, "KB"]
    wrong = [
        f"* {one.who}: {one.path}: {told.median_ms:.0f} ms, {told.kb:.0f} KB"
        for one, told in found.items()
        if told.is_wrong()
    ]
    said = (
        [f"None takes longer than {MOST_MS} ms or has more than {MOST_KB} KB."]
        if not wrong
        else ["Too slow or too heavy:", "", *wrong]
    )
    slowest = max(told.median_ms for told in found.values())
    return "\n".join([table(heads, rows), f"{len(found)} pages, the slowest in {slowest:.0f} ms.", *said])


def _cells(found: Mapping[Fetch, Measured], what: str) -> Iterator[str]:
    told = {who: [m for one, m in found.items() if (one.who, one.what) == (who, what)] for who in PEOPLE}
    for some in told.values():
        slow = max(some, default=None)
        yield "-" if slow is None else f"{shown(slow.median_ms)} ({shown(max(one.highest_ms for one in some))})"
    yield f"{max(one.kb for some in told.values() for one in some):.0f}"


def _arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="a data folder; made if it is not there")
    parser.add_argument("--records", type=int, default=10_000_000, help="of a store that is made (default 10,000,000)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each page is asked for (default 3)")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every page, as JSON")
    return parser.parse_args(words)


def main() -> int:
    arguments = _arguments()
    leaving.on_signals()
    began = time.monotonic()
    try:
        with gateway(arguments.folder.resolve(), arguments.records) as browsers:
            found = measure(browsers, arguments.repeat)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench-pages: {error}", file=sys.stderr)
        return 1
    said = report(found)
    print(said)
    if arguments.json:
        told = [{**one._asdict(), **measured._asdict()} for one, measured in found.items()]
        arguments.json.write_text(json.dumps(told, indent=1))
    if not arguments.no_docs:
        line = (
            f"{pages.where_and_when()}. Each page {arguments.repeat} times. It took {time.monotonic() - began:.0f} s."
        )
        pages.write("pages", f"{line}\n\n{said}")
    return int(any(told.is_wrong() for told in found.values()))


if __name__ == "__main__":
    sys.exit(main())
