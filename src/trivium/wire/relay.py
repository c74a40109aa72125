"""A stream on its way through: cut at event ends, metered from a copy, byte for byte what the upstream sent.

Only whole events go on (half of one is of no use to a client, and after a broken connection it would spoil the error
event that follows), save where an event grows beyond `HOLD` bytes. After the first content, events are passed over
undecoded where a byte search proves that they carry a piece of content and nothing that metering needs. JSON strings
escape their quotes, so that a quoted name cannot be found inside a text.

Content is measured as it goes on: the strings of a piece in UTF-8, as they are without JSON's escapes. Where events are
passed over undecoded, one search of the block finds them. The padding that OpenAI sends along (`obfuscation`) is none.

Two things may change bytes, each a named rule: the usage chunk of a Chat stream is hidden from a client that did not
ask for it, and a provider's quirk may mend each event.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from trivium.canon.api import Api
from trivium.canon.events import CONTENT, Event, Fault, ToolCallBegin
from trivium.canon.fold import Answer, Fold
from trivium.canon.size import content_of, utf8
from trivium.wire.decoder import Decoder
from trivium.wire.errors import ErrorValue, render_in_stream
from trivium.wire.lenient import parse
from trivium.wire.mould import Mould
from trivium.wire.sse import SseParser, data_begin, event_end, last_end, split_events

HOLD = 256 * 1024
"""Bytes of one unfinished event that are held back."""
KEPT = 16 * 1024 * 1024
"""Bytes of one event that are copied for the meter; a longer one passes unread and is flagged."""
TURN = 1000
"""Events that are read one by one before it is the others' turn; each takes some ten microseconds."""
_MANY_PARTS = 32 * 1024
"""Bytes of what is known of an answer's parts, from which on a stream does not go by unaccounted."""
_MOST_LINES = 10_000
"""Of an event beyond `HOLD`: JSON stands in one, or is laid out in some thousands. One that has more passes like one
that is too long."""

Mend = Callable[[bytes], bytes]

_CR = ord("\r")
_DATA = b"data"
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')

_QUIET: dict[Api, bytes] = {
    Api.CHAT: b'"delta"',
    Api.RESPONSES: b'.delta"',
    Api.MESSAGES: b'"content_block_delta"',
}
"""What stands once in an event that carries a piece of content. An event without it is always decoded."""
_LOUD: dict[Api, tuple[bytes, ...]] = {
    Api.CHAT: (b'"error"', b"[DONE]", b'"provider_metadata"', b'"annotations"'),
    Api.RESPONSES: (b'"response"', b'"error"', b"refusal", b'"response.audio.'),
    Api.MESSAGES: (b'"usage"', b'"error"', b'"message_', b'"provider_metadata"'),
}
"""What makes an event matter even so."""
_CALLS = b'"tool_calls"'
"""In Chat the first call matters: it tells what an unknown finish word means."""
_NULLABLE = ((b'"usage"', b'"usage":null'), (b'"finish_reason"', b'"finish_reason":null'))
"""Chat names these in every chunk: they matter where they are not null."""
_STRING = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
_CONTENT: dict[Api, tuple[re.Pattern[bytes], ...]] = {
    api: tuple([re.compile(pattern % _STRING) for pattern in patterns])
    for api, patterns in {
        # Most chunks are nothing but a piece of text, which is found twice as fast.
        Api.CHAT: (
            rb'"delta": ?\{(?:"role": ?"assistant", ?)?"content": ?%b\}',
            rb'"(?:content|reasoning_content|reasoning|refusal|arguments|input)": ?%b',
        ),
        Api.RESPONSES: (rb'"delta": ?%b',),
        Api.MESSAGES: (rb'"(?:text|thinking|partial_json)": ?%b',),
    }.items()
}
"""The strings that are content, in an event that carries a piece of it; the last finds all of them."""
_BLOCK_END = b'"content_block_stop"'
_LAST_WORD = b"[DONE]"
_BLANK_LINES = (b"\n\n", b"\r\r", b"\r\n\r\n")


