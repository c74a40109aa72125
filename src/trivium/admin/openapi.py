"""The description of the admin API (OpenAPI 3.1), made from the routes and the types of their operations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args

import msgspec

from trivium.admin.arguments import is_many, without_null
from trivium.admin.reply import Error, is_list, whole_list
from trivium.admin.row import PREFIX, Route
from trivium.operations.table import Needs

_REF = "#/components/schemas/{name}"
_ABOUT = (
    "What operators do, and what organizations and users do for themselves. Send an admin credential (`tva-...`, from"
    " `trivium admins create`) as `Authorization: Bearer`. Lists come in parts: send `next_cursor` as `cursor` for the"
    " next one. Times are milliseconds since the epoch, amounts decimal strings in USD."
)
ERRORS = {
    400: "Something in the request is wrong; `param` says what.",
    401: "No live admin credential.",
    403: "The credential's role is not enough.",
    404: "It is not there, or not for this credential to see.",
    408: "The body took too long.",
    409: "It is there already, is needed by something else, or is being carried out.",
    412: "It was changed meanwhile: read it again.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    422: "The Idempotency-Key came with another request before.",
    428: "`If-Match` is missing.",
    429: "Too many wrong credentials from this address.",
    431: "The headers are too large.",
    500: "The gateway failed; its log says more.",
    503: "It passes: try again later.",
}
_ALWAYS = (400, 401, 403, 404, 408, 413, 415, 429, 431, 500, 503)
_ON_WRITES = (409, 422)
_ON_VERSIONS = (412, 428)


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole description; `version` is the gateway's."""
    routes = list(routes)
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.row.path, {})[route.row.method.lower()] = _operation(route, schemas)
    paths[f"{PREFIX}/openapi.json"] = {"get": _DESCRIBED}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trivium admin API", "version": version, "description": _ABOUT},
        "security": [{"admin": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas.components,
            "responses": {f"Error{status}": _error(text) for status, text in ERRORS.items()},
            "headers": _HEADERS,
        },
    }


class _Schemas:
    """All types at once, so that those of one name are told apart."""

    def __init__(self, routes: list[Route]) -> None:
        self._places: dict[tuple[str, str], int] = {}
        kinds: list[Any] = [Error]
        for route in routes:
            for use, kind in _kinds(route):
                self._places[(_id(route), use)] = len(kinds)
                kinds.append(kind)
        self._schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self.components: dict[str, Any] = {name: _plain(schema) for name, schema in components.items()}

    def of(self, route: Route, use: str) -> Any:
        return _plain(self._schemas[self._places[(_id(route), use)]])


def _kinds(route: Route) -> Iterable[tuple[str, Any]]:
    """The types of a route by what they are used for: `result`, `body`, and arguments by name."""
    yield "result", _sent(route.op.result)
    fields = {field.name: field for field in msgspec.structs.fields(route.op.arguments)}
    for name in route.in_path:
        yield name, without_null(fields[name].type)
    for name, field in route.in_query.items():
        yield name, without_null(field.type)
    if route.row.content is not None:
        yield "body", fields[route.row.content].type
    elif route.has_body:
        yield "body", _members(route)


def _members(route: Route) -> type[msgspec.Struct]:
    """The arguments that a body has, as a type of their own."""
    fields: list[Any] = []
    for field in route.others.values():
        if field.required:
            fields.append((field.name, field.type))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((field.name, field.type, field.default))
        else:
            fields.append((field.name, field.type, msgspec.field(default_factory=field.default_factory)))
    name = "".join(part.title() for part in _id(route).split("_")) + "Body"
    return msgspec.defstruct(name, fields, kw_only=True, frozen=True, forbid_unknown_fields=True)


@cache
def _sent(result: Any) -> Any:
    """A result's type as it is sent: of a list, its part and the cursor of the next."""
    item: Any = get_args(result)[0] if is_list(result) else whole_list(result)
    if item is None:
        return result
    name = f"{'Name' if item is str else item.__name__}{'List' if is_list(result) else 's'}"
    cursor: list[Any] = [("next_cursor", str | None)] if is_list(result) else []
    return msgspec.defstruct(name, [("data", list.__class_getitem__(item)), *cursor], kw_only=True)


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": _id(route),
        "tags": [route.row.path.split("/")[1]],
        "summary": route.row.does,
        "description": _who(route.op.needs),
        "parameters": [*_in_path(route, schemas), *_in_query(route, schemas), *_in_headers(route)],
        "responses": _responses(route, schemas),
    }
    if route.has_body:
        needed = route.row.content is not None or any(field.required for field in route.others.values())
        told["requestBody"] = {"required": needed, "content": _json(schemas.of(route, "body"))}
    return told


