"""Values that the rules of more than one vendor look at: schemas, ranges, data in base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

Body = dict[str, Any]
Faults = Iterator[str]
Rule = Callable[[Body], Faults]
"""A rule is asked only of a body whose shape is right, so it may trust the types."""

NAMED = ("properties", "$defs", "definitions")
"""Keywords of a schema whose object is one of schemas by name."""
NESTING = (*NAMED, "anyOf", "allOf", "oneOf", "items", "prefixItems")

Ranges = dict[str, tuple[float, float]]


def outside(body: Body, ranges: Ranges) -> Faults:
    for key, (low, high) in ranges.items():
        value = body.get(key)
        if value is not None and not low <= value <= high:
            yield f"{key}: {value} is not within {low} to {high}"


def is_base64(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return False


def is_image_url(url: str) -> bool:
    head, comma, data = url.partition(",")
    if url.startswith("data:"):
        return bool(comma and re.fullmatch(r"data:image/(jpeg|png|gif|webp);base64", head)) and is_base64(data)
    return re.match(r"https?://[^\s/]", url) is not None


def object_schema(schema: Any, path: str) -> Faults:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield f"{path}.type: must be 'object'"


def closed(schema: Any, path: str, *, every_property_required: bool) -> Faults:
    """What structured outputs ask of the objects of a schema, at each depth."""
    for at, node in subschemas(schema, path):
        if "properties" not in node and "object" not in _listed(node.get("type")):
            continue
        if node.get("additionalProperties") is not False:
            yield f"{at}.additionalProperties: must be false"
        properties, required = node.get("properties"), _listed(node.get("required"))
        missing = [name for name in properties if name not in required] if isinstance(properties, dict) else []
        if every_property_required and missing:
            yield f"{at}.required: misses {', '.join(missing)}"


def subschemas(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    yield path, schema
    inside = {key: value for key, value in schema.items() if key in NESTING}
    for key, nodes in inside.items():
        if isinstance(nodes, list):
            for index, node in enumerate(nodes):
                yield from subschemas(node, f"{path}.{key}[{index}]")
        elif key in NAMED and isinstance(nodes, dict):
            for name, node in nodes.items():
                yield from subschemas(node, f"{path}.{key}.{name}")
        else:
            yield from subschemas(nodes, f"{path}.{key}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
