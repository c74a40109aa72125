"""What single providers get wrong on the wire, mended by name. Each mending says what it mends and where it was seen.

A mender is made afresh for each stream and called with each whole event. It returns the event unchanged where it finds
nothing to mend or cannot read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.api import Api

Mend = Callable[[bytes], bytes]


def mending(quirks: frozenset[str], api: Api) -> Mend | None:
    """The mender for a stream of this API from a provider with these quirks; None where nothing needs mending."""
    for name in quirks:
        wanted, make = QUIRKS[name]
        if wanted is api:
            return make()
    return None


class NumberedResponses:
    """llama.cpp (builds of 2026-10) streams Responses events without `sequence_number`, `output_index` and
    `content_index`, and response objects without the lists that the SDKs' accumulators append to."""

    def __init__(self) -> None:
        self._sequence = 0
        self._indexes: dict[str, int] = {}

    def __call__(self, event: bytes) -> bytes:
        head, found, data = event.partition(b"data: ")
        try:
            said: Any = msgspec.json.decode(data) if found else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return event
        self._mend(said)
        return b"%bdata: %b\n\n" % (head, msgspec.json.encode(said))

    def _mend(self, said: dict[str, Any]) -> None:
        said.setdefault("sequence_number", self._sequence)
        self._sequence += 1
        if isinstance(said.get("response"), dict):
            _complete(said["response"], _RESPONSE)
            return
        item = said.get("item")
        item_id = item.get("id") if isinstance(item, dict) else said.get("item_id")
        if not isinstance(item_id, str):
            return
        said.setdefault("output_index", self._indexes.setdefault(item_id, len(self._indexes)))
        if str(said.get("type")).startswith(_IN_CONTENT):
            _complete(said, _CONTENT)
        if isinstance(part := said.get("part"), dict) and part.get("type") == "output_text":
            _complete(part, _TEXT_PART)


_IN_CONTENT = ("response.content_part.", "response.output_text.", "response.reasoning_text.", "response.refusal.")
_RESPONSE: dict[str, Any] = {
    "created_at": 0,
    "model": "",
    "output": [],
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "temperature": None,
    "top_p": None,
}
_CONTENT: dict[str, Any] = {"content_index": 0, "logprobs": []}
_TEXT_PART: dict[str, Any] = {"annotations": [], "logprobs": []}


def _complete(said: dict[str, Any], defaults: dict[str, Any]) -> None:
    for name, value in defaults.items():
        said.setdefault(name, value)


QUIRKS: dict[str, tuple[Api, Callable[[], Mend]]] = {"responses-numbering": (Api.RESPONSES, NumberedResponses)}