def _in_path(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": schemas.of(route, name)} for name in route.in_path]


def _in_query(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    told = []
    for name, field in route.in_query.items():
        schema = schemas.of(route, name)
        if not field.required and field.default is not msgspec.NODEFAULT and field.default is not None:
            schema = {**schema, "default": msgspec.to_builtins(field.default)}
        parameter = {"name": name, "in": "query", "required": field.required, "schema": schema}
        told.append({**parameter, "style": "form", "explode": True} if is_many(field.type) else parameter)
    return told


def _in_headers(route: Route) -> list[dict[str, Any]]:
    told = []
    if route.op.changes:
        told.append(
            _header("Idempotency-Key", r"^[!-~]{1,255}$", "The same request again gets the same answer, for 24 h.")
        )
    if route.row.if_match is not None:
        text = "The ETag of what yours was made from; `*`: whatever there is."
        told.append(_header("If-Match", r'^(\*|(W/)?"[^"]*")$', text, required=True))
    if route.row.versioned and route.row.method == "GET":
        told.append(_header("If-None-Match", None, "304 where the version is still this."))
    return told


def _header(name: str, pattern: str | None, text: str, *, required: bool = False) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "header", "required": required, "schema": schema, "description": text}


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    names = ["x-trivium-request-id", *(["etag"] if route.row.versioned else [])]
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    done = {"description": "Done.", "headers": headers, "content": _json(schemas.of(route, "result"))}
    told: dict[str, Any] = {str(route.row.status): done}
    if route.row.versioned and route.row.method == "GET":
        told["304"] = {"description": "It is still as the caller knows it.", "headers": headers}
    for status in sorted(
        {*_ALWAYS, *(_ON_WRITES if route.op.changes else ()), *(_ON_VERSIONS if route.row.if_match else ())}
    ):
        told[str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    return told


def _who(needs: Needs) -> str:
    """Who may, in words."""
    ways = ["the house's credentials"]
    if needs.roles:
        ways.append(f"{', '.join(sorted(needs.roles))} of the organization")
    if needs.own:
        ways.append(f"{', '.join(sorted(needs.own))} of the organization for themselves")
    if needs.personal:
        ways.append("users for themselves")
    return f"For {'; '.join(ways)}."


def _id(route: Route) -> str:
    return route.row.method.lower() + route.row.path.replace("/", "_").replace("{", "").replace("}", "").replace(
        ".", "_"
    )


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _error(text: str) -> dict[str, Any]:
    headers = {"x-trivium-request-id": {"$ref": "#/components/headers/x-trivium-request-id"}}
    return {"description": text, "headers": headers, "content": _json({"$ref": _REF.format(name="Error")})}


def _plain(schema: Any) -> Any:
    """Patterns as ECMAScript writes them, which is what readers of JSON Schema take them for; plain JSON values. That
    a fixed tuple has no further items says `maxItems`, too, and readers fail at `items: false`."""
    if isinstance(schema, Mapping):
        return {
            name: value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else _plain(value)
            for name, value in schema.items()
            if not (name == "items" and value is False)
        }
    return [_plain(value) for value in schema] if isinstance(schema, list | tuple) else schema


_HEADERS = {
    "x-trivium-request-id": {"description": "To name this request by.", "required": True, "schema": {"type": "string"}},
    "etag": {"description": "The version of what is answered.", "required": True, "schema": {"type": "string"}},
}
_DESCRIBED = {
    "operationId": "get_openapi",
    "tags": ["openapi"],
    "summary": "This description. No credential is needed: it says nothing of this house.",
    "security": [],
    "responses": {
        "200": {
            "description": "Done.",
            "headers": {"x-trivium-request-id": {"$ref": "#/components/headers/x-trivium-request-id"}},
            "content": _json({"type": "object"}),
        }
    },
}
