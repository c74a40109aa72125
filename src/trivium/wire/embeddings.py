"""Vectors on their way to the client: what their answer says of itself, and the two ways to write them.

Of an answer only its own members become objects; the vectors are as many numbers as a book has letters, and stay bytes
unless the upstream wrote them in the other way than was asked for. Base64 holds numbers of 32 bits, little-endian: from
there to decimals nothing is lost, and back each number becomes the nearest of 32 bits.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from math import isfinite
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.fold import Answer, fold
from trivium.canon.usage import Conventions
from trivium.wire.body import begins
from trivium.wire.chat.usage import ChatUsage
from trivium.wire.codec import decode_answer
from trivium.wire.lenient import mapping, parse, text
from trivium.wire.solo import FORMATS

_FLOAT, _BASE64 = FORMATS
_ABSENT = msgspec.Raw(b"null")
_WIDTH = 4
"""Bytes of a number."""
_KINDS = {b"[": _FLOAT, b'"': _BASE64}


class _Said(msgspec.Struct):
    id: msgspec.Raw = _ABSENT
    model: msgspec.Raw = _ABSENT
    data: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT
    provider_metadata: msgspec.Raw = _ABSENT


class _Entry(msgspec.Struct):
    embedding: msgspec.Raw = _ABSENT


_said = msgspec.json.Decoder(_Said)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_firsts = msgspec.json.Decoder(list[_Entry])
_numbers = msgspec.json.Decoder(list[float])
_encode = msgspec.json.Encoder().encode


def read(body: bytes, conventions: Conventions) -> Answer:
    """What a whole answer says of itself. Never raises; what holds no list of vectors is an error."""
    try:
        said = _said.decode(body)
    except (ValueError, RecursionError):
        said = _Said()
    if begins(said.data) != b"[":
        return fold(decode_answer(Api.CHAT, body, conventions))
    usage = ChatUsage(conventions).read(_whole(_value(said.usage)), _value(said.provider_metadata))
    return Answer(id=text(_value(said.id)) or None, model=text(_value(said.model)) or None, usage=usage, ended=True)


def rewritten(body: bytes, encoding: str, model: str | None = None) -> bytes:
    """The answer with its vectors written as asked for, and under this name of the model; the bytes that came where
    they say so already. Raises ValueError for vectors that are none."""
    said = _members.decode(body)
    data = said.get("data", _ABSENT)
    if begins(data) != b"[":
        return body
    changed = False
    if model is not None:
        said["model"], changed = msgspec.Raw(_encode(model)), True
    if _is_written_otherwise(data, encoding):
        said["data"], changed = msgspec.Raw(_encode(_converted(data, encoding))), True
    return _encode(said) if changed else body


def _is_written_otherwise(data: msgspec.Raw, encoding: str) -> bool:
    return any(_KINDS.get(begins(entry.embedding), encoding) != encoding for entry in _firsts.decode(data))


def _converted(data: msgspec.Raw, encoding: str) -> list[dict[str, msgspec.Raw]]:
    entries = _entries.decode(data)
    for entry in entries:
        vector = entry.get("embedding", _ABSENT)
        if _KINDS.get(begins(vector), encoding) != encoding:
            entry["embedding"] = msgspec.Raw(_encode(_CONVERSIONS[encoding](vector)))
            if "encoding_format" in entry:  # llama.cpp marks what is base64
                entry["encoding_format"] = msgspec.Raw(_encode(encoding))
    return entries


def _to_base64(vector: msgspec.Raw) -> str:
    """Raises ValueError."""
    numbers = _checked(array("f", _numbers.decode(vector)))
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def _to_floats(vector: msgspec.Raw) -> list[float]:
    """Raises ValueError."""
    data = b64decode(msgspec.json.decode(vector, type=str), validate=True)
    if len(data) % _WIDTH:
        raise ValueError("a vector ends in the middle of a number")
    numbers = array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return _checked(numbers).tolist()


def _checked(numbers: array[float]) -> array[float]:
    if not isfinite(sum(numbers)):
        raise ValueError("a number is not one of 32 bits")
    return numbers


_CONVERSIONS = {_BASE64: _to_base64, _FLOAT: _to_floats}


def _whole(usage: object) -> dict[str, Any]:
    """Vectors are no output: a total that stands alone (Voyage AI) is the input."""
    said = mapping(usage)
    return {"prompt_tokens": said.get("total_tokens"), **said}


def _value(raw: msgspec.Raw) -> object:
    try:
        return parse(bytes(raw))
    except ValueError:
        return None
