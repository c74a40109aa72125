"""A request's way to an upstream of another API, and the answer's way back.

Three readers and three writers of requests, three decoders and three encoders of answers make nine directions; none of
them knows of another. `Translation` is one request and its answer. It shares the interface of the passthrough relay,
so that the pipeline moves bytes in the same way, whatever happens to them between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon import conventions as named
from trivium.canon.api import Api
from trivium.canon.events import (
    CONTENT,
    Begin,
    End,
    Event,
    Fault,
    Finish,
    ReasoningDelta,
    TextDelta,
    UsageReport,
)
from trivium.canon.fold import Answer, Fold, fold
from trivium.canon.parts import AnswerPart, Part, Reasoning, Text
from trivium.canon.request import Request, Turn
from trivium.canon.usage import Conventions
from trivium.errors import InvalidJson
from trivium.wire.asked import Asked
from trivium.wire.body import Members, is_said
from trivium.wire.chat.encoder import ChatEncoder
from trivium.wire.chat.render import render as render_chat
from trivium.wire.chat.request import parse as parse_chat
from trivium.wire.codec import decode_answer, decode_stream, stream_decoder
from trivium.wire.cover import Cover
from trivium.wire.crowd import has_more_names
from trivium.wire.decoder import Decoder
from trivium.wire.destination import Destination, Wanted, nothing_said
from trivium.wire.draft import CONVERSATION
from trivium.wire.encoder import Encoder
from trivium.wire.envelope import unveiled
from trivium.wire.errors import ErrorValue
from trivium.wire.estimate import estimate
from trivium.wire.fault import GARBAGE
from trivium.wire.losses import Loss, Losses
from trivium.wire.messages.encoder import MessagesEncoder
from trivium.wire.messages.render import render as render_messages
from trivium.wire.messages.request import parse as parse_messages
from trivium.wire.mould import Mould
from trivium.wire.onemodel import of_one_model
from trivium.wire.repair import choosable, repaired
from trivium.wire.request import Rendered
from trivium.wire.responses.encoder import ECHOED, ResponsesEncoder
from trivium.wire.responses.render import render as render_responses
from trivium.wire.responses.request import parse as parse_responses
from trivium.wire.sse import ServerSentEvent, SseParser, event_end
from trivium.wire.toolcalls import Restored
from trivium.wire.toolnames import ToolNames
from trivium.wire.unthinking import thinks_by_budget

_PARSE: dict[Api, Callable[[Members, Losses], Request]] = {
    Api.CHAT: parse_chat,
    Api.RESPONSES: parse_responses,
    Api.MESSAGES: parse_messages,
}
_RENDER: dict[Api, Callable[[Request, Wanted], dict[str, Any]]] = {
    Api.CHAT: render_chat,
    Api.RESPONSES: render_responses,
    Api.MESSAGES: render_messages,
}
_ENCODERS: dict[Api, type[Encoder]] = {
    Api.CHAT: ChatEncoder,
    Api.RESPONSES: ResponsesEncoder,
    Api.MESSAGES: MessagesEncoder,
}
_MOST_NAMES = 50_000
"""In a conversation; it takes about 0.2 s to translate as many."""
_COUNTED = {
    Api.MESSAGES: {"model", "system", "messages", "tools", "tool_choice", "thinking", "output_config"},
    Api.RESPONSES: {
        "model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"
    },
}  # fmt: skip
"""The members of a request that endpoints which count its tokens take."""


class Translation:
    """One call: its request, and then its answer as a stream or a whole body."""

    def __init__(self, client: Api, to: Destination, *, id: str, created: int, cover: Cover | None = None) -> None:
        """`id` and `created` (seconds since the epoch) are the answer's where the upstream gives none; `cover` is for
        models of the house."""
        self._client = client
        self._to = to
        self._cover = cover
        self._names = ToolNames(to.api)
        native = client is to.api and not (cover and cover.hides)
        self._asked = Asked(id=id, created=created, origin=None if native else to.origin, kin=to.kin)
        if cover is not None:
            house = {"model": cover.model, "reasoning": b"reasoning", "veiled": cover.hides}
            self._asked = msgspec.structs.replace(self._asked, **house)
        self._losses = Losses()

    @property
    def api(self) -> Api:
        """The upstream's."""
        return self._to.api

    def request(self, members: Members, *, count_only: bool = False, verbosity: str | None = None) -> Rendered:
        """The body for the upstream, or for its endpoint that counts tokens, and all that is lost. `verbosity` is for
        models that know it, where the client says none: Messages has no word for it.

        Raises FieldInvalid, InvalidJson, Untranslatable.
        """
        _check_size(self._client, members)
        losses = Losses()
        told = _PARSE[self._client](of_one_model(members, losses), losses)
        unread = told.thinking is not None and told.thinking.summary == "none"
        self._asked = msgspec.structs.replace(self._asked, unread=unread and not self._asked.native)
        if self._cover is not None:
            self._cover.stops = told.stop
            self._cover.namespaces = {tool.namespace for tool in told.tools if tool.namespace}
        if told.verbosity is None and self._to.traits.verbosity:
            told = msgspec.structs.replace(told, verbosity=verbosity)
        told = msgspec.structs.replace(choosable(told, losses), turns=repaired(self._unveiled(told.turns), losses))
        if not told.turns:
            raise nothing_said(told)
        said = _RENDER[self._to.api](told, Wanted(self._to, self._names, losses))
        if count_only:
            said = {name: value for name, value in said.items() if name in _COUNTED[self._to.api]}
        return Rendered(msgspec.json.encode(said), losses.told())

    def _unveiled(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """With what this upstream, or one of its kin, made and the client did not read."""
        return tuple([Turn(turn.role, tuple([self._legible(part) for part in turn.parts])) for turn in turns])

    def _legible(self, part: Part) -> Part:
        if type(part) is Reasoning:
            for origin in self._to.origins:
                part = unveiled(part, origin)
        return part

    def expect(self, members: Members, *, wants_usage: bool) -> None:
        """Keeps what the answer will need of the request."""
        echo = {}
        if self._client is Api.RESPONSES:
            echo = {name: msgspec.Raw(bytes(raw)) for name, raw in members.items() if name in ECHOED}
        of_request = {
            "legacy": self._client is Api.CHAT and is_said(members, "functions") and not is_said(members, "tools"),
            "thoughtful": self._client is Api.MESSAGES and thinks_by_budget(members),
        }
        self._asked = msgspec.structs.replace(self._asked, wants_usage=wants_usage, echo=echo, **of_request)

    def stream(self, conventions: Conventions = named.DEFAULT) -> StreamTranslation:
        decoder = stream_decoder(self._to.api, conventions)
        return StreamTranslation(decoder, self._encoder(), self._names, self._cover)

    def whole(
        self, body: bytes, conventions: Conventions = named.DEFAULT, *, streamed: bool = False
    ) -> tuple[bytes, Answer]:
        """A body of the upstream's as one for the client, and what it says. No body where it says an error.

        `streamed`: the upstream sent a stream though nobody asked for one.
        """
        events = (decode_stream if streamed else decode_answer)(self._to.api, body, conventions)
        told = Restored(self._names).events(events + _unanswered(events))
        answer = fold(told)
        if answer.error:
            return b"", answer
        return self._encoder().whole(fold(self._cover.events(told)) if self._cover else answer), answer

    def losses(self) -> tuple[Loss, ...]:
        """What was lost of the answer."""
        return self._losses.told()

    def _encoder(self) -> Encoder:
        return _ENCODERS[self._client](self._asked, self._losses)


def _unanswered(events: list[Event]) -> list[Event]:
    """An error, where a body says nothing but names and usage: an empty success would be a lie."""
    said = any(isinstance(event, Finish | Fault) for event in events)
    return [] if said else [Fault(GARBAGE, "The body holds no answer that came to its end")]


def _check_size(client: Api, members: Members) -> None:
    """Every object of a conversation is read, and everybody waits for it. Raises InvalidJson."""
    name = CONVERSATION[client]
    if has_more_names(members.get(name, b""), _MOST_NAMES):
        raise InvalidJson(f"`{name}` has too many members to be translated.", param=name)


def estimated(client: Api, members: Members) -> int:
    """Roughly how many input tokens a request has. Raises FieldInvalid, InvalidJson, Untranslatable."""
    _check_size(client, members)
    return estimate(_PARSE[client](members, Losses()))


_CR = ord("\r")
_PATIENCE = 8
"""Events of a chunk in a row that are read one by one; then the rest is read together, which is faster."""
_AFTERWARDS = (Begin, UsageReport, Fault)
"""What may still be said behind the terminal event: figures, an error, or that the answer begins anew, which is one."""


class StreamTranslation:
    """Sans-IO, like `relay.StreamRelay`: `feed` what arrives, send what it returns, `close` at the end.

    Nothing is sent before there is something to say, so that an error that comes first can still be an HTTP error.

    Most events say a piece of the text that is being said, and are like the one before them but for this piece
    (`mould.py`). Those are told without being read, which halves what a stream takes.
    """

    def __init__(self, decoder: Decoder, encoder: Encoder, names: ToolNames, cover: Cover | None) -> None:
        self._parser = SseParser()
        self._decoder = decoder
        self._restored = Restored(names)
        self._encoder = encoder
        self._cover = cover
        self._fold = Fold()
        self._mould = Mould()
        self._place: tuple[object, int] | None = None
        """Of the decoder, if the last event that it read is the one that the mould is of."""
        self._part: tuple[int, type[AnswerPart]] = (0, Text)
        """What that was a piece of."""
        self.unterminated = False
        """The stream ended and had neither a finish nor an error."""
        self.ended = False
        """The terminal event came. Another answer may still follow (Anthropic's tool search)."""

    @property
    def held(self) -> int:
        """Bytes in memory: of an unfinished event, of what the client is told once more, or later, and of parts without
        number."""
        return self._parser.held + self._decoder.kept + self._restored.kept + self._encoder.kept

    @property
    def malformed(self) -> int:
        return self._decoder.malformed

    @property
    def oversized(self) -> bool:
        return self._parser.dropped > 0

    @property
    def content_began(self) -> bool:
        return self._encoder.began

    @property
    def content_bytes(self) -> int:
        """Of content that went on: text, reasoning, refusals, arguments of calls, in UTF-8. What waits is not in it."""
        return self._encoder.content_bytes

    @property
    def finished(self) -> bool:
        """The upstream said why the answer ended."""
        return self._encoder.finished

    @property
    def fault(self) -> Fault | None:
        """The upstream's error, after which nothing more is said."""
        return self._encoder.fault

    def feed(self, chunk: bytes) -> bytes:
        """Bytes that may go to the client now."""
        if _CR in chunk:
            self._place = None
            return self._say(self._parser.feed(chunk))
        told, at, read = [], 0, 0
        while at < len(chunk):
            end, said = self._run(chunk, at)
            if end > at:
                read = 0
            else:
                read += 1
                end = event_end(chunk, at, has_cr=False) if self._learns() and read <= _PATIENCE else len(chunk)
                said = self._read(chunk[at:end])
            told.append(said)
            at = end
        return b"".join(told)

    def _run(self, chunk: bytes, at: int) -> tuple[int, bytes]:
        """Where those events of a chunk end that are like the last one, from there on, and what the client is told."""
        if self._place is None or self._place != self._decoder.place():
            return at, b""
        if self.ended or self._restored.waits() or not self._parser.is_between():
            return at, b""
        end, pieces = self._mould.texts(chunk, at)
        said = self._encoder.more(*self._part, pieces) if pieces else None
        if said is None:
            return at, b""
        self._decoder.more(sum(map(len, pieces)))
        return end, said

    def _read(self, piece: bytes) -> bytes:
        """Tells what an event says, and learns what those look like that are mere pieces of content."""
        begins = self._parser.is_between()
        events = self._parser.feed(piece)
        if events:
            self._place = None  # whatever else it says, further events may say something else behind it
        if len(events) != 1 or not begins:
            return self._say(events)
        said = self._decoder.decode(events[0])
        if len(said) == 1:
            self._learn(piece, said[0])
        return self._tell(said)

    def _learns(self) -> bool:
        return self._decoder.place() is not None and self._mould.hopes()

    def _learn(self, piece: bytes, event: Event) -> None:
        kind: type[AnswerPart] = Text
        match event:
            case TextDelta(text, index, None):
                pass
            case ReasoningDelta(text, index):
                kind = Reasoning
            case _:
                return
        if self._learns() and self._mould.cast(piece, text.encode("utf-8", "surrogatepass")):
            self._place, self._part = self._decoder.place(), (index, kind)

    def whole(self, body: bytes) -> bytes:
        """An upstream that was asked for a stream and answered with a body: all of it at once."""
        events = self._decoder.whole(body)
        return self._close(events + _unanswered(events), [])

    def close(self) -> bytes:
        """The stream ended as HTTP has it: the rest of it, with the end of the answer if it came to its end. If it did
        not, nothing: an error will follow."""
        rest = [told for event in self._parser.close() for told in self._decoder.decode(event)]
        return self._close(rest, self._decoder.close())

    def _say(self, events: list[ServerSentEvent]) -> bytes:
        return b"".join([self._tell(self._decoder.decode(event)) for event in events])

    def _close(self, rest: list[Event], last: list[Event]) -> bytes:
        self.unterminated = any(isinstance(event, Fault) for event in last)
        if self.unterminated:
            self._tell([event for event in rest + last if isinstance(event, _AFTERWARDS)])
            return b""
        out = self._tell(rest) + self._tell(last)
        return out if self._encoder.fault else out + self._encoder.close()

    def _tell(self, events: list[Event]) -> bytes:
        if not events:
            return b""
        if self.ended and not self._decoder.goes_on:
            events = [event for event in events if type(event) in _AFTERWARDS]
        for event in events:
            kind = type(event)
            if kind not in CONTENT:
                self._fold.add(event)
                self.ended = self.ended or kind is End
        told = self._restored.events(events)
        return self._encoder.encode(self._cover.events(told) if self._cover else told)

    def answer(self) -> Answer:
        """What the stream said of itself: names, usage, finish, error; not its content."""
        return self._fold.answer()

    def ping(self) -> bytes:
        """A keep-alive while the upstream is silent."""
        return self._encoder.ping()

    def failure(self, error: ErrorValue) -> bytes:
        """The end of the stream, where it failed."""
        return self._encoder.fail(error)
