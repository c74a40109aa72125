"""Pages made from the rows of `table.py`: lists, forms, confirmations, settings as a whole.

Each page asks the gateway, as the visitor, and shows what it says; a refusal is shown where it happened, beside what
was typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import web

from trivium.dashboard.differences import differences
from trivium.dashboard.documents import DOCUMENTS, Document
from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import Field, Unfit, arguments, carried, changes, fields, filled, rebased
from trivium.dashboard.guard import base_url
from trivium.dashboard.home import first_model
from trivium.dashboard.menu import fits, is_over, may, offered
from trivium.dashboard.page import SPACE, download, first, page, said_of, see_other, sent, space, visitor, whose_of
from trivium.dashboard.row import NUMBER, Action, Resource
from trivium.dashboard.snippets import first_calls, setups
from trivium.dashboard.table import BY_PATH
from trivium.dashboard.visitor import Kind, Space, Visitor, properties

_PART = 50
_MOST_PARTS = 40
"""In which one of a list is looked for."""
_MOST_DIGITS = 16
"""Of a version, or a number."""
_IN_PATH = "/{resource:" + "|".join(BY_PATH) + "}"
_DOCUMENTS = {one.path: one for one in DOCUMENTS}


async def list_(request: web.Request) -> web.Response:
    asking, here, resource = visitor(request), space(request), _resource(request)
    if not offered(resource, asking, here):
        raise web.HTTPNotFound
    filters = _filters(asking, here, resource, request.query)
    query = {field.name: field.value for field in filters if field.value}
    after = request.query.get("after", "")
    found: dict[str, Any] = {"items": [], "next": None}
    problem = ""
    try:
        found = await _part(asking, here, resource, _asked(filters), after)
    except (Refusal, Unfit) as error:
        if isinstance(error, Refusal) and error.status in (401, 403):
            raise
        problem = said_of(error)
    following = urlencode({**query, "after": found["next"]}) if found["next"] else ""
    return page(
        request,
        "list.html",
        space=here,
        resource=resource,
        rows=found["items"],
        columns=_columns(resource, found["items"]),
        does=lambda row: _does(asking, here, resource, row),
        acts=any(_does(asking, here, resource, row) for row in found["items"]),
        also=[action for action in resource.also if may(asking, here, action)],
        make=resource.make if resource.make and may(asking, here, resource.make) else None,
        filters=filters,
        query=query,
        following=following,
        after=after,
        problem=problem,
        link=lambda row: _link(resource, here, row, _id(resource, row, query, after)),
        id_of=lambda row: _id(resource, row, query, after),
    )


async def details(request: web.Request) -> web.Response:
    """All that is told of one of a list."""
    asking, here, resource = visitor(request), space(request), _resource(request)
    row = await _one(request, asking, here, resource)
    name, does = _name(resource, row), _does(asking, here, resource, row)
    values = {"resource": resource, "row": row, "name": name, "does": does}
    return page(request, "details.html", space=here, query=request.rel_url.raw_query_string, **values)


async def whole(request: web.Request) -> web.Response:
    """The same as a file, however long it is."""
    row = await _one(request, visitor(request), space(request), _resource(request))
    told = {name: value for name, value in row.items() if name != "change"}
    content = msgspec.json.format(msgspec.json.encode(told))
    return download(content, f"{_resource(request).path}.json", "application/json")


async def form(request: web.Request) -> web.Response:
    """What an action asks for; or, where it asks for nothing, whether it is meant."""
    asking, here, resource, action = visitor(request), space(request), _resource(request), _action(request)
    row = await _row(request, asking, here, resource, action)
    return _form(request, action, row, _fields(asking, here, action, row))


async def act(request: web.Request) -> web.Response:
    asking, here, resource, action = visitor(request), space(request), _resource(request), _action(request)
    row = await _row(request, asking, here, resource, action)
    made, told = _fields(asking, here, action, row), await sent(request)
    asked = {**_taken(action, row), **action.fixed, **_once(asking, action, told)}
    try:
        if action.edits:
            told, clashing = rebased(made, told, told.get("shown", ["{}"])[0])
            if clashing:
                raise Unfit(f"Somebody else has changed meanwhile: {', '.join(clashing)}. Save again for what is here.")
        asked |= changes(made, told) if action.edits else arguments(made, told)
        result = await asking.ask(action.operation, **{**asked, **whose_of(asking, here, action.operation)})
    except (Refusal, Unfit) as error:
        return _form(request, action, row, made, told=told, problem=said_of(error))
    return await _done(request, resource, action, result)


async def _done(request: web.Request, resource: Resource, action: Action, result: Any) -> web.Response:
    """What is seen once an action has been done."""
    asking, here = visitor(request), space(request)
    if action.leads:
        # Not a redirect: a browser holds those that follow a form against `form-action`, which names nobody but us.
        return page(request, "leads_on.html", space=here, resource=resource, action=action, url=result[action.leads])
    if action.shows:
        value = result[action.shows]
        if action.links:
            value = f"{base_url(request)}{action.links}{quote(value)}"
        shown = {"space": here, "resource": resource, "action": action, "value": value}
        if action.shows == "key":
            url, model = base_url(request), await first_model(asking)
            shown |= {"calls": first_calls(url, model, value), "setups": setups(url, model, value)}
        return page(request, "shown_once.html", **shown)
    if action.tells:
        return page(request, "told.html", space=here, resource=resource, action=action, told=result)
    return see_other(f"{here.path}/{resource.path}")


async def document(request: web.Request) -> web.Response:
    asking, here, one = visitor(request), space(request), _document(request)
    whose = whose_of(asking, here, one.shows)
    present = await asking.ask(one.shows, **whose)
    return _document_page(request, one, present["version"], _settings(asking, one, present["settings"]))


async def replace(request: web.Request) -> web.Response:
    asking, here, one = visitor(request), space(request), _document(request)
    told, whose = await sent(request), whose_of(asking, here, one.sets)
    made = _settings(asking, one, {})
    version = first(told, "version")
    try:
        settings = arguments(made, told).get("settings", {})
        await asking.ask(one.sets, settings=settings, version=_version(version), **whose)
    except (Refusal, Unfit) as error:
        return _document_page(request, one, version, filled(made, told), said_of(error))
    return see_other(f"{here.path}/{one.path}?saved=1")


def _resource(request: web.Request) -> Resource:
    return BY_PATH[request.match_info["resource"]]


def _action(request: web.Request) -> Action:
    resource, wanted = _resource(request), request.match_info["action"]
    for action in (*([resource.make] if resource.make else []), *resource.also, *resource.does):
        if action.path == wanted:
            return action
    raise web.HTTPNotFound


def _document(request: web.Request) -> Document:
    return _DOCUMENTS[request.match_info["document"]]


async def _part(
    asking: Visitor, here: Space, resource: Resource, query: Mapping[str, Any], after: str
) -> dict[str, Any]:
    """As lists come: whole ones become a part that is the last. Raises Refusal, HTTPNotFound."""
    if not offered(resource, asking, here):
        raise web.HTTPNotFound
    whose = whose_of(asking, here, resource.lists)
    known = properties(asking.operations[resource.lists].arguments)
    paging = {"limit": _PART, "after": after} if "after" in known else {}
    told = await asking.ask(resource.lists, **{**paging, **query, **whose})
    if isinstance(told, dict) and "items" in told:
        found = told
    else:
        found = _cut(told if isinstance(told, list) else [told], after)
    if resource.word:
        return {**found, "items": [{resource.word: one} for one in found["items"]]}
    rows = [one for one in found["items"] if isinstance(one, dict)]
    if resource.compares:
        rows = [{**row, "change": differences(*(row[name] for name in resource.compares))} for row in rows]
    return {**found, "items": rows}


def _cut(whole: list[Any], after: str) -> dict[str, Any]:
    """A part of a list that operations tell as a whole: a page of thousands of models is for nobody."""
    begin = int(after) if after.isdecimal() and len(after) < 10 else 0
    end = begin + _PART
    return {"items": whole[begin:end], "next": str(end) if end < len(whole) else None}


async def _row(
    request: web.Request, asking: Visitor, here: Space, resource: Resource, action: Action
) -> dict[str, Any]:
    """The one that an action is about; empty for one that makes another. Raises HTTPNotFound."""
    if not may(asking, here, action):
        raise web.HTTPNotFound
    if action is resource.make or action in resource.also:
        return {}
    row = await _one(request, asking, here, resource)
    if action not in _does(asking, here, resource, row):
        raise web.HTTPNotFound
    return row


async def _one(request: web.Request, asking: Visitor, here: Space, resource: Resource) -> dict[str, Any]:
    """Of a list as it was asked for, by its id; `part` is where the part begins that it was seen in, which of a list in
    the order of its numbers is known. Raises HTTPNotFound."""
    wanted, after = request.query.get("id", ""), request.query.get("part", "")
    if resource.id == NUMBER and wanted.isdecimal() and len(wanted) <= _MOST_DIGITS:
        after = str(int(wanted) + 1)
    filters = _filters(asking, here, resource, request.query)
    try:
        asked = _asked(filters)
    except Unfit:
        raise web.HTTPNotFound from None
    for _ in range(_MOST_PARTS):
        found = await _part(asking, here, resource, asked, after)
        for row in found["items"]:
            if str(row[resource.id]) == wanted:
                return dict(row)
        after = found["next"] or ""
        if not after:
            break
    raise web.HTTPNotFound


def _does(asking: Visitor, here: Space, resource: Resource, row: Mapping[str, Any]) -> list[Action]:
    """What the visitor may do to a row."""
    if is_over(resource, row):
        return []
    allowed = [action for action in resource.does if may(asking, here, action)]
    return [action for action in allowed if fits(action, row, asking.arguments(action.operation, here))]


def _filters(asking: Visitor, here: Space, resource: Resource, asked: Mapping[str, str]) -> list[Field]:
    """What may be asked of a list, save what the space says, as it was asked."""
    schema, whose = asking.operations[resource.lists].arguments, asking.arguments(resource.lists, here)
    made = fields(schema, only=resource.filters, without=(*(whose or ()), *_elsewhere(resource.filters_in, here)))
    return [msgspec.structs.replace(field, value=asked.get(field.name, "").strip()) for field in made]


def _asked(filters: list[Field]) -> dict[str, Any]:
    """Raises Unfit."""
    return arguments(filters, {field.name: [field.value] for field in filters if field.value})


def _fields(asking: Visitor, here: Space, action: Action, row: Mapping[str, Any]) -> list[Field]:
    op, whose = asking.operations[action.operation], whose_of(asking, here, action.operation)
    hidden = {*_elsewhere(action.asks_in, here), *action.takes, *action.fixed, *whose}
    values = {**row, "project": row.get("project_id")} if action.edits else {}
    return fields(op.arguments, only=action.asks, without=tuple(hidden), values=values, help=action.help)


def _elsewhere(some: Mapping[str, tuple[Kind, ...]], here: Space) -> list[str]:
    return [name for name, spaces in some.items() if here.kind not in spaces]


def _taken(action: Action, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [row[of]] if name == action.many else row[of] for name, of in action.takes.items()}


def _once(asking: Visitor, action: Action, told: Mapping[str, list[str]]) -> dict[str, str]:
    """By what the operation knows a form that is sent twice, where it looks at that."""
    once = first(told, "once")
    return {"idempotency_key": f"form:{once}"} if once and _is_once(asking, action) else {}


def _is_once(asking: Visitor, action: Action) -> bool:
    return "idempotency_key" in properties(asking.operations[action.operation].arguments)


def _form(
    request: web.Request,
    action: Action,
    row: Mapping[str, Any],
    made: list[Field],
    *,
    told: Mapping[str, list[str]] | None = None,
    problem: str = "",
) -> web.Response:
    """`told`: what somebody has filled in already."""
    resource = _resource(request)
    return page(
        request,
        "form.html",
        status=400 if problem else 200,
        space=space(request),
        resource=resource,
        action=action,
        row=row,
        name=_name(resource, row),
        fields=made if told is None else filled(made, told),
        shown=carried(made) if action.edits else "",
        once=token_urlsafe(16) if _is_once(visitor(request), action) else "",
        problem=problem,
    )


def _document_page(
    request: web.Request, one: Document, version: Any, made: list[Field], problem: str = ""
) -> web.Response:
    here = space(request)
    may = visitor(request).may(one.sets, here)
    saved = "saved" in request.query and not problem
    values = {"document": one, "made_from": version, "fields": made, "problem": problem, "may": may, "saved": saved}
    return page(request, "document.html", status=400 if problem else 200, space=here, **values)


def _version(text: str) -> int:
    """Of the settings that a form was made from. Raises Unfit."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise Unfit("This form does not say what it was made from. Load the page again.")
    return int(text)


