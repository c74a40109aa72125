"""Lists of which so much would become objects that everybody had to wait for it."""

from __future__ import annotations

import msgspec

_MOST_OBJECTS = 300_000
_MOST_QUOTES = 600_000
"""As many pieces take some 50 ms. A list with more of them is a crowd if it looks as if it were one."""
_PIECE = 128 * 1024
_SHORTEST_MEMBER = len('"":0,')
_BLANKS = b" \t\r\n"


def has_more(text: bytes | msgspec.Raw, sign: bytes, most: int) -> bool:
    """Whether a sign of one byte stands in a text more than `most` times. Where signs are as rare as in images,
    `replace` takes a fifth of the time of `count`, which looks at each byte by itself; and pieces that stay in the
    processor's cache are copied in no time."""
    view, found = memoryview(text), 0
    for at in range(0, len(view), _PIECE):
        piece = bytes(view[at : at + _PIECE])
        found += len(piece) - len(piece.replace(sign, b""))
        if found > most:
            return True
    return False


def is_crowded(raw: bytes | msgspec.Raw, mark: bytes = b"{") -> bool:
    """Whether JSON has too many of these marks, those that stand in strings apart."""
    if len(raw) <= 2 * _MOST_OBJECTS or not has_more(raw, mark, _MOST_OBJECTS):
        return False
    bare = _without_escapes(raw)
    # Every other piece between quotes is a string.
    return bare.count(b'"') > _MOST_QUOTES or sum(piece.count(mark) for piece in bare.split(b'"')[::2]) > _MOST_OBJECTS


def has_more_names(raw: bytes | msgspec.Raw, most: int) -> bool:
    """Whether the objects in JSON have more than `most` members together. A text that begins with a colon counts as
    one."""
    if len(raw) <= _SHORTEST_MEMBER * most or not has_more(raw, b":", most):
        return False
    return _without_escapes(raw).translate(None, _BLANKS).count(b'":') > most


def _without_escapes(raw: bytes | msgspec.Raw) -> bytes:
    """JSON whose quotes all are the beginning or the end of a string."""
    return bytes(raw).replace(b"\\\\", b"").replace(b'\\"', b"")
