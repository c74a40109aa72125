"""What the handlers of pages share: who visits, what is in view, forms that were sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from trivium.dashboard import render
from trivium.dashboard.door import Door, Refusal
from trivium.dashboard.forms import Unfit
from trivium.dashboard.guard import UNKEPT
from trivium.dashboard.visitor import HOUSE, Described, Space, Visitor
from trivium.settings_dashboard import DashboardSettings

DOOR: web.AppKey[Door] = web.AppKey("door", Door)
OPERATIONS: web.AppKey[Mapping[str, Described]] = web.AppKey("operations")
SETTINGS: web.AppKey[DashboardSettings] = web.AppKey("settings", DashboardSettings)
VISITOR = "visitor"
_SEEN = "seen"
"""The user or organization that the house looks at."""

SPACE = "/dashboard/{space:house|me|[ou]/[A-Za-z0-9][A-Za-z0-9._@-]*}"
"""The beginning of the paths of pages that are about a space."""


def said_of(error: Refusal | Unfit) -> str:
    """What a page tells of it. Raises it again where it is that nobody is signed in any more."""
    if isinstance(error, Unfit):
        return str(error)
    if error.status == 401:
        raise error
    return error.message


def visitor(request: web.Request) -> Visitor:
    found: Visitor = request[VISITOR]
    return found


async def meet(request: web.Request) -> None:
    """Asks whose a space is that the house looks at. Raises Refusal where there is none."""
    asking, (kind, _, id) = visitor(request), request.match_info.get("space", "").partition("/")
    if asking.house and kind == "u":
        request[_SEEN] = await asking.ask("users.show", user=id)
    elif asking.house and kind == "o" and id not in asking.names:
        request[_SEEN] = await asking.ask("orgs.show", organization=id)


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
        if (found := request.get(_SEEN)) is not None:
            return Space(kind="me", id=found["id"], name=found["name"])
    elif (found := request.get(_SEEN)) is not None:
        return Space(kind="organization", id=found["id"], name=found["name"])
    elif asking.house or named[2:] in asking.roles:
        return asking.organization(named[2:])
    raise web.HTTPNotFound


def whose_of(asking: Visitor, here: Space, operation: str) -> dict[str, Any]:
    """Raises HTTPNotFound where the visitor may not perform it in this space."""
    whose = asking.arguments(operation, here)
    if whose is None:
        raise web.HTTPNotFound
    return whose


def page(request: web.Request, template: str, **values: Any) -> web.Response:
    """A page for who is signed in."""
    return render.page(request, template, visitor=visitor(request), **values)


async def ask(request: web.Request, operation: str, /, **arguments: Any) -> Any:
    """Asks in the space that the path names. Raises HTTPNotFound where it has no answer for this visitor."""
    told = await visitor(request).ask_if(operation, space(request), **arguments)
    if told is None:
        raise web.HTTPNotFound
    return told


def download(content: bytes, name: str, kind: str) -> web.Response:
    """A file for the visitor to keep."""
    safe = "".join(letter for letter in name if letter.isalnum() or letter in "-._")
    headers = {**UNKEPT, "content-disposition": f'attachment; filename="{safe}"'}
    return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)


def see_other(where: str) -> web.Response:
    return web.Response(status=303, headers={**UNKEPT, "location": where})


def query_of(asked: Mapping[str, Any]) -> str:
    """The query of a link to a page as it was asked for: without what was left empty."""
    return urlencode({name: value for name, value in asked.items() if value})


def first(told: Mapping[str, list[str]], name: str) -> str:
    """What was sent of a field that has one value; empty: nothing."""
    return told.get(name, [""])[0]


async def sent(request: web.Request) -> dict[str, list[str]]:
    """A form's fields, each with all its values; files are none."""
    found: dict[str, list[str]] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, str) and name != "csrf":
            found.setdefault(name, []).append(value)
    return found
