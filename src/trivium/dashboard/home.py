"""The first page: how today goes, and on an empty installation what to do first."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from trivium.dashboard.guard import base_url
from trivium.dashboard.page import SPACE, page, see_other, space, visitor
from trivium.dashboard.snippets import MODEL, first_calls, setups
from trivium.dashboard.visitor import Space, Visitor


async def root(request: web.Request) -> web.Response:
    """The first space that the visitor has."""
    spaces = visitor(request).spaces
    return await _home(request, spaces[0]) if spaces else see_other("/dashboard/you")


async def home(request: web.Request) -> web.Response:
    return await _home(request, space(request))


async def live(request: web.Request) -> web.Response:
    """The figures alone, which the page asks for again and again."""
    here = space(request)
    return page(request, "figures.html", space=here, told=await visitor(request).ask_if("overview", here))


async def _home(request: web.Request, here: Space) -> web.Response:
    asking = visitor(request)
    told = await asking.ask_if("overview", here)
    recent = await asking.ask_if("requests", here, limit=8)
    model = await first_model(asking)
    url = base_url(request)
    rows: list[dict[str, Any]] = recent["items"] if recent else []
    return page(
        request,
        "home.html",
        space=here,
        told=told,
        recent=rows,
        is_new=not rows,
        calls=first_calls(url, model),
        setups=setups(url, model),
        makes_keys=asking.may("keys.create", here),
    )


async def first_model(asking: Visitor) -> str:
    """A model to begin with: the catalogue's first, as far as the visitor may see it. The page asks for others with the
    key that it is given (`static/dashboard.js`)."""
    if not asking.house:
        return MODEL
    listed = (await asking.ask("catalog.models", limit=1))["items"]
    return str(listed[0]["id"]) if listed else MODEL


ROUTES = [
    web.get("/", root),
    web.get("/dashboard", root),
    web.get("/dashboard/", root),
    web.get(SPACE, home),
    web.get(SPACE + "/", home),
    web.get(SPACE + "/live", live),
]
