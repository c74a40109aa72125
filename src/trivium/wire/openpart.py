"""The part of an answer that an encoder is saying: one part ends before the next begins."""

from __future__ import annotations

from typing import Any

from trivium.canon import events as ev
from trivium.canon.parts import AnswerPart, Citation, ToolKind
from trivium.wire.lenient import Brackets, is_json

_EVENT = 110
"""Bytes of a delta beside its letters; the beginning of a call takes 300, but of those there are few as a rule."""


class Part:
    def __init__(self, index: int, kind: type[AnswerPart], call: ev.ToolCallBegin | None = None) -> None:
        self.index = index
        self.kind = kind
        self.call = call
        self.pieces: list[str] = []
        self.number = 0
        """For the encoder's own count."""
        self.length = 0
        """Letters of a text so far."""
        self.citations: list[Citation] = []
        self.is_over = False
        """Of a custom call: its input was said to be."""
        self._seen = 0
        """Pieces whose brackets have been counted."""
        self._brackets = Brackets()

    @property
    def said(self) -> str:
        return "".join(self.pieces)

    def is_complete(self) -> bool:
        """Whether another part may begin. Asked again, it looks only at what came since."""
        if self.call is None or self.call.kind is ToolKind.CUSTOM:
            return self.call is None or self.is_over
        if not self._seen and is_json(self.said):
            return True
        for piece in self.pieces[self._seen :]:
            self._brackets.feed(piece)
        self._seen = len(self.pieces)
        return self._brackets.are_closed


def annotation(citation: Citation, start: int, length: int) -> dict[str, Any]:
    """A citation of a text that begins at `start` and is so long, as both OpenAI APIs write it."""
    return {
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start + (citation.start or 0),
        "end_index": start + (length if citation.end is None else citation.end),
    }


def weight_of(event: ev.Event) -> int:
    """Roughly how many bytes of memory an event takes while it waits."""
    return _EVENT + len(getattr(event, "arguments", "") or getattr(event, "text", ""))
