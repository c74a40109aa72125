"""What a TOML table says, as a struct; what is wrong with it is told by its key and line, and by what was expected."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from trivium.settings import Source

_T = TypeVar("_T")


def converted(content: object, kind: type[_T], path: tuple[str, ...], source: Source) -> _T:
    """Raises ConfigError."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        steps, what = _explain(str(error), kind)
        raise source.error((*path, *steps), what) from None


def _explain(message: str, kind: Any) -> tuple[list[str], str]:
    """msgspec says "Expected `int`, got `str` - at `$.port`": the steps to the key, and what was expected there."""
    what, _, where = message.partition(" - at `$")
    steps = re.findall(r"[A-Za-z0-9_-]+", where)
    for step in steps:
        if not step.isdigit():  # a place in a list
            kind = next((field.type for field in _fields(kind) if field.name == step), None)
    if unknown := re.match(r"Object contains unknown field `(.*)`", what):
        known = ", ".join(field.name for field in _fields(kind))
        return [*steps, unknown[1]], f"unknown setting; expected one of {known}"
    if steps and steps[-1].isdigit():
        steps.pop()  # one of a list of words
    if what.startswith("Invalid enum value"):
        return steps, f"{what}; expected one of {', '.join(_choices(kind))}"
    return steps, what.replace("`", "")


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Of a struct, or of those that a list has."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return msgspec.structs.fields(kind)
    return next((found for part in get_args(kind) if (found := _fields(part))), ())


def _choices(kind: Any) -> list[str]:
    """The words of a Literal, however deep in lists and unions it lies."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for part in get_args(kind) for choice in _choices(part)]
