"""What calls came to: a chart and tables of the same numbers, and both as files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from trivium.clock import DAY_MS, dated_ms
from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import Unfit
from trivium.dashboard.page import SPACE, ask, download, page, query_of, said_of, space, visitor

PERIODS = ("day", "week", "month", "custom")
_WORDS = re.compile(r'[a-z]+:"[^"]*"(?!\S)|\S+')
_QUOTED = re.compile(r'^([a-z]+:)"([^"]*)"$')
_MOST_NAME, _MOST_FILTERS = 150, 500
"""Letters, of what links carry in each row."""
_FILTERS = ("only", "without")
_DRAWN = ("cost_nano", "requests", "input_tokens", "output_tokens")
GROUPS = ("model", "provider", "key", "user", "project", "app", "api", "organization", "outcome")
_DAY = "%Y-%m-%d"
_HOURS_UP_TO_MS = 3 * DAY_MS
"""A longer period is drawn by days,"""
_DAYS_UP_TO_MS = 100 * DAY_MS
"""and one that is longer still by months."""


async def show(request: web.Request) -> web.Response:
    here, asked = space(request), _asked(request)
    asking = visitor(request)
    problem, told, times = "", None, None
    try:
        told = await asking.ask_if("usage.report", here, **_arguments(asked))
        if told is not None:
            bucket = "hour" if told["until_ms"] - told["since_ms"] <= _HOURS_UP_TO_MS else "day"
            times = await asking.ask_if("usage.report", here, **{**_arguments(asked), "by": [bucket]})
    except (Refusal, Unfit) as error:
        problem = said_of(error)
    if told is None and not problem:
        raise web.HTTPNotFound
    if times is not None:
        times["rows"] = [row for row in times["rows"] if row["keys"][0] is not None]
        if told is not None and told["until_ms"] - told["since_ms"] > _DAYS_UP_TO_MS:
            times = {"by": ["month"], "rows": _by_month(times["rows"])}
    groups = [name for name in GROUPS if here.kind == "house" or name != "organization"]
    return page(
        request,
        "usage.html",
        space=here,
        asked=asked,
        told=told,
        times=times,
        problem=problem,
        periods=PERIODS,
        groups=groups,
        query=request.rel_url.raw_query_string,
        name=_name,
        narrower=lambda row: _narrower(asked, row),
        without=lambda row: _without(asked, row),
        can_be_said=lambda row: _can_be_said(asked, row),
        filters=[(name, word, _dropped(asked, name, word)) for name in _FILTERS for word in words_of(asked[name])],
    )


async def csv(request: web.Request) -> web.Response:
    told = await _file(request, "usage.csv")
    return download(told["text"].encode(), told["name"], "text/csv")


async def json(request: web.Request) -> web.Response:
    told = await _file(request, "usage.report")
    content = msgspec.json.format(msgspec.json.encode(told))
    return download(content, f"usage-{datetime.now(UTC):%Y-%m-%d}.json", "application/json")


async def _file(request: web.Request, operation: str) -> Any:
    try:
        asked = _arguments(_asked(request))
    except Unfit as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    return await ask(request, operation, **asked)


def _asked(request: web.Request) -> dict[str, Any]:
    """What the form says; a choice that it does not have is as if it were left out."""
    query = request.query
    period = query.get("period", "week")
    return {
        "period": period if period in PERIODS else "week",
        "since": query.get("since", ""),
        "until": query.get("until", ""),
        "by": query.get("by", "model") if query.get("by", "model") in GROUPS else "model",
        "only": query.get("only", "").strip(),
        "without": query.get("without", "").strip(),
    }


def _arguments(asked: dict[str, Any]) -> dict[str, Any]:
    """Raises Unfit for what is typed and cannot be meant: figures without it would be of something else."""
    found: dict[str, Any] = {"period": asked["period"], "by": [asked["by"]]}
    for name in _FILTERS:
        if words := words_of(asked[name]):
            found[name] = [_filter(word) for word in words]
    if asked["period"] == "custom":
        found["since_ms"] = _day_ms(asked["since"] or datetime.now(UTC).strftime(_DAY))
        if asked["until"]:
            found["until_ms"] = _day_ms(asked["until"]) + DAY_MS  # the day is meant whole
    return found


def _filter(word: str) -> str:
    if not re.match("[a-z]+:", word):
        raise Unfit(f"`{word}` is no filter: expected DIMENSION:VALUE, as in provider:openai.")
    return _QUOTED.sub(r"\1\2", word)


def _day_ms(text: str) -> int:
    try:
        return dated_ms(text, _DAY)
    except ValueError:
        raise Unfit(f"{text}: expected a date, as 2026-01-31.") from None


def _name(row: dict[str, Any]) -> str:
    """Of a group."""
    if row["other"]:
        return "all others"
    return str(row["names"][0] or row["keys"][0] or "none")


def _can_be_said(asked: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a filter can name a group, in links that do not fill the page."""
    key = row["keys"][0] or ""
    others = len(asked["only"]) + len(asked["without"])
    (*_, word) = words_of(word_for(asked["by"], key))
    fits = len(key) <= _MOST_NAME and others <= _MOST_FILTERS
    return not row["other"] and fits and _QUOTED.sub(r"\1\2", word) == f"{asked['by']}:{key}"


def words_of(text: str) -> list[str]:
    """Filters as they are typed: `model:gpt-5 project:"with blanks"`."""
    return _WORDS.findall(text)


def word_for(dimension: str, key: str) -> str:
    return f'{dimension}:"{key}"' if re.search(r'\s|^"', key) else f"{dimension}:{key}"


def _narrower(asked: dict[str, Any], row: dict[str, Any]) -> str:
    """The query for the calls of a group alone."""
    by = "key" if asked["by"] == "model" else "model"
    return query_of(
        {**asked, "only": f"{asked['only']} {word_for(asked['by'], row['keys'][0] or '')}".strip(), "by": by}
    )


def _without(asked: dict[str, Any], row: dict[str, Any]) -> str:
    """The query for all calls but those of a group."""
    return query_of({**asked, "without": f"{asked['without']} {word_for(asked['by'], row['keys'][0] or '')}".strip()})


def _dropped(asked: dict[str, Any], name: str, word: str) -> str:
    """The query without one of its filters."""
    return query_of({**asked, name: " ".join(one for one in words_of(asked[name]) if one != word)})


def _by_month(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Days as months, in the same order: thousands of rows are no page."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        sums = found.setdefault(f"{row['keys'][0][:7]}-01", dict.fromkeys(_DRAWN, 0))
        for name in _DRAWN:
            sums[name] += row["figures"][name]
    return [{"keys": [month], "figures": sums} for month, sums in found.items()]


ROUTES = [
    web.get(SPACE + "/usage", show),
    web.get(SPACE + "/usage.csv", csv),
    web.get(SPACE + "/usage.json", json),
]
