"""Single calls: search, those that come in, and one as a story."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import MINUTES
from trivium.dashboard.guard import HEADERS
from trivium.dashboard.page import SPACE, page, space, visitor

OUTCOMES = ("success", "refused", "failed", "aborted")
APIS = ("chat_completions", "responses", "messages", "embeddings", "fim")
_BOTH = ("model", "provider", "key", "project", "app", "outcome", "api")
"""What can be searched and followed by; the rest can be searched by alone."""
_TEXTS = (*_BOTH, "requested", "text")
_PART = 50
_NUMBERS = ("status", "min_cost_nano")


async def search(request: web.Request) -> web.Response:
    here, asked = space(request), _asked(request)
    found: Any = {"items": [], "next": None, "searched_ms": None}
    problem = ""
    try:
        found = await visitor(request).ask_if(
            "requests.search", here, **_arguments(asked), limit=_PART, after=request.query.get("after", "")
        )
        if found is None:
            raise web.HTTPNotFound
    except Refusal as refusal:
        if refusal.status == 401:
            raise
        problem = refusal.message
    return page(
        request,
        "requests.html",
        space=here,
        asked=asked,
        found=found,
        problem=problem,
        outcomes=OUTCOMES,
        apis=APIS,
        tails=request.query.get("live") == "1",
        query=urlencode({name: value for name, value in asked.items() if value}),
        following=urlencode({**{k: v for k, v in asked.items() if v}, "after": found["next"] or ""}),
    )


async def tail(request: web.Request) -> web.Response:
    """What has come in since, for the page that asks again and again."""
    here, asked = space(request), _asked(request)
    arguments = {name: value for name, value in _arguments(asked).items() if name in (*_BOTH, *_NUMBERS)}
    after = request.query.get("after", "")
    told = await visitor(request).ask_if("requests.tail", here, **arguments, after=after, limit=_PART)
    if told is None:
        raise web.HTTPNotFound
    query = urlencode({name: value for name, value in asked.items() if value})
    return page(request, "tail.html", space=here, told=told, query=query)


async def story(request: web.Request) -> web.Response:
    here, id = space(request), request.match_info["request"]
    told = await visitor(request).ask_if("requests.story", here, request=id)
    if told is None:
        raise web.HTTPNotFound
    told["tokens"] = {name: count for name, count in (told["tokens"] or {}).items() if count}
    kept = told["captured"] if visitor(request).arguments("requests.bodies", here) is not None else None
    return page(request, "story.html", space=here, told=told, row=told["request"], kept=kept)


async def cost(request: web.Request) -> web.Response:
    """Of one call, for the playground."""
    here = space(request)
    told = await visitor(request).ask_if("requests", here, id=request.match_info["request"])
    if told is None or not told["items"]:
        raise web.HTTPNotFound
    row = told["items"][0]
    names = ("cost_nano", "input_uncached_tokens", "cache_read_tokens", "output_tokens", "total_us", "outcome")
    return web.json_response({name: row[name] for name in names}, headers={**HEADERS, "cache-control": "no-store"})


def _asked(request: web.Request) -> dict[str, str]:
    names = (*_TEXTS, "status", "since", "until", "min_cost")
    return {name: request.query.get(name, "").strip() for name in names}


def _arguments(asked: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: asked[name] for name in _TEXTS if asked[name]}
    if asked["status"].isdecimal() and len(asked["status"]) < 9:
        found["status"] = int(asked["status"])
    for name in ("since", "until"):
        if (ms := _moment_ms(asked[name])) is not None:
            found[f"{name}_ms"] = ms
    try:
        if asked["min_cost"]:
            found["min_cost_nano"] = round(float(asked["min_cost"]) * 10**9)
    except (ValueError, OverflowError):
        pass  # no number, no filter: the field shows what was typed
    return found


def _moment_ms(text: str) -> int | None:
    try:
        return round(datetime.strptime(text[:16], MINUTES).replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return None


ROUTES = [
    web.get(SPACE + "/requests", search),
    web.get(SPACE + "/requests/tail", tail),
    web.get(SPACE + "/requests/{request}", story),
    web.get(SPACE + "/requests/{request}/cost", cost),
]
