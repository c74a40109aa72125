"""Lists of which so much would become objects that everybody had to wait for it."""

from __future__ import annotations

import msgspec

_MOST_OBJECTS = 300_000
_MOST_QUOTES = 600_000
"""As many pieces take some 50 ms. A list with more of them is a crowd if it looks as if it were one."""


def is_crowded(raw: bytes | msgspec.Raw, mark: bytes = b"{") -> bool:
    """Whether JSON has too many of these marks, those that stand in strings apart."""
    if len(raw) <= 2 * _MOST_OBJECTS:
        return False
    json_text = bytes(raw)
    if json_text.count(mark) <= _MOST_OBJECTS:
        return False
    # Without what is escaped, every other piece between quotes is a string.
    bare = json_text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return bare.count(b'"') > _MOST_QUOTES or sum(piece.count(mark) for piece in bare.split(b'"')[::2]) > _MOST_OBJECTS
