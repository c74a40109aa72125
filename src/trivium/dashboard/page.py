"""What the handlers of pages share: who visits, what is in view, forms that were sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from trivium.dashboard import render
from trivium.dashboard.door import Door
from trivium.dashboard.guard import HEADERS
from trivium.dashboard.visitor import HOUSE, Described, Space, Visitor
from trivium.settings_dashboard import DashboardSettings

DOOR: web.AppKey[Door] = web.AppKey("door", Door)
OPERATIONS: web.AppKey[Mapping[str, Described]] = web.AppKey("operations")
SETTINGS: web.AppKey[DashboardSettings] = web.AppKey("settings", DashboardSettings)
VISITOR = "visitor"
_USER = "user"

SPACE = "/dashboard/{space:house|me|[ou]/[A-Za-z0-9][A-Za-z0-9._@-]*}"
"""The beginning of the paths of pages that are about a space."""


def visitor(request: web.Request) -> Visitor:
    found: Visitor = request[VISITOR]
    return found


async def meet(request: web.Request) -> None:
    """Asks whose the space of a single user is, which the house alone looks at. Raises Refusal where there is none."""
    named = request.match_info.get("space", "")
    if named.startswith("u/") and visitor(request).house:
        request[_USER] = await visitor(request).ask("users.show", user=named[2:])


def space(request: web.Request) -> Space:
    """Which the path names. Raises HTTPNotFound for one that is not the visitor's to look at."""
    asking, named = visitor(request), request.match_info["space"]
    if named == "house":
        if asking.house:
            return HOUSE
    elif named == "me":
        if asking.user is not None:
            return Space(kind="me", name="Personal")
    elif named.startswith("u/"):
        if (found := request.get(_USER)) is not None:
            return Space(kind="me", id=found["id"], name=found["name"])
    elif asking.house or named[2:] in asking.roles:
        return asking.organization(named[2:])
    raise web.HTTPNotFound


def page(request: web.Request, template: str, **values: Any) -> web.Response:
    """A page for who is signed in."""
    return render.page(request, template, visitor=visitor(request), **values)


def see_other(where: str) -> web.Response:
    return web.Response(status=303, headers={**HEADERS, "location": where, "cache-control": "no-store"})


async def sent(request: web.Request) -> dict[str, list[str]]:
    """A form's fields, each with all its values; files are none."""
    found: dict[str, list[str]] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, str) and name != "csrf":
            found.setdefault(name, []).append(value)
    return found
