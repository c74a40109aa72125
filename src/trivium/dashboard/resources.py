"""Pages made from the rows of `table.py`: lists, forms, confirmations, settings as a whole.

Each page asks the gateway, as the visitor, and shows what it says; a refusal is shown where it happened, beside what
was typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from trivium.dashboard.documents import DOCUMENTS, Document
from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import Field, Unfit, arguments, changes, fields, filled
from trivium.dashboard.guard import base_url
from trivium.dashboard.page import SPACE, page, see_other, sent, space, visitor
from trivium.dashboard.row import Action, Resource
from trivium.dashboard.table import BY_PATH
from trivium.dashboard.visitor import Space, Visitor, properties

_PART = 50
_MOST_PARTS = 40
"""In which one of a list is looked for."""
_IN_PATH = "/{resource:" + "|".join(BY_PATH) + "}"
_DOCUMENTS = {one.path: one for one in DOCUMENTS}


async def list_(request: web.Request) -> web.Response:
    asking, here, resource = visitor(request), space(request), _resource(request)
    query = {name: value for name in resource.filters if (value := request.query.get(name, "").strip())}
    after = request.query.get("after", "")
    found: dict[str, Any] = {"items": [], "next": None}
    problem = ""
    try:
        found = await _part(asking, here, resource, query, after)
    except Refusal as refusal:
        if refusal.status in (401, 403):
            raise
        problem = refusal.message
    following = urlencode({**query, "after": found["next"]}) if found["next"] else ""
    return page(
        request,
        "list.html",
        space=here,
        resource=resource,
        rows=found["items"],
        columns=_columns(resource, found["items"]),
        does=[action for action in resource.does if _is_offered(asking, here, action)],
        also=[action for action in resource.also if _is_offered(asking, here, action)],
        make=resource.make if resource.make and _is_offered(asking, here, resource.make) else None,
        query=query,
        following=following,
        after=after,
        problem=problem,
        link=lambda row: _link(resource, here, row),
        id_of=lambda row: quote(str(row[resource.id]), safe=""),
    )


async def form(request: web.Request) -> web.Response:
    """What an action asks for; or, where it asks for nothing, whether it is meant."""
    asking, here, resource, action = visitor(request), space(request), _resource(request), _action(request)
    row = await _row(request, asking, here, resource, action)
    return _form(request, action, row, _fields(asking, here, action, row))


async def act(request: web.Request) -> web.Response:
    asking, here, resource, action = visitor(request), space(request), _resource(request), _action(request)
    row = await _row(request, asking, here, resource, action)
    made, told = _fields(asking, here, action, row), await sent(request)
    whose = asking.arguments(action.operation, here)
    if whose is None:
        raise web.HTTPForbidden(text="That is not for you to do here.")
    try:
        asked = changes(made, told) if action.edits else arguments(made, told)
        result = await asking.ask(action.operation, **{**_taken(action, row), **action.fixed, **asked, **whose})
    except (Refusal, Unfit) as error:
        if isinstance(error, Refusal) and error.status == 401:
            raise
        message = error.message if isinstance(error, Refusal) else str(error)
        return _form(request, action, row, filled(made, told), message)
    if action.leads:
        # Not a redirect: a browser holds those that follow a form against `form-action`, which names nobody but us.
        return page(request, "leads_on.html", space=here, resource=resource, action=action, url=result[action.leads])
    if action.shows:
        value = result[action.shows]
        if action.links:
            value = f"{base_url(request)}{action.links}{quote(value)}"
        shown = {"space": here, "resource": resource, "action": action, "value": value, "base": base_url(request)}
        return page(request, "shown_once.html", **shown)
    if action.tells:
        return page(request, "told.html", space=here, resource=resource, action=action, told=result)
    return see_other(f"{here.path}/{resource.path}")


async def document(request: web.Request) -> web.Response:
    asking, here, one = visitor(request), space(request), _document(request)
    whose = _whose(asking, here, one.shows)
    present = await asking.ask(one.shows, **whose)
    return _document_page(request, one, present["version"], _settings(asking, one, present["settings"]))


async def replace(request: web.Request) -> web.Response:
    asking, here, one = visitor(request), space(request), _document(request)
    told, whose = await sent(request), _whose(asking, here, one.sets)
    made = _settings(asking, one, {})
    version = told.get("version", [""])[0]
    try:
        settings = arguments(made, told).get("settings", {})
        number = int(version) if version.isdecimal() else None
        await asking.ask(one.sets, settings=settings, version=number, **whose)
    except (Refusal, Unfit) as error:
        if isinstance(error, Refusal) and error.status == 401:
            raise
        message = error.message if isinstance(error, Refusal) else str(error)
        return _document_page(request, one, version, filled(made, told), message)
    return see_other(f"{here.path}/{one.path}?saved=1")


def _resource(request: web.Request) -> Resource:
    return BY_PATH[request.match_info["resource"]]


def _action(request: web.Request) -> Action:
    resource, wanted = _resource(request), request.match_info["action"]
    for action in (*([resource.make] if resource.make else []), *resource.also, *resource.does):
        if action.path == wanted:
            return action
    raise web.HTTPNotFound


def _is_offered(asking: Visitor, here: Space, action: Action) -> bool:
    return here.kind in action.spaces and asking.arguments(action.operation, here) is not None


def _document(request: web.Request) -> Document:
    return _DOCUMENTS[request.match_info["document"]]


def _whose(asking: Visitor, here: Space, operation: str) -> dict[str, Any]:
    """Raises HTTPNotFound where the visitor may not perform it in this space."""
    whose = asking.arguments(operation, here)
    if whose is None:
        raise web.HTTPNotFound
    return whose


async def _part(
    asking: Visitor, here: Space, resource: Resource, query: Mapping[str, Any], after: str
) -> dict[str, Any]:
    """As lists come: whole ones become a part that is the last. Raises Refusal, HTTPNotFound."""
    if here.kind not in resource.spaces:
        raise web.HTTPNotFound
    whose = _whose(asking, here, resource.lists)
    known = properties(asking.operations[resource.lists].arguments)
    paging = {"limit": _PART, "after": after} if "after" in known else {}
    told = await asking.ask(resource.lists, **{**paging, **query, **whose})
    found = told if isinstance(told, dict) and "items" in told else _cut(told, after)
    if resource.word:
        return {**found, "items": [{resource.word: one} for one in found["items"]]}
    return {**found, "items": [one for one in found["items"] if isinstance(one, dict)]}


def _cut(whole: list[Any], after: str) -> dict[str, Any]:
    """A part of a list that operations tell as a whole: a page of thousands of models is for nobody."""
    begin = int(after) if after.isdecimal() and len(after) < 10 else 0
    end = begin + _PART
    return {"items": whole[begin:end], "next": str(end) if end < len(whole) else None}


async def _row(
    request: web.Request, asking: Visitor, here: Space, resource: Resource, action: Action
) -> dict[str, Any]:
    """The one that an action is about; empty for one that makes another. Raises HTTPNotFound."""
    if action is resource.make or action in resource.also:
        _whose(asking, here, action.operation)
        return {}
    wanted, after = request.query.get("id", ""), ""
    for _ in range(_MOST_PARTS):
        found = await _part(asking, here, resource, {}, after)
        for row in found["items"]:
            if str(row[resource.id]) == wanted:
                return dict(row)
        after = found["next"] or ""
        if not after:
            break
    raise web.HTTPNotFound


def _fields(asking: Visitor, here: Space, action: Action, row: Mapping[str, Any]) -> list[Field]:
    op = asking.operations[action.operation]
    hidden = {*action.takes, *action.fixed, *_whose(asking, here, action.operation)}
    values = {**row, "project": row.get("project_id")} if action.edits else {}
    return fields(op.arguments, only=action.asks, without=tuple(hidden), values=values, help=action.help)


def _taken(action: Action, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [row[of]] if name == action.many else row[of] for name, of in action.takes.items()}


def _form(
    request: web.Request, action: Action, row: Mapping[str, Any], made: list[Field], problem: str = ""
) -> web.Response:
    resource = _resource(request)
    response = page(
        request,
        "form.html",
        space=space(request),
        resource=resource,
        action=action,
        row=row,
        name=str(row.get("name") or row.get(resource.id, "")),
        fields=made,
        problem=problem,
    )
    if problem:
        response.set_status(400)
    return response


def _document_page(
    request: web.Request, one: Document, version: Any, made: list[Field], problem: str = ""
) -> web.Response:
    here = space(request)
    may = visitor(request).arguments(one.sets, here) is not None
    saved = "saved" in request.query and not problem
    values = {"document": one, "made_from": version, "fields": made, "problem": problem, "may": may, "saved": saved}
    response = page(request, "document.html", space=here, **values)
    if problem:
        response.set_status(400)
    return response


def _settings(asking: Visitor, one: Document, present: Mapping[str, Any]) -> list[Field]:
    schema = asking.operations[one.sets].arguments
    return fields(schema, only=("settings",), values={"settings": present}, help=one.help)


def _columns(resource: Resource, rows: list[dict[str, Any]]) -> list[str]:
    """Those that at least one row says something in; all of an empty list."""
    said = [name for name in resource.columns if any(row.get(name) not in (None, "", [], {}) for row in rows)]
    return said or list(resource.columns)


def _link(resource: Resource, here: Space, row: Mapping[str, Any]) -> str:
    if not resource.link:
        return ""
    where = resource.link.format(**{name: quote(str(value), safe="") for name, value in row.items()})
    return where if where.startswith("/") else f"{here.path}/{where}"


_DOCUMENT = SPACE + "/{document:" + "|".join(_DOCUMENTS) + "}"
ROUTES = [
    web.get(_DOCUMENT, document),
    web.post(_DOCUMENT, replace),
    web.get(SPACE + _IN_PATH, list_),
    web.get(SPACE + _IN_PATH + "/{action}", form),
    web.post(SPACE + _IN_PATH + "/{action}", act),
]
