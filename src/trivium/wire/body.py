"""A JSON request body as bytes with named top-level members: read without decoding what nobody asks for, and patched
without touching any byte beside the patch.

A member may stand twice in a hostile body, and readers differ in which one they take. `patch` therefore splices only
where every member that was read provably stands once, and otherwise rebuilds the object from what was read here, so
that an upstream cannot see a value that was not checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from trivium.errors import FieldUnsupported, InvalidJson
from trivium.wire.crowd import has_more_names
from trivium.wire.lenient import is_utf8

Members = dict[str, msgspec.Raw]

_MOST_NAMES = 300_000
"""As many objects are made in 0.2 s, which everybody waits for."""
_LONGEST_OPTION = 4096
_LONGEST_COUNT = 19
_LARGEST_COUNT = 10**18
_COLON = re.compile(rb"\s*:\s*")
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
"""With such escapes a name can be spelt in a way that a search does not find."""
_HALF = re.compile(rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F])")
"""A high surrogate without its low one: what is left where a client cut a text. The decoder calls it truncated data."""
_members = msgspec.json.Decoder(Members)
_encode = msgspec.json.Encoder().encode


def members(body: bytes) -> Members:
    """The top-level members of a JSON object, their values still bytes. Raises InvalidJson."""
    if has_more_names(body, _MOST_NAMES):
        raise InvalidJson("The request body has too many members.")
    try:
        found = _members.decode(body)
    except msgspec.ValidationError:
        raise InvalidJson("The request body must be a JSON object.") from None
    except RecursionError:
        raise InvalidJson("The request body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        half = _HALF.search(body)
        # The error itself, kept in a name, would keep this frame and the body until the garbage collector comes.
        why = f"`{half[1].decode()}` is half of a character" if half else str(error)
        what = "The request body is empty" if not body.strip() else f"The request body is not valid JSON: {why}"
        raise InvalidJson(f"{what}.") from None
    if not is_utf8(body):
        raise InvalidJson("The request body is not valid JSON: it is not UTF-8.")
    return found


def begins(raw: msgspec.Raw) -> bytes:
    """The first byte of a value, which tells what it is; the rest is not copied for it."""
    return bytes(memoryview(raw)[:1])


def value(found: Members, name: str) -> Any:
    """A small member decoded in full; None where it is absent or null. Raises InvalidJson, FieldUnsupported."""
    raw = found.get(name)
    if raw is not None and len(raw) > _LONGEST_OPTION:
        raise FieldUnsupported(f"`{name}` is too long.", param=name)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The field `{name}` is not valid JSON: {error}.", param=name) from None


def text(found: Members, name: str) -> str | None:
    """A string member; None where absent or null. Raises FieldUnsupported for another type."""
    raw = bytes(found.get(name, b"null"))
    if not raw.startswith((b'"', b"null")):
        raise FieldUnsupported(f"`{name}` must be a string.", param=name)
    content = value(found, name)
    if content is not None and not isinstance(content, str):
        raise FieldUnsupported(f"`{name}` must be a string.", param=name)
    return content


def flag(found: Members, name: str) -> bool:
    """A boolean member; False where absent or null. Raises FieldUnsupported for another type."""
    raw = found.get(name)
    if raw is None:
        return False
    word = bytes(raw)
    if word not in (b"true", b"false", b"null"):
        raise FieldUnsupported(f"`{name}` must be true or false.", param=name)
    return word == b"true"


def count(found: Members, name: str) -> int | None:
    """The whole number that a member is, or that an easy-going upstream would take it for (`3.0`, `"3"`, `3e0`); None
    for others, which are the upstream's to refuse."""
    raw = found.get(name)
    if raw is None:
        return None
    digits = bytes(raw)
    if digits.isdigit() and len(digits) < _LONGEST_COUNT:
        return int(digits)
    try:
        number = float(digits.strip(b'"')) if len(digits) < _LONGEST_COUNT else -1
    except ValueError:
        return None
    return math.ceil(number) if 0 <= number < _LARGEST_COUNT else None


def is_said(found: Members, name: str) -> bool:
    """Whether a member is there and not null."""
    return name in found and bytes(found[name]) != b"null"


def inner(found: Members, name: str) -> Members | None:
    """The members of an object, none where it is absent or null; None where something else stands there."""
    if not is_said(found, name):
        return {}
    try:
        return members(bytes(found[name]))
    except InvalidJson:
        return None


def patch(body: bytes, found: Members, changes: dict[str, bytes], read: Iterable[str] = ()) -> bytes:
    """The body with top-level members set to JSON values; all other bytes as they were, where that is safe.

    `read` names the members on whose values something was decided; those that are changed belong to them.
    """
    places = _places(body, found, changes)
    if places is None:
        places = _searched_places(body, found, {*read, *changes})
    if places is None:
        return _encode({**found, **{name: msgspec.Raw(new) for name, new in changes.items()}})
    return _splice(body, found, changes, places) if changes else body


def _places(body: bytes, found: Members, names: Iterable[str]) -> dict[str, int] | None:
    """Where these members' values begin, if the object is written without blanks: as long as its members are together.

    Then no member can stand twice, for the second one would make it longer. It is how SDKs write, and costs no search.
    """
    if 1 + len("".join(found).encode()) + sum(map(len, found.values())) + 4 * len(found) != len(body):
        return None
    wanted = found.keys() & names
    places: dict[str, int] = {}
    at = 1
    for name, raw in found.items():
        if not wanted:
            break
        at += len(name.encode()) + 3
        if name in wanted:
            wanted.remove(name)
            places[name] = at
        at += len(raw) + 1
    return places


def _searched_places(body: bytes, found: Members, names: set[str]) -> dict[str, int] | None:
    """Where these members' values begin in any JSON object; None where one may stand twice, however it is spelt."""
    if _ESCAPED_LETTER.search(body):
        return None
    places: dict[str, int] = {}
    for name in found.keys() & names:
        quoted = b'"%b"' % name.encode()
        first = body.find(quoted)
        colon = _COLON.match(body, first + len(quoted))
        if body.find(quoted, first + 1) >= 0 or colon is None:
            return None
        if not body.startswith(bytes(found[name]), colon.end()):
            return None
        places[name] = colon.end()
    return places


def _splice(body: bytes, found: Members, changes: dict[str, bytes], places: dict[str, int]) -> bytes:
    pieces: list[bytes | memoryview] = []
    done, view = 0, memoryview(body)
    for name in sorted(changes.keys() & places.keys(), key=places.__getitem__):
        pieces += (view[done : places[name]], changes[name])
        done = places[name] + len(found[name])
    end = body.rindex(b"}")
    added = b",".join(b'"%b":%b' % (name.encode(), new) for name, new in changes.items() if name not in places)
    comma = b"," if added and found else b""
    return b"".join((*pieces, view[done:end], comma, added, view[end:]))
