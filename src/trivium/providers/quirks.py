"""What single providers get wrong on the wire, mended by name. Each mending says what it mends and where it was seen.

A mender is made afresh for each answer. It is called with each whole event of a stream, or with a whole answer, and
returns what it finds nothing to mend in, or cannot read, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.providers.embedded import STOPS


class Mender:
    def __call__(self, event: bytes) -> bytes:
        head, found, data = event.partition(b"data: ")
        said = _object(data) if found else None
        return b"%bdata: %b\n\n" % (head, msgspec.json.encode(said)) if said and self._mend(said) else event

    def whole(self, body: bytes) -> bytes:
        said = _object(body)
        return msgspec.json.encode(said) if said and self._mend_whole(said) else body

    def _mend(self, said: dict[str, Any]) -> bool:
        """Of an event; whether there was anything to mend."""
        raise NotImplementedError

    def _mend_whole(self, said: dict[str, Any]) -> bool:
        raise NotImplementedError


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        said: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def mending(quirks: frozenset[str], api: Api) -> Mender | None:
    """The mender for an answer of this API from a provider with these quirks; None where nothing needs mending."""
    for name in quirks:
        wanted, make = QUIRKS[name]
        if wanted is api:
            return make()
    return None


class NumberedResponses(Mender):
    """llama.cpp (builds of 2026-10) streams Responses events without `sequence_number`, `output_index` and
    `content_index`, and response objects, whole ones too, without members that the SDKs take for granted."""

    def __init__(self) -> None:
        self._sequence = 0
        self._indexes: dict[str, int] = {}

    def _mend(self, said: dict[str, Any]) -> bool:
        said.setdefault("sequence_number", self._sequence)
        self._sequence += 1
        if isinstance(said.get("response"), dict):
            _complete_response(said["response"])
            return True
        item = said.get("item")
        item_id = item.get("id") if isinstance(item, dict) else said.get("item_id")
        if not isinstance(item_id, str):
            return True
        said.setdefault("output_index", self._indexes.setdefault(item_id, len(self._indexes)))
        if str(said.get("type")).startswith(_IN_CONTENT):
            _complete(said, _CONTENT)
        if isinstance(part := said.get("part"), dict) and part.get("type") == "output_text":
            _complete(part, _TEXT_PART)
        return True

    def _mend_whole(self, said: dict[str, Any]) -> bool:
        is_response = said.get("object") == "response"
        if is_response:
            _complete_response(said)
        return is_response


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


def _complete_response(said: dict[str, Any]) -> None:
    _complete(said, _RESPONSE)
    if isinstance(usage := said.get("usage"), dict):
        _complete(usage, {"output_tokens_details": {"reasoning_tokens": 0}})


def _complete(said: dict[str, Any], defaults: dict[str, Any]) -> None:
    for name, value in defaults.items():
        said.setdefault(name, value)


class StopSequences(Mender):
    """llama.cpp (`to_json_anthropic`, builds of 2026-10) tells which sequence ended the answer beside `end_turn`, and
    tells those that it was started with as if the client had named them."""

    def __init__(self, ours: tuple[str, ...] = ()) -> None:
        self._ours = ours

    def __call__(self, event: bytes) -> bytes:
        return super().__call__(event) if b'"stop_sequence"' in event else event

    def _mend(self, said: dict[str, Any]) -> bool:
        delta = said.get("delta")
        return isinstance(delta, dict) and self._mend_whole(delta)

    def _mend_whole(self, said: dict[str, Any]) -> bool:
        stop = said.get("stop_sequence")
        if stop is None or said.get("stop_reason") != "end_turn":
            return False
        said |= {"stop_sequence": None} if stop in self._ours else {"stop_reason": "stop_sequence"}
        return True


QUIRKS: dict[str, tuple[Api, Callable[[], Mender]]] = {
    "responses-numbering": (Api.RESPONSES, NumberedResponses),
    "messages-stops": (Api.MESSAGES, StopSequences),
    "embedded-stops": (Api.MESSAGES, lambda: StopSequences(STOPS)),
}
