"""What a TOML table says, as a struct; what is wrong with it is told by its key and line, and by what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, EnumType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from trivium.patterns import EXPECTED
from trivium.settings import Source

_T = TypeVar("_T")
_PATTERN = re.compile(r"`str(?: \| null)?` matching regex (.*?)(?= - at `\$|\Z)", re.DOTALL)
_WHERE = re.compile(r" - at (`key` in )?`\$[^`]*`\Z")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]|\[(\.\.\.)\]")


def converted(content: object, kind: type[_T], path: tuple[str, ...], source: Source) -> _T:
    """Raises ConfigError."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        steps, what = _explain(worded(str(error), kind), kind, content)
        raise source.error((*path, *steps), what) from None


def worded(message: str, kind: Any) -> str:
    """What msgspec says of a text that does not fit, with the pattern in words, where its type has them as
    `patterns.matching` has them, and with the words that would."""
    if message.startswith("Invalid enum value"):
        what = _WHERE.sub("", message)
        where = message.removeprefix(what)
        choices = ", ".join(_choices(_at(where, kind)))
        return f"{what}; expected one of {choices}{where}" if choices else message
    found = _PATTERN.search(message)
    words = _words(kind, found[1], set()) if found else None
    return message[: found.start()] + words + message[found.end() :] if found and words else message


def _explain(message: str, kind: Any, content: object) -> tuple[list[str], str]:
    """msgspec says "Expected `int`, got `str` - at `$.port`": the steps to the key, and what was expected there."""
    what, _, where = message.partition(" - at `$")
    steps: list[str] = []
    for name, place, _any in _STEP.findall(where):
        if name:
            kind = next((field.type for field in _fields(kind) if field.name == name), None)
        step = name or place or _unfit(content, kind)
        content = _below(content, step)
        steps.append(step)
    if unknown := re.match(r"Object contains unknown field `(.*)`", what):
        known = ", ".join(field.name for field in _fields(kind))
        return [*steps, unknown[1]], f"unknown setting; expected one of {known}"
    if steps and steps[-1].isdigit():
        steps.pop()  # one of a list of words
    return steps, what.replace("`", "")


def _at(where: str, kind: Any) -> Any:
    """The type at a place as msgspec writes it."""
    for name, _, _ in _STEP.findall(where):
        if name:
            kind = next((field.type for field in _fields(kind) if field.name == name), kind)
    return kind


def _unfit(content: object, kind: Any) -> str:
    """The name that msgspec leaves out: which of a table's values does not fit, where its names are free."""
    values = next(_tables(kind), Any)
    for name, value in content.items() if isinstance(content, dict) else ():
        try:
            msgspec.convert(value, values)
        except msgspec.ValidationError:
            return str(name)
    return "..."


def _below(content: object, step: str) -> object:
    if isinstance(content, dict):
        return content.get(step)
    return content[int(step)] if isinstance(content, list) and step.isdigit() else None


def _tables(kind: Any) -> Iterator[Any]:
    """What the values of free tables are, however deep in unions these lie."""
    if get_origin(kind) is dict:
        yield get_args(kind)[1]
    else:
        for part in get_args(kind):
            yield from _tables(part)


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Of a struct, or of those that a list has."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return msgspec.structs.fields(kind)
    return next((found for part in get_args(kind) if (found := _fields(part))), ())


def _choices(kind: Any) -> list[str]:
    """The words of a Literal or an enum, however deep in lists and unions it lies."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, EnumType):
        return [str(one.value) for one in list[Enum](kind)]
    return [choice for part in get_args(kind) for choice in _choices(part)]


def _words(kind: Any, shown: str, seen: set[type]) -> str | None:
    """Of the pattern that is shown, wherever in a type it stands."""
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        for meta in kind.__metadata__:
            if isinstance(meta, msgspec.Meta) and meta.pattern is not None and repr(meta.pattern) == shown:
                return (meta.extra or {}).get(EXPECTED)
        parts = (kind.__origin__,)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
        seen.add(kind)
        parts = tuple(field.type for field in msgspec.structs.fields(kind))
    return next((words for part in parts if (words := _words(part, shown, seen))), None)
