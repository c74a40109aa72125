"""Translations as the pipeline makes them, without the pipeline."""

from __future__ import annotations

from collections.abc import Iterable

from trivium.canon import conventions as named
from trivium.canon.api import Api
from trivium.canon.events import Event, Fault
from trivium.canon.fold import Answer, fold
from trivium.canon.usage import Conventions
from trivium.wire.asked import Asked
from trivium.wire.chat.encoder import ChatEncoder
from trivium.wire.codec import decode_answer, stream_decoder
from trivium.wire.destination import Destination
from trivium.wire.encoder import Encoder
from trivium.wire.errors import ErrorValue
from trivium.wire.fault import status_of
from trivium.wire.losses import Losses
from trivium.wire.messages.encoder import MessagesEncoder
from trivium.wire.responses.encoder import ResponsesEncoder
from trivium.wire.sse import SseParser
from trivium.wire.translate import Translation

ORIGIN = "upstream_tag"
_ENCODERS: dict[Api, type[Encoder]] = {
    Api.CHAT: ChatEncoder,
    Api.RESPONSES: ResponsesEncoder,
    Api.MESSAGES: MessagesEncoder,
}


def encoder(
    api: Api,
    *,
    origin: str | None = None,
    losses: Losses | None = None,
    wants_usage: bool = True,
    thoughtful: bool = False,
) -> Encoder:
    """One for a client of the API, by default before an upstream of the same."""
    asked = Asked(id="1", created=1, origin=origin, wants_usage=wants_usage, thoughtful=thoughtful)
    return _ENCODERS[api](asked, Losses() if losses is None else losses)


def encoded(encoding: Encoder, events: Iterable[Event]) -> bytes:
    """All that a client gets of an answer, the end of a failed one included."""
    out = encoding.encode([*events])
    return out + (encoding.fail(error(encoding.fault)) if encoding.fault else encoding.close())


def error(fault: Fault) -> ErrorValue:
    """A fault as the pipeline tells it."""
    return ErrorValue(status=status_of(fault), code=fault.code or fault.type, message=fault.message, request_id="req_1")


def decoded(api: Api, stream: bytes) -> list[Event]:
    parser, decoder = SseParser(), stream_decoder(api)
    events = [*parser.feed(stream), *parser.close()]
    told = [told for event in events for told in decoder.decode(event)] + decoder.close()
    assert decoder.malformed == 0
    return told


def translation(source: Api, to: Api) -> Translation:
    """Of a client of `to` before an upstream of `source`."""
    return Translation(to, Destination(api=source, model="m", origin=ORIGIN), id="1", created=1)


def translated(source: Api, to: Api, chunks: Iterable[bytes], *, conventions: Conventions = named.DEFAULT) -> bytes:
    """A stream as the client gets it, an error at its end included."""
    stream = translation(source, to).stream(conventions)
    pieces = []
    for chunk in chunks:
        pieces.append(stream.feed(chunk))
        if stream.fault:
            break
    else:
        pieces.append(stream.close())
    return b"".join(pieces) + (stream.failure(error(stream.fault)) if stream.fault else b"")


def translated_whole(source: Api, to: Api, body: bytes) -> Answer:
    """A body as the client reads it."""
    said, answer = translation(source, to).whole(body)
    assert (said == b"") == (answer.error is not None)
    return fold(decode_answer(to, said)) if said else answer