def _settings(asking: Visitor, one: Document, present: Mapping[str, Any]) -> list[Field]:
    schema = asking.operations[one.sets].arguments
    return fields(schema, only=("settings",), values={"settings": present}, help=one.help)


def _id(resource: Resource, row: Mapping[str, Any], query: Mapping[str, str], after: str) -> str:
    """The query by which a row of a part of a list, as `query` asked for it, is found again (`_one`): under other
    filters there may be another of this id, or none."""
    return urlencode({"id": str(row[resource.id]), **query, **({"part": after} if after else {})})


def _name(resource: Resource, row: Mapping[str, Any]) -> str:
    return str(row.get("name") or row.get(resource.id, ""))


def _columns(resource: Resource, rows: list[dict[str, Any]]) -> list[str]:
    """Those that at least one row says something in; all of an empty list."""
    said = [name for name in resource.columns if any(row.get(name) not in (None, "", [], {}) for row in rows)]
    return said or list(resource.columns)


def _link(resource: Resource, here: Space, row: Mapping[str, Any], query: str) -> str:
    """Where its first column leads."""
    if resource.word:
        return ""
    if not resource.link:
        return f"{here.path}/{resource.path}/details?{query}"
    where = resource.link.format(**{name: quote(str(value), safe="") for name, value in row.items()})
    return where if where.startswith("/") else f"{here.path}/{where}"


_DOCUMENT = SPACE + "/{document:" + "|".join(_DOCUMENTS) + "}"
ROUTES = [
    web.get(_DOCUMENT, document),
    web.post(_DOCUMENT, replace),
    web.get(SPACE + _IN_PATH, list_),
    web.get(SPACE + _IN_PATH + "/details", details),
    web.get(SPACE + _IN_PATH + "/details.json", whole),
    web.get(SPACE + _IN_PATH + "/{action}", form),
    web.post(SPACE + _IN_PATH + "/{action}", act),
]
