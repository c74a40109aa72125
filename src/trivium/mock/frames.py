"""Server-sent events as bytes: framed, taken apart again where a capture is replayed, and cut anew."""

from __future__ import annotations

import re
import zlib
from typing import Any

import msgspec

_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)
_GZIP = zlib.MAX_WBITS + 16


def frame(data: dict[str, Any], name: str | None = None) -> bytes:
    """One event; `name` adds its `event:` line."""
    line = b"data: " + msgspec.json.encode(data) + b"\n\n"
    return line if name is None else b"event: " + name.encode() + b"\n" + line


def split_events(stream: bytes) -> list[bytes]:
    """Joined again they are the same bytes. The last may lack its blank line."""
    return _EVENT.findall(stream)


def compressed(pieces: list[bytes]) -> list[bytes]:
    """As one gzip stream which lets each piece be read as soon as it has arrived."""
    squeeze = zlib.compressobj(wbits=_GZIP)
    flushed = [squeeze.compress(piece) + squeeze.flush(zlib.Z_SYNC_FLUSH) for piece in pieces[:-1]]
    return [*flushed, *(squeeze.compress(piece) + squeeze.flush() for piece in pieces[-1:])]


def recut(pieces: list[bytes], size: int | None) -> list[bytes]:
    """The same bytes in pieces of `size`; None leaves them as they are."""
    if size is None:
        return pieces
    whole = b"".join(pieces)
    return [whole[at : at + size] for at in range(0, len(whole), size)]
