"""JSON Schemas as the vendors want them; what is changed is changed in a copy."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trivium.canon.request import Tool
from trivium.wire.lenient import mapping, parse, sequence

EMPTY = b'{"type":"object","properties":{}}'
"""Of a function without arguments."""
FREE_TEXT = "input"
"""The one argument of a free-text tool where there are only functions."""
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_NESTED = ("items", "not", "if", "then", "else", "additionalProperties")


def parsed(schema: bytes | None) -> Any:
    """The schema as values; an empty one where it cannot be read."""
    try:
        return msgspec.json.decode(schema or EMPTY)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return parse(schema or EMPTY)
    except ValueError:
        return {}


class _Top(msgspec.Struct):
    type: Literal["object"]
    properties: dict[str, msgspec.Raw]


_top = msgspec.json.Decoder(_Top)


def parameters(tool: Tool) -> Any:
    """A function's schema as the client wrote it, if it has what the vendors demand."""
    schema = tool.schema or EMPTY
    try:
        _top.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return shaped(parsed(schema))
    return msgspec.Raw(schema)


def shaped(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy with the type that all vendors demand of a function's schema, and the `properties` that OpenAI does."""
    return {**schema, "type": "object", "properties": mapping(schema.get("properties"))}


def closed(schema: Any) -> Any:
    """A copy in which each object says that it has no other properties, as Anthropic's `output_config.format` wants.

    A schema that is nested beyond all measure stays as it is.
    """
    try:
        return _closed(schema)
    except RecursionError:
        return schema


def _closed(schema: Any) -> Any:
    if type(schema) is not dict:
        return schema
    copy = {key: _inside(key, value, _closed) for key, value in schema.items()}
    return (
        copy if not _is_object(schema) or "additionalProperties" in schema else {**copy, "additionalProperties": False}
    )


def is_strict(schema: Any) -> bool:
    """Whether OpenAI takes it with `strict: true`: an object; each object closed, each of its properties required."""
    try:
        return type(schema) is dict and schema.get("type") == "object" and _is_strict(schema)
    except RecursionError:
        return False


def _is_strict(schema: Any) -> bool:
    if type(schema) is not dict:
        return True
    if _is_object(schema):
        required = {name for name in sequence(schema.get("required")) if type(name) is str}
        names = schema.get("properties")
        if schema.get("additionalProperties") is not False:
            return False
        if type(names) is dict and not names.keys() <= required:
            return False
    return all(_is_strict(child) for child in children(schema))


def children(schema: dict[str, Any]) -> list[Any]:
    """The schemas directly inside a schema."""
    found: list[Any] = []
    for key, value in schema.items():
        if key in _NAMED and type(value) is dict:
            found += value.values()
        elif key in _LISTED and type(value) is list:
            found += value
        elif key in _NESTED:
            found += value if type(value) is list else [value]
    return found


def free_text_schema(grammar: dict[str, Any] | None) -> dict[str, Any]:
    """Of a function that stands for a free-text tool."""
    about = "The tool's whole input, as plain text."
    if grammar is not None:
        about += f" It must follow this {grammar.get('syntax', '')} grammar:\n{grammar.get('definition', '')}"
    return {
        "type": "object",
        "properties": {FREE_TEXT: {"type": "string", "description": about}},
        "required": [FREE_TEXT],
        "additionalProperties": False,
    }


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" or "properties" in schema


def _inside(key: str, value: Any, change: Any) -> Any:
    if key in _NAMED and type(value) is dict:
        return {name: change(child) for name, child in value.items()}
    if key in _LISTED and type(value) is list:
        return [change(child) for child in value]
    if key in _NESTED:
        return [change(child) for child in value] if type(value) is list else change(value)
    return value
