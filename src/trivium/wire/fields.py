"""Reading what clients wrote: members of the expected types, or an error that names the field; and the rest as losses.

An upstream of the same API judges a request itself. One of another API never sees it, so whatever has to be understood
is checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from trivium.canon.parts import Document, Image, Part, Text
from trivium.errors import FieldInvalid, InvalidJson
from trivium.wire.lenient import is_dense, parse
from trivium.wire.losses import Losses

T = TypeVar("T")
_MOST_OBJECTS = 5_000
"""Tools: each takes some microseconds, for which everybody waits."""
_ABSENT = msgspec.Raw(b"null")
_decode = msgspec.json.decode
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decoded(raw: msgspec.Raw | bytes, at: str) -> Any:
    """The value of a member. Lone surrogates, which no UTF-8 can carry on, are replaced. Raises InvalidJson."""
    data = bytes(raw)
    if is_dense(data):
        raise InvalidJson(f"The field `{at}` has too many values.", param=at)
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        try:
            return parse(data)
        except ValueError as error:
            raise InvalidJson(f"The field `{at}` is not valid JSON: {error}.", param=at) from None


def raw_objects(raw: msgspec.Raw, at: str) -> list[dict[str, msgspec.Raw]]:
    """A list of objects whose members stay bytes; empty for null. Raises FieldInvalid, InvalidJson."""
    found = _raw(raw, at, _objects, "a list of objects") or []
    if len(found) > _MOST_OBJECTS:
        raise FieldInvalid(f"`{at}` has more than {_MOST_OBJECTS} entries.", param=at)
    return found


def raw_object(raw: msgspec.Raw, at: str) -> dict[str, msgspec.Raw]:
    """An object whose members stay bytes; empty for null. Raises FieldInvalid, InvalidJson."""
    return _raw(raw, at, _object, "an object") or {}


def _raw(raw: msgspec.Raw, at: str, decoder: msgspec.json.Decoder[T], expected: str) -> T | None:
    if bytes(raw) == b"null":
        return None
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise FieldInvalid(f"`{at}` must be {expected}.", param=at) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The field `{at}` is not valid JSON: {error}.", param=at) from None


class Fields:
    """The members of one object: each is taken once; `rest` makes losses of those that nobody took.

    `at` is the object's own place; empty for the request itself.
    """

    def __init__(self, members: Mapping[str, Any], at: str = "") -> None:
        self._left = dict(members)
        self._prefix = at and at + "."

    def path(self, name: str) -> str:
        return self._prefix + name

    def raw(self, name: str) -> msgspec.Raw:
        """The member's bytes; those of null where it is absent."""
        value: msgspec.Raw = self._left.pop(name, _ABSENT)
        return value

    def take(self, name: str) -> Any:
        """Any value; None where absent or null."""
        value = self._left.pop(name, None)
        return decoded(value, self.path(name)) if type(value) is msgspec.Raw else value

    def text(self, name: str) -> str | None:
        return self._typed(name, str, "a string")

    def flag(self, name: str) -> bool | None:
        return self._typed(name, bool, "true or false")

    def mapping(self, name: str) -> dict[str, Any] | None:
        return self._typed(name, dict, "an object")

    def listed(self, name: str) -> list[Any] | None:
        return self._typed(name, list, "a list")

    def need(self, name: str) -> str:
        """A string that must be there, and say something."""
        value = self.text(name)
        if not value:
            raise self.wrong(name, "a string")
        return value

    def inner(self, name: str) -> Fields:
        """An object, whose members stay bytes; without any for null."""
        at = self.path(name)
        return Fields(raw_object(self.raw(name), at), at)

    def schema(self, name: str) -> bytes | None:
        """The bytes of an object; None where absent or null."""
        said = bytes(self.raw(name))
        if said != b"null" and not said.startswith(b"{"):
            raise self.wrong(name, "an object")
        return None if said == b"null" else said

    def whole(self, name: str) -> int | None:
        value = self.take(name)
        if type(value) is float and value.is_integer():
            value = int(value)
        if value is None or (type(value) is int and value >= 0):
            return value
        raise self.wrong(name, "a whole number")

    def number(self, name: str) -> float | None:
        value = self.take(name)
        if value is None or type(value) in (int, float):
            return value  # type: ignore[no-any-return]
        raise self.wrong(name, "a number")

    def _typed(self, name: str, kind: type[T], expected: str) -> T | None:
        value = self.take(name)
        if value is None or type(value) is kind:
            return value
        raise self.wrong(name, expected)

    def wrong(self, name: str, expected: str) -> FieldInvalid:
        path = self.path(name)
        return FieldInvalid(f"`{path}` must be {expected}.", param=path)

    def rest(self, losses: Losses, why: str, harmless: Mapping[str, tuple[Any, ...]] | None = None) -> None:
        """What nobody took is lost, save nulls and the values with which nothing is asked for."""
        for name, value in [*self._left.items()]:
            if value is None or value == _ABSENT:
                continue
            if not (harmless and name in harmless and self.take(name) in harmless[name]):
                losses.add(self.path(name), why)
        self._left.clear()


def others(said: dict[str, Any], known: frozenset[str], at: str, losses: Losses, why: str) -> None:
    """The losses of an object of which only the known members were read; cheap where there are no others."""
    if said.keys() <= known:
        return
    for name, value in said.items():
        if name not in known and value is not None:
            losses.add(f"{at}.{name}", why)


def items(value: Any, at: str) -> list[dict[str, Any]]:
    """A list of objects. Raises FieldInvalid."""
    if type(value) is not list:
        raise FieldInvalid(f"`{at}` must be a list of objects.", param=at)
    for place, item in enumerate(value):
        if type(item) is not dict:
            raise FieldInvalid(f"`{at}[{place}]` must be an object.", param=f"{at}[{place}]")
    return value


_HELD = (Text, Image, Document)


def told_of(parts: Iterable[Part], losses: Losses) -> tuple[Text | Image | Document, ...]:
    """What the result of a tool can hold; the other parts are losses."""
    told = []
    for part in parts:
        if isinstance(part, _HELD):
            told.append(part)
        else:
            losses.add(part.at, "not something that the result of a tool can hold elsewhere")
    return tuple(told)


def need_text(said: dict[str, Any], name: str, at: str) -> str:
    """A string member that must be there. Raises FieldInvalid."""
    value = said.get(name)
    if type(value) is not str:
        raise FieldInvalid(f"`{at}.{name}` must be a string.", param=f"{at}.{name}")
    return value


def maybe_text(said: dict[str, Any], name: str, at: str) -> str | None:
    """A string member, or None. Raises FieldInvalid."""
    return None if said.get(name) is None else need_text(said, name, at)


Reader = Callable[[dict[str, Any], str, Losses], tuple[Part, ...]]


def contents(content: Any, at: str, losses: Losses, read: Reader) -> tuple[Part, ...]:
    """What a message holds: nothing, a text, or a list of objects that `read` makes parts of. Raises FieldInvalid."""
    if content is None or content == "":
        return ()
    if type(content) is str:
        return (Text(content, at),)
    if type(content) is not list:
        raise FieldInvalid(f"`{at}` must be a string or a list of parts.", param=at)
    found: list[Part] = []
    for place, part in enumerate(items(content, at)):
        found += read(part, f"{at}[{place}]", losses)
    return tuple(found)
