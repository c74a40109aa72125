"""Every way in which an upstream fails, and what becomes of a call then: the rows of `docs/failures.md`.

PYTHONPATH=tests python -m support_failures > docs/failures.md
"""
# ruff: noqa: T201 # prints the page

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any, NamedTuple

from gateway import ALL_APIS, Running, running
from support_money import APIS, BODIES, PATHS
from trivium.mock import Error, Match, Reply, Rule, Usage

USED = Usage(input=10, output=5)
TEXT = ["One ", "two ", "three."]
_PATHS = {api: f"*{path.removeprefix('/v1')}" for api, path in PATHS.items()}
_AFTER_TEXT = {"chat": 3, "responses": 6, "messages": 5}
"""Events of a stream that end behind a first piece of text."""
SETTINGS = f"""
[providers.first]
base_url = "{{place}}"
timeouts = {{ connect = 1, first_byte = 1.5, idle = 1.5 }}
{ALL_APIS}
[providers.second]
base_url = "{{upstream}}/v1"
{ALL_APIS}
[routing]
failures = 1000
[models."first/*"]
price = {{ input = "1", output = "1" }}
[models."second/*"]
price = {{ input = "2", output = "2" }}
[catalog.models.one]
routes = [{{ to = "first/m" }}]
[catalog.models.two]
routes = [{{ to = "first/m" }}, {{ to = "second/n" }}]
"""


_FAILED = re.compile(r'"error": ?\{|event: error|response\.failed')


class Failure(NamedTuple):
    name: str
    whole: Reply | None
    """None: nothing listens."""
    stream: Reply | None = None
    """Where it differs; `abort_after_events` -1 stands for behind the first piece of text."""


def _said(**how: Any) -> Reply:
    return Reply(text=TEXT, usage=USED, **how)


_OVERLOADED = Error(message="Overloaded", type="overloaded_error")
FAILURES = (
    Failure("nobody listens", None),
    Failure("reset before the headers", Reply(abort="reset")),
    Failure("reset behind the headers", _said(abort="reset", abort_after_bytes=0)),
    Failure(
        "reset behind some of the answer",
        _said(abort="reset", abort_after_bytes=60),
        _said(abort="reset", abort_after_events=-1),
    ),
    Failure("silence before the headers", Reply(abort="stall")),
    Failure(
        "silence behind some of the answer",
        _said(abort="stall", abort_after_bytes=60),
        _said(abort="stall", abort_after_events=-1),
    ),
    Failure("429 with `retry-after`", Reply(status=429, headers={"retry-after": "7"})),
    Failure("500", Reply(status=500)),
    Failure("529", Reply(status=529)),
    Failure("error inside a 200, before any content", Reply(error=_OVERLOADED)),
    Failure(
        "error inside a 200, behind content", Reply(error=_OVERLOADED), _said(error=_OVERLOADED, error_after_events=-1)
    ),
    Failure(
        "truncated in good order", _said(abort="end", abort_after_bytes=60), _said(abort="end", abort_after_events=-1)
    ),
    Failure("garbage", Reply(body="<html>It works!</html>", content_type="text/html")),
    Failure("wrong content type", _said(content_type="text/plain")),
    Failure("compressed, though not asked for", _said(gzip=True)),
    Failure("a slow trickle", _said(chunk_bytes=40, event_delay_ms=1)),
)


class Result(NamedTuple):
    seen: str
    outcome: str
    charged: str


@contextlib.asynccontextmanager
async def failing(failure: Failure, apis: str = ALL_APIS) -> AsyncIterator[Running]:
    """A house whose provider `first` fails so: the model `one` is there alone, `two` also where all is well. `apis` is
    what both speak."""
    rules = [Rule(_said(), Match(model="n"))]
    if failure.whole is not None:
        replies = ((failure.whole, False), (failure.stream or failure.whole, True))
        for reply, stream in replies:
            rules += [Rule(_placed(reply, api), Match(model="m", path=_PATHS[api], stream=stream)) for api in APIS]
    place = "http://127.0.0.1:1/v1" if failure.whole is None else "{upstream}/v1"
    settings = SETTINGS.replace("{place}", place).replace(ALL_APIS, apis)
    async with running(*rules, settings=settings) as house:
        yield house


