"""How many tokens a request has, roughly, where nobody counts them.

Texts are measured in bytes: tokenizers of all vendors make about one token of 4 bytes of English or code, of fewer in
JSON and other scripts. What is written once per message or tool is added. Media are measured by what vendors charge
for a usual one (`canon/size.py`).
"""

from __future__ import annotations

import re

from trivium.canon.parts import Audio, Document, Image, Part, ToolCall, ToolResult
from trivium.canon.request import Request
from trivium.canon.size import BYTES_PER_TOKEN, DOCUMENT, IMAGE, SOUND, utf8
from trivium.wire.destination import plain_text

_PER_TURN = 4
_PER_TOOL = 12
_SPACES = re.compile(r"\s{2,}")


def estimate(request: Request) -> int:
    """Input tokens of a request, at least 1."""
    texts, other = 0, 0
    for turn in request.turns:
        other += _PER_TURN
        for said, more in map(_size, turn.parts):
            texts += said
            other += more
    for tool in request.tools:
        other += _PER_TOOL
        texts += len(tool.name) + _bytes(tool.description or "") + len(tool.schema or b"")
    if request.format is not None and request.format.schema is not None:
        texts += len(request.format.schema)
    return max(1, round(texts / BYTES_PER_TOKEN) + other)


def _size(part: Part) -> tuple[int, int]:
    """Bytes of text, and tokens of everything else."""
    match part:
        case ToolCall():
            return len(part.name) + _bytes(part.arguments), _PER_TURN
        case ToolResult():
            inner = [_size(piece) for piece in part.content]
            return sum(said for said, _ in inner), _PER_TURN + sum(more for _, more in inner)
        case Image():
            return 0, IMAGE.linked
        case Audio():
            return 0, SOUND.tokens(len(part.base64))
        case Document():
            return _document(part)
        case _:
            return _bytes(part.text), 0


def _document(part: Document) -> tuple[int, int]:
    if (said := plain_text(part)) is not None:
        return _bytes(said), 0
    return 0, DOCUMENT.tokens(len(getattr(part.source, "base64", "")))


def _bytes(text: str) -> int:
    """A run of blanks is about one token, however long."""
    return utf8(_SPACES.sub("  ", text))
