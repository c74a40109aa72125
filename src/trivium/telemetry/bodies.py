"""Bodies of calls as they may be kept: without secrets, and without media, of which size and hash stay.

Secrets are those that `redaction.py` knows, by their text or by their shape, and what the operator's own patterns find.
Media is whatever looks like base64: behind `;base64,`, or 256 and more of its characters without a break, so that
seals and signatures go the same way. A stream says a text in pieces; a secret that lies across several is found in the
text that they make. JSON can say a letter as an escape; a secret that is said so is found as well. For a thread that is
in nobody's way: a text is looked at in parts, so that the lock of the interpreter is never held for long.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from trivium.telemetry.redaction import HEADERS, HIDDEN, REDACTION, without

_LONG = 256
_MEDIA = re.compile(rf"(?:(?<=;base64,)[A-Za-z0-9+/_\\-]+|(?<![A-Za-z0-9+/_\\-])[A-Za-z0-9+/_\\-]{{{_LONG},}})={{0,2}}")
_PART = 16 * 1024
_BREAKS = ('"', " ", "\n")
_BEFORE = 4096
"""How far before the end of a part a break is looked for."""
_LONGEST_WORD = 64 * 1024
"""That stands in one part. A longer one is parted, too: a text without any break would be looked at in one go."""
_LEADS = (*HEADERS, "bearer", "basic", "digest")
_LEAD = 2048
"""Letters that a name and what follows it may have up to where a secret ends that has spaces in it, as cookies do."""
_DATA = "data:"
_PIECES = ("delta", "choices")
"""Members of events in which texts go on from one event to the next."""
_ESCAPED = re.compile(r"(?<!\\)\\{1,15}(?:/|u00(2[013-9A-Fa-f]|[346][0-9A-Fa-f]|5[0-9ABD-Fabd-f]|7[0-9A-Ea-e]))")
"""What JSON need not say as an escape, in JSON inside of JSON too: printable ASCII but quotes and backslashes."""
_ENDS = (*_BREAKS, "'", ",", ";")

Path = tuple[object, ...]


class Masks:
    """`masked` makes a body fit to be kept."""

    def __init__(self, hide: Sequence[str] = (), *, media: bool = False) -> None:
        """`hide` are patterns of further secrets; with `media` it stays. Raises re.error."""
        self._hide = [re.compile(pattern) for pattern in hide]
        self._keeps_media = media

    def masked(self, body: bytes, *, torn: bool, stream: bool) -> str:
        """`torn`: more followed, so that what stands last may be a part of a secret."""
        text = body.decode("utf-8", "replace")
        if torn:
            # A torn secret is gone; of torn media enough is left to be known as that.
            text = text[: max(len(text) - _LONG, *(text.rfind(one) + 1 for one in _ENDS))]
        if stream:
            text = self._joined(text)
        if not self._keeps_media:
            text = "".join(_MEDIA.sub(_described, part) for part in parts(text, len(text)))
        return "".join(map(self._secrets, parts(text)))

    def _secrets(self, text: str) -> str:
        """A text that has escapes stays as it is unless a secret is found behind them."""
        if "\\" in text and (plain := _ESCAPED.sub(_unescaped, text)) != text:
            told = self._hidden(plain)
            if told != plain:
                return told
        return self._hidden(text)

    def _hidden(self, text: str) -> str:
        text = REDACTION.mask(text)
        for pattern in self._hide:
            text = pattern.sub(HIDDEN, text)
        return without(text, self._hide) if "\\" in text else text

    def _joined(self, text: str) -> str:
        """A stream whose secrets lie in one event each: a text in pieces that has one is said at once, masked, by the
        first of its events."""
        lines = text.split("\n")
        said: dict[Path, _Said] = {}
        for place, line in enumerate(lines):
            for path, holder, key in _deltas(_value(line), (), inside=False):
                said.setdefault(path, _Said()).add(place, holder[key])
        for path, one in said.items():
            whole = "".join(one.texts)
            if len(one.texts) > 1 and (told := "".join(map(self._secrets, parts(whole)))) != whole:
                for number, place in enumerate(one.places):
                    lines[place] = _saying(lines[place], path, told if number == 0 else "")
        return "\n".join(lines)


def parts(text: str, longest: int = _LONGEST_WORD) -> Iterator[str]:
    """The text in parts between which no secret lies that can be known. `longest` are the characters of a word that is
    not parted."""
    begin = 0
    while begin < len(text):
        end = _end(text, begin, longest)
        yield text[begin:end]
        begin = end


def _end(text: str, begin: int, longest: int) -> int:
    end = begin + _PART
    if end >= len(text):
        return len(text)
    found = max(text.rfind(one, end - _BEFORE, end) for one in _BREAKS)
    if found < 0:  # a long word: up to its end
        limit = min(begin + longest, len(text))
        found = min((place for one in _BREAKS if (place := text.find(one, end, limit)) >= 0), default=limit)
        if found < limit or limit == len(text):
            return found
        found = max(text.rfind(one, limit - _BEFORE, limit) for one in _ENDS)
        found = limit if found < 0 else found
    tail = text[found - _LEAD : found].lower()
    leads = [place for lead in _LEADS if (place := tail.find(lead)) >= 0]
    return found - len(tail) + min(leads) if leads else found


def _described(found: re.Match[str]) -> str:
    """What stands in the place of media."""
    told = found[0].replace("\\/", "/")
    return f"[base64 {len(told)} characters sha256 {hashlib.sha256(told.encode()).hexdigest()[:16]}]"


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else "/"


class _Said:
    """The pieces of a text, and the lines that have them. Of a long stream these are many: no object for each."""

    def __init__(self) -> None:
        self.places = array("L")
        self.texts: list[str] = []

    def add(self, place: int, text: str) -> None:
        self.places.append(place)
        self.texts.append(text)


def _saying(line: str, wanted: Path, text: str) -> str:
    """A line of data with another text at one place."""
    value = _value(line)
    for path, holder, key in _deltas(value, (), inside=False):
        if path == wanted:
            holder[key] = text
    return f"{_DATA} {msgspec.json.encode(value).decode()}"


def _value(line: str) -> Any:
    """Of a line of data; None where there is nothing to look through."""
    if not line.startswith(_DATA) or not any(one in line for one in _PIECES):
        return None
    try:
        return msgspec.json.decode(line[len(_DATA) :])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _deltas(value: Any, path: Path, *, inside: bool) -> Iterator[tuple[Path, Any, Any]]:
    """The texts of an event that go on in others: where each stands and of which part of the answer it is, and what
    holds it by which key."""
    walk: Callable[[Any], Iterator[tuple[Any, Any]]]
    if isinstance(value, dict):
        # Not by the ids of items, which some upstreams make anew for each event.
        which = tuple((name, str(value[name])) for name in sorted(value) if name.endswith("index"))
        path, walk = (*path, *which), lambda one: iter(one.items())
    elif isinstance(value, list):
        walk = enumerate
    else:
        return
    for key, one in walk(value):
        deeper = inside or key in _PIECES
        if isinstance(one, str):
            if deeper:
                yield (*path, key), value, key
        else:
            yield from _deltas(one, (*path, key), inside=deeper)
