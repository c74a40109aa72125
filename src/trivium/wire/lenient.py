"""Reading JSON that an upstream wrote: whatever a value's type, the accessors give one that can be used.

Numbers with a fraction or exponent become `Decimal`, so that a cost keeps the digits of its own text.
"""

from __future__ import annotations

import codecs
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_utf8 = codecs.getincrementaldecoder("utf-8")
_PIECE = 64 * 1024
_LARGEST_COUNT = 2**53
_ALWAYS_READ = 1024 * 1024
_MOST_VALUES = 1_000_000
_DEEPEST = 100
_MOST_DIGITS = 1000
_MARKS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile(r'(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2})"')
"""At the end of a string."""
_SECOND_HALF = re.compile(r'(?<!\\)"(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')
"""At the beginning of one."""


def is_dense(data: bytes) -> bool:
    """Whether JSON holds so many values that making objects of them would hold everybody up (a million take 0.1 s)."""
    return len(data) > _ALWAYS_READ and sum(map(data.count, (b"[", b"{", b","))) > _MOST_VALUES


class Halves:
    """Characters that an upstream cuts in two between the events of a stream, as writers do that count in UTF-16: the
    first half waits for the next string that begins with a second. One that waits in vain is left out."""

    def __init__(self) -> None:
        self._first = ""

    def join(self, source: str) -> str:
        if self._first and _SECOND_HALF.search(source):
            whole = f'"{self._first}'
            source, self._first = _SECOND_HALF.sub(lambda _: whole, source), ""
        if found := _FIRST_HALF.search(source):
            self._first = found[2]
            source = _FIRST_HALF.sub(r'\1"', source)
        return source


def parse(data: bytes, halves: Halves | None = None) -> Any:
    """The JSON value in `data`. Raises ValueError if there is none, for nesting too deep, and for too many values.

    What other JSON writers let pass is mended: a byte order mark, bytes that are not UTF-8, lone surrogates and bare
    control characters; NaN and Infinity read as null. `halves` are those of the stream that it is a part of.
    """
    if is_dense(data):
        raise ValueError("too many values")
    try:
        return _DECODER.decode(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (ValueError, ArithmeticError):
        return _parse_oddities(data, halves)


def _parse_oddities(data: bytes, halves: Halves | None) -> Any:
    source = data.decode("utf-8-sig", "replace")
    if halves is not None:
        source = halves.join(source)
    try:
        read = json.loads(source, strict=False, parse_int=_integer, parse_float=_decimal, parse_constant=lambda _: None)
        return _mend(read)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | Decimal | None:
    """Python makes no int of more than some thousand digits."""
    return int(digits) if len(digits) <= _MOST_DIGITS else _decimal(digits)


def _decimal(digits: str) -> Decimal | None:
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


def _mend(value: Any) -> Any:
    """Without lone surrogates, which no UTF-8 writer downstream could write."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value


def is_json(said: str) -> bool:
    """Whether a text is one whole JSON value."""
    try:
        msgspec.json.decode(said, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


class Brackets:
    """Counts the brackets of a JSON text that comes in pieces, those in its strings apart."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = self._closed = False

    def feed(self, piece: str) -> None:
        mark = ""
        for mark in _MARKS.findall(piece[1:] if self._escaped else piece):
            if mark == '"':
                self._quoted = not self._quoted
            elif not self._quoted and mark[0] != "\\":
                self._closed |= mark in "}]"
                self._depth += 1 if mark in "{[" else -1
        self._escaped = mark == "\\"

    @property
    def are_closed(self) -> bool:
        """There were some, and each that opened has been closed."""
        return self._closed and self._depth <= 0


def dump(value: Any) -> str:
    """JSON text of a parsed value; numbers keep their digits."""
    try:
        return _ENCODER.encode(value).decode()
    except RecursionError:
        return ""


def is_shallow(value: Any) -> bool:
    """Whether the value can be said again inside another, and far down a stack: recursion of writers is bounded."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ())
        ]
        if not level:
            return True
    return False


def mapping(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def sequence(value: Any) -> list[Any]:
    return value if type(value) is list else []


def text(value: Any) -> str:
    return value if type(value) is str else ""


def index(value: Any) -> int | None:
    """A position in a list that the upstream numbers; None if it is none."""
    return value if type(value) is int else None


def count(value: Any) -> int | None:
    """A number of tokens or calls, which may be negative; None if it is not a whole number or beyond all measure."""
    if type(value) is Decimal and value.is_finite() and abs(value.adjusted()) < 16 and value == int(value):
        value = int(value)
    return value if type(value) is int and abs(value) <= _LARGEST_COUNT else None


def amount(value: Any) -> Decimal | None:
    """A sum of money, a number or a string; it may be negative or NaN. None if it is neither number nor number text."""
    if type(value) is str and len(value) <= 64:
        value = _decimal(value)
    elif type(value) is int and abs(value) <= _LARGEST_COUNT:
        value = Decimal(value)
    return value if type(value) is Decimal else None


def is_utf8(data: bytes) -> bool:
    """Whether nothing of it would have to be mended. It is read in pieces: one text could be four times as long."""
    if data.isascii():
        return True
    decoder, view = _utf8(), memoryview(data)
    try:
        for at in range(0, len(data), _PIECE):
            decoder.decode(view[at : at + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
