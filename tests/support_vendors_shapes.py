"""Shapes of JSON values, made of the types of the official SDKs: which keys may stand where, and which kind of value.

The SDKs' types are for writers of Python: they let unknown keys pass and read lazily what they call `Iterable`. Here
a key that no type names is a fault at every depth, a sequence is a list, and what JSON cannot carry (files, models) is
left out.
"""

from __future__ import annotations

import collections.abc as abc
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

SPARED = {
    "FunctionToolParam": {"parameters", "strict"},
    "ResponseInputImageParam": {"detail"},
    "ResponseOutputMessageParam": {"id", "status", "type"},
    "ResponseOutputTextParam": {"annotations"},
    "ResponseReasoningItemParam": {"id"},
}
"""Keys that the types call required and that the vendor does without."""

HEADERS = {"MessageCreateParamsNonStreaming": {"user_profile_id", "workspace_id"}}
"""Parameters that the SDK sends as headers: in a body they are unknown keys."""

TAKEN: dict[str, dict[str, Any]] = {
    "MessageCreateParamsNonStreaming": {"temperature": float, "top_k": int, "top_p": float},
}
"""Keys that the types do not name any more, for the newest models refuse them, and that the vendor takes."""

TAGS = ("type", "role")
"""Keys that tell the members of a union apart."""

SCALARS = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", type(None): "null"}


class Shape:
    """What a value may be. `takes` decides at a glance, so that of a union the right member is asked for its faults."""

    def takes(self, value: Any) -> bool:
        return True

    def faults(self, value: Any, path: str) -> Iterator[str]:
        """The faults of a value that `takes` let through; in the others there is one: it is not `str(self)`."""
        return iter(())

    def judge(self, value: Any, path: str) -> Iterator[str]:
        return self.faults(value, path) if self.takes(value) else iter([f"{path}: must be {self}"])

    def __str__(self) -> str:
        return "anything"


class Scalar(Shape):
    def __init__(self, kind: type) -> None:
        self.kind = kind

    def takes(self, value: Any) -> bool:
        return type(value) is self.kind or (self.kind is float and type(value) is int)

    def __str__(self) -> str:
        return SCALARS[self.kind]


class OneOf(Shape):
    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values

    def takes(self, value: Any) -> bool:
        return any(type(value) is type(one) and value == one for one in self.values)

    def __str__(self) -> str:
        return " or ".join(map(repr, self.values))


class Each(Shape):
    def __init__(self, item: Any) -> None:
        self.item = shape_of(item)

    def takes(self, value: Any) -> bool:
        return isinstance(value, list)

    def faults(self, value: Any, path: str) -> Iterator[str]:
        for index, item in enumerate(value):
            yield from self.item.judge(item, f"{path}[{index}]")

    def __str__(self) -> str:
        return "a list"


class Mapping(Shape):
    def __init__(self, item: Any) -> None:
        self.item = shape_of(item)

    def takes(self, value: Any) -> bool:
        return isinstance(value, dict)

    def faults(self, value: Any, path: str) -> Iterator[str]:
        for key, item in value.items():
            yield from self.item.judge(item, f"{path}.{key}")

    def __str__(self) -> str:
        return "an object"


class Record(Mapping):
    """An object with named keys. They are looked at when first asked for, as a type may contain itself."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.open = getattr(kind, "__pydantic_config__", {}).get("extra") == "allow"

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        name = self.kind.__name__
        hints = get_type_hints(self.kind, include_extras=True) | TAKEN.get(name, {})
        return {key: hint for key, hint in hints.items() if key not in HEADERS.get(name, ())}

    @functools.cached_property
    def keys(self) -> dict[str, Shape]:
        return {key: shape_of(hint) for key, hint in self.hints.items()}

    @functools.cached_property
    def required(self) -> set[str]:
        named = {key for key, hint in self.hints.items() if get_origin(hint) is Required}
        return named - SPARED.get(self.kind.__name__, set())

    @functools.cached_property
    def tags(self) -> list[tuple[str, Shape]]:
        return [(tag, self.keys[tag]) for tag in TAGS if tag in self.keys]

    def takes(self, value: Any) -> bool:
        return isinstance(value, dict)

    def fits(self, value: Any) -> bool:
        return self.takes(value) and all(
            shape.takes(value[tag]) if tag in value else tag not in self.required for tag, shape in self.tags
        )

    def faults(self, value: Any, path: str) -> Iterator[str]:
        inside = f"{path}." if path else ""
        yield from (f"{inside}{key}: required" for key in sorted(self.required) if key not in value)
        for key, item in value.items():
            if key in self.keys:
                yield from self.keys[key].judge(item, inside + key)
            elif not self.open:
                yield f"{inside}{key}: extra inputs are not permitted"


class Either(Shape):
    def __init__(self, members: tuple[Any, ...]) -> None:
        self.members = [shape_of(member) for member in members if on_wire(member)]

    def takes(self, value: Any) -> bool:
        return any(member.takes(value) for member in self.members)

    def faults(self, value: Any, path: str) -> Iterator[str]:
        takers = [member for member in self.members if member.takes(value)]
        fitting = [member for member in takers if not isinstance(member, Record) or member.fits(value)]
        if not fitting:
            tags = " and ".join(f"of {tag} {value[tag]!r}" for tag in TAGS if tag in value)
            return iter([f"{path}: nothing {tags or 'without a type'} may stand here"])
        if len(fitting) == 1:
            return fitting[0].faults(value, path)
        found = sorted((list(member.faults(value, path)) for member in fitting), key=len)
        return iter(found[0])

    def __str__(self) -> str:
        return " or ".join(dict.fromkeys(map(str, self.members)))


def on_wire(kind: Any) -> bool:
    """Whether JSON can carry it. The SDKs also take files, paths and the models that they gave out."""
    if get_origin(kind) in (Annotated, Union):
        return any(map(on_wire, get_args(kind)))
    return get_origin(kind) in MAKERS or kind in SCALARS or kind in (object, Any) or is_typeddict(kind)


@functools.cache
def shape_of(kind: Any) -> Shape:
    if is_typeddict(kind):
        return Record(kind)
    if kind in SCALARS:
        return Scalar(kind)
    origin = get_origin(kind)
    return MAKERS[origin](get_args(kind)) if origin else Shape()


MAKERS: dict[Any, Callable[[tuple[Any, ...]], Shape]] = {
    Literal: OneOf,
    Union: Either,
    Required: lambda args: shape_of(args[0]),
    Annotated: lambda args: shape_of(args[0]),
    list: lambda args: Each(args[0]),
    abc.Iterable: lambda args: Each(args[0]),
    abc.Sequence: lambda args: Each(args[0]),
    dict: lambda args: Mapping(args[1]),
}
"""By the origin of a type: what its arguments make."""


def body_shape(kind: Any) -> Record:
    """The shape of a body, from the parameters of the call that does not stream: `stream` may be either here."""
    shape = Record(kind)
    shape.hints["stream"] = bool
    return shape