_BARE = {
    "choices",
    "created",
    "id",
    "model",
    "obfuscation",
    "object",
    "provider",
    "service_tier",
    "system_fingerprint",
    "timings",
    "usage",
}
"""What a Chat chunk may hold that exists for its usage alone. A chunk that says anything else is not hidden."""
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class StreamRelay:
    """Sans-IO: `feed` what arrives, send what it returns, `close` at the end."""

    __slots__ = (
        "_api", "_content", "_decoder", "_fold", "_hide_usage", "_last", "_loud", "_mend", "_mould",
        "_nullable", "_quiet", "_sent", "_tail", "_undecoded", "content_began", "content_bytes", "oversized",
        "rest", "unterminated",
    )  # fmt: skip

    def __init__(self, api: Api, decoder: Decoder, *, hide_usage: bool = False, mend: Mend | None = None) -> None:
        self._api = api
        self._decoder = decoder
        self._quiet = _QUIET[api]
        self._content = _CONTENT[api]
        self._nullable = _NULLABLE if api is Api.CHAT else ()
        self._loud = (*_LOUD[api], _CALLS) if api is Api.CHAT else _LOUD[api]
        self._hide_usage = hide_usage
        self._mend = mend
        self._fold = Fold()
        self._mould = Mould()
        self._tail = bytearray()
        self._sent = 0
        """How much of the tail has gone on already, because it outgrew HOLD."""
        self._last = b""
        """The last block of a Responses stream that had numbers."""
        self.rest = b""
        """Whole events that have come and wait for `go_on`."""
        self.content_began = False
        self.content_bytes = 0
        """Of content in the whole events that went on: text, reasoning, refusals, arguments of calls, in UTF-8."""
        self._undecoded = 0
        """Those of them that the decoder has not seen, nor been told since."""
        self.unterminated = False
        """The stream ended and had neither a finish nor an error."""
        self.oversized = False

    @property
    def held(self) -> int:
        """Bytes in memory for this stream: of events, and of what is known of the answer's parts."""
        return len(self._tail) + len(self.rest) + self._decoder.kept

    def holds(self) -> bool:
        """Whether half an event is held, or there are so many parts that they count."""
        return bool(self._tail) or self._decoder.kept > _MANY_PARTS

    @property
    def malformed(self) -> int:
        return self._decoder.malformed

    def feed(self, chunk: bytes) -> bytes:
        """Bytes that may go to the client now. Where `rest` is left, there are more to come from `go_on`, which is due
        before anything else is fed."""
        if not self._tail and chunk.endswith(b"\n\n"):
            return self._pass(chunk, 0)
        if self._tail:
            start = max(0, len(self._tail) - 3)
            self._tail += chunk
            end = last_end(self._tail, start)
            data = bytes(self._tail) if end else b""
        else:
            end = last_end(chunk, 0)
            data = chunk
        if end:
            block = data[:end]
            self._tail = bytearray(data[end:])
            sent, self._sent = self._sent, 0
            return self._pass(block, sent)
        if not self._tail:
            self._tail = bytearray(chunk)
        return self._overflow()

    def go_on(self) -> bytes:
        """As `feed`, of what waits. Others should have had their turn before."""
        rest, self.rest = self.rest, b""
        return self._sift(rest, 0, 0)

    def close(self) -> bytes:
        """The stream ended as HTTP has it. Returns the rest, with the blank line that was missing behind it: clients
        pass over an event that has none.

        Half an event at the end of a stream that was not complete is dropped: an error event will follow.
        """
        rest, sent, before, measured = bytes(self._tail), self._sent, self.malformed, self.content_bytes
        self._tail.clear()
        out = self._pass(rest, sent) if rest else b""
        last = self._decoder.close()
        self._add(last)
        self.unterminated = any(isinstance(event, Fault) for event in last)
        if self.malformed == before:
            return _ended(out)
        if self.unterminated and not sent:
            self.content_bytes = measured
            return b""
        return out

    def failure(self, error: ErrorValue) -> bytes | None:
        """The events with which the API ends a stream that failed; None where part of an unfinished event has gone out
        already, so that the connection must be cut."""
        if self._sent:
            return None
        number = self._next_sequence_number()
        return render_in_stream(self._api, error, sequence_number=number, response_id=self.answer().id)

    def answer(self) -> Answer:
        """What the stream said of itself: names, usage, finish, error; not its content."""
        return self._fold.answer()

    def _next_sequence_number(self) -> int:
        """The number that a Responses event of ours must carry."""
        numbers = _SEQUENCE.findall(self._last)
        return int(numbers[-1]) + 1 if numbers else 0

    def _pass(self, block: bytes, sent: int) -> bytes:
        """What of a block goes on, `sent` bytes of which have gone already."""
        at = self._run(block, 0)
        if at == len(block):
            return block[sent:] if sent else block
        if self._mend is not None and not sent:
            block = b"".join(map(self._mend, split_events(block)))
        if self._api is Api.RESPONSES and b'"sequence_number"' in block:
            self._last = block
        if self.content_began and self._skim(block[at:] if at else block):
            return block[sent:] if sent else block
        return self._sift(block, at, sent)

    def _sift(self, block: bytes, at: int, sent: int) -> bytes:
        """The same, event by event, where the first ones up to `at` have been measured."""
        kept, has_cr, left = [block[sent:at]], _CR in block, TURN
        while at < len(block):
            if not left:
                self.rest = block[at:]
                break
            end = self._run(block, at)
            shown = end > at
            if not (shown or block.startswith(_DATA, at)):
                end = data_begin(block, at, has_cr=has_cr)
                shown = end > at  # with nothing to be read, however often an upstream says so
            if not shown:
                end = event_end(block, at, has_cr=has_cr)
                shown = self._read(block[at:end])
                left -= 1
            if shown or at < sent:
                kept.append(block[max(at, sent) : end])
            at = end
        return b"".join(kept)

    def _run(self, block: bytes, at: int) -> int:
        """Measures events one behind the other each of which is like one that was a mere piece of content; where they
        end."""
        end, size = self._mould.run(block, at)
        self.content_bytes += size
        self._undecoded += size
        return end

    def _skim(self, block: bytes) -> bool:
        """Measures a block each of whose events is a mere piece of content. False: something in it must be decoded."""
        events = block.count(b"data:")
        if not events or block.count(self._quiet) != events or block.count(b"}\n\n") != events:
            return False
        if any(map(block.count, self._loud)):  # `in` makes an error message of each that is not there
            return False
        if any(block.count(name) != block.count(null) for name, null in self._nullable):
            return False
        for pattern in self._content:
            said = pattern.findall(block)
            if len(said) - said.count(b"") == events:
                break
        else:
            return False
        size = _size(said)
        self.content_bytes += size
        self._undecoded += size
        if self._mend is None and self._api is not Api.RESPONSES:
            self._mould.learn(block, pattern)
        return True

    def _read(self, event: bytes) -> bool:
        """Meters one event; whether it goes on to the client. Not so the last word of a stream that has said nothing:
        behind it no SDK would read the error."""
        if len(event) > HOLD and event.count(b"\n") + event.count(b"\r") > _MOST_LINES:
            self.oversized = True
            return True
        if self.content_began and self._skim(event):
            return True
        parser = SseParser()
        parsed = parser.feed(event) + parser.close()
        told = [one for said in parsed for one in self._decoder.decode(said)]
        self._add(told)
        self._measure(event, told)
        if not (told or self.content_began) and any(said.data.strip() == _LAST_WORD for said in parsed):
            return False
        return not (self._hide_usage and b'"usage"' in event and all(_is_bare_usage(said.data) for said in parsed))

    def _measure(self, event: bytes, told: list[Event]) -> None:
        """Measures the content of an event that was decoded."""
        size = sum(map(content_of, told))
        if self._quiet not in event:
            size -= self._repeated(event, size)
        elif not any(type(one) in CONTENT for one in told) and not any(mark in event for mark in self._loud):
            # Code for a tool of the provider's, and answers beside the first, are content that is not told.
            size = _size(self._content[-1].findall(event))
        self.content_bytes += size

    def _repeated(self, event: bytes, size: int) -> int:
        """How much of what is told at the end of a part its pieces have said. The decoder did not see all of them."""
        if self._api is Api.RESPONSES:
            known = min(size, self._undecoded)
            self._undecoded -= known
            return known
        if self._api is Api.MESSAGES and _BLOCK_END in event:
            known, self._undecoded = size if self._undecoded else 0, 0
            return known
        return 0

    def _add(self, events: list[Event]) -> None:
        for event in events:
            if type(event) not in CONTENT:
                self._fold.add(event)
                continue
            self.content_began = True
            if isinstance(event, ToolCallBegin):
                self._loud = _LOUD[self._api]

    def _overflow(self) -> bytes:
        """An event too long to hold goes on in pieces; one too long to copy is no longer read."""
        if len(self._tail) <= HOLD:
            return b""
        out = bytes(self._tail[self._sent :])
        self._sent = len(self._tail)
        if self._sent > KEPT:
            self.oversized = True
            self._tail = self._tail[-3:]
            self._sent = len(self._tail)
        return out


def _ended(rest: bytes) -> bytes:
    """The rest of a stream with a blank line at its end."""
    if not rest or rest.endswith(_BLANK_LINES):
        return rest
    return rest + (b"\n" if rest.endswith((b"\n", b"\r")) else b"\n\n")


def _size(said: list[bytes]) -> int:
    """The length of JSON strings in UTF-8, without their escapes; each for itself, as letters may be cut in two."""
    joined = b" ".join(said)
    if b"\\" in joined:
        try:
            return utf8(parse(b'"%b"' % joined)) - len(said) + 1
        except ValueError:
            pass
    return len(joined) - max(0, len(said) - 1)


def _is_bare_usage(data: bytes) -> bool:
    """A Chat chunk that exists for its usage alone."""
    try:
        chunk = _members.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    bare = chunk.keys() <= _BARE and bytes(chunk.get("choices", b"")).translate(None, b" \t\r\n") == b"[]"
    return bare and bytes(chunk.get("usage", b"null")).startswith(b"{")
