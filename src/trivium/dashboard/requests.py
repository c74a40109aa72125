"""Single calls: search, those that come in, and one as a story."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from trivium.clock import dated_ms
from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import MINUTES, Unfit
from trivium.dashboard.guard import UNKEPT
from trivium.dashboard.page import SPACE, ask, page, query_of, said_of, space, visitor
from trivium.dashboard.render import input_of
from trivium.dashboard.words import words

OUTCOMES = ("success", "refused", "failed", "aborted")
APIS = ("chat_completions", "responses", "messages", "embeddings", "fim")
_BOTH = ("model", "provider", "key", "project", "app", "outcome", "api", "organization", "user")
"""What can be searched and followed by; the rest can be searched by alone."""
_OF_HOUSE = ("verdict", "flag", "address")
"""Where the house searches: others see their own calls, and nothing of what was thought of them."""
VERDICTS = ("suspect", "allow", "soft_block", "challenge", "hard_block")
_TEXTS = (*_BOTH, "requested", "text", *_OF_HOUSE)
_PART = 50
_NUMBERS = {"status": (int, 1), "min_cost": (float, 10**9)}
"""How they are typed, and what they are multiplied with."""
_MOMENTS = ("since", "until")
_NOT_FOLLOWED = ("requested", "text", *_OF_HOUSE, *_MOMENTS)
_RARE = ("provider", "project", "app", "api", "status", "min_cost", *_OF_HOUSE, "until")
"""Asked for behind a fold."""
_ALSO_FOLLOWED = ("status", "min_cost_nano")


async def search(request: web.Request) -> web.Response:
    here, asked = space(request), _asked(request)
    found: Any = {"items": [], "next": None, "searched_ms": None}
    problem = ""
    whose = visitor(request).arguments("requests.search", here) or {}
    try:
        after = request.query.get("after", "")
        found = await ask(request, "requests.search", **_arguments(asked), limit=_PART, after=after)
    except (Refusal, Unfit) as error:
        problem = said_of(error)
    return page(
        request,
        "requests.html",
        space=here,
        asked=asked,
        found=found,
        problem=problem,
        outcomes=OUTCOMES,
        apis=APIS,
        verdicts=VERDICTS if here.kind == "house" else (),
        whose=[name for name in ("user", "organization") if name not in whose and here.kind != "me"],
        tails=request.query.get("live") == "1",
        unfollowed=[words(name) for name in _NOT_FOLLOWED if asked[name]],
        more=any(asked[name] for name in _RARE),
        query=query_of(asked),
        following=query_of({**asked, "after": found["next"]}),
    )


async def tail(request: web.Request) -> web.Response:
    """What has come in since, for the page that asks again and again."""
    here, asked = space(request), _asked(request)
    try:
        said = _arguments(asked)
    except Unfit:
        raise web.HTTPBadRequest from None
    arguments = {name: value for name, value in said.items() if name in (*_BOTH, *_ALSO_FOLLOWED)}
    after = request.query.get("after", "")
    told = await ask(request, "requests.tail", **arguments, after=after, limit=_PART)
    return page(request, "tail.html", space=here, told=told, query=query_of(asked))


async def story(request: web.Request) -> web.Response:
    here, id = space(request), request.match_info["request"]
    told = await ask(request, "requests.story", request=id)
    told["tokens"] = {name: count for name, count in (told["tokens"] or {}).items() if count}
    for line in told["receipt"] or ():
        line["what"] = words(line["what"])
    kept = told["captured"] if visitor(request).may("requests.bodies", here) else None
    return page(request, "story.html", space=here, told=told, row=told["request"], kept=kept)


async def cost(request: web.Request) -> web.Response:
    """Of one call, for the playground."""
    told = await ask(request, "requests", id=request.match_info["request"])
    if not told["items"]:
        raise web.HTTPNotFound
    row = told["items"][0]
    known = row["usage_known"]
    told_of = {
        "cost_nano": row["cost_nano"],
        "estimated": row["cost_source"] == "estimated",
        "input_tokens": input_of(row) if known else None,
        "output_tokens": row["output_tokens"] if known else None,
    }
    return web.json_response(told_of, headers=UNKEPT)


def _asked(request: web.Request) -> dict[str, str]:
    names = (*_TEXTS, *_NUMBERS, *_MOMENTS)
    return {name: request.query.get(name, "").strip() for name in names}


def _arguments(asked: dict[str, str]) -> dict[str, Any]:
    """Raises Unfit for what is typed and cannot be meant: a search that left it out would find what was not asked."""
    found: dict[str, Any] = {name: asked[name] for name in _TEXTS if asked[name]}
    for name, (kind, unit) in _NUMBERS.items():
        if asked[name]:
            try:
                found[name if unit == 1 else f"{name}_nano"] = round(kind(asked[name]) * unit)
            except (ValueError, OverflowError):
                raise Unfit(f"{words(name)}: expected a number.") from None
    for name in _MOMENTS:
        if asked[name]:
            found[f"{name}_ms"] = _moment_ms(asked[name])
    return found


def _moment_ms(text: str) -> int:
    try:
        return dated_ms(text[:16], MINUTES)
    except ValueError:
        raise Unfit(f"{text}: expected a date and a time, as 2026-01-31T09:30.") from None


ROUTES = [
    web.get(SPACE + "/requests", search),
    web.get(SPACE + "/requests/tail", tail),
    web.get(SPACE + "/requests/{request}", story),
    web.get(SPACE + "/requests/{request}/cost", cost),
]
