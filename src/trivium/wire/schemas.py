"""JSON Schemas as the vendors want them; what is changed is changed in a copy."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trivium.canon.request import Tool
from trivium.canon.traits import Traits
from trivium.wire.lenient import dump, mapping, parse, sequence
from trivium.wire.losses import Losses

EMPTY = b'{"type":"object","properties":{}}'
"""Of a function without arguments."""
ANYTHING = b"{}"
"""Of a form that has none."""
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


_CHOICES = ("anyOf", "oneOf", "allOf")


def parameters(tool: Tool, traits: Traits, losses: Losses) -> Any:
    """A function's schema as the client wrote it, if it has what the vendors demand."""
    schema = tool.schema or EMPTY
    if traits.plain_schemas and any(b'"%b"' % name.encode() in schema for name in _CHOICES):
        said = parsed(schema)
        if type(said) is dict and not said.keys().isdisjoint(_CHOICES):
            losses.add(f"{tool.at}.parameters", "the choice among several forms of arguments is told as one form")
            return shaped(_merged(said))
    try:
        _top.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return shaped(parsed(schema))
    return msgspec.Raw(schema)


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """All properties of all forms; required are those that every form requires."""
    forms = [mapping(form) for name in _CHOICES for form in sequence(schema.get(name))]
    properties = {key: value for form in forms for key, value in mapping(form.get("properties")).items()}
    required = [set(map(str, sequence(form.get("required")))) for form in forms]
    always = set(map(str, sequence(schema.get("required")))) | (set.intersection(*required) if required else set())
    plain = {key: value for key, value in schema.items() if key not in _CHOICES}
    return {**plain, "properties": mapping(schema.get("properties")) | properties, "required": sorted(always)}


def shaped(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy with the type that all vendors demand of a function's schema, and the `properties` that OpenAI does."""
    return {**schema, "type": "object", "properties": mapping(schema.get("properties"))}


def closed(schema: Any) -> Any:
    """A copy in which each object says that it has no other properties, as Anthropic's `output_config.format` wants.
    One that names none may have any: it stays as it is.

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
    if "properties" not in schema or "additionalProperties" in schema or "patternProperties" in schema:
        return copy
    return {**copy, "additionalProperties": False}


CONSTRAINTS = "bounds and patterns that this model is not held to are told in words"
_ENFORCED = frozenset(
    {
        "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "definitions", "description",
        "enum", "format", "items", "minItems", "properties", "required", "title", "type",
    }
)  # fmt: skip
"""What Anthropic's structured outputs know (its SDK's `transform_schema`)."""
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")


def enforceable(schema: Any) -> Any:
    """A copy with what Anthropic can hold a model to; the rest becomes words of the description."""
    try:
        return _enforceable(schema)
    except RecursionError:
        return schema


def _enforceable(schema: Any) -> Any:
    if type(schema) is not dict:
        return schema
    if "oneOf" in schema and "anyOf" not in schema:
        schema = {"anyOf" if key == "oneOf" else key: value for key, value in schema.items()}
    kept = {key: _inside(key, value, _enforceable) for key, value in schema.items() if _is_enforced(key, value)}
    words = ", ".join(f"{key}: {dump(value)}" for key, value in schema.items() if key not in kept)
    if not words:
        return kept
    about = kept.get("description")
    return {**kept, "description": f"{about} ({words})" if about else f"({words})"}


def _is_enforced(key: str, value: Any) -> bool:
    if key == "format":
        return value in _FORMATS
    if key == "minItems":
        return value in (0, 1)
    return key in _ENFORCED


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
