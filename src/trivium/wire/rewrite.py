"""Answers of the house's free models where client and upstream speak the same API (vendors page, "Response rewriting"):
the public id for the upstream's, reasoning in OpenRouter's words, nothing of what it cost.

Only the members that are meant are taken out and put back; everything else stays the bytes it is. Names of events,
comments and `[DONE]` stay as they came, and so does what is no JSON. Nothing here hides who answers: stealth models go
through a translation (`cover.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trivium.canon.api import Api
from trivium.wire.body import Members
from trivium.wire.decoder import Decoder
from trivium.wire.lenient import is_dense
from trivium.wire.relay import KEPT, Mend, StreamRelay
from trivium.wire.sse import split_events

_members = msgspec.json.Decoder(Members)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_DATA = b"data:"
_NULL = b"null"
_COSTS = ("cost", "cost_details", "is_byok", "market_cost", "cost_in_usd_ticks")
_METADATA = "provider_metadata"
"""Vercel's, with the cost and the way a request took."""


class Rewriter:
    """Of the answers of one model, whole or event by event."""

    def __init__(self, api: Api, model: str) -> None:
        self._model = msgspec.Raw(_encode(model))
        self._whole, self._event = _RULES[api]

    def whole(self, body: bytes) -> bytes:
        """A whole answer."""
        said = _object(body)
        return body if said is None else _encode(self._whole(said, self._model))

    def event(self, block: bytes) -> bytes:
        """One event with the blank line behind it."""
        lines = block.splitlines(keepends=True)
        places = [place for place, line in enumerate(lines) if line.startswith(_DATA)]
        said = _object(b"\n".join([lines[place][len(_DATA) :].strip(b"\r\n") for place in places])) if places else None
        if said is None:
            return block
        last = lines[places[-1]]
        end = last[len(last.rstrip(b"\r\n")) :]
        lines[places[0]] = b"%b %b%b" % (_DATA, _encode(self._event(said, self._model)), end)
        return b"".join([line for place, line in enumerate(lines) if place not in places[1:]])


class RewrittenRelay(StreamRelay):
    """Meters what the upstream said and hands on what the client is told. An event is held back until it is whole, up
    to the most that is metered; a longer one goes on as it is."""

    __slots__ = ("_rewriter",)

    def __init__(
        self, api: Api, decoder: Decoder, rewriter: Rewriter, *, hide_usage: bool, mend: Mend | None = None
    ) -> None:
        super().__init__(api, decoder, hide_usage=hide_usage, mend=mend)
        self._rewriter = rewriter

    def go_on(self) -> bytes:
        return self._rewritten(super().go_on())

    def _pass(self, block: bytes, sent: int) -> bytes:
        out = super()._pass(block, sent)
        return out if sent else self._rewritten(out)

    def _rewritten(self, events: bytes) -> bytes:
        return b"".join(map(self._rewriter.event, split_events(events)))

    def _overflow(self) -> bytes:
        return super()._overflow() if self.held > KEPT else b""


def _object(data: bytes) -> Members | None:
    """The members of a JSON object; None for anything else, and for what it would take too long to walk."""
    if is_dense(data):
        return None
    try:
        return _members.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _inner(raw: msgspec.Raw | None) -> Members | None:
    return None if raw is None else _object(bytes(raw))


def _put(said: Members, name: str, value: Members) -> None:
    said[name] = msgspec.Raw(_encode(value))


def _chunk(said: Members, model: msgspec.Raw) -> Members:
    if "choices" not in said and "error" not in said:
        said["choices"] = msgspec.Raw(b"[]")
    return _chat(said, model)


def _chat(said: Members, model: msgspec.Raw) -> Members:
    said.pop(_METADATA, None)
    if "model" in said or "error" not in said:
        said["model"] = model
    try:
        choices = _list.decode(said.get("choices", b"null"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        choices = []
    if choices:
        said["choices"] = msgspec.Raw(_encode([_choice(choice) for choice in choices]))
    _usage(said, "prompt_tokens_details")
    return said


def _choice(raw: msgspec.Raw) -> msgspec.Raw:
    choice = _inner(raw)
    if choice is None:
        return raw
    for name in ("delta", "message"):
        if (words := _inner(choice.get(name))) is not None:
            _put(choice, name, _words(words))
    return msgspec.Raw(_encode(choice))


def _words(said: Members) -> Members:
    said.pop(_METADATA, None)
    if bytes(said.get("role", b"")) == _NULL:
        del said["role"]
    told = bytes(said.pop("reasoning_content", _NULL))
    if told.startswith(b'"'):
        if bytes(said.get("reasoning", _NULL)) == _NULL:
            said["reasoning"] = msgspec.Raw(told)
        if told != b'""' and bytes(said.get("reasoning_details", _NULL)) == _NULL:
            said["reasoning_details"] = msgspec.Raw(b'[{"type":"reasoning.text","text":%b}]' % told)
    return said


def _message(said: Members, model: msgspec.Raw) -> Members:
    said.pop(_METADATA, None)
    if "model" in said:
        said["model"] = model
    _usage(said, None)
    return said


def _message_event(said: Members, model: msgspec.Raw) -> Members:
    said.pop(_METADATA, None)
    if (message := _inner(said.get("message"))) is not None:
        _put(said, "message", _message(message, model))
    _usage(said, None)
    return said


def _response(said: Members, model: msgspec.Raw) -> Members:
    said.pop(_METADATA, None)
    if "model" in said:
        said["model"] = model
    _usage(said, "input_tokens_details")
    return said


def _response_event(said: Members, model: msgspec.Raw) -> Members:
    if (response := _inner(said.get("response"))) is not None:
        _put(said, "response", _response(response, model))
    return said


def _usage(said: Members, details: str | None) -> None:
    """Without costs; `details` is the member that tells how much came from a cache, which some leave out. (Messages
    tells it beside the other counts, and a later zero would undo an earlier count.)"""
    usage = _inner(said.get("usage"))
    if usage is None:
        return
    for name in _COSTS:
        usage.pop(name, None)
    if details is not None:
        counts = _inner(usage.get(details)) or {}
        if bytes(counts.get("cached_tokens", _NULL)) == _NULL:
            counts["cached_tokens"] = msgspec.Raw(b"0")
        _put(usage, details, counts)
    _put(said, "usage", usage)


_Rule = Callable[[Members, msgspec.Raw], Members]
_RULES: dict[Api, tuple[_Rule, _Rule]] = {
    Api.CHAT: (_chat, _chunk),
    Api.MESSAGES: (_message, _message_event),
    Api.RESPONSES: (_response, _response_event),
}
"""For whole answers, and for events."""
