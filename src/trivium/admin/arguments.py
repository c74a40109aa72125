"""The arguments of an operation out of a request: path, query, body. Pure; raises FieldInvalid, InvalidJson.

What is wrong is said here, by the name under which the caller sent it; the operation checks the same types once more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from trivium.admin.row import Route
from trivium.converted import worded
from trivium.errors import FieldInvalid, InvalidJson

_PLACE = re.compile(r" - at `\$\.?([^`]*)`\Z")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")
_DEEPEST = 100


def arguments(route: Route, path: Sequence[str], query: bytes, body: bytes) -> dict[str, Any]:
    """`path`: the values of the path's names, in their order. What headers say is not among them."""
    found: dict[str, Any] = {**route.row.fixed, **dict(zip(route.in_path, path, strict=True)), **_queried(route, query)}
    if route.has_body:
        content = parsed(body)
        if route.row.content is not None:
            found[route.row.content] = content
        else:
            found |= _members(route, content)
    elif body.strip() not in (b"", b"{}"):
        raise FieldInvalid("Nothing is expected in the body of this request.")
    _check(route, found)
    return found


def parsed(body: bytes) -> Any:
    """A body's JSON. Text with a NUL in it is no text to a database."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None
    if not is_text(content):
        raise FieldInvalid("Texts must not have a NUL character in them, nor be nested deeper than 100 levels.")
    return content


def is_text(content: Any, deep: int = 0) -> bool:
    if isinstance(content, str):
        return "\0" not in content
    if deep > _DEEPEST:
        return False
    if isinstance(content, dict):
        return all("\0" not in name and is_text(value, deep + 1) for name, value in content.items())
    return not isinstance(content, list) or all(is_text(value, deep + 1) for value in content)


def _members(route: Route, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise FieldInvalid(f"The body must be a JSON object with the members {', '.join(route.others)}.")
    for name in content:
        if name not in route.others:
            raise FieldInvalid(f"`{name[:100]}` is unknown here; expected {', '.join(route.others)}.", param=name[:100])
    return content


def _queried(route: Route, query: bytes) -> dict[str, Any]:
    """Each text as what its argument is: the texts of a query have no types."""
    texts: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise FieldInvalid("The query cannot be read: it is not UTF-8 in percent-encoding.") from None
    for name, text in pairs:
        texts.setdefault(name, []).append(text)
    found: dict[str, Any] = {}
    for name, values in texts.items():
        field = route.in_query.get(name)
        if field is None:
            expected = f"expected {', '.join(route.in_query)}" if route.in_query else "none is expected"
            raise FieldInvalid(f"The parameter `{name[:100]}` is unknown here; {expected}.", param=name[:100])
        many = is_many(field.type)
        if len(values) > 1 and not many:
            raise FieldInvalid(f"The parameter `{name}` must be there once.", param=name)
        if not is_text(values):
            raise FieldInvalid("Texts must not have a NUL character in them.", param=name)
        found[field.name] = _typed(name, values if many else values[0], field.type)
    return found


def _typed(name: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.to_builtins(msgspec.convert(value, without_null(kind), strict=False))
    except msgspec.ValidationError as error:
        raise FieldInvalid(f"{name}: {_plain(worded(str(error), kind))}", param=name) from None


def is_many(kind: Any) -> bool:
    """Whether an argument is a list."""
    kind = _bare(without_null(kind))
    return (get_origin(kind) or kind) in (list, tuple)


def _bare(kind: Any) -> Any:
    """Without what is said of it beside, such as how many there may be."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def without_null(kind: Any) -> Any:
    """A text in a query is never null: what is not meant is left out."""
    parts = get_args(_bare(kind))
    left = [part for part in parts if part is not type(None)]
    return left[0] if len(left) == 1 < len(parts) and type(None) in parts else kind


def _check(route: Route, found: Mapping[str, Any]) -> None:
    try:
        msgspec.convert(found, route.op.arguments)
    except msgspec.ValidationError as error:
        message = worded(str(error), route.op.arguments)
        place = _PLACE.search(message)
        steps = place[1] if place else ""
        missing = _FIELD.search(message)
        param = ".".join(part for part in (steps, missing[1] if missing else "") if part) or None
        if param and route.row.content and param.startswith(f"{route.row.content}."):
            param = param.removeprefix(f"{route.row.content}.")
        raise FieldInvalid(f"{param}: {_plain(message)}" if param else _plain(message), param=param) from None


def _plain(message: str) -> str:
    return _PLACE.sub("", message).rstrip(".") + "."