async def tried(failure: Failure) -> dict[tuple[str, bool, str], Result]:
    """What becomes of calls, by API, whether they are streamed, and how many routes there are: `one` or `two`."""
    async with failing(failure) as house:
        cases = [(api, stream, routes) for api in APIS for stream in (False, True) for routes in ("one", "two")]
        results = await asyncio.gather(*[_asked(house, *case) for case in cases])
        return dict(zip(cases, results, strict=True))


def _placed(reply: Reply, api: str) -> Reply:
    fields = {name: getattr(reply, name) for name in reply.__struct_fields__}
    for name in ("abort_after_events", "error_after_events"):
        if fields[name] == -1:
            fields |= {name: _AFTER_TEXT[api], "event_delay_ms": 3}
    return Reply(**fields)


async def _asked(house: Running, api: str, stream: bool, model: str) -> Result:  # one of the cases
    status, said, headers = await house.post(PATHS[api], {**BODIES[api], "model": model, "stream": stream})
    id = headers["x-trivium-request-id"]
    record = next(record for record in await house.records() if record["id"] == id)
    charged = f"{record['cost_nano'] / 1e9:.6f}".rstrip("0").rstrip(".")
    source = f" ({record['cost_source']})" if record["cost_nano"] else ""
    return Result(_seen(status, said, headers), record["outcome"], f"{charged}{source}")


def _seen(status: int, said: Any, headers: dict[str, str]) -> str:
    text = said if isinstance(said, str) else json.dumps(said)
    got = [piece.strip() for piece in TEXT if piece.strip() in text]
    answer = "the answer" if len(got) == len(TEXT) else f"{len(got)} of {len(TEXT)} pieces" if got else ""
    if status != 200:
        code = said["error"].get("code") or said["error"].get("type")
        again = f", `retry-after: {headers['retry-after']}`" if "retry-after" in headers else ""
        return f"{status} `{code}`{again}"
    failed = bool(said.get("error")) if isinstance(said, dict) else _FAILED.search(text) is not None
    if failed:
        return f"{answer}, then the API's error" if answer else "200, an error inside"
    return answer or "an empty answer"


async def page() -> str:
    """The whole page."""
    rows = []
    for failure in FAILURES:
        found = await tried(failure)
        for stream in (False, True):
            for names, results in _merged(found, stream=stream):
                cells = [cell for result in results for cell in (result.seen, f"{result.outcome}, {result.charged}")]
                how = "stream" if stream else "whole"
                rows.append(f"| {failure.name} | {how} | {names} | {' | '.join(cells)} |")
    return _HEAD + "\n".join(rows) + "\n"


def _merged(found: dict[tuple[str, bool, str], Result], *, stream: bool) -> list[tuple[str, tuple[Result, Result]]]:
    """APIs with the same results share a row."""
    by_api = [(api, (found[api, stream, "one"], found[api, stream, "two"])) for api in APIS]
    by_api.sort(key=lambda pair: pair[1])
    merged = [(sorted(api for api, _ in group), results) for results, group in groupby(by_api, lambda pair: pair[1])]
    return [("all" if len(names) == len(APIS) else ", ".join(names), results) for names, results in merged]


_HEAD = """# When upstreams fail

What becomes of a call in every case: what the client sees, the outcome in the record, and what is charged in USD. The
call has 10 tokens of input and 5 of output; a token costs a millionth of a dollar at the first route, two at the other.
Tests try all of it against a scripted upstream and make this page (`tests/support_failures.py`).

The rules behind it: a call goes on to the next route as long as its client has had no content, where the first was not
there, failed, had too much to do or refused the house ([routing.md](routing.md)); nothing of it is charged then. What a
broken answer costs is in [charging.md](charging.md).

The same upstream is asked again by itself in one case alone: it had closed a connection that was kept. The sign is
that this ended without a byte of an answer within 0.2 s of the request, or within 0.02 s where it had been without a
call for less than a second. An upstream that takes a request on a kept connection and dies so soon may be asked, and
paid, twice.

| the first route | asked for | APIs | one route: seen | record, charge | two routes: seen | record, charge |
|---|---|---|---|---|---|---|
"""


if __name__ == "__main__":
    print(asyncio.run(page()), end="")
